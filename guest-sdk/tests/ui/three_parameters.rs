//! One parameter more than there is to pass.

use mayfly_sdk::{Context, handler};

#[handler]
fn hello(_event: u8, _context: &Context, _more: u8) {}

fn main() {}
