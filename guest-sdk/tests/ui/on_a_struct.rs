//! An attribute on something that is no function.

use mayfly_sdk::handler;

#[handler]
struct Hello;

fn main() {}
