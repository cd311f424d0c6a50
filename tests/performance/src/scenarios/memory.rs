//! What one process holds right now: memory, mappings, descriptors. From `/proc`.

use std::fs;

use anyhow::Context as _;

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Resident memory, shared or not, in KiB (`Rss`).
    pub(super) resident_kib: u64,
    /// Resident memory that no other process has, and that was written, in KiB (`Private_Dirty`).
    pub(super) private_dirty_kib: u64,
    /// The same that was only read: files that only this process maps, in KiB (`Private_Clean`).
    pub(super) private_clean_kib: u64,
    /// Mappings, of which the kernel allows `vm.max_map_count` (65,530 by default).
    pub(super) maps: u64,
    /// Open descriptors.
    pub(super) descriptors: u64,
}

impl Held {
    /// Of the process `pid`.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(super) fn by(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("reading {path} failed"))
        };
        let sums = read("smaps_rollup")?;
        let maps = read("maps")?.lines().count();
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self {
            resident_kib: kib(&sums, "Rss")?,
            private_dirty_kib: kib(&sums, "Private_Dirty")?,
            private_clean_kib: kib(&sums, "Private_Clean")?,
            maps: u64::try_from(maps)?,
            descriptors: u64::try_from(descriptors)?,
        })
    }

    /// Memory that would be free without this process, in KiB.
    pub(super) fn private_kib(&self) -> u64 {
        self.private_dirty_kib + self.private_clean_kib
    }
}

/// What each of `count` things added between two moments.
pub(super) fn each(before: u64, after: u64, count: u64) -> f64 {
    let (before, after) = (crate::load::count(before), crate::load::count(after));
    (after - before) / crate::load::count(count)
}

/// A line such as `Private_Dirty:      1234 kB`.
fn kib(text: &str, key: &str) -> anyhow::Result<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    number.with_context(|| format!("the kernel does not say `{key}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_holds_memory_maps_and_descriptors() {
        let before = Held::by(std::process::id()).unwrap();
        assert!(before.private_kib() > 0 && before.maps > 10 && before.descriptors >= 3);
        assert!(before.resident_kib >= before.private_kib());
        // Written, so that it is really there.
        let more = std::hint::black_box(vec![1_u8; 8 << 20]);
        let after = Held::by(std::process::id()).unwrap();
        assert!(after.private_dirty_kib >= before.private_dirty_kib + (7 << 10));
        drop(more);
    }

    #[test]
    fn a_key_is_matched_as_a_whole() {
        let text = "Private_Clean:    7 kB\nRss:   1234 kB\n";
        assert_eq!(kib(text, "Rss").unwrap(), 1_234);
        assert_eq!(
            kib(text, "Private").ok(),
            None,
            "it is the start of another"
        );
    }

    #[test]
    fn each_has_its_part_of_the_difference() {
        assert_eq!(each(100, 1_100, 10), 100.0);
        assert_eq!(each(100, 90, 10), -1.0);
    }
}
