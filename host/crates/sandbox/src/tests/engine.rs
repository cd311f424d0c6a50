//! Does the engine really use the settings that it was given?

use std::sync::Arc;

use wasmtime::{Enabled, Strategy};

use super::support::{Host, limits, wait_until};
use crate::engine::{TABLE_ELEMENTS_MAX, WARM_SLOTS_MAX, pooled};
use crate::inspect::FEATURES;
use crate::settings::{Compile, EngineSettings, Profile};
use crate::{SandboxError, Sandboxes};

#[test]
fn the_engine_reads_back_what_was_configured() {
    for profile in Profile::ALL {
        let engine = pooled(profile, 16).unwrap();
        assert_eq!(engine.get_strategy(), Some(Strategy::Cranelift));
        assert!(engine.get_epoch_interruption());
        assert!(!engine.get_consume_fuel());
        assert!(!engine.get_concurrency_support());
        assert!(!engine.get_shared_memory());
        assert!(!engine.get_debug_info());
        assert!(!engine.get_guest_debug());
        assert!(!engine.get_parallel_compilation());
        assert!(engine.get_async_stack_zeroing());
        assert!(engine.get_memory_init_cow());
        assert!(engine.get_table_lazy_init());
        assert!(engine.get_signals_based_traps());
        assert_eq!(engine.get_max_wasm_stack(), 512 << 10);
        assert_eq!(engine.get_async_stack_size(), 768 << 10);
        assert_eq!(engine.get_memory_reservation(), 4 << 30);
        assert_eq!(engine.get_wasm_backtrace_max_frames(), 20);

        let pool = engine.get_pooling_config().unwrap();
        assert_eq!(pool.get_total_core_instances(), 16);
        assert_eq!(pool.get_total_memories(), 16);
        assert_eq!(pool.get_total_tables(), 32);
        assert_eq!(pool.get_total_stacks(), 16);
        assert_eq!(pool.get_max_memories_per_module(), 1);
        assert_eq!(pool.get_max_tables_per_module(), 2);
        assert_eq!(pool.get_table_elements(), TABLE_ELEMENTS_MAX);
        assert_eq!(pool.get_max_memory_size(), 4 << 30);
        assert_eq!(pool.get_max_core_instance_size(), 4 << 20);
        assert_eq!(pool.get_max_core_instances_per_component(), 32);
        assert_eq!(pool.get_decommit_batch_size(), 1);
        assert_eq!(pool.get_max_unused_warm_slots(), 16);
        assert_eq!(pool.get_memory_protection_keys(), Enabled::No);
    }
}

#[test]
fn a_profile_decides_how_slots_are_reset_and_nothing_else_does() {
    let resets = |profile| {
        let engine = pooled(profile, 4).unwrap();
        let pool = engine.get_pooling_config().unwrap();
        (
            pool.get_pagemap_scan(),
            pool.get_memory_keep_resident(),
            pool.get_table_keep_resident(),
            pool.get_async_stack_keep_resident(),
        )
    };
    assert_eq!(
        resets(Profile::Scan),
        (Enabled::Yes, 1 << 20, 64 << 10, 16 << 10)
    );
    assert_eq!(
        resets(Profile::Plain),
        (Enabled::No, 320 << 10, 64 << 10, 16 << 10)
    );
}

#[test]
fn a_thousand_sandboxes_fit_into_the_address_space() {
    for profile in Profile::ALL {
        let engine = pooled(profile, 1_000).unwrap();
        let pool = engine.get_pooling_config().unwrap();
        // Few functions at a time do not use up all slots.
        assert_eq!(pool.get_max_unused_warm_slots(), WARM_SLOTS_MAX);
    }
}

/// The engine has its own copy of the parser, so the features are compared by name.
#[test]
fn the_engine_has_the_features_that_files_are_checked_for() {
    let engine = pooled(Profile::Plain, 4).unwrap();
    let on = engine
        .get_wasm_features()
        .iter_names()
        .map(|(name, _)| name)
        .collect::<Vec<_>>();
    let mut expected = FEATURES
        .iter_names()
        .map(|(name, _)| name)
        .collect::<Vec<_>>();
    // Components may use two memories in their adapters; for core modules the file check says no.
    expected.extend(["MULTI_MEMORY", "COMPONENT_MODEL"]);
    expected.sort_unstable();
    let mut sorted = on.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
}

#[test]
fn compiled_code_depends_on_no_setting_of_the_pool() {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let hash = |engine: &wasmtime::Engine| {
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        hasher.finish()
    };
    let compiler = hash(&crate::engine::compiler().unwrap());
    for profile in Profile::ALL {
        assert_eq!(hash(&pooled(profile, 4).unwrap()), compiler);
    }
}

#[test]
fn the_report_is_read_back_from_the_engine() {
    let host = Host::new();
    let report = host.sandboxes.settings_report();
    assert_eq!(report.profile, Profile::Plain);
    assert!(!report.pagemap_scan);
    assert_eq!(
        (report.sandboxes_max, report.memory_bytes_max),
        (32, 4 << 30)
    );
    assert!(report.to_string().starts_with("wasmtime 48."), "{report}");
}

#[test]
fn nothing_is_run_after_swap_was_switched_on_where_slots_are_scanned() {
    if !wasmtime::PoolingAllocationConfig::is_pagemap_scan_available() {
        return;
    }
    let host = Host::new();
    let spec = host.command("", limits(16, 60_000)).spec().clone();
    for (profile, stops) in [(Profile::Scan, true), (Profile::Plain, false)] {
        let settings = EngineSettings {
            sandboxes_max: 4,
            loaded_max: 1_000,
            cache_dir: host.dir.path().join("code"),
            compile: Compile::InProcess,
            background: host.runtime.handle().clone(),
            clock: host.clock.clone(),
        };
        let sandboxes = Sandboxes::with_profile(settings, profile, || true).unwrap();
        let guest = sandboxes.guest(spec.clone());
        let run = || {
            let request = host.request("{}", limits(16, 60_000));
            host.runtime
                .block_on(sandboxes.run(Arc::clone(&guest), request))
        };
        if stops {
            wait_until("the look for swap", || run().is_err());
            let error = run().unwrap_err();
            assert!(matches!(error, SandboxError::SwapActive), "{error:?}");
        } else {
            let ticks = sandboxes.ticks();
            wait_until("two seconds of ticks", || sandboxes.ticks() > ticks + 1_500);
            run().unwrap();
        }
    }
}
