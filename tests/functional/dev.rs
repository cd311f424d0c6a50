//! `mayfly dev`: builds, serves, and builds again what changes.

use std::fs;
use std::path::PathBuf;

use support::guests::{assemble, printing};
use support::site::Finished;
use support::{Site, TestHost, until};

/// A function whose build is a copy: quick, and it fails when there is nothing to copy.
fn copied(site: &Site, name: &str, answer: &str) -> PathBuf {
    let folder = site.functions().join(name);
    fs::create_dir_all(&folder).unwrap();
    let manifest =
        format!("[build]\ncommand = \"mkdir -p build && cp source.bin build/{name}.wasm\"\n");
    fs::write(folder.join("function.toml"), manifest).unwrap();
    fs::write(folder.join("source.bin"), assemble(&printing(answer))).unwrap();
    folder
}

#[track_caller]
fn wait_answer(host: &TestHost, path: &str, answer: &str) {
    until(&format!("{path} to answer {answer}"), || {
        (host.get(path).text() == answer).then_some(())
    });
}

#[test]
fn dev_builds_serves_and_builds_again_what_changes() {
    let site = Site::builder().dev().build();
    let folder = copied(&site, "f", "1");
    let host = site.start();
    wait_answer(&host, "/f", "1");

    fs::write(folder.join("source.bin"), assemble(&printing("2"))).unwrap();
    wait_answer(&host, "/f", "2");

    // What does not build keeps what answers.
    fs::remove_file(folder.join("source.bin")).unwrap();
    let _said = host.process().stderr.wait_for("error: f: ");
    assert_eq!(host.get("/f").text(), "2");
    fs::write(folder.join("source.bin"), assemble(&printing("3"))).unwrap();
    wait_answer(&host, "/f", "3");

    // A function that comes later is built too.
    copied(&site, "later", "4");
    wait_answer(&host, "/later", "4");
}

#[test]
fn build_builds_all_or_some_and_says_what_went_wrong() {
    let site = Site::new();
    let good = copied(&site, "good", "1");
    let bad = copied(&site, "bad", "2");
    fs::remove_file(bad.join("source.bin")).unwrap();
    let wrong = copied(&site, "wrong", "3");
    fs::write(wrong.join("source.bin"), "no module").unwrap();
    let build = |names: &[&str]| {
        let mut command = site.command();
        command
            .env("MAYFLY_FUNCTIONS", site.functions())
            .arg("build")
            .args(names);
        Finished::of(&mut command)
    };
    let all = build(&[]);
    assert_ne!(all.code, Some(0));
    assert!(all.stderr.contains("error: bad: "), "{}", all.stderr);
    assert!(all.stderr.contains("error: wrong: "), "{}", all.stderr);
    assert!(
        good.join("build/good.wasm").is_file(),
        "one that fails keeps no other from being built"
    );
    assert_eq!(build(&["good"]).code, Some(0));
    let nobody = build(&["nobody"]);
    assert!(nobody.failed().contains("nobody"));
}
