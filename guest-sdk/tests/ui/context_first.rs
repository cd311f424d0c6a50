//! Event and context in the wrong order.

use mayfly_sdk::{Context, handler};

#[handler]
fn hello(_context: &Context, _event: u8) {}

fn main() {}
