//! An event by reference.

use mayfly_sdk::handler;

#[handler]
fn hello(_event: &str) {}

fn main() {}
