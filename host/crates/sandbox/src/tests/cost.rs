//! What one event costs here. Prints; asserts nothing about time.
//!
//! Set `MAYFLY_COST` and build with `--release` for figures that mean something.

use std::sync::Arc;

use super::smoke::SDK_ECHO;
use super::support::{Host, limits};
use crate::settings::{Compile, Profile};

#[test]
fn one_event_of_each_kind() {
    let Some(count) = std::env::var("MAYFLY_COST")
        .ok()
        .and_then(|count| count.parse().ok())
    else {
        return;
    };
    for profile in Profile::ALL {
        let host = Host::with(profile, Compile::InProcess);
        let echo =
            "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1000))
             (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
             (call $write (i32.const 1) (i32.const 64) (i32.load (i32.const 8)))";
        for (name, guest) in [
            ("sdk", host.guest(SDK_ECHO, limits(16, 60_000))),
            ("command", host.command(echo, limits(16, 60_000))),
            (
                "command without WASI calls",
                host.command("", limits(16, 60_000)),
            ),
        ] {
            host.run(&guest, r#"{"name":"world"}"#);
            for _ in 0..3 {
                host.runtime.block_on(async {
                    let before = host.clock.now();
                    for _ in 0..count {
                        let request = host.request(r#"{"name":"world"}"#, guest.spec().limits);
                        host.sandboxes
                            .run(Arc::clone(&guest), request)
                            .await
                            .unwrap();
                    }
                    let each = (host.clock.now() - before) / count;
                    println!("{} {name}: {} ns", profile.as_str(), each.as_nanos());
                });
            }
        }
    }
}
