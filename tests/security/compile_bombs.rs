//! Files that are small and expensive to compile: refused or taken, and nobody else waits for them.

use std::fmt::Write as _;

use support::guests::printing;
use support::wait::Stopwatch;
use support::{report, until};

use crate::zoo::Zoo;

fn module(inside: &str) -> String {
    format!("(module (memory 1) {inside} (func (export \"_start\")))")
}

fn bombs() -> Vec<(&'static str, String)> {
    let functions: String = (0..support::count(20_000, 50_000))
        .map(|_| "(func (param i32) (result i32) (local.get 0))")
        .collect();
    let mut exports = String::from("(func $f)");
    for number in 0..100_000 {
        let _written = write!(exports, "(export \"e{number}\" (func $f))");
    }
    let segments: String = (0..40_000).map(|_| "(data (i32.const 0) \"a\")").collect();
    let locals = format!("(func (local {}))", "i64 ".repeat(20_000));
    // Tens of seconds of compiling, until the compiler is stopped.
    let loops = format!("(func {})", "(loop)".repeat(support::count(2_000, 20_000)));
    let blocks = format!(
        "(func (param i32) {})",
        "(block (drop (local.get 0)))".repeat(15_000)
    );
    let nested = format!("(func {}{})", "(block ".repeat(1_000), ")".repeat(1_000));
    let body = format!(
        "(func (param i32) (result i32) (local.get 0) {})",
        "(i32.const 12345) (i32.add)".repeat(support::count(50_000, 300_000))
    );
    let branches = format!("(br_table {})", "0 ".repeat(60_000));
    let tables: String = (0..100)
        .map(|_| format!("(func (param i32) (block (local.get 0) {branches}))"))
        .collect();
    let name = format!(
        "(import \"wasi_snapshot_preview1\" \"{}\" (func))",
        "n".repeat(99_999)
    );
    vec![
        ("functions", module(&functions)),
        ("exports", module(&exports)),
        ("segments", module(&segments)),
        ("locals", module(&locals)),
        ("loops", module(&loops)),
        ("blocks", module(&blocks)),
        ("nested", module(&nested)),
        ("body", module(&body)),
        ("branch-tables", module(&tables)),
        (
            "name",
            format!("(module {name} (func (export \"_start\")))"),
        ),
    ]
}

#[test]
fn a_compile_bomb_is_taken_or_refused_and_delays_nobody_who_is_served() {
    let zoo = Zoo::open();
    let host = &zoo.host;
    for (name, wat) in bombs() {
        let watch = Stopwatch::start();
        host.drop_wat(name, &wat);
        let ended = until(&format!("an end of {name}"), || {
            let refused = host.refusal(&format!("{name}.wasm"));
            refused.or_else(|| host.function(name).map(|_| "taken".to_owned()))
        });
        let short: String = ended.chars().take(160).collect();
        report(
            &format!("compile bomb {name}, {} ms", watch.elapsed().as_millis()),
            short,
        );
        if ended == "taken" {
            assert_eq!(host.get(&format!("/{name}")).status, 200, "{name}");
        }
        zoo.check_after(name);
    }
    host.deploy("good", &printing("1"));
    assert_eq!(host.get("/good").status, 200);
    zoo.close();
}
