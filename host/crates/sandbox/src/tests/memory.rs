//! Does one budget hold for all memory a guest can get, however it asks?

use domain::FunctionError;

use super::support::{Host, limits};
use crate::{Refusal, inspect};

const GROWER: &str = r#"
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $page i32)
    (loop $again
      (local.set $page (memory.grow (i32.const 1)))
      (if (i32.ne (local.get $page) (i32.const -1))
        (then
          (i32.store8 (i32.shl (local.get $page) (i32.const 16)) (i32.const 1))
          (br $again))))
    END))
"#;

#[test]
fn a_guest_that_handles_a_refused_growth_ends_well_at_exactly_its_cap() {
    let host = Host::new();
    let ran = host.run(
        &host.guest(&GROWER.replace("END", ""), limits(8, 10_000)),
        "{}",
    );
    assert_eq!(ran.payload(), b"");
    assert_eq!(ran.usage.memory_peak_bytes, 8 << 20);
}

#[test]
fn a_guest_that_traps_after_a_refused_growth_ran_out_of_memory() {
    let host = Host::new();
    let ran = host.run(
        &host.guest(&GROWER.replace("END", "unreachable"), limits(8, 10_000)),
        "{}",
    );
    assert_eq!(ran.error(), &FunctionError::OutOfMemory);
    assert_eq!(ran.usage.memory_peak_bytes, 8 << 20);
}

#[test]
fn a_guest_that_exits_after_a_refused_growth_ran_out_of_memory() {
    let host = Host::new();
    let body = "(drop (memory.grow (i32.const 60000))) (call $proc_exit (i32.const 134))";
    assert_eq!(
        host.run_command(body, 1_000).error(),
        &FunctionError::OutOfMemory
    );
}

#[test]
fn failed_growths_are_never_given_back() {
    let host = Host::new();
    let ran = host.run_command(
        "(local $n i32)
         (loop $again
           (drop (memory.grow (i32.const 1)))
           (drop (memory.grow (i32.const -1)))
           (br_if $again (i32.lt_u
             (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000))))",
        20_000,
    );
    assert_eq!(ran.payload(), b"");
    assert_eq!(ran.usage.memory_peak_bytes, 16 << 20);
}

#[test]
fn a_table_stops_growing_at_its_limit_and_counts_as_memory() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module (table $t 1 funcref)
          (func (export "_start")
            (loop $again
              (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1))))
            (if (i32.ne (table.grow $t (ref.null func) (i32.const -1)) (i32.const -1))
              (then unreachable))
            (if (i32.gt_u (table.size $t) (i32.const 100000)) (then unreachable))
            (if (i32.lt_u (table.size $t) (i32.const 99000)) (then unreachable))))"#,
        limits(8, 10_000),
    );
    let ran = host.run(&guest, "{}");
    assert_eq!(ran.payload(), b"");
    assert!(ran.usage.memory_peak_bytes > 99_000 * 8, "{:?}", ran.usage);
    assert!(
        ran.usage.memory_peak_bytes <= 100_000 * 8,
        "{:?}",
        ran.usage
    );
}

#[test]
fn tables_and_memory_share_one_budget() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module (table $t 1 funcref) (memory (export "memory") 15)
          (func (export "_start")
            (loop $again
              (br_if $again (i32.ne (table.grow $t (ref.null func) (i32.const 100)) (i32.const -1))))
            (if (i32.ge_u (table.size $t) (i32.const 8193)) (then unreachable))
            (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))))"#,
        limits(1, 10_000),
    );
    assert_eq!(host.run(&guest, "{}").payload(), b"");
}

#[test]
fn a_module_that_needs_more_than_the_function_has_is_refused_before_it_runs() {
    for wat in [
        "(module (memory (export \"memory\") 65536) (func (export \"_start\")))",
        "(module (memory (export \"memory\") 257) (func (export \"_start\")))",
        "(module (memory (export \"memory\") 65536) (data (i32.const 0) \"x\")
            (data (i32.const 0xfffffff0) \"x\") (func (export \"_start\")))",
    ] {
        let refused = inspect(&wat::parse_str(wat).unwrap(), &limits(16, 1)).unwrap_err();
        assert!(matches!(refused, Refusal::Memory { .. }), "{refused}");
    }
    let huge = "(module (table 10000000 funcref) (func (export \"_start\")))";
    let refused = inspect(&wat::parse_str(huge).unwrap(), &limits(512, 1)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the module has 10000000 elements in one table; at most 100000 are allowed"
    );
}

#[test]
fn a_limit_that_was_lowered_since_is_an_init_failure() {
    let host = Host::new();
    let wat = "(module (memory (export \"memory\") 64) (func (export \"_start\")))";
    let mut spec = host.spec(&wat::parse_str(wat).unwrap(), limits(4, 1_000));
    assert_eq!(
        host.run(&host.sandboxes.guest(spec.clone()), "{}")
            .payload(),
        b""
    );
    spec.limits = limits(3, 1_000);
    let ran = host.run(&host.sandboxes.guest(spec), "{}");
    assert!(
        matches!(ran.error(), FunctionError::Init { .. }),
        "{:?}",
        ran.outcome
    );
}

#[test]
fn four_gigabytes_can_be_had() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module (memory (export "memory") 1) (func (export "_start")
            (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))
            (i32.store8 (i32.const -1) (i32.const 1))))"#,
        limits(4_096, 10_000),
    );
    let ran = host.run(&guest, "{}");
    assert_eq!(ran.payload(), b"");
    assert_eq!(ran.usage.memory_peak_bytes, 4 << 30);
}

#[test]
fn a_data_segment_outside_memory_is_an_init_failure() {
    let host = Host::new();
    let guest = host.guest(
        r#"(module (memory (export "memory") 1) (data (i32.const 65535) "xy") (func (export "_start")))"#,
        limits(16, 1_000),
    );
    let ran = host.run(&guest, "{}");
    assert!(
        matches!(ran.error(), FunctionError::Init { .. }),
        "{:?}",
        ran.outcome
    );
}

/// As many of everything as the file check lets through, where it takes room in an instance.
#[test]
fn the_largest_module_that_is_accepted_can_be_instantiated() {
    let host = Host::new();
    let imports = r#"(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"#;
    // An export or an element is what makes a function take room.
    let exports = (0..1_000)
        .map(|n| format!(r#"(export "i{n}" (func {n}))"#))
        .collect::<String>();
    let elements = (1_000..101_000)
        .map(|n| format!("{n} "))
        .collect::<String>();
    let wat = format!(
        r#"(module {} (memory (export "memory") 1) {} {} {} {exports} (elem func {elements})
          (table 50000 funcref) (table 50000 funcref) (export "_start" (func 1000)))"#,
        imports.repeat(1_000),
        "(global (mut i64) (i64.const 0))".repeat(40_000),
        r#"(data "x")"#.repeat(10_000),
        "(func)".repeat(100_000),
    );
    let guest = host.guest(&wat, limits(16, 60_000));
    for _ in 0..3 {
        assert_eq!(host.run(&guest, "{}").payload(), b"");
    }
}
