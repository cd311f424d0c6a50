//! An option that does not exist.

use mayfly_sdk::handler;

#[handler(timeout = 3)]
fn hello() {}

fn main() {}
