//! How much space a disk has, and how much of it is kept free for the ledger.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Least free space for new invocations: 1 % of the disk, but within these, in bytes.
const FLOOR_BYTES_MIN: u64 = 64 << 20;
const FLOOR_BYTES_MAX: u64 = 1 << 30;

/// A disk.
#[derive(Debug, Clone, Copy)]
struct Space {
    total_bytes: u64,
    free_bytes: u64,
}

impl Space {
    /// Of the disk that `path` is on.
    fn of(path: &Path) -> rustix::io::Result<Self> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Self {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }

    /// Whether so many floors are free, besides `bytes` that are about to be written.
    fn has_floors(self, floors: u64, bytes: u64) -> bool {
        self.free_bytes
            >= floors
                .saturating_mul(self.floor_bytes())
                .saturating_add(bytes)
    }

    fn floor_bytes(self) -> u64 {
        (self.total_bytes / 100).clamp(FLOOR_BYTES_MIN, FLOOR_BYTES_MAX)
    }

    /// In words, how much others are short of.
    fn shortage(self) -> Option<String> {
        (!self.has_floors(2, 0)).then(|| {
            format!(
                "{} MB are free, and 2 x {} MB are kept",
                self.free_bytes >> 20,
                self.floor_bytes() >> 20
            )
        })
    }
}

/// Whether the ledger may begin something new in `directory`. A disk that does not say has space.
pub(crate) fn is_enough_for_ledger(directory: &Path) -> bool {
    Space::of(directory).map_or(true, |space| space.has_floors(1, 0))
}

/// That little space is left in `directory`, with the numbers, when others than the ledger may not write
/// to it.
pub(crate) fn shortage_for_others(directory: &Path) -> Option<String> {
    let shortage = Space::of(directory).ok()?.shortage()?;
    Some(format!(
        "little space is left in `{}`: {shortage}",
        directory.display()
    ))
}

/// Whether others may write to `directory`: they stop well before the ledger has to.
pub(crate) fn is_enough_for_others(directory: &Path) -> bool {
    is_enough_for_others_with(directory, 0)
}

/// [`is_enough_for_others`], for somebody who is about to write `bytes`.
pub(crate) fn is_enough_for_others_with(directory: &Path, bytes: u64) -> bool {
    Space::of(directory).map_or(true, |space| space.has_floors(2, bytes))
}

/// What is written to see whether a quota is used up, in bytes: more than a page, so that a rest of it
/// deceives nobody.
const PROBE_BYTES: usize = 1 << 20;

/// Whether a quota is used up in `directory`: by trying, with a file that has no name.
pub(crate) fn is_over_quota(directory: &Path) -> bool {
    let probe = || -> io::Result<()> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?);
        file.write_all(&vec![1; PROBE_BYTES])
    };
    probe().is_err_and(|error| error.kind() == io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_a_share_of_the_disk_within_bounds() {
        const MB: u64 = 1 << 20;
        for (total_mb, floor_mb) in [(100, 64), (6_400, 64), (50_000, 500), (9_000_000, 1_024)] {
            let has_floors = |free_bytes, floors| {
                let space = Space {
                    total_bytes: total_mb * MB,
                    free_bytes,
                };
                space.has_floors(floors, 0)
            };
            for floors in [1, 2] {
                assert!(has_floors(floors * floor_mb * MB, floors), "{total_mb}");
                assert!(
                    !has_floors(floors * floor_mb * MB - 1, floors),
                    "{total_mb}"
                );
            }
        }
        let space = Space {
            total_bytes: 100 * MB,
            free_bytes: 200 * MB,
        };
        assert!(space.has_floors(2, 72 * MB) && !space.has_floors(2, 72 * MB + 1));
        assert!(!space.has_floors(2, u64::MAX));
        assert_eq!(space.shortage(), None);
        let short = Space {
            total_bytes: 150 * MB,
            free_bytes: 95 * MB,
        };
        assert_eq!(
            short.shortage().unwrap(),
            "95 MB are free, and 2 x 64 MB are kept"
        );
        assert!(is_enough_for_ledger(Path::new("/no such directory")));
        assert!(is_enough_for_others(Path::new("/no such directory")));
    }

    #[test]
    fn looking_at_a_quota_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_over_quota(root.path()));
        assert!(!is_over_quota(Path::new("/no such directory")));
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
