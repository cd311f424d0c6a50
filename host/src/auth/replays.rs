//! Signatures that were used, so that none is used twice. Off unless it is configured: AWS lets a
//! signature be used again for as long as its date is good.
//!
//! Kept in memory. What was signed before this process started is refused, so that a restart forgets
//! nothing.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

/// Signatures that are remembered of each key; its oldest goes first, and never another's.
const KEPT_MAX: usize = 50_000;

/// How long a signature in a header can be good, in seconds: the skew in both directions.
const LIFE_S: i64 = 600;

/// Signatures that were used.
#[derive(Debug)]
pub(crate) struct Replays {
    started_s: i64,
    /// By access key, of those that verified.
    used: Mutex<HashMap<Arc<str>, Used>>,
}

#[derive(Debug, Default)]
struct Used {
    known: HashSet<[u8; 32]>,
    /// With the time they were used at, in Unix seconds.
    in_order: VecDeque<(i64, [u8; 32])>,
}

impl Replays {
    /// Remembers from `now_s` on, in Unix seconds.
    pub(crate) fn new(now_s: i64) -> Self {
        Self {
            started_s: now_s,
            used: Mutex::default(),
        }
    }

    /// Whether a good signature, made at `date_s`, is used for the first time.
    pub(crate) fn is_first(
        &self,
        key: &Arc<str>,
        signature: &[u8; 32],
        date_s: i64,
        now_s: i64,
    ) -> bool {
        // A presigned request may be good for longer than signatures are remembered.
        if date_s <= self.started_s || now_s.saturating_sub(date_s) > LIFE_S / 2 {
            return false;
        }
        let mut of_all = self.used.lock();
        let used = of_all.entry(Arc::clone(key)).or_default();
        while let Some((at, oldest)) = used.in_order.front().copied() {
            if used.in_order.len() < KEPT_MAX && now_s.saturating_sub(at) <= LIFE_S {
                break;
            }
            used.in_order.pop_front();
            used.known.remove(&oldest);
        }
        let is_first = used.known.insert(*signature);
        if is_first {
            used.in_order.push_back((now_s, *signature));
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_once_and_what_is_kept_is_bounded() {
        let replays = Replays::new(1_000);
        let (key, other): (Arc<str>, Arc<str>) = ("AKIA1".into(), "AKIA2".into());
        assert!(replays.is_first(&other, &[9; 32], 1_100, 1_100));
        assert!(
            !replays.is_first(&key, &[1; 32], 1_000, 1_001),
            "made before the start"
        );
        assert!(replays.is_first(&key, &[1; 32], 1_001, 1_001));
        assert!(!replays.is_first(&key, &[1; 32], 1_001, 1_002));
        assert!(!replays.is_first(&key, &[1; 32], 1_001, 1_241));
        assert!(replays.is_first(&key, &[2; 32], 1_001, 1_301));
        assert!(
            !replays.is_first(&key, &[3; 32], 1_001, 1_302),
            "presigned long ago"
        );
        for number in 0..150_000_u32 {
            let mut signature = [3; 32];
            signature[..4].copy_from_slice(&number.to_be_bytes());
            assert!(replays.is_first(&key, &signature, 1_100, 1_100));
        }
        assert_eq!(replays.used.lock()[&key].in_order.len(), KEPT_MAX);
        assert_eq!(replays.used.lock()[&key].known.len(), KEPT_MAX);
        // However much one does, what another did is known.
        assert!(!replays.is_first(&other, &[9; 32], 1_100, 1_100));
        // When their date is no longer good they need not be known.
        assert!(replays.is_first(&key, &[4; 32], 1_701, 1_701));
        assert_eq!(replays.used.lock()[&key].known.len(), 1);
    }
}
