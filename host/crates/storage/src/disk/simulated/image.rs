//! A file's content: what the kernel has of it, and what the disk has.
//!
//! Knows nothing of names and processes.

use std::collections::BTreeSet;

use crate::simulation::random::Random;

const SECTOR_BYTES: usize = 512;
pub(super) const WORD_BYTES: usize = 8;

/// A file's content.
#[derive(Debug, Clone, Default)]
pub(super) struct Image {
    /// As the kernel has it.
    pub(super) cached: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Changes of the cache that are not durable, oldest first.
    dirty: Vec<(usize, Vec<u8>)>,
}

impl Image {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.dirty.push((offset, bytes.to_vec()));
    }

    /// Makes the changes that begin before `end` durable, and the length.
    pub(super) fn sync(&mut self, end: usize) {
        self.durable.resize(self.cached.len(), 0);
        let durable = &mut self.durable;
        self.dirty.retain(|(offset, bytes)| {
            let is_synced = *offset < end;
            if is_synced {
                lay(durable, *offset, bytes);
            }
            !is_synced
        });
    }

    /// Gives the changes up that begin before `end`; some of them may have come to the disk.
    pub(super) fn fail_sync(&mut self, end: usize, random: &mut Random) {
        let given_up = self.dirty.iter().filter(|(offset, _)| *offset < end);
        for (offset, bytes) in given_up {
            if random.one_in(3) {
                if self.durable.len() < offset + bytes.len() {
                    self.durable.resize(self.cached.len(), 0);
                }
                lay(&mut self.durable, *offset, bytes);
            }
        }
        self.dirty.retain(|(offset, _)| *offset >= end);
    }

    /// What a power cut leaves.
    pub(super) fn cut(&mut self, fate: Fate, random: &mut Random) {
        let is_long = match fate {
            Fate::Kept => true,
            Fate::Lost => false,
            Fate::Mixed => random.one_in(2),
        };
        if is_long {
            self.durable.resize(self.cached.len(), 0);
        }
        match fate {
            Fate::Lost => {}
            Fate::Kept => {
                for (offset, bytes) in &self.dirty {
                    lay(&mut self.durable, *offset, bytes);
                }
            }
            Fate::Mixed => self.mix(random),
        }
        self.dirty.clear();
        self.cached.clone_from(&self.durable);
    }

    /// Lays, for each sector, the changes up to any moment; for some, each word as of its own.
    fn mix(&mut self, random: &mut Random) {
        let mut sectors = BTreeSet::new();
        for (offset, bytes) in &self.dirty {
            let last = (offset + bytes.len().max(1) - 1) / SECTOR_BYTES;
            sectors.extend(offset / SECTOR_BYTES..=last);
        }
        for sector in sectors {
            let from = sector * SECTOR_BYTES;
            let piece_bytes = if random.one_in(4) {
                WORD_BYTES
            } else {
                SECTOR_BYTES
            };
            for piece in (from..from + SECTOR_BYTES).step_by(piece_bytes) {
                let count = random.below(self.dirty.len() + 1);
                for (offset, bytes) in &self.dirty[..count] {
                    let start = piece.max(*offset);
                    let end = (piece + piece_bytes).min(offset + bytes.len());
                    if start < end {
                        lay(
                            &mut self.durable,
                            start,
                            &bytes[start - offset..end - offset],
                        );
                    }
                }
            }
        }
    }
}

/// What becomes of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Lost,
    Mixed,
}

/// Copies what of `bytes` fits.
fn lay(to: &mut [u8], offset: usize, bytes: &[u8]) {
    let end = to.len().min(offset + bytes.len());
    if offset < end {
        to[offset..end].copy_from_slice(&bytes[..end - offset]);
    }
}
