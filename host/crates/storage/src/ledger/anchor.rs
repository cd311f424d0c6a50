//! The anchor: what stays of the segments that retention dropped, `ledger/dropped.sum`.
//!
//! It holds the hash and the end of the last of them, so that the chain of segments still has a
//! beginning, and the sums of all of them by function, version, trigger and hour, so that the roll-ups
//! of hours, days and months can be made again without them (those of minutes can't). It is
//! JSON, written before the segments go, and replaced as a whole: either it has the sums of a segment
//! and says so by its next sequence number, or the segment is still to be dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::{FunctionName, Status, Trigger, VersionId};
use serde::{Deserialize, Serialize};

use super::catalogue::SegmentInfo;
use super::segment::Hash;
use super::sums::{DAY, HOUR, Key, Period, StatusCounts, Sums, Totals};
use crate::{StorageError, disk, files};

const FORMAT: u64 = 2;
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
    /// By the hour.
    pub(super) sums: Sums,
}

#[derive(Serialize, Deserialize)]
struct Written {
    format: u64,
    next_sequence: u64,
    last_crc32c: u32,
    sha256: String,
    sums: Vec<serde_json::Value>,
    /// CRC32C of all the rest, as it is written without this. Format 1 has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crc32c: Option<u32>,
}

impl Written {
    fn checksum(&self) -> serde_json::Result<u32> {
        serde_json::to_vec(self).map(|json| crc32c::crc32c(&json))
    }
}

/// Sums of format 2: of a function, a version and a trigger.
#[derive(Serialize, Deserialize)]
struct WrittenSums {
    function: FunctionName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<VersionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trigger: Option<Trigger>,
    hours: Vec<WrittenHour>,
}

/// An hour (counted from 1970-01-01, UTC), attempts by status in the order of [`Status::ALL`], billed
/// milliseconds, MB-milliseconds and pico-dollars.
#[derive(Serialize, Deserialize)]
struct WrittenHour(
    i64,
    [u64; Status::ALL.len()],
    u64,
    // JSON readers lose digits of numbers this large.
    String,
    String,
);

/// Sums of format 1: of a function and a day (counted from 1970-01-01, UTC).
#[derive(Deserialize)]
struct WrittenDay {
    function: FunctionName,
    day: i64,
    invocations: u64,
    errors: u64,
    billed_ms: u64,
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
        self.sums.add_all(&info.sums.by(Period::Hour));
    }

    pub(super) fn path(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), StorageError> {
        let path = Self::path(directory);
        let json = self.json();
        let json = json.map_err(|error| StorageError::io("writing", &path)(error.into()))?;
        match json {
            Some(json) => files::write_whole(&path, &json),
            None => Ok(()),
        }
    }

    /// As it is written; `None` when nothing was dropped.
    pub(super) fn json(&self) -> serde_json::Result<Option<Vec<u8>>> {
        let Some(hash) = &self.hash else {
            return Ok(None);
        };
        let mut written: BTreeMap<_, Vec<WrittenHour>> = BTreeMap::new();
        for (key, totals) in &self.sums.0 {
            let hours = written.entry((&key.function, key.version, key.trigger));
            hours.or_default().push(WrittenHour(
                key.start.div_euclid(HOUR),
                totals.statuses.0,
                totals.billed_ms,
                totals.mb_ms.to_string(),
                totals.charge_picousd.to_string(),
            ));
        }
        let sums = written
            .into_iter()
            .map(|((function, version, trigger), hours)| {
                serde_json::to_value(WrittenSums {
                    function: function.clone(),
                    version,
                    trigger,
                    hours,
                })
            });
        let mut written = Written {
            format: FORMAT,
            next_sequence: self.next_sequence,
            last_crc32c: self.crc,
            sha256: files::hex(hash),
            sums: sums.collect::<Result<_, _>>()?,
            crc32c: None,
        };
        written.crc32c = Some(written.checksum()?);
        serde_json::to_vec(&written).map(Some)
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
        let mut written: Written =
            serde_json::from_slice(json).map_err(|error| corrupt(error.to_string()))?;
        if written.format > FORMAT {
            let (found, supported) = (written.format, FORMAT);
            return Err(StorageError::NewerFormat {
                path: path.to_owned(),
                found,
                supported,
            });
        }
        let noted = written.crc32c.take();
        let checksum = written
            .checksum()
            .map_err(|error| corrupt(error.to_string()))?;
        if noted.map_or(written.format == FORMAT, |noted| noted != checksum) {
            return Err(corrupt("its checksum does not match".to_owned()));
        }
        let mut sums = Sums::default();
        for sum in written.sums {
            let read = match written.format {
                FORMAT => serde_json::from_value(sum)
                    .map_err(|error| error.to_string())
                    .and_then(|written| add_hours(&mut sums, written)),
                _ => serde_json::from_value(sum)
                    .map_err(|error| error.to_string())
                    .and_then(|written| add_day(&mut sums, &written)),
            };
            read.map_err(corrupt)?;
        }
        // Each record is in the sums once, and none is without a number.
        let invocations = sums.total().invocations();
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

fn add_hours(sums: &mut Sums, written: WrittenSums) -> Result<(), String> {
    for WrittenHour(hour, statuses, billed_ms, mb_ms, charge_picousd) in written.hours {
        let key = Key {
            function: written.function.clone(),
            start: hour.saturating_mul(HOUR),
            version: written.version,
            trigger: written.trigger,
        };
        let totals = Totals {
            statuses: StatusCounts(statuses),
            billed_ms,
            mb_ms: number(&mb_ms)?,
            charge_picousd: number(&charge_picousd)?,
        };
        sums.add_totals(key, totals);
    }
    Ok(())
}

/// What format 1 did not know stays unknown: a day stands in its first hour, without a version and a
/// trigger, and whatever was not a success is an `error`.
fn add_day(sums: &mut Sums, written: &WrittenDay) -> Result<(), String> {
    let key = Key {
        function: written.function.clone(),
        start: written.day.saturating_mul(DAY),
        version: None,
        trigger: None,
    };
    let mut statuses = StatusCounts::default();
    for (count, status) in statuses.0.iter_mut().zip(Status::ALL) {
        *count = match status {
            Status::Success => {
                written
                    .invocations
                    .checked_sub(written.errors)
                    .ok_or_else(|| {
                        let (errors, invocations) = (written.errors, written.invocations);
                        format!("{errors} errors are more than {invocations} invocations")
                    })?
            }
            Status::Error => written.errors,
            _ => 0,
        };
    }
    let totals = Totals {
        statuses,
        billed_ms: written.billed_ms,
        mb_ms: number(&written.mb_ms)?,
        charge_picousd: number(&written.charge_picousd)?,
    };
    sums.add_totals(key, totals);
    Ok(())
}

fn number(text: &str) -> Result<u128, String> {
    text.parse()
        .map_err(|_error| format!("`{text}` is not a sum"))
}
