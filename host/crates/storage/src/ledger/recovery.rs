//! Opening a journal after whatever ended the last process.
//!
//! What may be damaged without anybody's fault is what was never synced: a frame that was being
//! stored when the process was killed, and, after the machine itself went down, anything past the
//! synced mark, with holes. That is cut, and said. Everything else that does not fit (a damaged frame
//! before the mark or with records after it, a missing segment, a hash or a chain that breaks) is
//! [`StorageError::Corrupt`], and nothing is touched.
//!
//! Nothing is ever appended here, so no record can be doubled.

mod tail;

use std::path::Path;

use sha2::{Digest as _, Sha256};

use self::tail::Scanned;
use super::anchor::Anchor;
use super::catalogue::{Catalogue, Catalogued, Filter, SegmentInfo};
use super::journal::Resume;
use super::segment::{self, BootId, HEADER_BYTES, Hash, Header, Place};
use crate::disk::{self, DiskFile};
use crate::{StorageError, files};

/// How much of the sealed segments is checked against its hash at each start, newest first. Beyond
/// it, the checksums of frames are checked when they are read.
const HASHED_AT_START_BYTES: usize = 256 << 20;

/// What the next segment must continue.
#[derive(Debug, Clone, Copy)]
struct Chain {
    sequence: u64,
    crc: u32,
    hash: Option<Hash>,
}

/// Opens the catalogue of a data directory, and recovers.
pub(super) fn open(data_dir: &Path, directory: &Path) -> Result<(Catalogue, Resume), StorageError> {
    let mut catalogue = Catalogue::open(data_dir)?;
    let resume = recover(directory, &mut catalogue)?;
    Ok((catalogue, resume))
}

/// Brings the journal and the catalogue in order and says where to go on.
pub(super) fn recover(directory: &Path, catalogue: &mut Catalogue) -> Result<Resume, StorageError> {
    files::remove_temporaries(directory)?;
    settle_spares(directory)?;
    let mut chain = after_anchor(directory, catalogue)?;
    let segments = segment::list(directory)?;
    let catalogued = catalogue.segments(Filter::default())?;
    let hashed_from = hashed_from(&catalogued);
    let mut open = None;
    let mut sealed = Vec::new();
    for (index, (first_sequence, path)) in segments.iter().enumerate() {
        if *first_sequence != chain.sequence {
            let reason = format!(
                "the records from {} to {} should come before it",
                chain.sequence,
                first_sequence.saturating_sub(1)
            );
            return Err(StorageError::corrupt(path, 0, reason));
        }
        if let Some(row) = catalogued
            .iter()
            .find(|row| row.first_sequence == *first_sequence)
        {
            let is_hashed = hashed_from.is_some_and(|from| *first_sequence >= from);
            chain = check_catalogued(path, row, chain, is_hashed)?;
            continue;
        }
        let scanned = Scanned::read(path, chain)?;
        let next = segments.get(index + 1);
        if scanned.header.sealed.is_none() {
            scanned.settle_tail()?;
            match next {
                None => {
                    open = Some(scanned);
                    break;
                }
                Some((next, _)) if *next != scanned.place.sequence => {
                    // What was synced last ends here; what comes later never was.
                    scanned.discard_unsynced(&segments[index + 1..])?;
                    open = Some(scanned);
                    break;
                }
                Some(_) => {}
            }
        }
        let info = scanned.seal()?;
        chain = Chain {
            sequence: info.next_sequence,
            crc: info.crc,
            hash: Some(info.hash),
        };
        sealed.push(info);
    }
    // Only now: a hash is known to be right when the next segment agrees.
    for info in &sealed {
        catalogue.insert(info)?;
    }
    finish(directory, catalogue, chain, open)
}

/// Enters the anchor, and says what the first segment must continue.
fn after_anchor(directory: &Path, catalogue: &mut Catalogue) -> Result<Chain, StorageError> {
    let anchor = Anchor::read(directory)?;
    catalogue.enter_anchor(&anchor)?;
    // Dropping what is in it may have been interrupted.
    for (first_sequence, path) in segment::list(directory)? {
        if first_sequence < anchor.next_sequence {
            files::remove(&path)?;
        }
    }
    Ok(Chain {
        sequence: anchor.next_sequence,
        crc: anchor.crc,
        hash: anchor.hash,
    })
}

/// Checks that the catalogue does not know more than the journal, and says where to go on.
fn finish(
    directory: &Path,
    catalogue: &Catalogue,
    chain: Chain,
    open: Option<Scanned>,
) -> Result<Resume, StorageError> {
    let resume = match open {
        Some(scanned) => Resume {
            place: scanned.place,
            active: Some((scanned.file, scanned.header.first_sequence)),
            previous_hash: chain.hash,
        },
        None => Resume {
            active: None,
            place: Place {
                offset: HEADER_BYTES,
                sequence: chain.sequence,
                crc: chain.crc,
            },
            previous_hash: chain.hash,
        },
    };
    let position = catalogue.position()?;
    if position > resume.place.sequence {
        let path = segment::path(directory, chain.sequence);
        let reason = format!(
            "it is missing: `{}` has the sums of all records before {position}",
            catalogue.path().display()
        );
        return Err(StorageError::corrupt(&path, 0, reason));
    }
    Ok(resume)
}

/// Gives spares that were in use their name and removes the others.
fn settle_spares(directory: &Path) -> Result<(), StorageError> {
    for path in segment::spares(directory)? {
        let bytes = disk::read(&path).map_err(StorageError::io("reading", &path))?;
        let is_unused = bytes.iter().skip(HEADER_BYTES).all(|byte| *byte == 0);
        match Header::parse(&path, &bytes) {
            Ok(header) => {
                let to = segment::path(directory, header.first_sequence);
                if disk::exists(&to) {
                    return Err(StorageError::corrupt(
                        &path,
                        0,
                        "its records are there already",
                    ));
                }
                let used = bytes.iter().rposition(|byte| *byte != 0);
                DiskFile::open(&path)
                    .and_then(|file| {
                        // Again, for the reason in `tail::write_again`.
                        file.write_all_at(&bytes[..used.map_or(0, |last| last + 1)], 0)?;
                        file.sync_all()
                    })
                    .and_then(|()| disk::rename(&path, &to))
                    .map_err(StorageError::io("naming", &to))?;
            }
            Err(_) if is_unused => files::remove(&path)?,
            Err(_) if was_cut(directory)? => {
                tracing::warn!(path = %path.display(), "removed a segment that was never synced");
                files::remove(&path)?;
            }
            Err(error) => return Err(error),
        }
    }
    files::sync_dir(directory)
}

/// Whether the machine was started again since a segment was opened to be written. A segment without a
/// name whose header is gone was never synced then, as the header is before it gets its name.
fn was_cut(directory: &Path) -> Result<bool, StorageError> {
    let Some((_, path)) = segment::list(directory)?.pop() else {
        return Ok(true);
    };
    let bytes = disk::read(&path).map_err(StorageError::io("reading", &path))?;
    Ok(Header::parse(&path, &bytes)?.boot != BootId::current())
}

/// The first segment that is checked against its hash at this start.
fn hashed_from(catalogued: &[Catalogued]) -> Option<u64> {
    let mut bytes = 0_usize;
    let within = catalogued.iter().rev().take_while(|row| {
        bytes = bytes.saturating_add(row.bytes);
        bytes <= HASHED_AT_START_BYTES
    });
    within.last().map(|row| row.first_sequence)
}

fn check_catalogued(
    path: &Path,
    row: &Catalogued,
    chain: Chain,
    is_hashed: bool,
) -> Result<Chain, StorageError> {
    let file = DiskFile::open_for_reading(path).map_err(StorageError::io("opening", path))?;
    let wanted = if is_hashed { row.bytes } else { HEADER_BYTES };
    let bytes = segment::read(&file, 0, wanted).map_err(StorageError::io("reading", path))?;
    let length = file.size().map_err(StorageError::io("reading", path))?;
    if usize::try_from(length) != Ok(row.bytes) {
        let reason = format!("it should be {} bytes long, and is {length}", row.bytes);
        return Err(StorageError::corrupt(
            path,
            row.bytes.min(bytes.len()),
            reason,
        ));
    }
    let header = Header::parse(path, &bytes)?;
    check_chain(path, &header, chain)?;
    if is_hashed && <Hash>::from(Sha256::digest(&bytes)) != row.hash {
        // The scan finds the place; what it can't see is still damage.
        let info = SegmentInfo::read(path, &bytes)?;
        let reason = "its content does not have the hash in the catalogue";
        return Err(StorageError::corrupt(path, info.bytes, reason));
    }
    Ok(Chain {
        sequence: row.next_sequence,
        crc: row.crc,
        hash: Some(row.hash),
    })
}

fn check_chain(path: &Path, header: &Header, chain: Chain) -> Result<(), StorageError> {
    if header.first_sequence != chain.sequence {
        let reason = format!("it begins with record {}", header.first_sequence);
        return Err(StorageError::corrupt(path, 16, reason));
    }
    if header.previous_crc != chain.crc {
        return Err(StorageError::corrupt(
            path,
            32,
            "it does not follow the segment before it",
        ));
    }
    // It can be made again as long as the segment is not complete.
    if header.is_hash_torn && (header.sealed.is_some() || chain.hash.is_none()) {
        let reason = "the hash of the segment before is damaged";
        return Err(StorageError::corrupt(path, 40, reason));
    }
    match (header.previous_hash, chain.hash) {
        (Some(found), Some(expected)) if found != expected => {
            let reason = "the segment before it does not have the hash noted here";
            Err(StorageError::corrupt(path, 40, reason))
        }
        (Some(_), None) => Err(StorageError::corrupt(path, 40, "no segment is before it")),
        _ => Ok(()),
    }
}

/// Completes a segment: cuts it to what is used, marks it, syncs it and reads it once.
pub(super) fn seal(
    path: &Path,
    file: &DiskFile,
    first_sequence: u64,
    end: usize,
) -> Result<SegmentInfo, StorageError> {
    let length = u64::try_from(end).unwrap_or(u64::MAX);
    segment::write_sealed(file, first_sequence, end)
        .and_then(|()| file.set_len(length))
        .and_then(|()| file.sync_all())
        .map_err(StorageError::io("sealing", path))?;
    let bytes = segment::read(file, 0, end).map_err(StorageError::io("reading", path))?;
    SegmentInfo::read(path, &bytes)
}
