//! An error that says nothing.

use mayfly_sdk::handler;

#[handler]
fn hello(event: u8) -> Result<u8, Vec<u8>> {
    Err(vec![event])
}

fn main() {}
