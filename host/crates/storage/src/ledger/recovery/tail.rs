//! The end of a segment that was not sealed: what belongs to it, and what was never finished.
//!
//! Decides by the synced mark and by whether the machine was started again since; the rules are in
//! [`super`].

use std::io;
use std::path::{Path, PathBuf};

use super::{Chain, check_chain, seal};
#[cfg(test)]
use crate::disk::simulated::{self, Mistake};
use crate::disk::{self, DiskFile};
use crate::ledger::blocks;
use crate::ledger::catalogue::SegmentInfo;
use crate::ledger::frame::{self, Found};
use crate::ledger::segment::{self, BootId, Frames, HEADER_BYTES, Header, Place, Stop};
use crate::{StorageError, files};

/// A segment that was read in full.
pub(super) struct Scanned {
    path: PathBuf,
    pub(super) file: DiskFile,
    pub(super) header: Header,
    bytes: Vec<u8>,
    pub(super) place: Place,
    stop: Stop,
}

impl Scanned {
    pub(super) fn read(path: &Path, chain: Chain) -> Result<Self, StorageError> {
        let io = || StorageError::io("reading", path);
        let file = DiskFile::open(path).map_err(io())?;
        let length = usize::try_from(file.size().map_err(io())?).unwrap_or(usize::MAX);
        let bytes = segment::read(&file, 0, length).map_err(io())?;
        let header = Header::parse(path, &bytes)?;
        check_chain(path, &header, chain)?;
        let mut frames = Frames::new(&bytes, Place::first(&header));
        let mut at = HEADER_BYTES;
        for frame in frames.by_ref() {
            frame
                .report()
                .map_err(|reason| StorageError::corrupt(path, at, reason))?;
            at = frame.end;
        }
        let (place, stop) = (frames.place, frames.stop.unwrap_or(Stop::End));
        write_again(&file, &header, &bytes[..place.offset]).map_err(io())?;
        if let Some(hash) = chain.hash.filter(|_hash| header.previous_hash.is_none()) {
            // Sealing the one before was interrupted; the hash is part of what is sealed next.
            if header.sealed.is_some() {
                return Err(StorageError::corrupt(
                    path,
                    40,
                    "the hash of the one before is missing",
                ));
            }
            segment::write_previous_hash(&file, header.first_sequence, &hash).map_err(io())?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            header,
            bytes,
            place,
            stop,
        })
    }

    /// Cuts what was never finished, if that is what is at the end.
    pub(super) fn settle_tail(&self) -> Result<(), StorageError> {
        let offset = self.place.offset;
        let tail = self.bytes.get(offset..).unwrap_or_default();
        let Some(used) = tail
            .iter()
            .rposition(|byte| *byte != 0)
            .map(|last| offset + last + 1)
        else {
            return self.require_synced();
        };
        let reason = match self.stop {
            Stop::Bad(reason) => reason,
            Stop::End => "it was never finished",
        };
        self.require_synced()?;
        let is_from_another_boot = self.header.boot != BootId::current();
        if !is_from_another_boot && self.has_record_after(offset) {
            let reason =
                format!("a record can't be read, and there are records after it: {reason}");
            return Err(StorageError::corrupt(&self.path, offset, reason));
        }
        let cut_bytes = used - offset;
        let path = self.path.display();
        tracing::warn!(%path, offset, cut_bytes, "cut {cut_bytes} bytes that were never synced");
        let io = StorageError::io("cutting", &self.path);
        let as_u64 = |value| u64::try_from(value).unwrap_or(u64::MAX);
        blocks::zero(&self.file, as_u64(offset), as_u64(used))
            .and_then(|()| self.file.sync_all())
            .map_err(io)
    }

    /// Everything before the synced mark must be there.
    fn require_synced(&self) -> Result<(), StorageError> {
        let Place { offset, .. } = self.place;
        match self.stop {
            _ if offset >= self.header.synced => Ok(()),
            // Without a mark, an end that looks like one is believed.
            Stop::End if self.header.synced == usize::MAX && !self.has_record_after(offset) => {
                Ok(())
            }
            Stop::Bad(reason) => Err(StorageError::corrupt(
                &self.path,
                offset,
                format!("a record can't be read: {reason}"),
            )),
            Stop::End => Err(StorageError::corrupt(
                &self.path,
                offset,
                "records are missing",
            )),
        }
    }

    /// Whether a record of ours is at the bad place, or after it one that should follow.
    ///
    /// Guests choose some of the bytes in a frame, so bytes that look like a frame are none where a
    /// frame may have been half stored, nor when there was no time for their sequence number.
    fn has_record_after(&self, offset: usize) -> bool {
        if let Found::Frame(_) = frame::at(&self.bytes, offset) {
            return true;
        }
        let from = match self.stop {
            // Its length is not known: the word that holds it is stored last.
            Stop::End => offset + frame::FRAME_BYTES_MAX,
            Stop::Bad(_) => offset + frame::ALIGNMENT,
        };
        let room = self.bytes.len().saturating_sub(offset) / frame::HEADER_BYTES;
        let room = u64::try_from(room).unwrap_or(u64::MAX);
        let missing = self.place.sequence;
        (from..self.bytes.len())
            .step_by(frame::ALIGNMENT)
            .any(|at| {
                matches!(frame::at(&self.bytes, at), Found::Frame(frame)
                if frame.sequence > missing && frame.sequence - missing <= room)
            })
    }

    /// Removes segments that were begun and never synced before the machine went down.
    pub(super) fn discard_unsynced(&self, later: &[(u64, PathBuf)]) -> Result<(), StorageError> {
        let reason = || {
            let sequence = self.place.sequence;
            StorageError::corrupt(
                &self.path,
                self.place.offset,
                format!("record {sequence} is missing"),
            )
        };
        if self.header.boot == BootId::current() {
            return Err(reason());
        }
        for (_, path) in later {
            let bytes = disk::read(path).map_err(StorageError::io("reading", path))?;
            if Header::parse(path, &bytes)?.synced > HEADER_BYTES {
                return Err(reason());
            }
        }
        for (_, path) in later.iter().rev() {
            tracing::warn!(path = %path.display(), "removed a segment that was never synced");
            files::remove(path)?;
        }
        self.path.parent().map_or(Ok(()), files::sync_dir)
    }

    /// Completes a segment that others follow.
    pub(super) fn seal(self) -> Result<SegmentInfo, StorageError> {
        let Self {
            path,
            file,
            header,
            bytes,
            place,
            ..
        } = self;
        drop(bytes);
        if let Some(sealed) = header.sealed
            && sealed != place.offset
        {
            let reason = format!("its records should end at byte {sealed}");
            return Err(StorageError::corrupt(&path, place.offset, reason));
        }
        if header.sealed.is_none() {
            // The mark of the seal must not come to the disk before what it speaks of.
            file.sync_all()
                .map_err(StorageError::io("syncing", &path))?;
        }
        seal(&path, &file, header.first_sequence, place.offset)
    }
}

/// Has the kernel write again what no sync is known to have brought to disk. It may hold changes that
/// it gave up when a sync failed: they can be read, but the next sync would leave them out and succeed.
fn write_again(file: &DiskFile, header: &Header, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    if simulated::makes(Mistake::TrustPageCache) {
        return Ok(());
    }
    let from = match header.synced {
        usize::MAX => HEADER_BYTES,
        synced => synced.min(bytes.len()),
    };
    file.write_all_at(&bytes[..HEADER_BYTES], 0)?;
    file.write_all_at(&bytes[from..], u64::try_from(from).unwrap_or(u64::MAX))
}
