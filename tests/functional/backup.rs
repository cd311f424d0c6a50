//! Backup while serving, and a site that goes on from it elsewhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use support::guests::printing;
use support::{Request, Site, TestHost};

/// The invocations that the ledger's sums know.
#[track_caller]
fn invocations(host: &TestHost) -> u64 {
    let sums = host.control_json("/mayfly/billing/summary");
    let rows = sums.as_array().unwrap();
    let count = |row: &Value| row["invocations"].as_u64().unwrap();
    rows.iter().map(count).sum()
}

/// A new site with the key file of another one and without a functions folder.
fn elsewhere(site: &Site) -> Site {
    let other = Site::new();
    fs::copy(site.key_file(), other.key_file()).unwrap();
    // Missing, not empty: an empty one would say that the functions are to go.
    fs::remove_dir_all(other.functions()).unwrap();
    other
}

#[test]
fn a_backup_under_load_goes_on_elsewhere_with_functions_and_sums() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    for _ in 0..20 {
        assert_eq!(host.get("/f").status, 200);
    }
    let file = host.root().join("site.tar");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(host.get("/f").status, 200);
            }
        });
        let made = host.cli(&["backup", file.to_str().unwrap()]);
        stop.store(true, Ordering::Relaxed);
        let _said = made.ok();
    });
    let again = host.cli(&["backup", file.to_str().unwrap()]).failed();
    assert!(again.contains("is there already"), "{again}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let after = invocations(&host);

    let other = elsewhere(host.site());
    let data = other.data();
    let restore = [
        "restore",
        file.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    let said = other.run(&restore).ok();
    let records: u64 = said
        .split(" records")
        .next()
        .and_then(|text| text.rsplit(' ').next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("{said}"));
    assert!((20..=after).contains(&records), "{records} of {after}");
    let refused = other.run(&restore).failed();
    assert!(refused.contains("is not empty"), "{refused}");

    let restored = other.start();
    assert_eq!(invocations(&restored), records);
    assert_eq!(restored.get("/f").status, 200);
    assert_eq!(invocations(&restored), records + 1);
    let listed = restored
        .cli(&["audit", "--action", "mayfly:ListFunctions"])
        .ok();
    assert!(listed.contains(" allowed 200 "), "{listed}");
}

#[test]
fn a_backup_without_a_server_is_the_same_and_nobody_else_may_make_one() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    assert_eq!(host.get("/f").status, 200);
    let refused = host.control_send(&Request::get("/mayfly/backup").unsigned());
    assert_eq!(refused.status, 403);
    let site = host.site().clone();
    host.stop();
    let (file, data) = (site.root().join("site.tar"), site.data());
    let (file, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let _said = site.run(&["backup", file, "--data", data]).ok();
    let other = elsewhere(&site);
    let to = other.data();
    let _said = other
        .run(&["restore", file, "--data", to.to_str().unwrap()])
        .ok();
    let restored = other.start();
    assert_eq!(invocations(&restored), 1);
    assert_eq!(restored.get("/f").status, 200);
}

#[test]
fn a_backup_writes_to_no_file_that_was_there() {
    let host = TestHost::start();
    let folder = host.root().join("backups");
    fs::create_dir(&folder).unwrap();
    let mine = host.root().join("mine");
    fs::write(&mine, "mine").unwrap();
    for name in ["site.tar.part", "site.tar.part-0"] {
        symlink(&mine, folder.join(name)).unwrap();
    }
    let file = folder.join("site.tar");
    let _said = host.cli(&["backup", file.to_str().unwrap()]).ok();
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["site.tar", "site.tar.part", "site.tar.part-0"]);
    assert!(!fs::symlink_metadata(&file).unwrap().is_symlink());
    // A link that leads nowhere is there as well.
    let link = folder.join("link.tar");
    symlink(host.root().join("none"), &link).unwrap();
    let refused = host.cli(&["backup", link.to_str().unwrap()]).failed();
    assert!(refused.contains("is there already"), "{refused}");
    assert!(!host.root().join("none").exists());
}
