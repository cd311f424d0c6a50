//! An answer that nothing can write.

use mayfly_sdk::handler;

struct Reply;

#[handler]
fn hello(_event: u8) -> Reply {
    Reply
}

fn main() {}
