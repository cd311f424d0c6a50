//! Anchors: what stays of a segment that retention dropped, `ledger/FIRST-SEQUENCE.sum`.
//!
//! An anchor holds the hash and the end of the segment, so that the chain of segments still has a
//! beginning, and its sums, so that the roll-ups can be made again without it. It is JSON, and
//! written before the segment goes.

use std::fs;
use std::path::{Path, PathBuf};

use domain::FunctionName;
use serde::{Deserialize, Serialize};

use super::catalogue::SegmentInfo;
use super::segment::Hash;
use super::sums::{Day, Sums, Totals};
use crate::{StorageError, files};

const FORMAT: u64 = 1;
const EXTENSION: &str = ".sum";

/// What stays of a dropped segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) first_sequence: u64,
    /// Of the segment after it.
    pub(super) next_sequence: u64,
    /// Of its last frame.
    pub(super) crc: u32,
    pub(super) hash: Hash,
    pub(super) sums: Sums,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u64,
    first_sequence: u64,
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

impl Anchor {
    pub(super) fn new(info: &SegmentInfo) -> Self {
        Self {
            first_sequence: info.first_sequence,
            next_sequence: info.next_sequence,
            crc: info.crc,
            hash: info.hash,
            sums: info.sums.clone(),
        }
    }

    fn path(directory: &Path, first_sequence: u64) -> PathBuf {
        directory.join(format!("{first_sequence:020}{EXTENSION}"))
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), StorageError> {
        let sums = self
            .sums
            .0
            .iter()
            .map(|((function, day), totals)| WrittenSum {
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
            first_sequence: self.first_sequence,
            next_sequence: self.next_sequence,
            last_crc32c: self.crc,
            sha256: files::hex(&self.hash),
            sums: sums.collect(),
        };
        let path = Self::path(directory, self.first_sequence);
        let json = serde_json::to_vec_pretty(&written)
            .map_err(|error| StorageError::io("writing", &path)(error.into()))?;
        files::write_whole(&path, &json)
    }

    fn read(path: &Path) -> Result<Self, StorageError> {
        let json = fs::read(path).map_err(StorageError::io("reading", path))?;
        let corrupt = |reason: String| StorageError::corrupt(path, 0, reason);
        let written: Written =
            serde_json::from_slice(&json).map_err(|error| corrupt(error.to_string()))?;
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
        Ok(Self {
            first_sequence: written.first_sequence,
            next_sequence: written.next_sequence,
            crc: written.last_crc32c,
            hash: files::unhex(&written.sha256)
                .ok_or_else(|| corrupt("its hash is not one".to_owned()))?,
            sums,
        })
    }

    /// All anchors of a ledger, oldest first, without a gap.
    pub(super) fn read_all(directory: &Path) -> Result<Vec<Self>, StorageError> {
        let mut anchors: Vec<Self> = Vec::new();
        for (name, path) in files::list(directory)? {
            if !name.ends_with(EXTENSION) {
                continue;
            }
            let anchor = Self::read(&path)?;
            let expected = anchors.last().map_or(1, |anchor| anchor.next_sequence);
            if anchor.first_sequence != expected {
                let reason = format!("the records from {expected} on should come before it");
                return Err(StorageError::corrupt(&path, 0, reason));
            }
            anchors.push(anchor);
        }
        Ok(anchors)
    }
}
