//! Whether an attempt has two records, in a bounded amount of memory.
//!
//! Of each record a hash of 64 bits is kept, 16 million at once; a larger ledger is read once more for
//! each further 16 million. Only where two hashes are the same are the records themselves compared.

use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};

use super::{LedgerProblem, file_name};
use crate::StorageError;
use crate::ledger::frame::{self, AttemptKey, Found, Frame};
use crate::ledger::query::Source;
use crate::ledger::segment::HEADER_BYTES;

/// Hashes that are kept at once: 128 MiB.
const HASHES_MAX: u64 = 16 << 20;
/// No record takes fewer bytes.
const RECORD_BYTES_MIN: u64 = 64;
/// Suspects that are looked at; a ledger that has more is beyond counting.
const SUSPECTS_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Doubles {
    /// How many passes there are.
    passes: u64,
    hashes: Vec<u64>,
}

impl Doubles {
    /// For a ledger of these segments.
    pub(super) fn for_segments(segments: &[(u64, Source)]) -> Self {
        let bytes = segments.iter().filter_map(|(_, source)| source.length());
        let records_max = bytes.sum::<u64>() / RECORD_BYTES_MIN;
        Self {
            passes: records_max.div_ceil(HASHES_MAX).max(1),
            hashes: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_passes(passes: u64) -> Self {
        Self {
            passes,
            hashes: Vec::new(),
        }
    }

    /// Takes in a segment, for the first pass.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.add_for(0, bytes);
    }

    fn add_for(&mut self, pass: u64, bytes: &[u8]) {
        for (_, _, key) in keys(bytes) {
            let hash = hash(&key);
            if hash % self.passes == pass {
                self.hashes.push(hash);
            }
        }
    }

    /// The records whose attempt has one already. The segments must be those that were taken in.
    pub(super) fn find(
        &mut self,
        segments: &[(u64, Source)],
    ) -> Result<Vec<LedgerProblem>, StorageError> {
        let mut suspects = HashSet::new();
        self.suspect(&mut suspects);
        for pass in 1..self.passes {
            for (_, source) in segments {
                if let Some(bytes) = source.read()? {
                    self.add_for(pass, &bytes);
                }
            }
            self.suspect(&mut suspects);
        }
        self.hashes = Vec::new();
        if suspects.is_empty() {
            return Ok(Vec::new());
        }
        let mut first_of: HashMap<AttemptKey, u64> = HashMap::new();
        let mut found = Vec::new();
        for (_, source) in segments {
            let Some(bytes) = source.read()? else {
                continue;
            };
            for (at, frame, key) in keys(&bytes) {
                if !suspects.contains(&hash(&key)) {
                    continue;
                }
                match first_of.entry(key) {
                    Entry::Vacant(entry) => {
                        entry.insert(frame.sequence);
                    }
                    Entry::Occupied(entry) => {
                        let (id, attempt) = key;
                        let first = entry.get();
                        found.push(LedgerProblem {
                            file: file_name(source.path()),
                            offset: u64::try_from(at).ok(),
                            sequence: Some(frame.sequence),
                            reason: format!(
                                "attempt {attempt} at event {id} has a record already, number {first}"
                            ),
                        });
                    }
                }
            }
        }
        Ok(found)
    }

    /// Notes which hashes were there twice, and forgets all.
    fn suspect(&mut self, suspects: &mut HashSet<u64>) {
        self.hashes.sort_unstable();
        let twice = self.hashes.windows(2).filter(|pair| pair[0] == pair[1]);
        for pair in twice.take(SUSPECTS_MAX.saturating_sub(suspects.len())) {
            suspects.insert(pair[0]);
        }
        self.hashes.clear();
    }
}

fn hash(key: &AttemptKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The readable frames of a segment with their places, as far as lengths lead.
fn keys(bytes: &[u8]) -> impl Iterator<Item = (usize, Frame<'_>, AttemptKey)> {
    let mut at = HEADER_BYTES;
    std::iter::from_fn(move || {
        loop {
            let here = at;
            match frame::at(bytes, here) {
                Found::End => return None,
                Found::Bad(_) => at = frame::end_of(bytes, here)?,
                Found::Frame(frame) => {
                    at = frame.end;
                    if let Ok(key) = frame.key() {
                        return Some((here, frame, key));
                    }
                }
            }
        }
    })
}
