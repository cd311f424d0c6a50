//! Sleeps: takes time without using the CPU.
//!
//! Shows the difference between the duration of an invocation and its CPU time, and how a timeout
//! ends one that waits. Takes an HTTP event with `?ms=` or a direct event `{"ms": ..}`.

mod request;

use std::thread;
use std::time::Duration;

use mayfly_sdk::{Error, handler};
use request::Event;
use serde::Serialize;

#[derive(Debug, PartialEq, Serialize)]
struct Reply {
    slept_ms: u64,
}

/// Sleeps as long as the event says, and says so.
#[handler]
#[expect(
    clippy::disallowed_methods,
    reason = "no other task waits in this sandbox"
)]
fn sleep(event: Event) -> Result<Reply, Error> {
    let slept_ms = event.ms()?;
    thread::sleep(Duration::from_millis(slept_ms));
    Ok(Reply { slept_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_with_the_time_it_slept() {
        let event = mayfly_sdk::serde_json::from_str(r#"{"ms":1}"#).unwrap();
        assert_eq!(sleep(event).unwrap(), Reply { slept_ms: 1 });
    }
}
