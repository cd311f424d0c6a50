//! The guests that tests drop: text files in `tests/guests`, one behaviour each, and generated ones.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the text files.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// The text of `tests/guests/NAME.wat`.
#[track_caller]
#[must_use]
pub fn guest(name: &str) -> String {
    match fs::read_to_string(folder().join(format!("{name}.wat"))) {
        Ok(text) => text,
        Err(error) => panic!("guest {name}: {error}"),
    }
}

/// The same with `{{KEY}}` replaced by its value.
#[track_caller]
#[must_use]
pub fn guest_with(name: &str, values: &[(&str, &str)]) -> String {
    let mut text = guest(name);
    for (key, value) in values {
        let place = format!("{{{{{key}}}}}");
        assert!(text.contains(&place), "guest {name} has no {place}");
        text = text.replace(&place, value);
    }
    text
}

/// The bytes of a module.
#[track_caller]
#[must_use]
pub fn assemble(wat: &str) -> Vec<u8> {
    match wat::parse_str(wat) {
        Ok(wasm) => wasm,
        Err(error) => panic!("{error}\n{}", wat.chars().take(2_000).collect::<String>()),
    }
}

/// A `command` that prints `stdout`, and exits with 0.
#[must_use]
pub fn printing(stdout: impl AsRef<[u8]>) -> String {
    speaking(stdout, b"", 0)
}

/// A `command` that prints `stdout` and `stderr`, and exits with `code`.
#[must_use]
pub fn speaking(stdout: impl AsRef<[u8]>, stderr: impl AsRef<[u8]>, code: u8) -> String {
    let (stdout, stderr) = (stdout.as_ref(), stderr.as_ref());
    let err_at = 64 + stdout.len();
    let pages = (err_at + stderr.len()) / 65_536 + 1;
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") {pages})
  (data (i32.const 64) "{}{}")
  (func $say (param $fd i32) (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at))
    (i32.store (i32.const 4) (local.get $length))
    (loop $more
      (br_if 1 (i32.eqz (i32.load (i32.const 4))))
      (br_if 1 (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 8))))
      (i32.store (i32.const 4) (i32.sub (i32.load (i32.const 4)) (i32.load (i32.const 8))))
      (br $more)))
  (func (export "_start")
    (call $say (i32.const 2) (i32.const {err_at}) (i32.const {}))
    (call $say (i32.const 1) (i32.const 64) (i32.const {}))
    (if (i32.const {code}) (then (call $exit (i32.const {code}))))))
"#,
        escaped(stdout),
        escaped(stderr),
        stderr.len(),
        stdout.len(),
    )
}

/// An `sdk` module whose handler answers with these bytes; the first says what they are.
#[must_use]
pub fn sdk_answering(answer: impl AsRef<[u8]>) -> String {
    let answer = answer.as_ref();
    guest_with(
        "sdk-answer",
        &[
            ("ANSWER", &escaped(answer)),
            ("LENGTH", &answer.len().to_string()),
        ],
    )
}

/// Bytes as they are written inside quotes.
#[must_use]
pub fn escaped(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 3), |mut text, byte| {
            let _written = write!(text, "\\{byte:02x}");
            text
        })
}
