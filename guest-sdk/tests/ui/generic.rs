//! A handler whose event has no one type.

use mayfly_sdk::handler;

#[handler]
fn hello<T>(_event: T) {}

fn main() {}
