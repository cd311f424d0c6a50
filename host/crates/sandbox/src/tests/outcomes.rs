//! Does each way to end give the right outcome?

use domain::FunctionError;

use super::support::{Host, PRELUDE, limits};

#[test]
fn exit_codes_are_outcomes() {
    let host = Host::new();
    for code in [0, 1, 2, 101, 125, 126, 134, 255, 256, -1] {
        let ran = host.run_command(&format!("(call $proc_exit (i32.const {code}))"), 1_000);
        if code == 0 {
            assert_eq!(ran.payload(), b"");
        } else {
            let code = if (1..=255).contains(&code) { code } else { 255 };
            assert_eq!(ran.error(), &FunctionError::Exited { code });
        }
    }
}

#[track_caller]
fn check_exit_with(stdout: &str, code: i32) -> FunctionError {
    let host = Host::new();
    let data = stdout
        .bytes()
        .map(|byte| format!("\\{byte:02x}"))
        .collect::<String>();
    let guest = host.guest(
        &format!(
            "(module {PRELUDE} (data (i32.const 64) \"{data}\") (func (export \"_start\")
               (call $write (i32.const 1) (i32.const 64) (i32.const {}))
               (call $proc_exit (i32.const {code}))))",
            stdout.len()
        ),
        limits(16, 1_000),
    );
    host.run(&guest, "{}").error().clone()
}

#[test]
fn an_error_object_on_stdout_is_a_returned_error() {
    let text = r#"{"errorType":"Nope","errorMessage":"no","trace":[]}"#;
    let FunctionError::Returned {
        error_type,
        message,
        payload,
    } = check_exit_with(text, 1)
    else {
        panic!("not returned");
    };
    assert_eq!(
        (&*error_type, &*message, &payload[..]),
        ("Nope", "no", text.as_bytes())
    );
    assert_eq!(
        check_exit_with(r#"{"error":"no"}"#, 3),
        FunctionError::Exited { code: 3 }
    );
    assert_eq!(
        check_exit_with("oops", 1),
        FunctionError::Exited { code: 1 }
    );
}

#[test]
fn each_trap_has_its_own_code() {
    let host = Host::new();
    for (body, code) in [
        ("unreachable", "UnreachableCodeReached"),
        (
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "IntegerDivisionByZero",
        ),
        (
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
            "IntegerOverflow",
        ),
        (
            "(drop (i32.trunc_f64_s (f64.const nan)))",
            "BadConversionToInteger",
        ),
        (
            "(drop (i32.trunc_f64_s (f64.const 1e30)))",
            "IntegerOverflow",
        ),
        ("(drop (i32.load (i32.const -4)))", "MemoryOutOfBounds"),
        (
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1))",
            "MemoryOutOfBounds",
        ),
    ] {
        let ran = host.run_command(body, 5_000);
        assert_eq!(ran.trap(), code, "{body}");
    }
    let table = |body: &str| {
        format!(
            "(module (table $t 2 funcref) (type $v (func)) (func $f (param i32))
               (elem (i32.const 0) $f) (func (export \"_start\") {body}))"
        )
    };
    for (body, code) in [
        (
            "(call_indirect $t (type $v) (i32.const 1))",
            "IndirectCallToNull",
        ),
        ("(call_indirect $t (type $v) (i32.const 0))", "BadSignature"),
        (
            "(call_indirect $t (type $v) (i32.const 2))",
            "TableOutOfBounds",
        ),
        ("(drop (table.get $t (i32.const 2)))", "TableOutOfBounds"),
    ] {
        let ran = host.run(&host.guest(&table(body), limits(16, 5_000)), "{}");
        assert_eq!(ran.trap(), code, "{body}");
    }
}

#[test]
fn endless_recursion_is_a_stack_overflow() {
    let host = Host::new();
    let plain = r#"(module (func $f (call $f) (call $f)) (func (export "_start") (call $f)))"#;
    let ran = host.run(&host.guest(plain, limits(16, 10_000)), "{}");
    assert_eq!(ran.trap(), "StackOverflow");
    // Frames as large as they get.
    let locals = "(local v128)".repeat(5_000);
    let uses = (0..5_000)
        .map(|n| format!("(local.set {n} (v128.const i32x4 {n} 1 2 3))"))
        .collect::<String>();
    let reads = (0..5_000)
        .map(|n| format!("(v128.store (i32.const 0) (local.get {n}))"))
        .collect::<String>();
    let large = format!(
        "(module (memory (export \"memory\") 1) (func $f {locals} {uses} (call $f) {reads})
           (func (export \"_start\") (call $f)))"
    );
    let ran = host.run(&host.guest(&large, limits(16, 10_000)), "{}");
    assert_eq!(ran.trap(), "StackOverflow");
}

#[test]
fn host_calls_with_an_almost_full_stack_never_crash_the_host() {
    let host = Host::new();
    let guest = host.guest(
        &format!(
            "(module {PRELUDE}
               (func $f (call $write (i32.const 2) (i32.const 64) (i32.const 1)) (call $f))
               (func (export \"_start\") (call $f)))"
        ),
        limits(16, 60_000),
    );
    assert_eq!(host.run(&guest, "{}").trap(), "StackOverflow");
}

#[test]
fn a_trap_in_the_start_function_is_an_init_failure() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module (func $s unreachable) (start $s) (func (export "_start")))"#,
        limits(16, 1_000),
    );
    let ran = host.run(&guest, "{}");
    assert!(
        matches!(ran.error(), FunctionError::Init { .. }),
        "{:?}",
        ran.outcome
    );
}

#[test]
fn a_backtrace_names_functions_shortly_and_without_control_characters() {
    let host = Host::new();
    let mut wasm = wat::parse_str(
        r#"(module (func $inner unreachable) (func $outer (call $inner))
            (func (export "_start") (call $outer)))"#,
    )
    .unwrap();
    let ran = host.run(
        &host.sandboxes.guest(host.spec(&wasm, limits(16, 1_000))),
        "{}",
    );
    let FunctionError::Trapped { frames, .. } = ran.error() else {
        panic!("{:?}", ran.outcome)
    };
    assert_eq!(frames, &["inner", "outer", "function[2]"]);

    // The same module with names that attack a terminal, a log parser and a demangler.
    let hostile = format!("_ZN{}\n\u{1b}[31mREPORT", "9".repeat(100_000));
    let start = wasm
        .windows(5)
        .position(|window| window == b"\x04name")
        .unwrap()
        - 1;
    wasm.truncate(start.saturating_sub(wasm_section_size_bytes(&wasm, start)));
    wasm.extend(name_section(&hostile));
    let ran = host.run(
        &host.sandboxes.guest(host.spec(&wasm, limits(16, 1_000))),
        "{}",
    );
    let FunctionError::Trapped { frames, .. } = ran.error() else {
        panic!("{:?}", ran.outcome)
    };
    assert_eq!(frames.len(), 3);
    assert!(
        frames[0].starts_with("_ZN999") && frames[0].chars().count() <= 101,
        "{}",
        frames[0]
    );
    assert!(frames.iter().all(|frame| !frame.contains(char::is_control)));
}

/// How many bytes stand before the custom section's name: id and size.
fn wasm_section_size_bytes(wasm: &[u8], name_length_at: usize) -> usize {
    // The size is a single byte in a module this small.
    assert_eq!(wasm[name_length_at - 1], 0, "the id of a custom section");
    1
}

/// A section that gives function 0 a name.
fn name_section(name: &str) -> Vec<u8> {
    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let low = u8::try_from(value & 0x7f).unwrap();
            value >>= 7;
            if value == 0 {
                bytes.push(low);
                return bytes;
            }
            bytes.push(low | 0x80);
        }
    }
    let mut map = leb(1);
    map.extend(leb(0));
    map.extend(leb(name.len()));
    map.extend(name.as_bytes());
    let mut body = b"\x04name\x01".to_vec();
    body.extend(leb(map.len()));
    body.extend(map);
    let mut section = vec![0];
    section.extend(leb(body.len()));
    section.extend(body);
    section
}

#[test]
fn a_branch_table_takes_the_right_branch() {
    let host = Host::new();
    // 65,520 targets: all to the inner block but the last one.
    let mut targets = "0 ".repeat(65_519);
    targets.push_str("1 ");
    let module = |index: i32, expected: i32| {
        format!(
            "(module (func (export \"_start\") (local $r i32)
               (block $default (block $last (block $many
                 (br_table {targets} 2 (i32.const {index})))
                 (local.set $r (i32.const 1)) (br $default))
                 (local.set $r (i32.const 2)))
               (if (i32.ne (local.get $r) (i32.const {expected})) (then unreachable))))"
        )
    };
    for (index, expected) in [(0, 1), (65_518, 1), (65_519, 2), (65_520, 0), (-1, 0)] {
        let ran = host.run(
            &host.guest(&module(index, expected), limits(16, 10_000)),
            "{}",
        );
        assert_eq!(ran.payload(), b"", "{index}");
    }
}
