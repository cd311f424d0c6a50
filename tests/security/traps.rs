//! Guests that trap, exit or overflow: each with its own end, and the server with none.

use support::guests::{guest, guest_with};

use crate::zoo::{Expected, Zoo, trap};

#[test]
fn every_trap_has_its_code() {
    let zoo = Zoo::open();
    for (name, code, expected) in [
        ("unreachable", "(unreachable)", "UnreachableCodeReached"),
        (
            "divide",
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))",
            "IntegerDivisionByZero",
        ),
        (
            "overflow",
            "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
            "IntegerOverflow",
        ),
        (
            "not-a-number",
            "(drop (i32.trunc_f64_s (f64.const nan)))",
            "BadConversionToInteger",
        ),
        (
            "beyond",
            "(drop (i32.load (i32.const 65536)))",
            "MemoryOutOfBounds",
        ),
        (
            "far-beyond",
            "(drop (i32.load offset=0xfffffffc (i32.const -1)))",
            "MemoryOutOfBounds",
        ),
        (
            "null-call",
            "(call_indirect (type $nothing) (i32.const 0))",
            "IndirectCallToNull",
        ),
        (
            "wrong-call",
            "(call_indirect (type $nothing) (i32.const 1))",
            "BadSignature",
        ),
        (
            "no-such-call",
            "(call_indirect (type $nothing) (i32.const 9))",
            "TableOutOfBounds",
        ),
        (
            "table",
            "(drop (table.get $table (i32.const 2)))",
            "TableOutOfBounds",
        ),
        (
            "copy",
            "(memory.copy (i32.const 0) (i32.const 1) (i32.const 65536))",
            "MemoryOutOfBounds",
        ),
    ] {
        zoo.check(
            name,
            "",
            &guest_with("trap", &[("CODE", code)]),
            trap(expected),
        );
    }
    zoo.close();
}

#[test]
fn an_endless_recursion_overflows_the_guests_stack_and_no_other() {
    let zoo = Zoo::open();
    for name in ["recursion", "recursion-wide", "recursion-calling"] {
        zoo.check(name, "", &guest(name), trap("StackOverflow"));
    }
    zoo.close();
}

#[test]
fn a_trap_in_the_start_function_is_a_failure_to_start() {
    let zoo = Zoo::open();
    let init = Expected::Fails("error", "Runtime.InitError", "start function");
    zoo.check("at-start", "", &guest("trap-at-start"), init);
    let beyond = "(module (memory (export \"memory\") 1) (data (i32.const 65530) \"0123456789\")
        (func (export \"_start\")))";
    let data = Expected::Fails("error", "Runtime.InitError", "");
    zoo.check("data-beyond", "", beyond, data);
    zoo.close();
}

#[test]
fn an_exit_code_is_told() {
    let zoo = Zoo::open();
    zoo.check(
        "exit-0",
        "",
        &guest_with("exit", &[("CODE", "0")]),
        Expected::Answers(""),
    );
    for (name, code, told) in [
        ("exit-1", "1", "status 1"),
        ("exit-255", "255", "status 255"),
        ("exit-m1", "-1", "status 255"),
    ] {
        let exit = Expected::Fails("error", "Runtime.ExitError", told);
        zoo.check(name, "", &guest_with("exit", &[("CODE", code)]), exit);
    }
    zoo.close();
}

#[test]
fn a_table_of_branches_takes_the_right_one_and_a_larger_table_is_refused() {
    let zoo = Zoo::open();
    let table = |targets: usize| {
        let labels = format!("$first{}", " $other".repeat(targets));
        guest_with(
            "branch-table",
            &[("LABELS", &labels), ("TARGETS", &targets.to_string())],
        )
    };
    zoo.check("branches", "", &table(65_520), Expected::Answers(""));
    zoo.host.drop_wat("too-many", &table(65_521));
    let reason = zoo.host.wait_refused("too-many.wasm");
    assert!(reason.contains("br_table"), "{reason}");
    zoo.close();
}

#[test]
fn names_of_functions_that_trap_are_short_and_escaped() {
    let zoo = Zoo::open();
    zoo.check(
        "deep",
        "",
        &guest("trap-deep"),
        trap("UnreachableCodeReached"),
    );
    zoo.host.deploy("deep", &guest("trap-deep"));
    let id = zoo.host.get("/deep").request_id();
    let log = zoo.host.log_of("deep", &id);
    let forged = log
        .iter()
        .filter(|line| line.starts_with("REPORT "))
        .count();
    assert_eq!(forged, 1, "{log:?}");
    assert!(log.iter().all(|line| !line.contains('\u{1b}')), "{log:?}");
    assert!(log.iter().map(String::len).sum::<usize>() < 8_192);
    zoo.close();
}
