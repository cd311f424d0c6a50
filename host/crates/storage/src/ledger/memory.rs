//! The segment that is being written, as memory that outlives the process: a closed choice between a
//! mapped file and, in tests, one of a simulated disk.
//!
//! A release build has one variant. Knows nothing of frames.

use std::io;

use super::mapping;
use crate::disk::DiskFile;
#[cfg(test)]
use crate::disk::simulated::SimMemory;

/// The one handle that stores. Reading goes through the file.
#[derive(Debug)]
pub(super) enum Writer {
    Mapped(mapping::Writer),
    #[cfg(test)]
    Simulated(SimMemory),
}

/// Writes stored bytes to disk, beside the writer.
#[derive(Debug, Clone)]
pub(super) enum Flusher {
    Mapped(mapping::Flusher),
    #[cfg(test)]
    Simulated(SimMemory),
}

impl Writer {
    /// Maps the first `length` bytes of `file`, which must be allocated.
    pub(super) fn new(file: &DiskFile, length: usize) -> io::Result<Self> {
        match file {
            DiskFile::Real(file) => mapping::Writer::new(file, length).map(Self::Mapped),
            #[cfg(test)]
            DiskFile::Simulated(file) => file.map(length).map(Self::Simulated),
        }
    }

    /// A handle that can only flush.
    pub(super) fn flusher(&self) -> Flusher {
        match self {
            Self::Mapped(writer) => Flusher::Mapped(writer.flusher()),
            #[cfg(test)]
            Self::Simulated(memory) => Flusher::Simulated(memory.clone()),
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Mapped(writer) => writer.len(),
            #[cfg(test)]
            Self::Simulated(memory) => memory.len(),
        }
    }

    /// See [`mapping::Writer::store`].
    #[inline]
    pub(super) fn store(&mut self, offset: usize, bytes: &[u8]) {
        match self {
            Self::Mapped(writer) => writer.store(offset, bytes),
            #[cfg(test)]
            Self::Simulated(memory) => memory.store(offset, bytes),
        }
    }

    /// See [`mapping::Writer::publish`].
    #[inline]
    pub(super) fn publish(&mut self, offset: usize, word: u64) {
        match self {
            Self::Mapped(writer) => writer.publish(offset, word),
            #[cfg(test)]
            Self::Simulated(memory) => memory.store(offset, &word.to_le_bytes()),
        }
    }
}

impl Flusher {
    /// See [`mapping::Flusher::flush`].
    pub(super) fn flush(&self, length: usize) -> io::Result<()> {
        match self {
            Self::Mapped(flusher) => flusher.flush(length),
            #[cfg(test)]
            Self::Simulated(memory) => memory.flush(length),
        }
    }

    /// See [`mapping::Flusher::make_ready`].
    pub(super) fn make_ready(&self, offset: usize, length: usize) {
        match self {
            Self::Mapped(flusher) => flusher.make_ready(offset, length),
            #[cfg(test)]
            Self::Simulated(_) => {}
        }
    }
}
