//! Entries as they lie in a folder, good and bad.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn file(name: &str) -> Entry {
    Entry::File(name.to_owned())
}

fn folder(name: &str) -> Entry {
    Entry::Folder(name.to_owned())
}

/// A folder with these files.
fn root_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

#[track_caller]
fn check_refused(root: &Path, entry: &Entry, reason: &str) {
    assert_eq!(entry.read(root).unwrap_err().to_string(), reason);
}

#[test]
fn entries_are_wasm_files_and_folders_with_a_manifest_or_an_artifact() {
    let root = root_with(&[
        ("f/function.toml", ""),
        ("source/Cargo.toml", ""),
        ("source/build/source.wasm", ""),
        ("other/build/source.wasm", ""),
        ("target/x", ""),
    ]);
    let recognise = |name| Entry::recognise(root.path(), name);
    assert_eq!(recognise("a.wasm"), Some(file("a")));
    assert_eq!(recognise("f"), Some(folder("f")));
    assert_eq!(recognise("source"), Some(folder("source")));
    for none in [
        ".a.wasm",
        "target",
        "other",
        "a.toml",
        "Cargo.toml",
        "a.wasm~",
        "missing",
    ] {
        assert_eq!(recognise(none), None, "{none}");
    }
}

#[test]
fn a_change_of_a_file_concerns_the_entry_it_would_belong_to() {
    let root = root_with(&[("f/function.toml", ""), ("dotted.toml/x", "")]);
    symlink("f", root.path().join("link.toml")).unwrap();
    let concerned = |path| Entry::concerned(root.path(), Path::new(path));
    for (path, entry) in [
        ("a.wasm", file("a")),
        ("a.toml", file("a")),
        ("link.toml", file("link")),
        ("f", folder("f")),
        ("f/build/f.wasm", folder("f")),
        ("dotted.toml", folder("dotted.toml")),
        ("was-a-folder", folder("was-a-folder")),
    ] {
        assert_eq!(concerned(path), Some(entry), "{path}");
    }
    assert_eq!(concerned(".a.swp"), None);
}

#[test]
fn only_what_is_not_there_is_gone() {
    let root = root_with(&[
        ("a.wasm", ""),
        ("built/build/built.wasm", ""),
        ("plain", ""),
    ]);
    symlink("loop", root.path().join("loop")).unwrap();
    for (entry, presence) in [
        (file("a"), Presence::There),
        (file("b"), Presence::Gone),
        (folder("built"), Presence::There),
        (folder("plain"), Presence::Gone),
        (folder("none"), Presence::Gone),
        (folder("loop"), Presence::Unknown),
    ] {
        assert_eq!(entry.presence(root.path()), presence, "{entry:?}");
    }
}

#[test]
fn a_manifest_is_read_again_when_it_changed_and_not_before() {
    let root = root_with(&[("f/function.toml", "[build]\nartifact = 'out/f.wasm'")]);
    let entry = folder("f");
    let (before, place) = entry.state(root.path(), None);
    assert_eq!(place.clone().unwrap().artifact, Path::new("f/out/f.wasm"));
    let made_up = place.map(|place| Place {
        artifact: PathBuf::from("made/up"),
        ..place
    });
    let (same, place) = entry.state(root.path(), made_up);
    assert_eq!(same, before);
    assert_eq!(place.clone().unwrap().artifact, Path::new("made/up"));

    fs::write(root.path().join("f/function.toml"), "").unwrap();
    let (after, place) = entry.state(root.path(), place);
    assert_ne!(after, before);
    assert_eq!(place.unwrap().artifact, Path::new("f/build/f.wasm"));
}

#[test]
fn a_folder_that_is_not_built_says_what_to_do() {
    let root = root_with(&[("f/function.toml", "")]);
    let entry = folder("f");
    check_refused(
        root.path(),
        &entry,
        "there is no artifact at f/build/f.wasm; run `mayfly build f`",
    );
    fs::write(root.path().join("f/function.toml"), "memory_mb = 0").unwrap();
    let error = entry.read(root.path()).unwrap_err().to_string();
    assert!(error.starts_with("f/function.toml:1:"), "{error}");
}

#[test]
fn a_folder_that_is_a_link_is_seen_and_refused() {
    let elsewhere = root_with(&[("function.toml", ""), ("build/x.wasm", "")]);
    let root = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), root.path().join("x")).unwrap();
    assert_eq!(Entry::recognise(root.path(), "x"), Some(folder("x")));
    check_refused(
        root.path(),
        &folder("x"),
        "x is a symbolic link; a function's files must lie in the functions folder itself",
    );
}

#[test]
fn a_file_that_can_not_be_read_is_the_hosts_failure_unless_its_author_can_mend_it() {
    let io = |kind: ErrorKind| CandidateError::Io {
        what: String::new(),
        source: kind.into(),
    };
    for (error, fault) in [
        (io(ErrorKind::PermissionDenied), Fault::Caller),
        (io(ErrorKind::InvalidFilename), Fault::Caller),
        (io(ErrorKind::Other), Fault::Host),
        (io(ErrorKind::NotFound), Fault::Host),
    ] {
        assert_eq!(error.fault(), fault, "{error:?}");
    }
}
