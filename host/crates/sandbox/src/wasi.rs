//! WASI preview 1 as guests see it: stdio, the environment, clocks and random bytes. No files, no
//! arguments, no network.
//!
//! What nearly every guest asks for is answered here (`quick`); the stock context of one guest is made
//! when it first asks for something else.

mod quick;
mod shadow;

use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::Clock;
use domain::limits::RANDOM_BYTES_PER_CALL_MAX;
use wasmtime::{Caller, Engine, Extern, Linker};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder, WasiView as _};

use crate::execute::State;
use crate::stdio::Sink;

/// The only module that a guest may import from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";

/// Bytes the host may allocate for a guest in one host call.
pub(crate) const HOSTCALL_BYTES_MAX: usize = 8 << 20;

/// Things of the host that one guest may hold at once.
const TABLE_ENTRIES_MAX: usize = 4_096;

/// All functions of WASI preview 1, in the order of the alphabet.
pub(crate) const FUNCTIONS: [&str; 46] = [
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "random_get",
    "sched_yield",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
];

/// A guest ended itself.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("exited with status {0}")]
pub(crate) struct Exit(pub(crate) i32);

impl Exit {
    /// As processes do: 0 to 255. What does not fit, such as -1, is 255, so that it stays a failure.
    fn new(code: i32) -> Self {
        Self(if (0..=255).contains(&code) { code } else { 255 })
    }
}

/// Everything a guest may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, State::wasi)?;
    linker.allow_shadowing(true);
    shadow::add(&mut linker)?;
    quick::add(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}

/// The memory a host call is about, and what the host holds for the guest.
fn memory_and_state<'a>(
    caller: &'a mut Caller<'_, State>,
) -> wasmtime::Result<(&'a mut [u8], &'a mut State)> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => match caller.get_export("memory") {
            Some(Extern::Memory(memory)) => *caller.data_mut().memory.insert(memory),
            _ => return Err(wasmtime::Error::msg("missing required memory export")),
        },
    };
    Ok(memory.data_and_store_mut(caller))
}

/// What a guest's context is made from.
pub(crate) struct Streams {
    pub(crate) stdin: Bytes,
    pub(crate) stdout: Sink,
    pub(crate) stderr: Sink,
}

/// The context of one guest, whose monotonic clock began at `started`.
pub(crate) fn context(
    streams: Streams,
    environment: &[(String, String)],
    clock: Clock,
    started: Instant,
) -> WasiP1Ctx {
    let mut context = WasiCtxBuilder::new()
        .envs(environment)
        .stdin(MemoryInputPipe::new(streams.stdin))
        .stdout(streams.stdout)
        .stderr(streams.stderr)
        .wall_clock(WallClock(clock.clone()))
        .monotonic_clock(MonotonicClock { started, clock })
        .max_random_size(RANDOM_BYTES_PER_CALL_MAX)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .allow_blocking_current_thread(false)
        .build_p1();
    context.ctx().table.set_max_capacity(TABLE_ENTRIES_MAX);
    context
}

/// Unix time; the epoch itself before 1970.
pub(crate) fn unix_time(clock: &Clock) -> Duration {
    Duration::from_micros(u64::try_from(clock.unix_us()).unwrap_or(0))
}

struct WallClock(Clock);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        unix_time(&self.0)
    }
}

/// Time since the guest first asked for it, or for what needs the stock context.
struct MonotonicClock {
    started: Instant,
    clock: Clock,
}

impl HostMonotonicClock for MonotonicClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let passed = self.clock.now().saturating_duration_since(self.started);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_list_of_functions_is_what_the_linker_has() {
        let engine = crate::engine::compiler().unwrap();
        let linker = linker(&engine).unwrap();
        let mut store = wasmtime::Store::new(&engine, State::for_test());
        let linked = linker
            .iter(&mut store)
            .map(|(module, name, _)| format!("{module}.{name}"))
            .collect::<BTreeSet<_>>();
        let listed = FUNCTIONS
            .iter()
            .map(|name| format!("{MODULE}.{name}"))
            .collect();
        assert_eq!(linked, listed);
        assert!(FUNCTIONS.is_sorted());
    }

    #[test]
    fn a_clock_before_1970_reads_as_the_epoch() {
        assert_eq!(WallClock(Clock::manual(-5_000_000)).now(), Duration::ZERO);
        assert_eq!(WallClock(Clock::manual(5)).now(), Duration::from_micros(5));
    }

    #[test]
    fn an_exit_code_that_does_not_fit_stays_a_failure() {
        for (code, expected) in [
            (0, 0),
            (1, 1),
            (255, 255),
            (256, 255),
            (-1, 255),
            (i32::MIN, 255),
        ] {
            assert_eq!(Exit::new(code).0, expected);
        }
    }
}
