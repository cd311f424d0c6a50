//! Checking one segment: its header, its frames, what is after them, and its row in the catalogue.
//!
//! A frame that can't be read ends a segment, unless its length leads to one that follows; then only
//! the one is lost. Knows nothing of other segments but what this one must continue.

use sha2::{Digest as _, Sha256};

use super::{Chain, LedgerProblem, Previous, problem};
use crate::StorageError;
use crate::ledger::catalogue::Catalogued;
use crate::ledger::frame::{self, Found};
use crate::ledger::query::Source;
use crate::ledger::segment::{HEADER_BYTES, Hash, Header};
use crate::ledger::sums::Sums;

/// How often a segment that is not sealed is read again when something looks wrong: a record may have
/// been on its way.
const READS: u32 = 10;

/// A segment, read and checked.
pub(super) struct Checked {
    /// Seen from the data directory.
    pub(super) file: String,
    pub(super) bytes: Vec<u8>,
    pub(super) first_sequence: u64,
    pub(super) next_sequence: u64,
    /// Of the last frame.
    pub(super) crc: u32,
    /// Of the whole file.
    pub(super) hash: Hash,
    /// Of the segment before, as it is noted here.
    pub(super) previous_hash: Option<Hash>,
    /// Where the last frame ends.
    pub(super) end: usize,
    pub(super) is_sealed: bool,
    /// Records that are what was written.
    pub(super) records: u64,
    /// Whether all of them are.
    pub(super) is_readable: bool,
    /// By the minute.
    pub(super) sums: Sums,
    pub(super) problems: Vec<LedgerProblem>,
}

impl Checked {
    /// `None` when the file is not there any more.
    pub(super) fn read(
        source: &Source,
        file: &str,
        chain: Option<Chain>,
        row: Option<&Catalogued>,
    ) -> Result<Option<Self>, StorageError> {
        let mut reads = 1;
        loop {
            let Some(bytes) = source.read()? else {
                return Ok(None);
            };
            let checked = Self::check(bytes, source, file, chain, row);
            if checked.problems.is_empty() || checked.is_sealed || reads == READS {
                return Ok(Some(checked));
            }
            reads += 1;
        }
    }

    /// Where record `sequence` ends, if it is here and everything up to it can be read.
    pub(super) fn end_of(&self, sequence: u64) -> Option<usize> {
        let mut at = HEADER_BYTES;
        while let Found::Frame(frame) = frame::at(&self.bytes[..self.end], at) {
            at = frame.end;
            if frame.sequence == sequence {
                return Some(at);
            }
        }
        None
    }

    fn check(
        bytes: Vec<u8>,
        source: &Source,
        file: &str,
        chain: Option<Chain>,
        row: Option<&Catalogued>,
    ) -> Self {
        let (sequence, crc) = chain.map_or((1, 0), |chain| (chain.sequence, chain.crc));
        let mut checked = Self {
            file: file.to_owned(),
            first_sequence: sequence,
            next_sequence: sequence,
            crc,
            hash: Sha256::digest(&bytes).into(),
            previous_hash: None,
            end: HEADER_BYTES.min(bytes.len()),
            is_sealed: false,
            records: 0,
            is_readable: false,
            sums: Sums::default(),
            problems: Vec::new(),
            bytes,
        };
        let header = match Header::parse(source.path(), &checked.bytes) {
            Ok(header) => header,
            Err(error) => {
                let (offset, reason) = match error {
                    StorageError::Corrupt { offset, reason, .. } => (Some(offset), reason),
                    error => (None, error.to_string()),
                };
                checked.problems.push(LedgerProblem {
                    offset,
                    ..problem(file, &format!("its header can't be read: {reason}"))
                });
                // The catalogue knows where the next one goes on.
                if let Some(row) = row {
                    (checked.next_sequence, checked.crc) = (row.next_sequence, row.crc);
                }
                return checked;
            }
        };
        checked.is_sealed = header.sealed.is_some();
        checked.previous_hash = header.previous_hash;
        checked.check_header(&header, chain);
        checked.check_frames(&header);
        checked.check_end(&header);
        if let Some(row) = row {
            checked.check_row(row);
        }
        checked
    }

    fn say(&mut self, offset: usize, sequence: Option<u64>, reason: impl Into<String>) {
        self.problems.push(LedgerProblem {
            file: self.file.clone(),
            offset: u64::try_from(offset).ok(),
            sequence,
            reason: reason.into(),
        });
    }

    fn check_header(&mut self, header: &Header, chain: Option<Chain>) {
        let first = header.first_sequence;
        (self.first_sequence, self.next_sequence) = (first, first);
        let zeros = [36..40, 76..80, 112..HEADER_BYTES];
        let without_hash = header.previous_hash.is_none().then_some(40..72);
        for range in zeros.into_iter().chain(without_hash) {
            if self.bytes[range.clone()].iter().any(|byte| *byte != 0) {
                self.say(range.start, None, "its header has bytes where zeros belong");
            }
        }
        if header.synced == usize::MAX {
            self.say(80, None, "the mark of how far it was synced is damaged");
        }
        if let Some(chain) = chain {
            if first > chain.sequence {
                let (from, to) = (chain.sequence, first - 1);
                let reason = format!("the records from {from} to {to} should come before it");
                self.say(16, Some(from), reason);
            } else if first < chain.sequence {
                let expected = chain.sequence;
                let reason =
                    format!("it begins with record {first}, and record {expected} comes next");
                self.say(16, Some(first), reason);
            } else {
                self.check_link(header, &chain);
            }
        }
        self.crc = header.previous_crc;
    }

    /// Whether it continues the segment before, which it is right behind.
    fn check_link(&mut self, header: &Header, chain: &Chain) {
        let first = Some(header.first_sequence);
        if header.previous_crc != chain.crc {
            self.say(32, first, "it does not follow the segment before it");
        }
        match (header.previous_hash, chain.hash) {
            (Some(found), Previous::Sealed(expected)) if found != expected => {
                let reason = "the segment before it does not have the hash noted here";
                self.say(40, first, reason);
            }
            (Some(_), Previous::Nothing) => self.say(40, first, "no segment is before it"),
            (None, Previous::Sealed(_)) if self.is_sealed || chain.is_catalogued => {
                self.say(40, first, "the hash of the segment before is missing");
            }
            _ => {}
        }
    }

    fn check_frames(&mut self, header: &Header) {
        self.is_readable = true;
        let mut at = HEADER_BYTES;
        let bytes = std::mem::take(&mut self.bytes);
        loop {
            let sequence = self.next_sequence;
            let reason = match frame::at(&bytes, at) {
                Found::End => break,
                Found::Bad(reason) => reason,
                Found::Frame(frame) if frame.sequence != sequence => {
                    let reason = format!("record {} stands here", frame.sequence);
                    self.is_readable = false;
                    self.say(at, Some(sequence), reason);
                    // Goes on from there: what is missing or doubled is said once.
                    (self.next_sequence, self.crc) = (frame.sequence, frame.previous_crc);
                    continue;
                }
                Found::Frame(frame) => {
                    if frame.previous_crc != self.crc {
                        self.say(
                            at,
                            Some(sequence),
                            "it does not follow the record before it",
                        );
                    }
                    match frame.report() {
                        Ok(report) => {
                            self.sums.add(&report);
                            self.records += 1;
                        }
                        Err(reason) => {
                            self.is_readable = false;
                            self.say(at, Some(sequence), reason);
                        }
                    }
                    (self.crc, at) = (frame.crc, frame.end);
                    self.next_sequence = self.next_sequence.saturating_add(1);
                    continue;
                }
            };
            self.is_readable = false;
            self.say(
                at,
                Some(sequence),
                format!("the record can't be read: {reason}"),
            );
            // One whose length still leads to the next is all that is lost.
            let next = frame::end_of(&bytes, at).and_then(|end| match frame::at(&bytes, end) {
                Found::Frame(next) if next.sequence == sequence.saturating_add(1) => {
                    Some((end, next))
                }
                _ => None,
            });
            let Some((end, next)) = next else {
                break;
            };
            (self.crc, at) = (next.previous_crc, end);
            self.next_sequence = self.next_sequence.saturating_add(1);
        }
        self.end = at;
        self.bytes = bytes;
        if at < header.synced && header.synced < usize::MAX && self.is_readable {
            self.is_readable = false;
            self.say(at, Some(self.next_sequence), "records are missing");
        }
    }

    fn check_end(&mut self, header: &Header) {
        let end = self.end;
        match header.sealed {
            Some(sealed) if sealed != end && self.is_readable => {
                let reason = format!("its records should end at byte {sealed}");
                self.say(end, Some(self.next_sequence), reason);
            }
            Some(_) if self.bytes.len() != end && self.is_readable => {
                self.say(end, None, "something is behind its records");
            }
            Some(_) => {}
            None => {
                let after = self.bytes.get(end..).unwrap_or_default();
                let used = after.iter().position(|byte| *byte != 0);
                if let Some(used) = used.filter(|_| self.is_readable) {
                    let reason = "something is behind its last record: one that was never finished \
                                  when the server was killed, which the next start removes, or damage";
                    self.say(end + used, Some(self.next_sequence), reason);
                }
            }
        }
    }

    /// Says nothing when something was said already: it is what the hash is about.
    fn check_row(&mut self, row: &Catalogued) {
        let is_same = self.hash == row.hash
            && self.bytes.len() == row.bytes
            && self.next_sequence == row.next_sequence
            && self.crc == row.crc;
        if self.problems.is_empty() && !is_same {
            let reason = "its content does not have the hash in the catalogue";
            self.say(self.end, None, reason);
        }
        if row.next_sequence > self.next_sequence {
            // What is behind damage is not missing too.
            (self.next_sequence, self.crc) = (row.next_sequence, row.crc);
        }
    }
}
