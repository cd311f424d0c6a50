//! A backup under load and back; and backups that were changed.

mod events;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::Clock;
use rusqlite::Connection;

use super::*;
use crate::ledger::tests::dropped::{drop_oldest, settle};
use crate::ledger::tests::report;
use crate::{Artifacts, Audit, AuditEntry, AuditSettings, LedgerSettings, SummaryQuery};

const MADE: (&str, u64) = ("1.2.3", 1_795_305_600_000);

struct Site {
    root: tempfile::TempDir,
    data_dir: DataDir,
    ledger: Ledger,
    queue: Option<Queue>,
}

fn ledger(data_dir: &DataDir) -> Ledger {
    let settings = LedgerSettings {
        segment_bytes: 16 << 10,
        clock: Clock::system(),
        ..LedgerSettings::default()
    };
    Ledger::open(data_dir, settings).unwrap()
}

fn site() -> Site {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(&root.path().join("data")).unwrap();
    Artifacts::open(&data_dir).unwrap().put(b"\0asm").unwrap();
    let database = Connection::open(data_dir.path().join("registry.db")).unwrap();
    let schema = "PRAGMA journal_mode = WAL; PRAGMA user_version = 3; CREATE TABLE t (n); INSERT INTO t VALUES (7);";
    database.execute_batch(schema).unwrap();
    Audit::open(&data_dir, AuditSettings::default())
        .unwrap()
        .append(&AuditEntry::default());
    let ledger = ledger(&data_dir);
    Site {
        root,
        data_dir,
        ledger,
        queue: None,
    }
}

fn begin(site: &Site) -> Backup {
    Backup::begin(&site.data_dir, site.queue.as_ref(), &site.ledger, MADE).unwrap()
}

fn backup(site: &Site) -> (Vec<u8>, BackupManifest) {
    let mut bytes = Vec::new();
    let backup = begin(site);
    let manifest = backup.write(&mut bytes).unwrap();
    (bytes, manifest)
}

fn invocations(ledger: &Ledger) -> u64 {
    let rows = ledger.summary(&SummaryQuery::default()).unwrap();
    rows.iter().map(|row| row.invocations).sum()
}

#[test]
fn a_backup_under_load_has_what_was_there_before_it_and_opens_without_damage() {
    let site = site();
    for number in 0..500 {
        site.ledger.append(&report(number)).unwrap();
    }
    let stop = AtomicBool::new(false);
    let (bytes, manifest) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 500;
            while !stop.load(Ordering::Relaxed) {
                site.ledger.append(&report(number)).unwrap();
                number += 1;
            }
        });
        let made = (0..3)
            .map(|_| backup(&site))
            .collect::<Vec<_>>()
            .pop()
            .unwrap();
        stop.store(true, Ordering::Relaxed);
        made
    });
    assert!(manifest.records >= 500);
    assert!(!site.data_dir.path().join(WORK).exists());

    let restored = site.root.path().join("elsewhere/data");
    let found = restore(&mut bytes.as_slice(), &restored).unwrap();
    assert_eq!(found, manifest);
    assert!(!restored.join("lock").exists() && !restored.join("cache").exists());
    let data_dir = DataDir::open(&restored).unwrap();
    let ledger = ledger(&data_dir);
    assert_eq!(ledger.records_total(), manifest.records);
    assert_eq!(invocations(&ledger), manifest.records);
    ledger.append(&report(0)).unwrap();
    assert_eq!(invocations(&ledger), manifest.records + 1);
    let database = Connection::open(restored.join("registry.db")).unwrap();
    let number = |sql: &str| -> i64 { database.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(number("SELECT n FROM t"), 7);
    assert_eq!(number("PRAGMA user_version"), 3);
    let artifacts = Artifacts::open(&data_dir).unwrap();
    artifacts.read(domain::ArtifactId::of(b"\0asm")).unwrap();
    assert!(restored.join("audit/0000000001.jsonl").is_file());
}

#[test]
fn the_secret_of_the_webhooks_is_in_it_and_delivered_records_are_not() {
    let site = site();
    let (_, without) = backup(&site);
    assert!(without.files.iter().all(|file| file.name != WEBHOOK_SECRET));

    fs::write(site.data_dir.path().join(WEBHOOK_SECRET), "5ec7e7").unwrap();
    let sinks = site.data_dir.path().join("sinks");
    fs::create_dir(&sinks).unwrap();
    fs::write(sinks.join("failures.jsonl"), "{}").unwrap();
    let (bytes, _) = backup(&site);
    let restored = site.root.path().join("restored");
    restore(&mut bytes.as_slice(), &restored).unwrap();
    let secret = restored.join(WEBHOOK_SECRET);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "5ec7e7");
    let mode = fs::metadata(&secret).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!restored.join("sinks").exists());
}

#[test]
fn a_backup_keeps_the_sums_of_what_retention_dropped() {
    let site = site();
    for number in 0..2_000 {
        site.ledger.append(&report(number)).unwrap();
    }
    site.ledger.flush().unwrap();
    settle(&site.ledger);
    drop_oldest(&site.ledger, 2);
    let (bytes, manifest) = backup(&site);
    let names: Vec<_> = manifest
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert!(names.contains(&"ledger/dropped.sum"), "{names:?}");
    assert!(
        !names.contains(&"ledger/00000000000000000001.seg"),
        "{names:?}"
    );
    let restored = site.root.path().join("other");
    restore(&mut bytes.as_slice(), &restored).unwrap();
    let ledger = ledger(&DataDir::open(&restored).unwrap());
    assert_eq!(invocations(&ledger), 2_000);
}

#[test]
fn a_directory_with_something_in_it_is_not_touched() {
    let site = site();
    let (bytes, _) = backup(&site);
    let full = site.root.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), b"mine").unwrap();
    let error = restore(&mut bytes.as_slice(), &full).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error}");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    let empty = site.root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    restore(&mut bytes.as_slice(), &empty).unwrap();
}

/// Whether the backup of `site` is in `data_dir`, and nothing else but `more`.
fn is_restored(site: &Site, data_dir: &Path, more: &[&str]) {
    let mut names: Vec<_> = files::list(data_dir).unwrap();
    names.retain(|(name, _)| !more.contains(&name.as_str()));
    let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["artifacts", "audit", "ledger", "registry.db"]);
    let opened = DataDir::open(data_dir).unwrap();
    assert_eq!(ledger(&opened).records_total(), site.ledger.records_total());
}

#[test]
fn a_restore_touches_only_what_it_made_itself() {
    let site = site();
    site.ledger.append(&report(1)).unwrap();
    let (bytes, _) = backup(&site);
    let root = site.root.path();
    for mine in ["to.restore", "to.restore-0"] {
        fs::create_dir(root.join(mine)).unwrap();
        fs::write(root.join(mine).join("mine"), b"mine").unwrap();
    }
    restore(&mut bytes.as_slice(), &root.join("to")).unwrap();
    is_restored(&site, &root.join("to"), &[]);
    for mine in ["to.restore", "to.restore-0"] {
        assert!(root.join(mine).join("mine").exists(), "{mine}");
    }
}

#[test]
fn a_restore_goes_through_links_and_into_a_disk_of_its_own() {
    let site = site();
    site.ledger.append(&report(1)).unwrap();
    let (bytes, _) = backup(&site);
    let disk = site.root.path().join("disk");
    fs::create_dir_all(disk.join("lost+found")).unwrap();
    let link = site.root.path().join("link");
    std::os::unix::fs::symlink(&disk, &link).unwrap();
    let cut = &bytes[..bytes.len() / 2];
    restore(&mut &*cut, &link).unwrap_err();
    assert_eq!(files::list(&disk).unwrap().len(), 1);
    restore(&mut bytes.as_slice(), &link).unwrap();
    is_restored(&site, &disk, &["lost+found"]);
    let nowhere = site.root.path().join("nowhere");
    std::os::unix::fs::symlink(site.root.path().join("none"), &nowhere).unwrap();
    let error = restore(&mut bytes.as_slice(), &nowhere).unwrap_err();
    assert!(error.to_string().contains("opening"), "{error}");
}

#[test]
fn a_directory_with_a_part_of_a_backup_is_not_opened() {
    let site = site();
    let half = site.root.path().join("half");
    fs::create_dir_all(half.join(UNFINISHED)).unwrap();
    let error = DataDir::open(&half).unwrap_err();
    assert!(
        matches!(error, StorageError::HalfRestored { .. }),
        "{error}"
    );
}

#[test]
fn what_a_crash_left_of_a_backup_goes_at_the_next_start() {
    let Site {
        root,
        data_dir,
        ledger,
        queue: _,
    } = site();
    ledger.close().unwrap();
    let left = data_dir.path().join(WORK);
    fs::create_dir_all(left.join(ARTIFACTS)).unwrap();
    drop((ledger, data_dir));
    DataDir::open(&root.path().join("data")).unwrap();
    assert!(!left.exists());
}

#[test]
fn a_backup_begins_while_no_artifact_is_swept() {
    let site = site();
    let sweeping = site.data_dir.try_sweep().unwrap();
    std::thread::scope(|scope| {
        let beginning = scope.spawn(|| begin(&site));
        // One that does not wait would be done soon.
        for _ in 0..1_000 {
            std::thread::yield_now();
            assert!(!beginning.is_finished());
        }
        drop(sweeping);
        drop(beginning.join().unwrap());
    });
    assert!(site.data_dir.try_sweep().is_some());
}

#[test]
fn a_changed_or_cut_backup_is_refused_and_leaves_nothing() {
    let site = site();
    for number in 0..100 {
        site.ledger.append(&report(number)).unwrap();
    }
    let (bytes, _) = backup(&site);
    let to = site.root.path().join("to");
    let refused = |bytes: &[u8]| {
        let error = restore(&mut &*bytes, &to).unwrap_err();
        let told = matches!(error, RestoreError::Damaged { .. } | RestoreError::NoBackup);
        assert!(told, "{error}");
        let left: Vec<_> = files::list(site.root.path()).unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
    };
    // The padding of tar and its end mean nothing; everything else does.
    for at in (0..bytes.len() - 1_024).step_by(4_099) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        match restore(&mut changed.as_slice(), &to) {
            Err(RestoreError::Damaged { .. } | RestoreError::NoBackup) => assert!(!to.exists()),
            Err(other) => panic!("{other}"),
            Ok(_) => {
                assert_eq!(bytes[at], 0, "byte {at} was changed");
                fs::remove_dir_all(&to).unwrap();
            }
        }
    }
    for end in [0, 100, 512, bytes.len() / 2, bytes.len() - 2_000] {
        refused(&bytes[..end]);
    }
    let mut evil = Vec::new();
    tar::begin(&mut evil, "../evil", 0).unwrap();
    refused(&evil);
    let mut evil = Vec::new();
    tar::begin(&mut evil, "/etc/evil", 0).unwrap();
    refused(&evil);
}

#[test]
fn tar_lists_a_backup() {
    let site = site();
    let (bytes, manifest) = backup(&site);
    let path = site.root.path().join("backup.tar");
    fs::write(&path, bytes).unwrap();
    let Ok(listed) = std::process::Command::new("tar")
        .arg("tf")
        .arg(&path)
        .output()
    else {
        // No tar on this machine: the format is checked by `restore` alone then.
        return;
    };
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names = manifest.files.iter().map(|file| file.name.as_str());
    let expected: Vec<_> = names.chain([MANIFEST]).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), expected);
}
