//! A full disk is an error, and it passes.

use std::io::Write as _;
use std::process::Command;

use super::super::ballast;
use super::*;
use crate::LedgerHealth;

/// A small file system, until it is dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let root = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(root.path())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(root))
    }

    /// Fills it to the last page.
    fn fill(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        for chunk in [1 << 20, 4_096] {
            let chunk = vec![1; chunk];
            while file.write_all(&chunk).is_ok() {}
        }
        path
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
    let Some(disk) = SmallDisk::mount(16) else {
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
    std::fs::write(&ballast, vec![1; 10 << 20]).unwrap();
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

#[test]
fn on_a_full_disk_the_ballast_is_given_up_so_that_the_ledger_opens_and_drops_records() {
    let Some(disk) = SmallDisk::mount(80) else {
        println!("skipped: no small file system can be mounted here");
        return;
    };
    let path = disk.0.path().join("data");
    let has_ballast = || ballast::path(&path.join("ledger")).exists();
    let data_dir = DataDir::open(&path).unwrap();
    let ledger = Ledger::open(&data_dir, small()).unwrap();
    append(&ledger, 0..300);
    eventually(|| has_ballast() && ledger.shared().journal.views().len() == 1);
    drop(ledger);
    let fillers = [disk.fill("first"), disk.fill("second")];
    assert!(has_ballast());

    let settings = LedgerSettings {
        retention_bytes: Some(10_000),
        ..small()
    };
    let ledger = Ledger::open(&data_dir, settings).unwrap();
    assert!(!has_ballast());
    eventually(|| segments(&path).len() <= 3);
    assert_eq!(summary(&ledger), summed(&reports(0..300)));
    for filler in fillers {
        std::fs::remove_file(filler).unwrap();
    }
    eventually(|| has_ballast() && ledger.is_writable());
    append(&ledger, 300..400);
    assert_eq!(summary(&ledger), summed(&reports(0..400)));
    drop((ledger, data_dir));
}
