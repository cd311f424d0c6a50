//! Segments: the files of the journal, `ledger/FIRST-SEQUENCE.seg`.
//!
//! ```text
//! 0    `MAYFLY-J`
//! 8    format, u32              1
//! 12   CRC32C of bytes 0 to 12 and 16 to 40, u32
//! 16   first sequence number, u64
//! 24   made at, Unix microseconds, i64
//! 32   CRC32C of the last frame of the segment before, u32
//! 36   zero
//! 40   SHA-256 of the segment before
//! 72   CRC32C of bytes 40 to 72 and 16 to 24, u32; zero: that segment was not sealed yet
//! 76   zero
//! 80   synced mark, 88 sealed mark: an offset, u32, and its CRC32C with bytes 16 to 24, u32; zero:
//!      not noted yet
//! 96   boot id of the machine when it was last opened to be written, 16 bytes
//! 112  zero
//! 128  frames, then zeros
//! ```
//!
//! A segment is preallocated, filled, and sealed when the next one is in use: cut to what is used,
//! marked as sealed, synced and summed up. The synced mark says how far the disk has it for certain;
//! it may lag behind.
//!
//! Knows nothing of threads and the catalogue.

use std::io;
use std::path::{Path, PathBuf};

use super::frame::{self, Found, Frame};
use crate::disk::{self, DiskFile};
use crate::{StorageError, files};

/// Where frames begin.
pub(super) const HEADER_BYTES: usize = 128;
/// Smallest size of a segment, in bytes.
pub(super) const SEGMENT_BYTES_MIN: u64 = 4_096;
/// Largest size of a segment, in bytes.
pub(super) const SEGMENT_BYTES_MAX: u64 = 1 << 30;
const MAGIC: [u8; 8] = *b"MAYFLY-J";
const FORMAT: u32 = 1;
const EXTENSION: &str = ".seg";
const PREVIOUS_HASH_AT: usize = 40;
const SYNCED_AT: usize = 80;
const SEALED_AT: usize = 88;
const BOOT_AT: usize = 96;
/// How a segment that was prepared ahead is called until it is in use and named.
const SPARE_PREFIX: &str = "spare-";

/// A SHA-256.
pub(super) type Hash = [u8; 32];

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) first_sequence: u64,
    pub(super) made_at_us: i64,
    /// CRC of the last frame of the segment before; 0 in the first.
    pub(super) previous_crc: u32,
    /// Of the segment before; `None` until that is sealed, and in the first.
    pub(super) previous_hash: Option<Hash>,
    /// Whether what stands in place of that hash is none: it was being written when the power went, or
    /// was damaged later.
    pub(super) is_hash_torn: bool,
    /// Everything before this is on disk.
    pub(super) synced: usize,
    /// Where the last frame ends, once sealed.
    pub(super) sealed: Option<usize>,
    pub(super) boot: BootId,
}

/// Tells one start of the machine from another: what the kernel held in memory is lost between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BootId(pub(super) [u8; 16]);

impl BootId {
    /// Of this start; zeros where the kernel does not say.
    pub(super) fn current() -> Self {
        let digits = disk::boot_id().trim().replace('-', "");
        Self(u128::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes())
    }
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.made_at_us.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.previous_crc.to_le_bytes());
        let crc = fixed_crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Some(hash) = &self.previous_hash {
            let field = hash_field(self.first_sequence, hash);
            bytes[PREVIOUS_HASH_AT..PREVIOUS_HASH_AT + field.len()].copy_from_slice(&field);
        }
        bytes[SYNCED_AT..SYNCED_AT + 8].copy_from_slice(&mark(self.first_sequence, self.synced));
        if let Some(sealed) = self.sealed {
            bytes[SEALED_AT..SEALED_AT + 8].copy_from_slice(&mark(self.first_sequence, sealed));
        }
        bytes[BOOT_AT..BOOT_AT + 16].copy_from_slice(&self.boot.0);
        bytes
    }

    /// Reads the header at the start of `bytes`.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, StorageError> {
        let corrupt = |offset, reason: &str| Err(StorageError::corrupt(path, offset, reason));
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return corrupt(bytes.len(), "it is shorter than a header");
        };
        if bytes[0..8] != MAGIC {
            return corrupt(0, "it is not a segment of the ledger");
        }
        let u32_at = |offset| frame::u32_at(bytes, offset).unwrap_or_default();
        let u64_at = |offset| frame::u64_at(bytes, offset).unwrap_or_default();
        // In every format the first 40 bytes and this checksum are as they are here.
        if u32_at(12) != fixed_crc(bytes) {
            return corrupt(12, "the checksum of the header does not match");
        }
        let format = u32_at(8);
        if format > FORMAT {
            let (found, supported) = (u64::from(format), u64::from(FORMAT));
            let path = path.to_owned();
            return Err(StorageError::NewerFormat {
                path,
                found,
                supported,
            });
        }
        let first_sequence = u64_at(16);
        let field = &bytes[PREVIOUS_HASH_AT..PREVIOUS_HASH_AT + 36];
        let mut hash = [0; 32];
        hash.copy_from_slice(&field[..32]);
        let is_whole = hash_field(first_sequence, &hash) == field;
        let previous_hash = is_whole.then_some(hash);
        let is_hash_torn = !is_whole && field.iter().any(|byte| *byte != 0);
        let read_mark = |at| {
            let offset = usize::try_from(u32_at(at)).ok()?;
            (mark(first_sequence, offset) == bytes[at..at + 8]).then_some(offset)
        };
        let sealed = match u64_at(SEALED_AT) {
            0 => None,
            _ => match read_mark(SEALED_AT) {
                None => return corrupt(SEALED_AT, "the mark of the seal is damaged"),
                sealed => sealed,
            },
        };
        Ok(Self {
            first_sequence,
            made_at_us: i64::from_le_bytes(u64_at(24).to_le_bytes()),
            previous_crc: u32_at(32),
            previous_hash,
            is_hash_torn,
            synced: match u64_at(SYNCED_AT) {
                // The header itself was not finished.
                0 => HEADER_BYTES,
                // A damaged mark promises nothing and forgives nothing: all of it counts as synced.
                _ => read_mark(SYNCED_AT).unwrap_or(usize::MAX),
            },
            sealed,
            boot: BootId(u128::to_le_bytes(
                u128::from(u64_at(BOOT_AT)) | (u128::from(u64_at(BOOT_AT + 8)) << 64),
            )),
        })
    }
}

pub(super) fn fixed_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[0..12]), &bytes[16..40])
}

fn hash_field(first_sequence: u64, hash: &Hash) -> [u8; 36] {
    let crc = crc32c::crc32c_append(crc32c::crc32c(hash), &first_sequence.to_le_bytes());
    let mut field = [0; 36];
    field[..32].copy_from_slice(hash);
    // Zero means absent, so the one hash in 2^32 with this checksum has another.
    field[32..].copy_from_slice(&crc.max(1).to_le_bytes());
    field
}

fn mark(first_sequence: u64, offset: usize) -> [u8; 8] {
    let offset = u32::try_from(offset).unwrap_or(u32::MAX).to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&offset), &first_sequence.to_le_bytes());
    let mut mark = [0; 8];
    mark[..4].copy_from_slice(&offset);
    mark[4..].copy_from_slice(&crc.to_le_bytes());
    mark
}

/// Notes in the header how far the disk has the segment.
pub(super) fn write_synced(file: &DiskFile, first_sequence: u64, offset: usize) -> io::Result<()> {
    file.write_all_at(&mark(first_sequence, offset), at(SYNCED_AT))
}

/// Notes in the header that the segment is complete.
pub(super) fn write_sealed(file: &DiskFile, first_sequence: u64, offset: usize) -> io::Result<()> {
    write_synced(file, first_sequence, offset)?;
    file.write_all_at(&mark(first_sequence, offset), at(SEALED_AT))
}

/// Notes in the header what the segment before hashes to.
pub(super) fn write_previous_hash(file: &DiskFile, first: u64, hash: &Hash) -> io::Result<()> {
    file.write_all_at(&hash_field(first, hash), at(PREVIOUS_HASH_AT))
}

/// Notes in the header during which start of the machine the segment is written.
pub(super) fn write_boot(file: &DiskFile, boot: BootId) -> io::Result<()> {
    file.write_all_at(&boot.0, at(BOOT_AT))
}

fn at(offset: usize) -> u64 {
    u64::try_from(offset).unwrap_or(u64::MAX)
}

/// Where the segment that begins with `first_sequence` is.
pub(super) fn path(directory: &Path, first_sequence: u64) -> PathBuf {
    directory.join(format!("{first_sequence:020}{EXTENSION}"))
}

/// The segments in `directory` by their first sequence number, without the spare.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    let entries = files::list(directory)?.into_iter();
    let mut segments = entries
        .filter_map(|(name, path)| {
            let number = name
                .strip_suffix(EXTENSION)
                .filter(|number| number.len() == 20)?;
            Some((number.parse().ok()?, path))
        })
        .collect::<Vec<_>>();
    segments.sort();
    Ok(segments)
}

/// Where spare number `number` is.
pub(super) fn spare_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{SPARE_PREFIX}{number}{EXTENSION}"))
}

/// The spares in `directory`, in use or not.
pub(super) fn spares(directory: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let is_spare = |name: &str| name.starts_with(SPARE_PREFIX) && name.ends_with(EXTENSION);
    let entries = files::list(directory)?.into_iter();
    Ok(entries
        .filter(|(name, _)| is_spare(name))
        .map(|(_, path)| path)
        .collect())
}

/// Reads `file` from `from` up to `to`; less if it is shorter.
pub(super) fn read(file: &DiskFile, from: usize, to: usize) -> io::Result<Vec<u8>> {
    let length = to.saturating_sub(from);
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], at(from + filled)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// A place between two frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: usize,
    /// Of the next frame.
    pub(super) sequence: u64,
    /// Of the frame before.
    pub(super) crc: u32,
}

impl Place {
    /// Where the first frame of a segment goes.
    pub(super) fn first(header: &Header) -> Self {
        let (sequence, crc) = (header.first_sequence, header.previous_crc);
        Self {
            offset: HEADER_BYTES,
            sequence,
            crc,
        }
    }
}

/// Why there is no further frame at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// None was finished there.
    End,
    Bad(&'static str),
}

/// Reads the frames of a segment from `place` on, each checked against the one before.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    pub(super) place: Place,
    pub(super) stop: Option<Stop>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], place: Place) -> Self {
        Self {
            bytes,
            place,
            stop: None,
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let stop = match frame::at(self.bytes, self.place.offset) {
            Found::Frame(frame) if frame.sequence != self.place.sequence => {
                Stop::Bad("its sequence number is not the next one")
            }
            Found::Frame(frame) if frame.previous_crc != self.place.crc => {
                Stop::Bad("it does not follow the frame before it")
            }
            Found::Frame(frame) => {
                let sequence = self.place.sequence + 1;
                self.place = Place {
                    offset: frame.end,
                    sequence,
                    crc: frame.crc,
                };
                return Some(frame);
            }
            Found::End => Stop::End,
            Found::Bad(reason) => Stop::Bad(reason),
        };
        self.stop = Some(stop);
        None
    }
}
