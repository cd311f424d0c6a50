//! What the black-box tests stand on: a server as a child process, the people and programs that talk
//! to it, and the checks that must hold after every test.
//!
//! [`Site`] is a pair of directories and the settings of a server; [`TestHost`] is a server that runs
//! on one. When a `TestHost` is dropped it asks the server to stop and checks what no test may break:
//! it ends by itself with exit code 0, it never panicked, it logged no error that the test did not
//! announce, and the ledger adds up.
//!
//! Absent on purpose: any knowledge of how the server is built. Everything goes through its binary,
//! its sockets, its folders and its streams.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that can't set up must stop"
)]

use std::io::Write as _;

pub mod binary;
pub mod bodies;
pub mod events;
pub mod guests;
pub mod host;
pub mod http;
pub mod identity;
pub mod issuer;
pub mod lambda;
pub mod ledger;
pub mod load;
pub mod process;
pub mod sign;
pub mod site;
pub mod wait;
pub mod webhook;

pub use host::TestHost;
pub use http::{Connection, Request, Response};
pub use sign::Signer;
pub use site::Site;
pub use wait::{Stopwatch, until};

/// Whether the long counts were asked for with `MAYFLY_LONG=1`.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("MAYFLY_LONG").is_some_and(|value| value != "0" && !value.is_empty())
}

/// `long` when the long counts were asked for, else `short`.
#[must_use]
pub fn count(short: usize, long: usize) -> usize {
    if is_long() { long } else { short }
}

/// Says what is not tested here, and why. Always visible.
pub fn skip(what: &str, why: &str) {
    say(&format!("skipped: {what}: {why}"));
}

/// Says what was measured. Always visible.
pub fn report(what: &str, value: impl std::fmt::Display) {
    say(&format!("measured: {what}: {value}"));
}

/// Writes a line past the test runner, which keeps what a passing test prints to itself.
pub fn say(line: &str) {
    let _written = writeln!(std::io::stderr().lock(), "{line}");
}
