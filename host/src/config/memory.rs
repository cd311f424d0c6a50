//! How much memory this process may count on.
//!
//! The smallest of what the machine has and what each control group above the process allows.

use std::fs;
use std::path::{Path, PathBuf};

/// What is assumed where nothing can be read.
const FALLBACK_MB: u64 = 2_048;

const MB: u64 = 1 << 20;

/// Memory of the machine or of the control group, in MB.
pub(super) fn available_mb() -> u64 {
    available_below(Path::new("/"))
}

fn available_below(root: &Path) -> u64 {
    let machine = fs::read_to_string(root.join("proc/meminfo"))
        .ok()
        .and_then(|text| machine_mb(&text));
    let groups = fs::read_to_string(root.join("proc/self/cgroup"))
        .ok()
        .and_then(|text| group_mb(&root.join("sys/fs/cgroup"), &text));
    machine
        .into_iter()
        .chain(groups)
        .min()
        .unwrap_or(FALLBACK_MB)
}

/// `MemTotal` of `/proc/meminfo`.
fn machine_mb(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kb: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kb / 1_024)
}

/// The smallest limit of the group in `/proc/self/cgroup` and of the groups that hold it.
fn group_mb(mount: &Path, memberships: &str) -> Option<u64> {
    let group = memberships
        .lines()
        .find_map(|line| line.strip_prefix("0::"));
    let inside = Path::new(group.unwrap_or("/").trim_start_matches('/'));
    let unified = inside
        .ancestors()
        .map(|group| mount.join(group).join("memory.max"));
    // The older hierarchy, as a container sees its own group.
    let files = unified.chain([mount.join("memory/memory.limit_in_bytes")]);
    files
        .filter_map(|file: PathBuf| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok())
        .map(|bytes| bytes / MB)
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected_mb: u64) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(available_below(root.path()), expected_mb, "{files:?}");
    }

    #[test]
    fn the_smallest_of_machine_and_groups_counts() {
        let meminfo = (
            "proc/meminfo",
            "MemTotal:        8388608 kB\nMemFree: 1 kB\n",
        );
        let member = ("proc/self/cgroup", "0::/a/b\n");
        check(&[], FALLBACK_MB);
        check(&[meminfo], 8_192);
        check(
            &[meminfo, member, ("sys/fs/cgroup/a/b/memory.max", "max\n")],
            8_192,
        );
        check(
            &[
                meminfo,
                member,
                ("sys/fs/cgroup/a/memory.max", "1073741824\n"),
            ],
            1_024,
        );
        let old = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n");
        check(
            &[meminfo, ("proc/self/cgroup", "4:memory:/x\n"), old],
            2_048,
        );
        let endless = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        check(&[meminfo, endless], 8_192);
    }
}
