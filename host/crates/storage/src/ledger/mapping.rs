//! The segment that is being written, as shared memory.
//!
//! What is stored here is the kernel's at once: it outlives the process without a system call. Only
//! this module of the crate is `unsafe`. It relies on the file being ours: the data directory is
//! locked, the file is preallocated in full before it is mapped, so that no store can meet a full
//! disk, and it is not shrunk before the last handle here is gone. On file systems that write changed
//! pages to new places preallocating promises nothing, see `blocks::keep_in_place`.
//!
//! Knows nothing of frames.

#![expect(
    unsafe_code,
    reason = "shared memory is how a record leaves the process without a call"
)]

use std::fs::File;
use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

/// Smallest page there is; a multiple of it on machines with larger ones is no harm.
const PAGE_BYTES: usize = 4_096;

/// The one handle that stores. Reading goes through the file.
#[derive(Debug)]
pub(super) struct Writer(Arc<MmapRaw>);

/// Writes stored bytes to disk, beside the writer.
#[derive(Debug, Clone)]
pub(super) struct Flusher(Arc<MmapRaw>);

impl Writer {
    /// Maps the first `length` bytes of `file`, which must be allocated.
    pub(super) fn new(file: &File, length: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(length).map_raw(file)?;
        Ok(Self(Arc::new(map)))
    }

    /// A handle that can only flush.
    pub(super) fn flusher(&self) -> Flusher {
        Flusher(Arc::clone(&self.0))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Stores `bytes` at `offset`.
    ///
    /// # Panics
    ///
    /// When they reach beyond the mapping: a broken invariant of the caller.
    pub(super) fn store(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.checked_add(bytes.len());
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "a store stays inside the mapping"
        );
        // SAFETY: `offset` is inside the mapping, see above.
        let to = unsafe { self.0.as_mut_ptr().add(offset) };
        // SAFETY: all of `to..to + bytes.len()` is inside the mapping, see above. No reference to
        // mapped memory exists anywhere, so `bytes` is elsewhere, and `&mut self` is the only writer.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    /// Stores a little-endian `word` at `offset`, in one piece and after everything stored before.
    ///
    /// # Panics
    ///
    /// When `offset` is not a multiple of 8 inside the mapping: a broken invariant of the caller.
    pub(super) fn publish(&mut self, offset: usize, word: u64) {
        let end = offset.checked_add(size_of::<u64>());
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "a store stays inside the mapping"
        );
        assert!(
            offset.is_multiple_of(align_of::<u64>()),
            "a word is aligned"
        );
        // SAFETY: `offset` is inside the mapping, see above.
        let to = unsafe { self.0.as_mut_ptr().add(offset) };
        // SAFETY: a mapping begins at a page, so `to` is aligned; the 8 bytes are inside the mapping,
        // live as long as `self`, and are touched by nothing else, see `store`.
        let to = unsafe { AtomicU64::from_ptr(to.cast::<u64>()) };
        to.store(word.to_le(), Ordering::Release);
    }
}

impl Flusher {
    /// Returns when the first `length` bytes are on disk. Must not be tried again after an error:
    /// the kernel may have given the pages up and would then report success.
    pub(super) fn flush(&self, length: usize) -> io::Result<()> {
        self.0.flush_range(0, length.min(self.0.len()))
    }

    /// Has the kernel make `length` bytes from `offset` on ready to be stored to, so that a store does
    /// not wait for that. Only helps: where it can't be done, stores take a little longer.
    pub(super) fn make_ready(&self, offset: usize, length: usize) {
        let page = offset - offset % PAGE_BYTES;
        let end = offset.saturating_add(length).min(self.0.len());
        if let Some(length) = end.checked_sub(page).filter(|length| *length > 0) {
            drop(self.0.advise_range(Advice::PopulateWrite, page, length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_in_the_file_at_once() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4_096).unwrap();
        let mut writer = Writer::new(&file, 4_096).unwrap();
        writer.store(4_090, b"abcdef");
        writer.publish(8, 0x0102_0304_0506_0708);
        let mut read = vec![0; 4_096];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut read, 0).unwrap();
        assert_eq!(&read[4_090..], b"abcdef");
        assert_eq!(&read[8..16], &[8, 7, 6, 5, 4, 3, 2, 1]);
        writer.flusher().flush(4_096).unwrap();
    }

    #[test]
    fn a_store_beyond_the_mapping_is_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4_096).unwrap();
        for (offset, bytes) in [(4_095, 2), (usize::MAX, 1), (4_097, 0)] {
            let mut writer = Writer::new(&file, 4_096).unwrap();
            let stored = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                writer.store(offset, &vec![1; bytes]);
            }));
            assert!(stored.is_err(), "{offset}");
        }
    }
}
