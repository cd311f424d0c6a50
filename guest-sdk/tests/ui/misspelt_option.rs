//! An option that almost exists.

use mayfly_sdk::handler;

#[handler(initialise = prepare)]
fn hello() {}

fn main() {}
