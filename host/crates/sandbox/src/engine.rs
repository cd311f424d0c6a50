//! The engine: which wasm is allowed, how code is made, and the pool that instances live in.
//!
//! Every setting that a guest could profit from is written here, also where it is the default today.
//! Knows nothing of events.

use std::fs;
use std::io;
use std::path::PathBuf;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy,
    WasmBacktraceDetails,
};

use crate::settings::{EngineReport, Profile};

/// Elements of one table: the size of a table's slot in the pool. As many as functions are allowed.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Tables of one module.
pub(crate) const TABLES_PER_MODULE_MAX: u32 = 2;

/// Address space of one memory's slot: what 32-bit wasm can address.
const MEMORY_SLOT_BYTES: usize = 4 << 30;

/// Native stack that wasm may use.
const WASM_STACK_BYTES: usize = 512 << 10;

/// Native stack of one guest; the difference to [`WASM_STACK_BYTES`] is for host calls. The kernel
/// looks at all of it after each event, so it is no larger than it must be.
const GUEST_STACK_BYTES: usize = 768 << 10;

/// The engine's own record of one instance, in bytes: what the largest module that is accepted needs
/// for its functions, globals and imports. Only as much as a module needs is allocated.
const INSTANCE_BYTES_MAX: usize = 4 << 20;

/// Free slots that wait for the function they last ran: the hot set. With more of them than this, the
/// one that was unused for the longest time is taken before one that was never used.
///
/// A used slot keeps up to [`MEMORY_KEEP_RESIDENT_BYTES`] that no budget counts, and little of its tables
/// and stack. So this keeps the
/// number of used slots near the most sandboxes that were alive at once, plus 128 (128 MiB); without
/// it all slots would be used in the end. What a burst has used stays: about 1 GiB after 1,000 at once.
pub(crate) const WARM_SLOTS_MAX: u32 = 128;

/// Memory of a free slot that [`Profile::Scan`] resets in place instead of giving it back.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// The same for [`Profile::Plain`], which resets all of it, written or not: what a function that
/// `mayfly build` made from a small crate has (`functions/.cargo/config.toml`). In place it takes 3 µs;
/// given back, each page that is used again is a fault of 2 µs.
const MEMORY_KEEP_RESIDENT_PLAIN_BYTES: usize = 320 << 10;

/// Tables that stay; a page for 512 elements.
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;

/// The upper end of a stack, zeroed in place after each event, touched or not, so it stays with
/// each slot that was ever used. The examples touch 8 KiB of it.
const STACK_KEEP_RESIDENT_BYTES: usize = 16 << 10;

/// Frames kept of a trap's backtrace.
const BACKTRACE_FRAMES_MAX: usize = 20;

/// Version of the engine, as in `Cargo.lock`; a test compares the two.
pub(crate) const ENGINE_VERSION: &str = "48.0.8";

/// Why there are no sandboxes.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The engine did not take the settings, or the machine did not give it the address space.
    #[error("making the engine failed: {message}")]
    Engine {
        /// What it said.
        message: String,
    },
    /// The code cache can't be used.
    #[error("opening the code cache `{}` failed", path.display())]
    Cache {
        /// Its directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that interrupts guests can't be started.
    #[error("starting the epoch ticker failed")]
    Ticker {
        /// What the system said.
        source: io::Error,
    },
}

/// An engine that runs guests.
pub(crate) fn pooled(profile: Profile, sandboxes_max: u32) -> wasmtime::Result<Engine> {
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
        profile,
        sandboxes_max,
    )));
    Engine::new(&config)
}

/// An engine that compiles for [`pooled`] ones, and runs nothing but snapshots. It reserves no
/// address space, so it works under a limit of it.
pub(crate) fn compiler() -> wasmtime::Result<Engine> {
    let mut config = base();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

fn base() -> Config {
    let mut config = Config::new();
    config.strategy(Strategy::Cranelift);
    // One compilation at a time may use one core.
    config.parallel_compilation(false);
    config.epoch_interruption(true);
    config.consume_fuel(false);
    config.max_wasm_stack(WASM_STACK_BYTES);
    config.async_stack_size(GUEST_STACK_BYTES);
    config.async_stack_zeroing(true);
    config.memory_init_cow(true);
    config.memory_reservation(MEMORY_SLOT_BYTES as u64);
    // Proposals that no supported toolchain needs, or that the limits can't see.
    config.wasm_threads(false);
    config.wasm_shared_everything_threads(false);
    config.shared_memory(false);
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    config.gc_support(false);
    config.concurrency_support(false);
    config.wasm_memory64(false);
    config.wasm_relaxed_simd(false);
    config.wasm_tail_call(false);
    config.wasm_stack_switching(false);
    config.wasm_custom_page_sizes(false);
    config.wasm_wide_arithmetic(false);
    // Adapters inside composed components use two memories; core modules may not (see `inspect`).
    config.wasm_multi_memory(true);
    // A trap must not make the host parse debug information that a guest brought along.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config.debug_info(false);
    config
}

fn pool(profile: Profile, sandboxes_max: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(sandboxes_max)
        .total_component_instances(sandboxes_max)
        .total_memories(sandboxes_max)
        .total_tables(sandboxes_max.saturating_mul(TABLES_PER_MODULE_MAX))
        .total_stacks(sandboxes_max)
        .total_gc_heaps(0)
        .max_memories_per_module(1)
        .max_memory_size(MEMORY_SLOT_BYTES)
        .max_tables_per_module(TABLES_PER_MODULE_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instances_per_component(32)
        .max_memories_per_component(8)
        .max_tables_per_component(16)
        .max_unused_warm_slots(sandboxes_max.min(WARM_SLOTS_MAX))
        .decommit_batch_size(1);
    // Stacks are zeroed without asking the kernel about pages; tables follow the profile.
    pool.table_keep_resident(TABLE_KEEP_RESIDENT_BYTES)
        .async_stack_keep_resident(STACK_KEEP_RESIDENT_BYTES);
    match profile {
        Profile::Scan => pool
            .pagemap_scan(Enabled::Yes)
            .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES),
        Profile::Plain => pool
            .pagemap_scan(Enabled::No)
            .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_PLAIN_BYTES),
    };
    pool
}

/// The fastest profile that is right on this machine.
pub(crate) fn best_profile() -> Profile {
    if !swap_active() && PoolingAllocationConfig::is_pagemap_scan_available() {
        Profile::Scan
    } else {
        Profile::Plain
    }
}

/// Whether any swap is active; if that can't be told, it is.
pub(crate) fn swap_active() -> bool {
    fs::read_to_string("/proc/swaps").map_or(true, |swaps| lists_swap(&swaps))
}

/// Whether swap is certain to be active. For a question that is asked again and again: a moment without
/// free descriptors is no reason to stop everything.
pub(crate) fn swap_seen() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|swaps| lists_swap(&swaps))
}

/// `/proc/swaps` has a heading, then one line for each area.
fn lists_swap(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| !line.trim().is_empty())
}

/// What `engine` really uses.
pub(crate) fn report(engine: &Engine, profile: Profile) -> EngineReport {
    let pool = engine.get_pooling_config();
    EngineReport {
        profile,
        pagemap_scan: pool.is_some_and(|pool| pool.get_pagemap_scan() == Enabled::Yes),
        swap_active: swap_active(),
        memory_keep_resident_bytes: pool
            .map_or(0, PoolingAllocationConfig::get_memory_keep_resident),
        sandboxes_max: pool.map_or(0, PoolingAllocationConfig::get_total_core_instances),
        memory_bytes_max: pool.map_or(0, PoolingAllocationConfig::get_max_memory_size),
        engine_version: ENGINE_VERSION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_is_active_when_an_area_is_listed() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(!lists_swap(heading));
        assert!(!lists_swap(""));
        assert!(lists_swap(&format!("{heading}/swapfile file 1 0 -2\n")));
    }

    #[test]
    fn the_reported_engine_version_is_the_locked_one() {
        let lock = include_str!("../../../../Cargo.lock");
        assert!(
            lock.contains(&format!(
                "name = \"wasmtime\"\nversion = \"{ENGINE_VERSION}\"\n"
            )),
            "Cargo.lock has another wasmtime than {ENGINE_VERSION}"
        );
    }
}
