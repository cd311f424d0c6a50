//! Burns CPU time, for as long as the event says or for ever.
//!
//! Shows what is metered as CPU time, and how a timeout ends a function that never calls out. Takes
//! an HTTP event with `?ms=` or a direct event `{"ms": ..}`; `forever` is as good as a number.

mod request;

use std::hint::black_box;
use std::time::{Duration, Instant};

use mayfly_sdk::{Error, handler};
use request::{Event, Span};
use serde::Serialize;

/// Steps between two looks at the clock: around 0.1 ms of pure computing.
const STEPS: u32 = 100_000;

#[derive(Debug, Serialize)]
struct Reply {
    burnt_ms: u64,
    /// How often [`STEPS`] steps were done in that time.
    rounds: u64,
}

/// Burns as long as the event says.
#[handler]
fn burn(event: Event) -> Result<Reply, Error> {
    match event.span()? {
        Span::Ms(ms) => Ok(burn_for(ms)),
        Span::Forever => loop {
            burn_round();
        },
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the sandbox is what is asked for"
)]
fn burn_for(burnt_ms: u64) -> Reply {
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < Duration::from_millis(burnt_ms) {
        burn_round();
        rounds += 1;
    }
    Reply { burnt_ms, rounds }
}

/// A chain of steps, each of which needs the one before; nothing of it can be left out.
fn burn_round() {
    let mut state = black_box(1_u64);
    for _ in 0..STEPS {
        // Xorshift: never zero, never short.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "how long it takes is what is tested"
    )]
    fn burns_for_the_time_it_was_given() {
        let start = Instant::now();
        let reply = burn_for(5);
        assert!(start.elapsed() >= Duration::from_millis(5));
        assert!(reply.rounds > 0);
    }
}
