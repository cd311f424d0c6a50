//! Compiled code on disk: whatever happens to it, it is compiled again and never loaded damaged.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::Site;
use support::guests::printing;

/// Does something to a file of compiled code.
type Damage<'a> = &'a dyn Fn(&Path);

fn compiled(site: &Site) -> Vec<PathBuf> {
    let folder = fs::read_dir(site.data().join("cache")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "cwasm"))
        .collect();
    all.sort();
    all
}

#[test]
fn damaged_compiled_code_is_compiled_again() {
    let site = Site::new();
    let host = site.start();
    host.deploy("one", &printing("1"));
    host.deploy("two", &printing("2"));
    host.stop();

    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cut = |path: &Path| fs::write(path, &fs::read(path).unwrap()[..1_000]).unwrap();
    let empty = |path: &Path| fs::write(path, "").unwrap();
    let gone = |path: &Path| fs::remove_file(path).unwrap();
    let link = |path: &Path| {
        let beside = path.with_extension("moved");
        fs::rename(path, &beside).unwrap();
        symlink(&beside, path).unwrap();
    };
    let damages: [(&str, Damage<'_>); 5] = [
        ("flipped", &flip),
        ("cut", &cut),
        ("empty", &empty),
        ("gone", &gone),
        ("a link", &link),
    ];
    for (what, damage) in damages {
        let all = compiled(&site);
        assert_eq!(all.len(), 2, "{all:?}");
        all.iter().for_each(|path| damage(path));
        check_answers(&site, what);
    }

    // Each in the place of the other.
    let all = compiled(&site);
    let (a, b) = (fs::read(&all[0]).unwrap(), fs::read(&all[1]).unwrap());
    fs::write(&all[0], b).unwrap();
    fs::write(&all[1], a).unwrap();
    check_answers(&site, "swapped");

    // Another key: nothing that was made before is ours.
    fs::write(site.data().join("cache/key"), [7; 32]).unwrap();
    check_answers(&site, "another key");
    fs::remove_dir_all(site.data().join("cache")).unwrap();
    check_answers(&site, "no cache at all");
}

#[track_caller]
fn check_answers(site: &Site, what: &str) {
    let host = site.start();
    assert_eq!(host.get("/one").text(), "1", "{what}");
    assert_eq!(host.get("/two").text(), "2", "{what}");
    assert_eq!(host.get("/one").text(), "1", "{what}");
}
