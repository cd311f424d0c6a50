//! A data directory without space: nothing runs that can't be recorded, and it goes on by itself
//! when there is space again.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::guests::printing;
use support::http::send;
use support::load::Load;
use support::{Request, Site, skip, until};

/// A small file system in memory. Unmounted when it is dropped.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not for us.
    fn mount(size_mb: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={size_mb}m"), "tmpfs"])
            .arg(folder.path());
        let mounted = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self { folder })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file until no more than `free_mb` are free.
    fn fill_but(&self, free_mb: u64) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let block = vec![0; 1 << 20];
        while self.free_mb() > free_mb {
            file.write_all(&block).unwrap();
        }
        path
    }

    fn free_mb(&self) -> u64 {
        let mut command = Command::new("df");
        command.args(["--output=avail", "--block-size=1M"]);
        let said = command.arg(self.path()).output().unwrap().stdout;
        let said = String::from_utf8(said).unwrap();
        said.lines().last().unwrap().trim().parse().unwrap()
    }

    /// Writes a file until nothing more fits.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let block = [0; 4_096];
        while file.write_all(&block).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount")
            .arg("--lazy")
            .arg(self.folder.path())
            .status();
    }
}

#[test]
fn a_full_disk_refuses_what_is_new_loses_nothing_and_ends_by_itself() {
    let Some(disk) = SmallDisk::mount(256) else {
        skip("a full disk", "mounting a small file system needs root");
        return;
    };
    let site = Site::builder()
        .data(&disk.path().join("data"))
        .announce("space")
        .announce("ledger")
        .announce("No space")
        .build();
    let host = site.start();
    host.deploy("f", &printing("1"));
    assert_eq!(host.get("/f").status, 200);

    let filler = disk.fill();
    let load = Load::start(host.http(), &[Request::get("/f")], 2, None);
    let refused = until("a refusal", || {
        let response = send(host.http(), &Request::get("/f")).unwrap();
        (response.status == 503).then_some(response)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["message"], "Service Unavailable");
    let shots = load.stop();
    let health = send(host.control(), &Request::get("/health")).unwrap();
    assert_eq!(health.status, 503, "{}", health.text());
    assert_eq!(host.invoke("f", "{}").status, 503);
    assert_eq!(host.metric("mayfly_ledger_writable", &[]), 0);

    // What was answered is recorded, and nothing else.
    let recorded = host.ledger().request_ids();
    for shot in &shots {
        let response = shot.answer.as_ref().unwrap();
        assert!(matches!(response.status, 200 | 503), "{}", response.status);
        if response.status == 200 {
            assert!(
                recorded.contains(&response.request_id()),
                "answered and not recorded"
            );
        }
    }

    std::fs::remove_file(filler).unwrap();
    until("answers again", || {
        (host.get("/f").status == 200).then_some(())
    });
    until("good health", || {
        let health = send(host.control(), &Request::get("/health")).unwrap();
        (health.status == 200).then_some(())
    });
    let before = host.ledger().entries.len();
    host.stop();
    let host = site.start();
    assert_eq!(host.ledger().entries.len(), before);
    host.stop();
    drop(site);
}

#[test]
fn a_function_that_is_dropped_onto_a_full_disk_is_refused_and_taken_later() {
    let Some(disk) = SmallDisk::mount(256) else {
        skip(
            "publishing onto a full disk",
            "mounting a small file system needs root",
        );
        return;
    };
    let site = Site::builder()
        .data(&disk.path().join("data"))
        .announce("space")
        .announce("ledger")
        .announce("No space")
        .build();
    let host = site.start();
    host.deploy("f", &printing("1"));
    let filler = disk.fill();
    host.drop_wat("f", &printing("2"));
    let reason = host.wait_refused("f.wasm");
    assert!(
        reason.contains("space") || reason.contains("storing"),
        "{reason}"
    );
    std::fs::remove_file(filler).unwrap();
    until("answers of the old version", || {
        (host.get("/f").text() == "1").then_some(())
    });
    host.drop_wat("f", &printing("3"));
    host.wait_live("f");
    assert_eq!(host.get("/f").text(), "3");
    host.stop();
    drop(site);
}

#[test]
fn a_backup_takes_no_space_from_the_ledger() {
    let Some(disk) = SmallDisk::mount(256) else {
        skip(
            "a backup on a full disk",
            "mounting a small file system needs root",
        );
        return;
    };
    let site = Site::builder()
        .data(&disk.path().join("data"))
        .announce("a backup could not be made")
        .build();
    let host = site.start();
    host.deploy("f", &printing("1"));
    let file = host.root().join("site.tar");
    let backup = || host.cli(&["backup", file.to_str().unwrap()]);
    // The ledger keeps 64 MB; others stop at twice that.
    let filler = disk.fill_but(120);
    let refused = backup().failed();
    assert!(refused.contains("little space is left"), "{refused}");
    assert!(!file.exists());
    assert_eq!(host.get("/f").status, 200, "the ledger has space");
    std::fs::remove_file(filler).unwrap();
    let _said = backup().ok();
    host.stop();
    drop(site);
}

#[test]
fn a_backup_is_restored_into_a_disk_of_its_own() {
    let Some(disk) = SmallDisk::mount(256) else {
        skip(
            "a restore into a mount point",
            "mounting a small file system needs root",
        );
        return;
    };
    let host = Site::new().start();
    host.deploy("f", &printing("1"));
    let file = host.root().join("site.tar");
    let _said = host.cli(&["backup", file.to_str().unwrap()]).ok();
    let data = disk.path().to_str().unwrap();
    let restore = ["restore", file.to_str().unwrap(), "--data", data];
    let said = host.site().run(&restore).ok();
    assert!(said.contains(data), "{said}");
    assert!(disk.path().join("registry.db").is_file());
    assert!(!disk.path().join("restore.tmp").exists());
}
