//! Is compiled code that is not exactly what was written ever loaded?

use std::collections::HashSet;
use std::fs::{self, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use domain::Clock;

use super::support::{Host, command, limits};
use crate::cache::{CodeCache, Found, Verified};
use crate::{ArtifactId, Compiled, LoadError, SandboxError};

fn answer(text: &str) -> Vec<u8> {
    let data = u32::from_le_bytes(text.as_bytes().try_into().unwrap());
    wat::parse_str(command(&format!(
        "(i32.store (i32.const 64) (i32.const {data}))
         (call $write (i32.const 1) (i32.const 64) (i32.const 4))"
    )))
    .unwrap()
}

/// A host with one function compiled, and the file of its code.
fn compiled(text: &str) -> (Host, Vec<u8>, PathBuf) {
    let host = Host::new();
    let wasm = answer(text);
    let artifact = ArtifactId::of(&wasm);
    assert_eq!(
        host.sandboxes.compile(artifact, &wasm).unwrap(),
        Compiled::Fresh
    );
    assert_eq!(
        host.sandboxes.compile(artifact, &wasm).unwrap(),
        Compiled::Cached
    );
    let path = host.sandboxes.cache().path(artifact);
    assert!(path.is_file());
    (host, wasm, path)
}

/// After the file was tampered with: it is rejected, the function still answers, the file is good
/// again.
#[track_caller]
fn check_recompiled(host: &Host, wasm: &[u8], text: &str) {
    let artifact = ArtifactId::of(wasm);
    let found = host.sandboxes.cache().find(artifact).unwrap();
    assert!(
        matches!(found, Found::Rejected(_) | Found::Nothing),
        "{found:?}"
    );
    let guest = host.sandboxes.guest(host.spec(wasm, limits(16, 10_000)));
    assert_eq!(host.run(&guest, "{}").payload(), text.as_bytes());
    let found = host.sandboxes.cache().find(artifact).unwrap();
    assert!(matches!(found, Found::Code(_)), "{found:?}");
}

#[test]
fn the_directory_and_its_files_are_the_owners_alone() {
    let (host, _, path) = compiled("mode");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let dir = path.parent().unwrap().to_owned();
    assert_eq!(mode(path), 0o600);
    assert_eq!(mode(dir.join("key")), 0o600);
    assert_eq!(mode(dir.clone()), 0o700);
    let leftovers = fs::read_dir(&dir).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|extension| extension == "tmp")
    });
    assert_eq!(leftovers.count(), 0);
    // A directory that was too open is closed at the next start.
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    let host = host.restart();
    assert_eq!(mode(dir), 0o700);
    drop(host);
}

#[test]
fn code_is_found_again_after_a_restart() {
    let (host, wasm, path) = compiled("keep");
    let before = fs::read(&path).unwrap();
    let host = host.restart();
    assert_eq!(
        host.sandboxes
            .compile(ArtifactId::of(&wasm), &wasm)
            .unwrap(),
        Compiled::Cached
    );
    let guest = host.sandboxes.guest(host.spec(&wasm, limits(16, 10_000)));
    // Without the artifact only the cache can have served it.
    fs::remove_file(&guest.spec().artifact_path).unwrap();
    assert_eq!(host.run(&guest, "{}").payload(), b"keep");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_flipped_bit_anywhere_is_noticed() {
    let (host, wasm, path) = compiled("flip");
    let good = fs::read(&path).unwrap();
    let artifact = ArtifactId::of(&wasm);
    let last = good.len() - 1;
    for at in (0..good.len())
        .step_by(good.len() / 97)
        .chain([last, last - 31, last - 32])
    {
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let mut byte = [0];
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.read_exact(&mut byte).unwrap();
        for flipped in [byte[0] ^ 1, byte[0]] {
            file.seek(SeekFrom::Start(at as u64)).unwrap();
            file.write_all(&[flipped]).unwrap();
            let found = host.sandboxes.cache().find(artifact).unwrap();
            assert_eq!(
                matches!(found, Found::Code(_)),
                flipped == byte[0],
                "byte {at}: {found:?}"
            );
        }
    }
    let mut flipped = good;
    flipped[5_000] ^= 0x40;
    fs::write(&path, flipped).unwrap();
    check_recompiled(&host, &wasm, "flip");
}

#[test]
fn code_that_was_checked_is_checked_again_when_its_file_is_another() {
    let (host, wasm, path) = compiled("seen");
    let artifact = ArtifactId::of(&wasm);
    // A minute from now nobody wrote to it a moment ago.
    let clock = Clock::manual(host.clock.unix_us() + 60_000_000);
    let engine = crate::engine::compiler().unwrap();
    let open = || CodeCache::open(path.parent().unwrap(), &engine, clock.clone()).unwrap();
    let good = fs::read(&path).unwrap();
    let damages: [fn(&PathBuf, &[u8]); 3] = [
        |path, bytes| fs::write(path, bytes).unwrap(),
        |path, bytes| {
            let beside = path.with_extension("beside");
            fs::write(&beside, bytes).unwrap();
            fs::rename(beside, path).unwrap();
        },
        |path, bytes| {
            let times =
                fs::FileTimes::new().set_modified(fs::metadata(path).unwrap().modified().unwrap());
            let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.write_all(bytes).unwrap();
            file.set_times(times).unwrap();
        },
    ];
    for damage in damages {
        fs::write(&path, &good).unwrap();
        let cache = open();
        assert!(!cache.was_checked(artifact));
        for _ in 0..2 {
            let found = cache.find(artifact).unwrap();
            assert!(matches!(found, Found::Code(_)), "{found:?}");
            assert!(cache.was_checked(artifact));
        }
        let mut flipped = good.clone();
        flipped[5_000] ^= 1;
        damage(&path, &flipped);
        let found = cache.find(artifact).unwrap();
        assert!(matches!(found, Found::Rejected(_)), "{found:?}");
    }
    // What was written a moment ago could be written again without a trace.
    fs::write(&path, &good).unwrap();
    let found = host.sandboxes.cache().find(artifact).unwrap();
    assert!(matches!(found, Found::Code(_)), "{found:?}");
    assert!(!host.sandboxes.cache().was_checked(artifact));
}

#[test]
fn a_file_that_was_cut_or_extended_is_noticed() {
    for change in [0, 1, 31, 32, 33, 4_000] {
        let (host, wasm, path) = compiled("trun");
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..change]).unwrap();
        check_recompiled(&host, &wasm, "trun");
    }
    let (host, wasm, path) = compiled("long");
    let mut longer = fs::read(&path).unwrap();
    longer.extend([0; 32]);
    fs::write(&path, longer).unwrap();
    check_recompiled(&host, &wasm, "long");
}

#[test]
fn code_of_another_artifact_or_engine_is_noticed() {
    let (host, wasm, path) = compiled("aaaa");
    let other = answer("bbbb");
    host.sandboxes
        .compile(ArtifactId::of(&other), &other)
        .unwrap();
    fs::copy(host.sandboxes.cache().path(ArtifactId::of(&other)), &path).unwrap();
    check_recompiled(&host, &wasm, "aaaa");

    // Code that is right in itself, but was authenticated with the key of another installation.
    let (elsewhere, _, foreign) = compiled("aaaa");
    fs::copy(foreign, &path).unwrap();
    check_recompiled(&host, &wasm, "aaaa");
    drop(elsewhere);
}

#[test]
fn a_sweep_keeps_the_code_of_what_is_named_for_this_engine_and_nothing_else() {
    let (host, wasm, path) = compiled("kept");
    let other = answer("gone");
    host.sandboxes
        .compile(ArtifactId::of(&other), &other)
        .unwrap();
    let dir = path.parent().unwrap();
    let name = ArtifactId::of(&wasm);
    fs::write(dir.join(format!("{name}-0123456789abcdef.cwasm")), "x").unwrap();
    fs::write(dir.join("notes.txt"), "x").unwrap();

    let keep = HashSet::from([name]);
    assert_eq!(host.sandboxes.sweep(&keep).unwrap(), 2);
    assert_eq!(host.sandboxes.sweep(&keep).unwrap(), 0);
    let found = host.sandboxes.cache().find(name).unwrap();
    assert!(matches!(found, Found::Code(_)), "{found:?}");
    assert!(dir.join("key").is_file() && dir.join("notes.txt").is_file());
    let gone = host.sandboxes.cache().find(ArtifactId::of(&other)).unwrap();
    assert!(matches!(gone, Found::Nothing), "{gone:?}");
}

#[test]
fn what_a_killed_process_left_half_written_is_in_nobodys_way() {
    let (host, wasm, path) = compiled("half");
    let name = ArtifactId::of(&wasm);
    fs::remove_file(&path).unwrap();
    let half = path.with_file_name(format!("{name}.{}.0.tmp", std::process::id()));
    fs::write(&half, "x").unwrap();
    let host = host.restart();
    assert!(!half.exists());
    assert_eq!(
        host.sandboxes.compile(name, &wasm).unwrap(),
        Compiled::Fresh
    );
}

#[test]
fn links_fifos_and_open_modes_are_not_followed() {
    let (host, wasm, path) = compiled("link");
    let moved = host.dir.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    symlink(&moved, &path).unwrap();
    check_recompiled(&host, &wasm, "link");
    assert!(
        fs::symlink_metadata(&path).unwrap().is_file(),
        "the link was replaced"
    );

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let found = host.sandboxes.cache().find(ArtifactId::of(&wasm)).unwrap();
    assert!(matches!(found, Found::Rejected(_)), "{found:?}");
    // It can't be replaced, so the code is used from memory.
    let guest = host.sandboxes.guest(host.spec(&wasm, limits(16, 10_000)));
    assert_eq!(host.run(&guest, "{}").payload(), b"link");
    fs::remove_dir(&path).unwrap();

    host.sandboxes
        .compile(ArtifactId::of(&wasm), &wasm)
        .unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    check_recompiled(&host, &wasm, "link");
}

#[test]
fn a_key_that_can_not_be_used_means_compiling_again() {
    let break_key: [fn(&PathBuf); 4] = [
        |key| fs::remove_file(key).unwrap(),
        |key| fs::write(key, b"short").unwrap(),
        |key| fs::write(key, [7; 32]).unwrap(),
        |key| fs::set_permissions(key, Permissions::from_mode(0o644)).unwrap(),
    ];
    for change in break_key {
        let (host, wasm, path) = compiled("keys");
        change(&path.parent().unwrap().join("key"));
        let host = host.restart();
        check_recompiled(&host, &wasm, "keys");
        let host = host.restart();
        let artifact = ArtifactId::of(&wasm);
        assert_eq!(
            host.sandboxes.compile(artifact, &wasm).unwrap(),
            Compiled::Cached
        );
    }
}

#[test]
fn an_artifact_that_changed_or_is_gone_is_the_hosts_failure() {
    let host = Host::new();
    let wasm = answer("gone");
    let guest = host.sandboxes.guest(host.spec(&wasm, limits(16, 10_000)));
    fs::write(&guest.spec().artifact_path, answer("evil")).unwrap();
    let error = host.try_run(&guest, "{}").unwrap_err();
    assert!(
        matches!(error, SandboxError::Load(LoadError::ArtifactChanged { .. })),
        "{error:?}"
    );
    fs::remove_file(&guest.spec().artifact_path).unwrap();
    let error = host.try_run(&guest, "{}").unwrap_err();
    assert!(
        matches!(error, SandboxError::Load(LoadError::Artifact { .. })),
        "{error:?}"
    );
    // A failed load is tried again.
    fs::write(&guest.spec().artifact_path, &wasm).unwrap();
    assert_eq!(host.run(&guest, "{}").payload(), b"gone");
}

#[test]
fn kept_code_that_the_engine_does_not_take_is_compiled_again() {
    let (host, wasm, path) = compiled("junk");
    let good = fs::read(&path).unwrap();
    let artifact = ArtifactId::of(&wasm);
    // Authentic, but of another compiler, or of an engine with other settings.
    let other = wasmtime::Engine::default()
        .precompile_module(&wasm)
        .unwrap();
    for code in [b"junk".to_vec(), other] {
        let code = Verified::just_compiled(code);
        host.sandboxes.cache().keep(artifact, &code).unwrap();
        let guest = host.sandboxes.guest(host.spec(&wasm, limits(16, 10_000)));
        assert_eq!(host.run(&guest, "{}").payload(), b"junk");
        assert_eq!(fs::read(&path).unwrap(), good);
        host.sandboxes.cache().keep(artifact, &code).unwrap();
        assert_eq!(
            host.sandboxes.compile(artifact, &wasm).unwrap(),
            Compiled::Fresh
        );
    }
}

#[test]
fn the_cache_can_be_removed_under_a_live_server() {
    let (host, wasm, path) = compiled("gone");
    let dir = path.parent().unwrap();
    let key = fs::read(dir.join("key")).unwrap();
    fs::remove_dir_all(dir).unwrap();
    check_recompiled(&host, &wasm, "gone");
    assert_eq!(fs::read(dir.join("key")).unwrap(), key);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(dir), mode(&dir.join("key"))), (0o700, 0o600));
    // The key alone, too: the next start must find what was kept.
    fs::remove_file(dir.join("key")).unwrap();
    let more = answer("more");
    host.sandboxes
        .compile(ArtifactId::of(&more), &more)
        .unwrap();
    let host = host.restart();
    for wasm in [wasm, more] {
        let artifact = ArtifactId::of(&wasm);
        assert_eq!(
            host.sandboxes.compile(artifact, &wasm).unwrap(),
            Compiled::Cached
        );
    }
}

#[test]
fn many_first_runs_load_once() {
    let host = Host::new();
    let wasm = answer("once");
    let guest = host.sandboxes.guest(host.spec(&wasm, limits(16, 60_000)));
    let runtime = super::support::multi_thread(2);
    let runs = (0..16).map(|_| {
        let request = host.request("{}", guest.spec().limits);
        let observed = Arc::clone(&request.observed);
        (
            runtime.spawn(host.sandboxes.run(Arc::clone(&guest), request)),
            observed,
        )
    });
    let mut loads = 0;
    for (run, observed) in runs.collect::<Vec<_>>() {
        runtime.block_on(run).unwrap().unwrap();
        loads += u32::from(observed.usage(&host.clock).init.is_some());
    }
    assert_eq!(loads, 1);
}

#[test]
fn large_code_is_loaded_and_runs() {
    let host = Host::new();
    let functions = (0..12_000)
        .map(|n| format!("(func (param i32) (result i32) (i32.mul (local.get 0) (i32.const {n})))"))
        .collect::<String>();
    let wat = format!(r#"(module {functions} (func (export "_start")))"#);
    let guest = host.guest(&wat, limits(16, 60_000));
    let wasm = fs::read(&guest.spec().artifact_path).unwrap();
    host.sandboxes
        .compile(guest.spec().artifact, &wasm)
        .unwrap();
    let path = host.sandboxes.cache().path(guest.spec().artifact);
    assert!(fs::metadata(path).unwrap().len() > 1 << 20);
    assert_eq!(host.run(&guest, "{}").payload(), b"");
}
