//! Whether a ledger is what was written: every record, their chain, the segments, the sums.
//!
//! Reads one segment at a time and repairs nothing. A server may be writing meanwhile: what looks
//! wrong in a segment that is not sealed is read again before it counts.
//!
//! Found is whatever was altered, removed, doubled or put in another order. Not found, by this alone,
//! is the work of somebody who may write to the directory and computes every checksum, hash and sum
//! anew, or sets everything back to an earlier state: for that a [`LedgerHead`] that was kept elsewhere
//! is compared. Not covered are the 16 bytes of a header in use that tell one start of the machine
//! from another.

mod doubles;
mod segments;
mod sums;

use std::path::Path;

use self::doubles::Doubles;
use self::segments::Checked;
use super::anchor::Anchor;
use super::catalogue::{Catalogue, Contents};
use super::head::{self, LedgerHead};
use super::query::Source;
use super::reader::LedgerReader;
use super::segment::{self, Hash};
use super::sums::{Period, Sums};
use crate::StorageError;

/// Problems that are described; more are counted.
const PROBLEMS_MAX: usize = 1_000;

/// How often it is begun again when retention drops what is being read.
const ATTEMPTS: u32 = 10;

/// What came out of checking a ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Records that were read and are what was written.
    pub records: u64,
    /// The number of the first record that is still there; one more than the last if none is.
    pub first_sequence: u64,
    /// The number of the last record; 0 when there never was one.
    pub last_sequence: u64,
    /// Segments that were read.
    pub segments: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Whether the catalogue and the sums in it were compared. They are not when there is no
    /// catalogue that can be used (the next start makes one), nor when records can't be read.
    pub are_sums_checked: bool,
    /// A digest of all records, to be kept elsewhere and compared later; of a ledger with problems there
    /// is none.
    pub head: Option<LedgerHead>,
    /// What is wrong, as far as the first 1,000 things.
    pub problems: Vec<LedgerProblem>,
    /// How many things are wrong.
    pub problems_total: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerProblem {
    /// The file, seen from the data directory.
    pub file: String,
    /// Where in the file, in bytes, if it is at a place.
    pub offset: Option<u64>,
    /// The number of the record, if it is about one.
    pub sequence: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems_total == 0
    }

    fn add(&mut self, problem: LedgerProblem) {
        self.problems_total += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }

    fn add_about(&mut self, file: &str, reason: impl Into<String>) {
        self.add(LedgerProblem {
            file: file.to_owned(),
            offset: None,
            sequence: None,
            reason: reason.into(),
        });
    }

    /// What can't be read is an error; what is damaged, a problem.
    fn settle<T>(&mut self, read: Result<T, StorageError>) -> Result<Option<T>, StorageError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(StorageError::Corrupt {
                path,
                offset,
                reason,
            }) => {
                self.add(LedgerProblem {
                    file: file_name(&path),
                    offset: Some(offset),
                    sequence: None,
                    reason,
                });
                Ok(None)
            }
            Err(StorageError::Database { path, source, .. }) => {
                self.add_about(&file_name(&path), source.to_string());
                Ok(None)
            }
            Err(StorageError::NewerFormat {
                path,
                found,
                supported,
            }) => {
                let reason = format!("it has format {found}, and this version knows {supported}");
                self.add_about(&file_name(&path), reason);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Checks the ledger of `reader`.
pub(super) fn verify(
    reader: &LedgerReader,
    known: Option<&LedgerHead>,
) -> Result<Verification, StorageError> {
    let mut checked = None;
    for _ in 0..ATTEMPTS {
        let (verification, is_disturbed) = Check::new(reader, known).run()?;
        let is_done = !is_disturbed || verification.is_clean();
        checked = Some(verification);
        if is_done {
            break;
        }
    }
    // What is the same so many times is no disturbance.
    let mut checked = checked.unwrap_or_default();
    if !checked.is_clean() {
        checked.head = None;
    }
    Ok(checked)
}

/// One look at everything.
struct Check<'a> {
    reader: &'a LedgerReader,
    known: Option<&'a LedgerHead>,
    found: Verification,
    /// What the next segment must continue; `None` where that is not known any more.
    chain: Option<Chain>,
    /// The first record of a segment that the next one is after, if that one is not sealed.
    is_unsealed_before: bool,
    doubles: Doubles,
    /// By the hour, of what is in the roll-ups.
    hours: Sums,
    /// Of the segments that the roll-ups of minutes have.
    minutes: Sums,
    /// Whether all that is in the sums could be read.
    is_readable: bool,
    is_known_found: bool,
}

/// What the next segment must continue.
#[derive(Debug, Clone, Copy)]
struct Chain {
    sequence: u64,
    crc: u32,
    hash: Previous,
    /// Whether the segment before is in the catalogue, so that the next one has its hash.
    is_catalogued: bool,
}

/// The hash of the segment before.
#[derive(Debug, Clone, Copy)]
enum Previous {
    /// There is none.
    Nothing,
    /// It was not sealed when it was read, and may be by now.
    Unsealed,
    Sealed(Hash),
}

impl<'a> Check<'a> {
    fn new(reader: &'a LedgerReader, known: Option<&'a LedgerHead>) -> Self {
        Self {
            reader,
            known,
            found: Verification::default(),
            chain: None,
            is_unsealed_before: false,
            doubles: Doubles::default(),
            hours: Sums::default(),
            minutes: Sums::default(),
            is_readable: true,
            is_known_found: false,
        }
    }

    /// What there is to say, and whether retention was at work meanwhile.
    fn run(mut self) -> Result<(Verification, bool), StorageError> {
        let directory = self.reader.directory();
        // In this order, the catalogue never knows less of what was dropped than the anchor.
        let contents = self.contents()?;
        if !directory.is_dir() {
            if let Some(contents) = contents.filter(|contents| contents.position > 1) {
                let last = contents.position - 1;
                let reason = format!("the records from 1 to {last} are missing");
                self.found.add_about("ledger", reason);
            }
            self.check_known_was_seen(1);
            return Ok((self.found, false));
        }
        let anchor = Self::anchor(directory);
        let anchor = self.found.settle(anchor)?;
        self.is_readable = anchor.is_some();
        let first = anchor.as_ref().map_or(1, |anchor| anchor.next_sequence);
        if let Some(anchor) = &anchor {
            self.chain = Some(Chain {
                sequence: anchor.next_sequence,
                crc: anchor.crc,
                hash: anchor.hash.map_or(Previous::Nothing, Previous::Sealed),
                is_catalogued: true,
            });
            self.hours = anchor.sums.clone();
        }
        let mut segments = self.reader.segments()?;
        // Dropping them was interrupted.
        segments.retain(|(first_sequence, _)| *first_sequence >= first);
        self.found.first_sequence = first;
        self.found.last_sequence = first - 1;
        self.doubles = Doubles::for_segments(&segments);
        for (first_sequence, source) in &segments {
            self.check_segment(*first_sequence, source, contents.as_ref())?;
        }
        for double in self.doubles.find(&segments)? {
            self.found.add(double);
        }
        if let Some(contents) = &contents {
            self.check_sums(contents, first, &segments);
        }
        self.check_known_was_seen(first);
        let is_disturbed = Self::anchor(directory).ok() != anchor
            || is_list_incomplete(&segments, &self.reader.segments()?)
            || contents.is_some_and(|contents| contents.position < first);
        Ok((self.found, is_disturbed))
    }

    /// The anchor, if it is also written as we write it.
    fn anchor(directory: &Path) -> Result<Anchor, StorageError> {
        let path = Anchor::path(directory);
        let anchor = Anchor::read(directory)?;
        let written = match std::fs::read(&path) {
            Ok(written) => Some(written),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(StorageError::io("reading", &path)(error)),
        };
        let is_older = || {
            let is_first = |json: &[u8]| json.starts_with(b"{\"format\":1,");
            written.as_deref().is_some_and(is_first)
        };
        // Replaced meanwhile, it is read again in the next attempt.
        if anchor.json().ok().flatten() != written && !is_older() {
            return Err(StorageError::corrupt(
                &path,
                0,
                "it was not written by Mayfly",
            ));
        }
        Ok(anchor)
    }

    fn contents(&mut self) -> Result<Option<Contents>, StorageError> {
        let catalogue = Catalogue::open_for_reading(self.reader.data_dir());
        let contents = match catalogue {
            Ok(None) => Ok(None),
            Ok(Some(mut catalogue)) => catalogue.contents().map(Some),
            Err(error) => Err(error),
        };
        Ok(self.found.settle(contents)?.flatten())
    }

    fn check_segment(
        &mut self,
        first_sequence: u64,
        source: &Source,
        contents: Option<&Contents>,
    ) -> Result<(), StorageError> {
        let directory = self.reader.directory();
        let file = file_name(&segment::path(directory, first_sequence));
        let mut rows = contents.into_iter().flat_map(|contents| &contents.segments);
        let row = rows.find(|row| row.first_sequence == first_sequence);
        let Some(checked) = Checked::read(source, &file, self.chain, row)? else {
            // Dropped meanwhile, or taken away: the chain tells.
            return Ok(());
        };
        let is_in_sums = contents.is_some_and(|contents| first_sequence < contents.position);
        if is_in_sums && row.is_none() {
            self.found.add_about(&file, "it is not in the catalogue");
        }
        self.note_head(&checked);
        self.found.segments += 1;
        self.found.bytes += u64::try_from(checked.bytes.len()).unwrap_or(u64::MAX);
        self.found.records += checked.records;
        self.found.last_sequence = checked.next_sequence.saturating_sub(1);
        self.is_readable &= checked.is_readable || !is_in_sums;
        self.is_unsealed_before |= !checked.is_sealed;
        self.doubles.add(&checked.bytes);
        if is_in_sums {
            self.hours.add_all(&checked.sums.by(Period::Hour));
            if contents.is_some_and(|has| first_sequence >= has.minutes_have.first_sequence) {
                self.minutes.add_all(&checked.sums);
            }
        }
        self.chain = Some(Chain {
            sequence: checked.next_sequence,
            crc: checked.crc,
            hash: if checked.is_sealed {
                Previous::Sealed(checked.hash)
            } else {
                Previous::Unsealed
            },
            is_catalogued: row.is_some(),
        });
        for problem in checked.problems {
            self.found.add(problem);
        }
        Ok(())
    }

    /// Takes the head in this segment, and compares the known one if it was taken here.
    fn note_head(&mut self, checked: &Checked) {
        let previous = match self.chain.map(|chain| chain.hash) {
            Some(Previous::Sealed(hash)) => Some(hash),
            Some(Previous::Nothing) => None,
            Some(Previous::Unsealed) | None => checked.previous_hash,
        };
        let digest = |end: usize| {
            let frames = checked.bytes.get(segment::HEADER_BYTES..end);
            head::digest(previous.as_ref(), frames.unwrap_or_default())
        };
        if !self.is_unsealed_before && checked.next_sequence > checked.first_sequence {
            self.found.head = Some(LedgerHead {
                sequence: checked.next_sequence.saturating_sub(1),
                digest: digest(checked.end),
            });
        }
        let Some(known) = self.known else {
            return;
        };
        if let Some(end) = checked.end_of(known.sequence) {
            self.is_known_found = true;
            if digest(end) != known.digest {
                let sequence = Some(known.sequence);
                let reason = "the records up to this one are not those that the head was made of";
                self.found.add(LedgerProblem {
                    sequence,
                    ..problem(&checked.file, reason)
                });
            }
        }
    }

    fn check_known_was_seen(&mut self, first: u64) {
        let Some(known) = self.known.filter(|_| !self.is_known_found) else {
            return;
        };
        let last = self.found.last_sequence;
        let reason = if known.sequence < first {
            "retention dropped this record, so the head can't be compared".to_owned()
        } else if known.sequence > last {
            format!("the ledger ends with record {last}, before the one that the head was taken at")
        } else {
            "this record can't be read, so the head can't be compared".to_owned()
        };
        self.found.add(LedgerProblem {
            sequence: Some(known.sequence),
            ..problem("ledger", &reason)
        });
    }
}

/// Whether a segment was not seen for being named just then.
fn is_list_incomplete(seen: &[(u64, Source)], now: &[(u64, Source)]) -> bool {
    let (Some((first, _)), Some((last, _))) = (seen.first(), seen.last()) else {
        return false;
    };
    let mut between = now
        .iter()
        .filter(|(begin, _)| (first..=last).contains(&begin));
    between.any(|(begin, _)| !seen.iter().any(|(other, _)| other == begin))
}

fn problem(file: &str, reason: &str) -> LedgerProblem {
    LedgerProblem {
        file: file.to_owned(),
        offset: None,
        sequence: None,
        reason: reason.to_owned(),
    }
}

/// A file of a data directory as it is seen from there.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let directory = path.parent().and_then(Path::file_name);
    if directory.is_some_and(|directory| directory == super::DIRECTORY) {
        format!("{}/{name}", super::DIRECTORY)
    } else {
        name.into_owned()
    }
}

/// The doubles in `segments`, found in so many passes.
#[cfg(test)]
pub(super) fn doubles_in_passes(passes: u64, segments: &[(u64, Source)]) -> Vec<LedgerProblem> {
    let mut doubles = Doubles::with_passes(passes);
    for (_, source) in segments {
        doubles.add(&source.read().unwrap().unwrap());
    }
    doubles.find(segments).unwrap()
}
