//! A method: there is no object to call it on.

use mayfly_sdk::{Context, handler};

struct Greeter;

impl Greeter {
    #[handler]
    fn hello(&self, _event: u8, _context: &Context) {}
}

fn main() {}
