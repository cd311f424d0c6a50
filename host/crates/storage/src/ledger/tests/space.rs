//! A full disk is an error, and it passes.

use std::process::Command;

use super::*;
use crate::LedgerHealth;

/// A file system of 1 MiB, until it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(root.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(root))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn a_full_disk_refuses_records_and_takes_them_again_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let path = disk.0.path().join("data");
    let settings = LedgerSettings {
        segment_bytes: 64 << 10,
        ..small()
    };
    let ledger = Ledger::open(&DataDir::open(&path).unwrap(), settings.clone()).unwrap();
    // Less than the floor is free from the start, and records are taken all the same.
    eventually(|| matches!(ledger.health(), LedgerHealth::Full { .. }));
    let ballast = path.join("ballast");
    std::fs::write(&ballast, vec![1; 500 << 10]).unwrap();
    let mut count = 0;
    let error = loop {
        match ledger.append(&report(count)) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StorageError::Full { .. }), "{error}");
    assert!(
        error.to_string().contains(&path.display().to_string()),
        "{error}"
    );
    assert!(matches!(ledger.health(), LedgerHealth::Full { .. }));
    assert_eq!(all(&ledger), reports(0..count));

    std::fs::remove_file(&ballast).unwrap();
    eventually(|| ledger.append(&report(count)).is_ok());
    append(&ledger, count + 1..count + 10);
    assert_eq!(all(&ledger), reports(0..count + 10));
    assert_eq!(summary(&ledger), summed(&reports(0..count + 10)));
    drop(ledger);
    let ledger = Ledger::open(&DataDir::open(&path).unwrap(), settings).unwrap();
    assert_eq!(all(&ledger), reports(0..count + 10));
    drop(ledger);
}
