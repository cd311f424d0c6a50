//! The anchor: what stays of the segments that retention dropped, `ledger/dropped.sum`.
//!
//! It holds the hash and the end of the last of them, so that the chain of segments still has a
//! beginning, and the sums of all of them, so that the roll-ups can be made again without them. It is
//! JSON, written before the segments go, and replaced as a whole: either it has the sums of a segment
//! and says so by its next sequence number, or the segment is still to be dropped.

use std::path::{Path, PathBuf};

use domain::FunctionName;
use serde::{Deserialize, Serialize};

use super::catalogue::SegmentInfo;
use super::segment::Hash;
use super::sums::{Day, Sums, Totals};
use crate::{StorageError, disk, files};

const FORMAT: u64 = 1;
const FILE: &str = "dropped.sum";

/// What stays of all dropped segments, from the first record on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anchor {
    /// Of the first segment that was not dropped.
    pub(super) next_sequence: u64,
    /// Of the last frame before it.
    pub(super) crc: u32,
    /// Of the segment before it.
    pub(super) hash: Option<Hash>,
    pub(super) sums: Sums,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u64,
    next_sequence: u64,
    last_crc32c: u32,
    sha256: String,
    sums: Vec<WrittenSum>,
}

#[derive(Serialize, Deserialize)]
struct WrittenSum {
    function: FunctionName,
    day: Day,
    invocations: u64,
    errors: u64,
    billed_ms: u64,
    // JSON readers lose digits of numbers this large.
    mb_ms: String,
    charge_picousd: String,
}

impl Default for Anchor {
    /// Of a ledger that dropped nothing yet.
    fn default() -> Self {
        Self {
            next_sequence: 1,
            crc: 0,
            hash: None,
            sums: Sums::default(),
        }
    }
}

impl Anchor {
    /// Takes in the first segment that was not dropped.
    pub(super) fn fold(&mut self, info: &SegmentInfo) {
        debug_assert_eq!(info.first_sequence, self.next_sequence, "oldest first");
        self.next_sequence = info.next_sequence;
        self.crc = info.crc;
        self.hash = Some(info.hash);
        self.sums.add_all(&info.sums);
    }

    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), StorageError> {
        let Some(hash) = &self.hash else {
            return Ok(());
        };
        let sums = self.sums.0.iter();
        let sums = sums.map(|((function, day), totals)| WrittenSum {
            function: function.clone(),
            day: *day,
            invocations: totals.invocations,
            errors: totals.errors,
            billed_ms: totals.billed_ms,
            mb_ms: totals.mb_ms.to_string(),
            charge_picousd: totals.charge_picousd.to_string(),
        });
        let written = Written {
            format: FORMAT,
            next_sequence: self.next_sequence,
            last_crc32c: self.crc,
            sha256: files::hex(hash),
            sums: sums.collect(),
        };
        let path = Self::path(directory);
        let json = serde_json::to_vec(&written)
            .map_err(|error| StorageError::io("writing", &path)(error.into()))?;
        files::write_whole(&path, &json)
    }

    /// The anchor of a ledger; the one of nothing when there is no file.
    pub(super) fn read(directory: &Path) -> Result<Self, StorageError> {
        let path = Self::path(directory);
        let json = match disk::read(&path) {
            Ok(json) => json,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(StorageError::io("reading", &path)(error)),
        };
        Self::parse(&path, &json)
    }

    pub(super) fn parse(path: &Path, json: &[u8]) -> Result<Self, StorageError> {
        let corrupt = |reason: String| StorageError::corrupt(path, 0, reason);
        let written: Written =
            serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?;
        if written.format > FORMAT {
            let (found, supported) = (written.format, FORMAT);
            return Err(StorageError::NewerFormat {
                path: path.to_owned(),
                found,
                supported,
            });
        }
        let mut sums = Sums::default();
        for sum in written.sums {
            let number = |text: &str| {
                text.parse::<u128>()
                    .map_err(|_error| corrupt(format!("`{text}` is not a sum")))
            };
            let totals = Totals {
                invocations: sum.invocations,
                errors: sum.errors,
                billed_ms: sum.billed_ms,
                mb_ms: number(&sum.mb_ms)?,
                charge_picousd: number(&sum.charge_picousd)?,
            };
            sums.add_totals(sum.function, sum.day, totals);
        }
        // Each record is in the sums once, and none is without a number.
        let invocations = sums.total().invocations;
        if written.next_sequence.checked_sub(1) != Some(invocations) {
            let reason = format!(
                "it has the sums of {invocations} records, and record {} comes next",
                written.next_sequence
            );
            return Err(corrupt(reason));
        }
        let hash = files::unhex(&written.sha256);
        Ok(Self {
            next_sequence: written.next_sequence,
            crc: written.last_crc32c,
            hash: Some(hash.ok_or_else(|| corrupt("its hash is not one".to_owned()))?),
            sums,
        })
    }
}
