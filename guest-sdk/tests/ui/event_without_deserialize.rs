//! An event that nothing can read.

use mayfly_sdk::{Context, handler};

struct Order;

#[handler]
fn hello(_event: Order, _context: &Context) {}

fn main() {}
