//! What may lie in the drop folder, and what it does to the functions that are there: nothing.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::guests::{assemble, guest, printing};
use support::load::Load;
use support::wait::pass;
use support::{Request, TestHost, until};

const ONLY: &str = "only a regular file can be a function";

fn good() -> Vec<u8> {
    assemble(&printing("{\"good\":true}"))
}

/// A module with one custom section of `bytes` bytes: large, and cheap to compile.
fn padded(wat: &str, bytes: usize) -> Vec<u8> {
    let mut wasm = assemble(wat);
    let mut section = vec![1, b'p'];
    section.resize(bytes + 2, 0);
    wasm.push(0);
    let mut length = section.len();
    while length > 0x7f {
        wasm.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    wasm.push(u8::try_from(length).unwrap());
    wasm.extend(section);
    wasm
}

#[test]
fn a_bad_file_keeps_the_last_good_version_and_says_why() {
    let host = TestHost::start();
    host.deploy("f", &printing("{\"version\":1}"));
    host.drop_file("f.wasm", b"this is not a module");
    let reason = host.wait_refused("f.wasm");
    assert!(!reason.is_empty());
    assert_eq!(host.get("/f").json()["version"], 1);
    assert_eq!(host.function("f").unwrap()["refused"], reason.as_str());

    let list = host.cli(&["list"]).ok();
    assert!(list.contains("f.wasm") && list.contains(&reason), "{list}");
    let listing = host.control_json("/mayfly/functions");
    assert_eq!(listing["refused"][0]["serving"], true);
    assert_eq!(host.metric("mayfly_refused_files", &[]), 1);

    host.deploy("f", &printing("{\"version\":2}"));
    assert_eq!(host.get("/f").json()["version"], 2);
    assert_eq!(host.refusal("f.wasm"), None);
}

#[test]
fn a_refused_file_is_logged_once() {
    let host = TestHost::start();
    host.drop_file("f.wasm", b"this is not a module");
    let _reason = host.wait_refused("f.wasm");
    // Several looks at the whole folder later it is still one line.
    host.deploy("g", &printing("1"));
    pass(Duration::from_millis(4_500));
    let lines = host.process().stderr.all();
    let about: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("f.wasm"))
        .collect();
    assert_eq!(about.len(), 1, "{about:?}");
}

#[test]
fn what_is_no_module_is_refused_by_what_it_is() {
    let host = TestHost::start();
    let mut cut = good();
    cut.truncate(good().len() / 2);
    let mut flipped = good();
    flipped[9] ^= 0xff;
    let elf = fs::read("/proc/self/exe").unwrap()[..4_096].to_vec();
    let files: [(&str, Vec<u8>); 14] = [
        ("empty", Vec::new()),
        ("one", vec![0]),
        ("four", b"\0asm".to_vec()),
        ("seven", b"\0asm\x01\0\0".to_vec()),
        ("nothing", b"\0asm\x01\0\0\0".to_vec()),
        ("text", b"hello, I am a function\n".to_vec()),
        ("wat", b"(module (func (export \"_start\")))".to_vec()),
        ("script", b"#!/bin/sh\necho hi\n".to_vec()),
        ("elf", elf),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec()),
        ("pdf", b"%PDF-1.7\n".to_vec()),
        ("component", b"\0asm\x0d\0\x01\0".to_vec()),
        ("cut", cut),
        ("flipped", flipped),
    ];
    for (name, bytes) in &files {
        host.drop_wasm(name, bytes);
    }
    for (name, _) in &files {
        let reason = host.wait_refused(&format!("{name}.wasm"));
        assert!(
            reason.len() > 10 && !reason.contains('\n'),
            "{name}: {reason}"
        );
        assert_eq!(host.function(name), None, "{name}");
        assert_eq!(host.get(&format!("/{name}")).status, 404, "{name}");
    }
    let says = |name: &str, word: &str| {
        let reason = host.wait_refused(&format!("{name}.wasm")).to_lowercase();
        assert!(reason.contains(word), "{name}: {reason}");
    };
    says("elf", "elf");
    says("empty", "empty");
    says("component", "component");
    says("nothing", "_start");
    host.deploy("good", &printing("1"));
    assert_eq!(host.get("/good").status, 200);
}

#[test]
fn a_module_that_is_cut_anywhere_is_refused() {
    let host = TestHost::start();
    host.deploy("good", &printing("{\"good\":true}"));
    let whole = assemble("(module (func (export \"_start\")) (memory (export \"memory\") 1))");
    for end in 0..whole.len() {
        host.drop_wasm(&format!("cut{end}"), &whole[..end]);
    }
    for end in 0..whole.len() {
        let _reason = host.wait_refused(&format!("cut{end}.wasm"));
    }
    assert_eq!(host.get("/good").status, 200);
}

#[test]
fn links_pipes_sockets_devices_and_folders_are_refused_and_block_nothing() {
    let host = TestHost::start();
    let at = |name: &str| host.functions().join(name);
    fs::write(host.root().join("outside.wasm"), good()).unwrap();
    symlink("/etc/passwd", at("passwd.wasm")).unwrap();
    symlink(host.root().join("outside.wasm"), at("outside.wasm")).unwrap();
    symlink("missing", at("dangling.wasm")).unwrap();
    symlink("round.wasm", at("round.wasm")).unwrap();
    mknodat(
        CWD,
        at("pipe.wasm"),
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )
    .unwrap();
    let _socket = UnixListener::bind(at("socket.wasm")).unwrap();
    fs::create_dir(at("folder.wasm")).unwrap();
    symlink("/dev/zero", at("zero.wasm")).unwrap();

    for (file, what) in [
        ("passwd.wasm", "a symbolic link"),
        ("outside.wasm", "a symbolic link"),
        ("dangling.wasm", "a symbolic link"),
        ("round.wasm", "a symbolic link"),
        ("zero.wasm", "a symbolic link"),
        ("pipe.wasm", "a named pipe"),
        ("socket.wasm", "a socket"),
        ("folder.wasm", "a folder"),
    ] {
        assert_eq!(host.wait_refused(file), format!("{file} is {what}; {ONLY}"));
    }
    host.deploy("good", &printing("1"));
    assert_eq!(host.get("/good").status, 200);

    // What was a link becomes a file, and a function.
    host.delete("outside.wasm");
    host.drop_wasm("outside", &good());
    host.wait_live("outside");
    host.delete("pipe.wasm");
    until("no refusal of the pipe", || {
        host.refusal("pipe.wasm").is_none().then_some(())
    });
}

#[test]
fn a_link_in_the_place_of_a_manifest_is_refused() {
    let host = TestHost::start();
    symlink("/etc/passwd", host.functions().join("f.toml")).unwrap();
    host.drop_wasm("f", &good());
    assert_eq!(
        host.wait_refused("f.wasm"),
        format!("f.toml is a symbolic link; {ONLY}")
    );
}

#[test]
fn a_link_in_the_place_of_a_folder_or_inside_one_is_refused() {
    let host = TestHost::start();
    let outside = host.root().join("outside");
    fs::create_dir_all(outside.join("build")).unwrap();
    fs::write(outside.join("function.toml"), "").unwrap();
    for name in ["whole", "half"] {
        fs::write(outside.join(format!("build/{name}.wasm")), good()).unwrap();
    }
    symlink(&outside, host.functions().join("whole")).unwrap();
    fs::create_dir(host.functions().join("half")).unwrap();
    symlink(outside.join("build"), host.functions().join("half/build")).unwrap();
    fs::write(host.functions().join("half/function.toml"), "").unwrap();
    for name in ["whole", "half"] {
        let refused = until(&format!("an end of {name}"), || {
            let taken = host.function(name).map(|_| "taken".to_owned());
            taken.or_else(|| host.refusal(&format!("{name}/")))
        });
        assert!(refused.contains("a symbolic link"), "{name}: {refused}");
        assert_eq!(host.get(&format!("/{name}")).status, 404);
    }
}

#[test]
fn a_pipe_in_the_place_of_a_manifest_is_refused_and_blocks_nothing() {
    let host = TestHost::start();
    let manifest = host.functions().join("f.toml");
    mknodat(CWD, manifest, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    host.drop_wasm("f", &good());
    assert_eq!(
        host.wait_refused("f.wasm"),
        format!("f.toml is a named pipe; {ONLY}")
    );
    host.deploy("good", &printing("1"));
}

#[test]
fn names_are_letters_digits_dash_and_underscore() {
    let host = TestHost::start();
    let long = "x".repeat(65);
    let wasm = good();
    for name in [
        "a b",
        "ä",
        "a\u{202e}b",
        "a.wasm",
        "a.",
        &long,
        "a\nb",
        "a%20b",
        ";rm",
        "",
    ] {
        host.drop_wasm(name, &wasm);
    }
    for name in [
        "a b",
        "ä",
        "a\u{202e}b",
        "a.wasm",
        "a.",
        &long,
        "a\nb",
        "a%20b",
        ";rm",
    ] {
        let reason = host.wait_refused(&format!("{name}.wasm"));
        assert!(reason.starts_with("function name `"), "{reason}");
        assert!(!reason.contains(['\n', '\u{202e}']), "{reason}");
    }
    for name in ["-rf", "A_b-9", &"y".repeat(64), "admin", "health"] {
        host.drop_wasm(name, &wasm);
        host.wait_live(name);
        assert_eq!(host.get(&format!("/{name}")).status, 200, "{name}");
    }
    // The longest name that the file system has: 255 bytes.
    let longest = format!("{}.wasm", "z".repeat(250));
    host.drop_file(&longest, &wasm);
    assert!(host.wait_refused(&longest).contains("at most 64"));
    // Bytes that are no text.
    let path = host
        .functions()
        .join(std::ffi::OsStr::from_bytes(b"\xff\xfe.wasm"));
    fs::write(path, &wasm).unwrap();
    until("a refusal of a name that is not UTF-8", || {
        let listing = host.control_json("/mayfly/functions");
        let refused = listing["refused"].as_array().unwrap().clone();
        refused
            .iter()
            .any(|r| r["reason"].as_str().unwrap().contains("UTF-8"))
            .then_some(())
    });
}

#[test]
fn other_files_are_nobodys_business() {
    let host = TestHost::start();
    let wasm = good();
    for file in [
        ".hidden.wasm",
        ".f.wasm.swp",
        "f.wasm~",
        "4913",
        "README.md",
        "f.wasm.tmp",
        "f.toml",
    ] {
        host.drop_file(file, &wasm);
    }
    fs::create_dir(host.functions().join("sources")).unwrap();
    host.deploy("good", &printing("1"));
    let listing = host.control_json("/mayfly/functions");
    assert_eq!(
        listing["functions"].as_array().unwrap().len(),
        1,
        "{listing}"
    );
    assert_eq!(listing["refused"], serde_json::json!([]));
}

#[test]
fn names_that_differ_in_case_only_are_one_too_many() {
    let host = TestHost::start();
    host.deploy("hello", &printing("1"));
    host.drop_wat("HELLO", &printing("2"));
    let reason = host.wait_refused("HELLO.wasm");
    assert!(
        reason.contains("`hello`") && reason.contains("case"),
        "{reason}"
    );
    assert_eq!(host.get("/hello").text(), "1");
    assert_eq!(host.get("/HELLO").status, 404);
    // When the first one goes, the second one is taken.
    host.delete("hello.wasm");
    host.wait_live("HELLO");
    assert_eq!(host.get("/HELLO").text(), "2");
}

#[test]
fn a_file_beside_a_folder_of_the_same_name_is_refused() {
    let host = TestHost::start();
    let folder = host.functions().join("f");
    fs::create_dir_all(folder.join("build")).unwrap();
    fs::write(
        folder.join("function.toml"),
        "description = \"the folder\"\n",
    )
    .unwrap();
    fs::write(
        folder.join("build/f.wasm"),
        assemble(&printing("\"folder\"")),
    )
    .unwrap();
    host.wait_function("f", |f| f["description"] == "the folder");
    assert_eq!(host.get("/f").text(), "folder");

    host.drop_wat("f", &printing("\"file\""));
    let reason = host.wait_refused("f.wasm");
    assert!(reason.contains("f/"), "{reason}");
    assert_eq!(host.get("/f").text(), "folder");

    fs::remove_dir_all(&folder).unwrap();
    host.wait_live("f");
    assert_eq!(host.get("/f").text(), "file");
}

#[test]
fn a_folder_that_is_not_built_says_what_to_do() {
    let host = TestHost::start();
    fs::create_dir(host.functions().join("f")).unwrap();
    fs::write(host.functions().join("f/function.toml"), "").unwrap();
    assert_eq!(
        host.wait_refused("f/"),
        "there is no artifact at f/build/f.wasm; run `mayfly build f`"
    );
    fs::create_dir(host.functions().join("f/build")).unwrap();
    fs::write(host.functions().join("f/build/f.wasm"), good()).unwrap();
    host.wait_function("f", |f| f["refused"].is_null());
    assert_eq!(host.get("/f").json()["good"], true);
}

#[test]
fn the_second_function_that_claims_a_route_is_refused() {
    let host = TestHost::start();
    let route = "[[http]]\nmethod = \"GET\"\npath = \"/orders/{id}\"\n";
    host.deploy_with("first", route, &printing("1"));
    host.manifest("second", &route.replace("id", "other"));
    host.drop_wat("second", &printing("2"));
    let reason = host.wait_refused("second.wasm");
    assert!(
        reason.contains("/orders/{") && reason.contains("`first`"),
        "{reason}"
    );
    assert_eq!(host.get("/orders/7").text(), "1");
    host.delete("first.wasm");
    host.wait_live("second");
    assert_eq!(host.get("/orders/7").text(), "2");
}

#[test]
fn a_file_that_is_written_slowly_is_not_published_before_it_is_complete() {
    let host = TestHost::start();
    host.deploy("f", &printing("{\"version\":1}"));
    let new = padded(&printing("{\"version\":2}"), 4 << 20);
    let load = Load::start(host.http(), &[Request::get("/f")], 1, Some(50));

    let mut file = fs::File::create(host.functions().join("f.wasm")).unwrap();
    for piece in new.chunks(new.len() / 20 + 1) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        pass(Duration::from_millis(100));
    }
    // Complete, but still open: it may grow again, so it is live only when it has rested.
    drop(file);
    host.wait_live("f");
    assert_eq!(host.get("/f").json()["version"], 2);
    assert_eq!(host.refusal("f.wasm"), None);
    let shots = load.stop();
    assert!(shots.iter().all(|shot| shot.status() == 200), "{shots:?}");
    let warned = host.process().stderr.find("refused f.wasm");
    assert_eq!(warned, None, "a half-written file was looked at");
}

#[test]
fn a_file_that_nobody_closes_is_published_once_it_rests() {
    let host = TestHost::start();
    let mut file = fs::File::create(host.functions().join("f.wasm")).unwrap();
    file.write_all(&good()).unwrap();
    file.flush().unwrap();
    host.wait_live("f");
    assert_eq!(host.get("/f").status, 200);
    drop(file);
}

#[test]
fn a_storm_of_writes_ends_with_the_last_content() {
    let host = TestHost::start();
    let (even, odd) = (
        assemble(&printing("\"even\"")),
        assemble(&printing("\"odd\"")),
    );
    for number in 0..2_000 {
        host.drop_wasm("f", if number % 2 == 0 { &even } else { &odd });
    }
    host.wait_live("f");
    assert_eq!(host.get("/f").text(), "odd");
    // Nothing older comes after it.
    pass(Duration::from_millis(2_500));
    assert_eq!(host.get("/f").text(), "odd");
}

#[test]
fn many_files_at_once_are_all_live() {
    let host = TestHost::start();
    let wasm = good();
    for number in 0..200 {
        host.drop_wasm(&format!("f{number}"), &wasm);
    }
    until("200 functions", || {
        (host.metric("mayfly_functions", &[]) == 200).then_some(())
    });
    assert_eq!(host.get("/f0").status, 200);
    assert_eq!(host.get("/f199").status, 200);
}

#[test]
fn the_whole_folder_may_go_and_come_back() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    fs::remove_dir_all(host.functions()).unwrap();
    host.wait_gone("f");
    assert_eq!(host.get("/f").status, 404);
    fs::create_dir(host.functions()).unwrap();
    host.deploy("f", &printing("2"));
    assert_eq!(host.get("/f").text(), "2");
}

#[test]
fn an_unreadable_or_setuid_file_is_a_file_like_any_other() {
    let host = TestHost::start();
    host.drop_wasm("setuid", &good());
    let path = host.functions().join("setuid.wasm");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).unwrap();
    host.wait_live("setuid");
    assert_eq!(host.get("/setuid").status, 200);
    if rustix::process::geteuid().is_root() {
        support::skip(
            "unreadable files in the drop folder",
            "root may read everything",
        );
        return;
    }
    let path = host.functions().join("secret.wasm");
    fs::write(&path, good()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    assert!(host.wait_refused("secret.wasm").contains("can't be read"));
}

#[test]
fn a_large_module_is_taken_and_one_beyond_the_limit_is_refused() {
    let host = TestHost::start();
    host.drop_wasm("large", &padded(&guest("echo"), 20 << 20));
    host.wait_live("large");
    assert_eq!(host.get("/large").status, 200);
    host.drop_wasm("huge", &padded(&guest("echo"), 65 << 20));
    assert!(host.wait_refused("huge.wasm").contains("more than"));
}
