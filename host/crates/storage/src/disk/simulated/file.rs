//! Handles: an open file, and one that is mapped.
//!
//! Knows nothing of what a death leaves.

use std::io;

use super::image::WORD_BYTES;
use super::{Inner, SimDisk};

const PAGE_BYTES: usize = 4_096;

/// An open file.
#[derive(Debug)]
pub(crate) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) inode: u64,
}

impl SimFile {
    pub(crate) fn size(&self) -> io::Result<u64> {
        let mut inner = self.disk.0.lock();
        inner.call()?;
        let bytes = inner.image(self.inode).cached.len();
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut inner = self.disk.0.lock();
        inner.call()?;
        let offset = index(offset);
        let cached = &inner.image(self.inode).cached;
        let from = cached.get(offset..).unwrap_or_default();
        let read = from.len().min(bytes.len());
        bytes[..read].copy_from_slice(&from[..read]);
        Ok(read)
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        let called = inner.call();
        let is_death = called.is_err() && inner.is_dying();
        let written = match (&called, is_death) {
            (Ok(()), _) => bytes,
            // It dies in the middle, though not of a page.
            (Err(_), true) => {
                let pages = inner.random.below(bytes.len() / PAGE_BYTES + 2);
                &bytes[..bytes.len().min(pages * PAGE_BYTES)]
            }
            (Err(_), false) => return called,
        };
        inner.image(self.inode).write(index(offset), written);
        called
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        let mut inner = self.disk.0.lock();
        inner.call()?;
        inner.image(self.inode).cached.resize(index(length), 0);
        Ok(())
    }

    /// Gives the file blocks up to `to`.
    pub(crate) fn allocate(&self, to: u64) -> io::Result<()> {
        self.set_len(to)
    }

    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.disk.sync(self.inode, usize::MAX)
    }

    pub(crate) fn map(&self, length: usize) -> io::Result<SimMemory> {
        let mut inner = self.disk.0.lock();
        inner.call()?;
        drop(inner);
        Ok(SimMemory {
            disk: self.disk.clone(),
            inode: self.inode,
            length,
        })
    }
}

impl Inner {
    /// Whether the process died at this very step.
    fn is_dying(&mut self) -> bool {
        self.is_dead && self.steps_left.take() == Some(0)
    }
}

impl SimDisk {
    fn sync(&self, inode: u64, end: usize) -> io::Result<()> {
        let mut inner = self.0.lock();
        let called = inner.call();
        if called.is_err() && !inner.is_dead {
            let mut random = inner.random.clone();
            inner.image(inode).fail_sync(end, &mut random);
            inner.random = random;
        }
        called?;
        inner.image(inode).sync(end);
        Ok(())
    }
}

/// A mapped file.
#[derive(Debug, Clone)]
pub(crate) struct SimMemory {
    disk: SimDisk,
    inode: u64,
    length: usize,
}

impl SimMemory {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn store(&self, offset: usize, bytes: &[u8]) {
        assert!(
            offset + bytes.len() <= self.length,
            "a store stays inside the mapping"
        );
        let mut inner = self.disk.0.lock();
        let stored = if inner.step() {
            bytes
        } else if inner.is_dying() {
            // It dies in the middle, though not of a word.
            let words = inner.random.below(bytes.len() / WORD_BYTES + 1);
            let length = match words * WORD_BYTES {
                length if length < bytes.len() => length,
                _ if bytes.len() == WORD_BYTES => 0,
                length => length,
            };
            &bytes[..length]
        } else {
            return;
        };
        inner.image(self.inode).write(offset, stored);
    }

    pub(crate) fn flush(&self, length: usize) -> io::Result<()> {
        self.disk.sync(self.inode, length)
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
