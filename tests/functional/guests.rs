//! The guests themselves: each is used, each says what it does.

use std::fs;
use std::path::Path;

use support::binary::checkout;
use support::guests::folder;

/// Longest guest, in lines: one behaviour fits.
const LINES_MAX: usize = 50;

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn every_guest_is_used_is_short_and_says_what_it_does() {
    let sources: String = ["functional", "security", "durability", "support"]
        .iter()
        .map(|part| sources(&checkout().join("tests").join(part)))
        .collect();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            path.extension().is_some_and(|kind| kind == "wat"),
            "{} is no guest",
            path.display()
        );
        assert!(
            sources.contains(&format!("\"{name}\"")),
            "no test uses guest {name}"
        );
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with(";; "),
            "guest {name} does not say what it does"
        );
        assert!(text.lines().count() <= LINES_MAX, "guest {name} is long");
    }
}
