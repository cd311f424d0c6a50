//! Guests that speak the SDK's interface and lie about their memory.

use support::Request;
use support::guests::{guest, guest_with, sdk_answering};

use crate::zoo::{Expected, Zoo};

const FAILS: Expected = Expected::OneOf(&["error", "out_of_memory"]);

#[test]
fn an_answer_that_is_not_inside_the_memory_is_the_functions_failure() {
    let zoo = Zoo::open();
    for (name, at, length) in [
        ("wraps", "0xfffffff0", "0x20"),
        ("everything", "1", "0xffffffff"),
        ("all-of-it", "0", "0xffffffff"),
        ("at-the-end", "131072", "0"),
        ("behind-the-end", "131072", "1"),
        ("over-the-end", "131071", "2"),
        ("last-address", "0xffffffff", "1"),
        ("nothing", "0", "0"),
    ] {
        let wat = guest_with(
            "sdk-pointer",
            &[("PAGES", "2"), ("AT", at), ("LENGTH", length)],
        );
        zoo.check(name, "", &wat, FAILS);
    }
    zoo.check("no-such-kind", "", &sdk_answering(b"\x07{}"), FAILS);
    zoo.check("error-that-is-none", "", &sdk_answering(b"\x01[]"), FAILS);
    zoo.check(
        "half-an-error",
        "",
        &sdk_answering(b"\x01{\"errorType\":\"X\"}"),
        FAILS,
    );
    zoo.check("grows", "", &guest("sdk-grow"), Expected::Answers("null"));
    zoo.close();
}

#[test]
fn a_place_for_the_input_that_is_not_inside_the_memory_is_the_functions_failure() {
    let zoo = Zoo::open();
    let host = &zoo.host;
    for (name, input, alloc) in [
        ("input-wraps", "0xfffffff0", "0"),
        ("input-at-the-end", "196608", "0"),
        ("input-near-the-end", "196600", "0"),
    ] {
        let wat = guest_with("sdk-input", &[("INPUT", input), ("ALLOC", alloc)]);
        zoo.check(name, "", &wat, FAILS);
    }
    let large = Request::post("/f", "x".repeat(100_000)).header("content-type", "text/plain");
    for alloc in ["0", "0xfffffff0", "196608", "131072", "0xffffffff"] {
        let wat = guest_with("sdk-input", &[("INPUT", "0"), ("ALLOC", alloc)]);
        host.deploy("f", &wat);
        let response = host.send(&large);
        zoo.check_answer(alloc, &response, FAILS);
        zoo.check_after(alloc);
    }
    host.deploy_with("f", "timeout = 0.2\n", &guest("sdk-alloc-loop"));
    let response = host.send(&large);
    zoo.check_answer("alloc-loop", &response, Expected::Timeout);
    zoo.check_after("alloc-loop");
    zoo.close();
}

#[test]
fn a_module_that_offers_half_of_the_interface_is_refused_and_told_the_other_half() {
    let zoo = Zoo::open();
    let whole = guest_with(
        "sdk-pointer",
        &[("PAGES", "1"), ("AT", "0"), ("LENGTH", "1")],
    );
    for (name, was, becomes, part) in [
        ("no-memory", "(export \"memory\")", "", "memory"),
        (
            "no-input",
            "(export \"mayfly_v1_input\")",
            "",
            "mayfly_v1_input",
        ),
        (
            "no-alloc",
            "(export \"mayfly_v1_alloc\")",
            "",
            "mayfly_v1_alloc",
        ),
        (
            "other-handle",
            "(param i32 i32) (result i64)",
            "(param i32 i32 i32) (result i64)",
            "mayfly_v1_handle",
        ),
        (
            "memory-is-a-function",
            "(memory (export \"memory\") 1)",
            "(memory 1) (func (export \"memory\"))",
            "memory",
        ),
    ] {
        assert!(whole.contains(was), "{name}");
        zoo.host.drop_wat(name, &whole.replace(was, becomes));
        let reason = zoo.host.wait_refused(&format!("{name}.wasm"));
        assert!(reason.contains(part), "{name}: {reason}");
    }
    zoo.close();
}
