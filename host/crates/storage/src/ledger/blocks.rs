//! Blocks on disk for segments, so that storing to one never needs more of them.
//!
//! Knows nothing of what segments hold.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FallocateFlags, IFlags};
use rustix::io::Errno;

use crate::disk::DiskFile;

// From linux/magic.h and the sources of ZFS and bcachefs.
const BTRFS: u64 = 0x9123_683E;
const ZFS: u64 = 0x2FC1_2FC1;
const BCACHEFS: u64 = 0xCA45_1A4E;

/// Gives `file` blocks from `from` up to `to`, its new end. What is there must be zeros, or not be
/// there; nothing before `from` is touched.
pub(super) fn allocate(file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
    let length = to.saturating_sub(from);
    if length == 0 {
        return Ok(());
    }
    let allocated = match file {
        DiskFile::Real(real) => rustix::io::retry_on_intr(|| fallocate(real, from, length)),
        #[cfg(test)]
        DiskFile::Simulated(simulated) => return simulated.allocate(to),
    };
    match allocated {
        Ok(()) => Ok(()),
        // Some file systems can't, and take zeros instead.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => zero(file, from, to),
        Err(error) => Err(error.into()),
    }
}

fn fallocate(file: &File, from: u64, length: u64) -> rustix::io::Result<()> {
    #[cfg(test)]
    if let Some(error) = tests::REFUSAL.get() {
        return Err(error);
    }
    rustix::fs::fallocate(file, FallocateFlags::empty(), from, length)
}

/// Overwrites a part of `file` with zeros.
pub(super) fn zero(file: &DiskFile, from: u64, to: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 64 << 10];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at)
            .unwrap_or(usize::MAX)
            .min(ZEROS.len());
        file.write_all_at(&ZEROS[..length], at)?;
        at += u64::try_from(length).unwrap_or(u64::MAX);
    }
    Ok(())
}

/// Has the file system write new files of `directory` in place; says so where it can't.
///
/// Where a page that was synced once goes to another place when it is stored to again, blocks that
/// were allocated ahead are no promise: a store can meet a full disk, which ends the process.
pub(super) fn keep_in_place(directory: &Path) {
    let Ok(stat) = rustix::fs::statfs(directory) else {
        return;
    };
    let name = match u64::try_from(stat.f_type) {
        Ok(BTRFS) if forbid_copies(directory).is_ok() => return,
        Ok(BTRFS) => "btrfs",
        Ok(ZFS) => "ZFS",
        Ok(BCACHEFS) => "bcachefs",
        _ => return,
    };
    tracing::warn!(
        directory = %directory.display(),
        "the ledger is on {name}, which writes changed pages to new places: a full disk may END THE \
         SERVER in the middle of a write; use ext4 or XFS, or keep the disk from filling up"
    );
}

/// Sets the attribute that new files in `directory` get, too (`chattr +C`).
fn forbid_copies(directory: &Path) -> io::Result<()> {
    let directory = File::open(directory)?;
    let flags = rustix::fs::ioctl_getflags(&directory)?;
    if !flags.contains(IFlags::NOCOW) {
        rustix::fs::ioctl_setflags(&directory, flags | IFlags::NOCOW)?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// What allocating fails with on this thread.
        pub(in crate::ledger) static REFUSAL: Cell<Option<Errno>> = const { Cell::new(None) };
    }

    #[test]
    fn zeros_stand_in_for_an_allocation_and_begin_where_it_would() {
        for refusal in [None, Some(Errno::OPNOTSUPP), Some(Errno::NOSYS)] {
            REFUSAL.set(refusal);
            let file = DiskFile::Real(tempfile::tempfile().unwrap());
            file.write_all_at(&[7; 5_000], 0).unwrap();
            allocate(&file, 5_000, 200_000).unwrap();
            let mut bytes = vec![1; 200_000];
            assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 200_000);
            assert_eq!(file.size().unwrap(), 200_000);
            assert!(bytes[..5_000].iter().all(|byte| *byte == 7), "{refusal:?}");
            assert!(bytes[5_000..].iter().all(|byte| *byte == 0), "{refusal:?}");
            allocate(&file, 200_000, 5_000).unwrap();
            assert_eq!(file.size().unwrap(), 200_000);
        }
        REFUSAL.set(Some(Errno::NOSPC));
        let error = allocate(&DiskFile::Real(tempfile::tempfile().unwrap()), 0, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        REFUSAL.set(None);
    }

    #[test]
    fn an_ordinary_directory_is_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        keep_in_place(root.path());
        keep_in_place(&root.path().join("missing"));
    }
}
