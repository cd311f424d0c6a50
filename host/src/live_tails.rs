//! How many live tails run: in all, and for each caller, so that nobody keeps the others out.
//!
//! Knows nothing of logs.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Live tails at once.
const ALL_MAX: usize = 32;

/// Live tails of one caller at once.
const CALLER_MAX: usize = 4;

/// The live tails that run, by the names of their callers.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveTails(Arc<Mutex<HashMap<String, usize>>>);

/// A place for one; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct LiveTailPlace {
    tails: LiveTails,
    caller: String,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooManyTails {
    /// Of everybody together.
    #[error("{ALL_MAX} live tails run already")]
    All,
    /// Of this caller.
    #[error("you have {CALLER_MAX} live tails already")]
    Caller,
}

impl LiveTails {
    /// A place for a live tail of `caller`.
    ///
    /// # Errors
    ///
    /// [`TooManyTails`].
    pub(crate) fn enter(&self, caller: &str) -> Result<LiveTailPlace, TooManyTails> {
        let mut running = self.0.lock();
        if running.get(caller).is_some_and(|own| *own >= CALLER_MAX) {
            return Err(TooManyTails::Caller);
        }
        if running.values().sum::<usize>() >= ALL_MAX {
            return Err(TooManyTails::All);
        }
        *running.entry(caller.to_owned()).or_default() += 1;
        Ok(LiveTailPlace {
            tails: self.clone(),
            caller: caller.to_owned(),
        })
    }
}

impl Drop for LiveTailPlace {
    fn drop(&mut self) {
        let mut running = self.tails.0.lock();
        if let Some(own) = running.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                running.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_a_share_of_the_places_and_gives_them_back() {
        let tails = LiveTails::default();
        let own: Vec<_> = (0..CALLER_MAX)
            .map(|_| tails.enter("bob").unwrap())
            .collect();
        assert_eq!(tails.enter("bob").unwrap_err(), TooManyTails::Caller);
        let others: Vec<_> = (CALLER_MAX..ALL_MAX)
            .map(|number| {
                tails
                    .enter(&format!("user {}", number / CALLER_MAX))
                    .unwrap()
            })
            .collect();
        assert_eq!(tails.enter("eve").unwrap_err(), TooManyTails::All);
        drop(own);
        let _again = tails.enter("bob").unwrap();
        drop(others);
        assert_eq!(tails.0.lock().len(), 1);
    }
}
