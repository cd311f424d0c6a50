//! The head of a ledger: one digest of all records up to one of them, to be kept elsewhere.
//!
//! The head at record N is the SHA-256 of the SHA-256 of the segment before the one that holds N (32
//! zeros before the first) and the frames of that segment up to N. Each segment's header holds the
//! SHA-256 of the one before, so a head covers every record back to the first, those included that
//! retention dropped. It is taken in the oldest segment that was not sealed, since the hash of the one
//! before is final then.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::anchor::Anchor;
use super::query::Source;
use super::reader::LedgerReader;
use super::segment::{Frames, HEADER_BYTES, Hash, Header, Place};
use crate::{StorageError, files};

/// A digest of all records up to `sequence`. Written `DIGEST@SEQUENCE`, 64 hexadecimal digits first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerHead {
    /// The last record that is in it.
    pub sequence: u64,
    /// SHA-256.
    pub digest: [u8; 32],
}

impl fmt::Display for LedgerHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", files::hex(&self.digest), self.sequence)
    }
}

/// A text that is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a head is written DIGEST@SEQUENCE: 64 hexadecimal digits, `@`, and the number of a record from 1 on"
)]
pub struct LedgerHeadError;

impl FromStr for LedgerHead {
    type Err = LedgerHeadError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digest, sequence) = text.split_once('@').ok_or(LedgerHeadError)?;
        let is_number = sequence.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = sequence.parse().ok();
        let sequence = sequence.filter(|sequence| is_number && *sequence > 0);
        Ok(Self {
            sequence: sequence.ok_or(LedgerHeadError)?,
            digest: files::unhex(&digest.to_ascii_lowercase()).ok_or(LedgerHeadError)?,
        })
    }
}

/// The head after `frames`, the first ones of a segment.
pub(super) fn digest(previous_hash: Option<&Hash>, frames: &[u8]) -> Hash {
    let mut sha256 = Sha256::new();
    sha256.update(previous_hash.unwrap_or(&[0; 32]));
    sha256.update(frames);
    sha256.finalize().into()
}

/// The head of the ledger that `reader` reads; `None` when there is no record to take it at.
/// Checks no more than it must.
pub(super) fn read(reader: &LedgerReader) -> Result<Option<LedgerHead>, StorageError> {
    let mut previous = Anchor::read(reader.directory())?.hash;
    let mut head = None;
    let segments = reader.segments()?;
    // Of the sealed ones, only the hash of the last counts, and its records if there are none after.
    let open = segments.iter().position(|(_, source)| !is_sealed(source));
    let open = open.unwrap_or_else(|| segments.len().saturating_sub(1));
    for (_, source) in segments.iter().take(open + 1).skip(open.saturating_sub(2)) {
        let Some(bytes) = source.read()? else {
            continue;
        };
        let header = Header::parse(source.path(), &bytes)?;
        let previous_hash = header.previous_hash.or(previous);
        let mut frames = Frames::new(&bytes, Place::first(&header));
        while frames.next().is_some() {}
        let Place {
            offset, sequence, ..
        } = frames.place;
        if sequence > header.first_sequence {
            head = Some(LedgerHead {
                sequence: sequence - 1,
                digest: digest(previous_hash.as_ref(), &bytes[HEADER_BYTES..offset]),
            });
        }
        previous = Some(Sha256::digest(&bytes).into());
    }
    Ok(head)
}

fn is_sealed(source: &Source) -> bool {
    let header = source.read_header();
    header.is_ok_and(|header| header.is_some_and(|header| header.sealed.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_from_its_text() {
        let head = LedgerHead {
            sequence: 1_234,
            digest: [0xab; 32],
        };
        assert_eq!(head.to_string().parse(), Ok(head));
        assert_eq!(head.to_string().to_uppercase().parse(), Ok(head));
        let digits = "ab".repeat(32);
        for bad in [
            String::new(),
            digits.clone(),
            format!("{digits}@"),
            format!("{digits}@0"),
            format!("{digits}@+5"),
            format!("{digits}@-1"),
            format!("{digits}@99999999999999999999"),
            format!("{digits}a@1"),
            format!("{}x@1", &digits[1..]),
            format!("{}é@1", &digits[2..]),
            format!("@{digits}"),
        ] {
            assert_eq!(bad.parse::<LedgerHead>(), Err(LedgerHeadError), "{bad}");
        }
    }
}
