//! The calls that nearly every guest makes, answered without the stock context.
//!
//! Making and dropping that context, and the way through its tables and streams, cost more than what
//! a small guest does. So there is none as long as a guest makes only these calls: its descriptors
//! are the three it began with. The first other call makes it, from what is left of stdin, and from
//! then on it answers everything.
//!
//! Invariant: what a guest sees is what the stock functions do. A function here answers only the
//! plain case and says `None` to everything else (unknown descriptors, addresses that are not
//! aligned or outside the memory, long buffers), so errors and traps are the stock ones.

use bytes::Buf as _;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as stock, WasiSnapshotPreview1 as _};
use wasmtime_wasi::p2::bindings::random::random::Host as _;
use wasmtime_wasi::random::WasiRandomCtx;
use wiggle::GuestMemory;

use super::shadow::{Arguments, ERRNO_BADF, ERRNO_SUCCESS, IOVEC_BYTES};
use super::{HOSTCALL_BYTES_MAX, MODULE, memory_and_state};
use crate::execute::State;

/// Longest buffer, and most buffers in one call, that are not left to the stock functions.
const BUFFER_BYTES_MAX: usize = 64 << 10;
const BUFFERS_MAX: usize = 1_024;

/// Most random bytes in one call that are not left to the stock function.
const RANDOM_BYTES_MAX: usize = 4 << 10;

const STDIN: i32 = 0;
const STDOUT: i32 = 1;
const STDERR: i32 = 2;

const CLOCK_REALTIME: i32 = 0;
const CLOCK_MONOTONIC: i32 = 1;

/// What a descriptor may be used for.
const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;

/// Puts them in front of the stock functions; `fd_read` and `fd_write` have a place of their own.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Ctx<'a> = Caller<'a, State>;
    linker.func_wrap(
        MODULE,
        "args_sizes_get",
        |mut caller: Ctx<'_>, count, bytes| {
            answer(
                &mut caller,
                |memory, _| {
                    // There are no arguments.
                    write_u32(memory, count, 0)?;
                    write_u32(memory, bytes, 0)
                },
                |wasi, memory| stock::args_sizes_get(wasi, memory, count, bytes),
            )
        },
    )?;
    linker.func_wrap(
        MODULE,
        "environ_sizes_get",
        |mut caller: Ctx<'_>, count, bytes| {
            answer(
                &mut caller,
                |memory, state| environ_sizes_get(memory, state, count, bytes),
                |wasi, memory| stock::environ_sizes_get(wasi, memory, count, bytes),
            )
        },
    )?;
    linker.func_wrap(MODULE, "environ_get", |mut caller: Ctx<'_>, list, text| {
        answer(
            &mut caller,
            |memory, state| environ_get(memory, state, list, text),
            |wasi, memory| stock::environ_get(wasi, memory, list, text),
        )
    })?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |mut caller: Ctx<'_>, id, precision, at| {
            answer(
                &mut caller,
                |memory, state| clock_time_get(memory, state, id, at),
                |wasi, memory| stock::clock_time_get(wasi, memory, id, precision, at),
            )
        },
    )?;
    linker.func_wrap(MODULE, "random_get", |mut caller: Ctx<'_>, at, length| {
        answer(
            &mut caller,
            |memory, _| random_get(memory, at, length),
            |wasi, memory| stock::random_get(wasi, memory, at, length),
        )
    })?;
    linker.func_wrap(MODULE, "fd_prestat_get", |mut caller: Ctx<'_>, fd, at| {
        if caller.data().has_wasi() {
            answer(
                &mut caller,
                |_, _| None,
                |wasi, memory| stock::fd_prestat_get(wasi, memory, fd, at),
            )
        } else {
            // No directory is open, and this is how programs find out.
            Ok(ERRNO_BADF)
        }
    })?;
    Ok(())
}

/// Answers by `quick` where that is an answer, and by `stock` where it is `None`.
fn answer(
    caller: &mut Caller<'_, State>,
    quick: impl FnOnce(&mut [u8], &mut State) -> Option<()>,
    stock: impl FnOnce(&mut WasiP1Ctx, &mut GuestMemory<'_>) -> wasmtime::Result<i32>,
) -> wasmtime::Result<i32> {
    let (memory, state) = memory_and_state(caller)?;
    if !state.has_wasi() && quick(memory, state).is_some() {
        return Ok(ERRNO_SUCCESS);
    }
    let wasi = state.wasi();
    wasi.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    stock(wasi, &mut GuestMemory::Unshared(memory))
}

/// Reads from what is left of stdin.
pub(super) fn fd_read(memory: &mut [u8], state: &mut State, arguments: Arguments) -> Option<()> {
    let (fd, buffers, count, moved) = arguments;
    if fd != STDIN || state.has_wasi() {
        return None;
    }
    let (at, length) = first_buffer(memory, buffers, count)?;
    place(memory, moved, 4, 4)?;
    let stdin = state.stdin();
    let bytes = length.min(stdin.len());
    memory[at..at + bytes].copy_from_slice(&stdin[..bytes]);
    stdin.advance(bytes);
    write_u32(memory, moved, bytes)
}

/// Writes to the answer or to the log.
pub(super) fn fd_write(memory: &mut [u8], state: &mut State, arguments: Arguments) -> Option<()> {
    let (fd, buffers, count, moved) = arguments;
    if !(fd == STDOUT || fd == STDERR) || state.has_wasi() {
        return None;
    }
    let (at, length) = first_buffer(memory, buffers, count)?;
    place(memory, moved, 4, 4)?;
    let sink = state.sink(fd == STDOUT);
    // The stock function has the error for an answer that is too large.
    sink.take(&memory[at..at + length]).ok()?;
    write_u32(memory, moved, length)
}

/// Says that a descriptor is a stream to read from or to write to, and not a terminal.
pub(super) fn fd_fdstat_get(memory: &mut [u8], state: &State, fd: i32, at: i32) -> Option<()> {
    let rights = match fd {
        STDIN => RIGHT_READ,
        STDOUT | STDERR => RIGHT_WRITE,
        _ => return None,
    };
    if state.has_wasi() {
        return None;
    }
    let stat = place(memory, at, 24, 8)?;
    stat[0] = 0;
    stat[2..4].fill(0);
    stat[8..16].copy_from_slice(&rights.to_le_bytes());
    stat[16..24].copy_from_slice(&rights.to_le_bytes());
    Some(())
}

fn environ_sizes_get(memory: &mut [u8], state: &State, count: i32, bytes: i32) -> Option<()> {
    let (mut variables, mut length) = (0, 0);
    state.each_variable(|name, value| {
        variables += 1;
        length += name.len() + value.len() + "=\0".len();
    });
    // In the order of the stock function, for those who ask for both in one place.
    write_u32(memory, bytes, length)?;
    write_u32(memory, count, variables)
}

fn environ_get(memory: &mut [u8], state: &State, list: i32, text: i32) -> Option<()> {
    let (mut list, mut text) = (size(list)?, size(text)?);
    let mut fits = Some(());
    state.each_variable(|name, value| {
        fits = fits.and_then(|()| {
            write_u32(memory, pointer(list)?, text)?;
            list += 4;
            for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
                memory
                    .get_mut(text..text.checked_add(part.len())?)?
                    .copy_from_slice(part);
                text += part.len();
            }
            Some(())
        });
    });
    fits
}

fn clock_time_get(memory: &mut [u8], state: &mut State, id: i32, at: i32) -> Option<()> {
    let place = place(memory, at, 8, 8)?;
    let time = match id {
        CLOCK_REALTIME => state.wall_clock().as_nanos(),
        CLOCK_MONOTONIC => state.monotonic_clock().as_nanos(),
        _ => return None,
    };
    place.copy_from_slice(&u64::try_from(time).ok()?.to_le_bytes());
    Some(())
}

fn random_get(memory: &mut [u8], at: i32, length: i32) -> Option<()> {
    let length = size(length).filter(|length| *length <= RANDOM_BYTES_MAX)?;
    let place = place(memory, at, length, 1)?;
    let bytes = WasiRandomCtx::default()
        .get_random_bytes(u64::try_from(length).ok()?)
        .ok()?;
    place.copy_from_slice(&bytes);
    Some(())
}

/// Where the first buffer that is not empty is, and how long.
fn first_buffer(memory: &[u8], buffers: i32, count: i32) -> Option<(usize, usize)> {
    let (start, count) = (size(buffers)?, size(count)?);
    if !start.is_multiple_of(4) || count > BUFFERS_MAX {
        return None;
    }
    let table = memory.get(start..)?.chunks_exact(IOVEC_BYTES).take(count);
    let (at, length) = table
        .map(|buffer| (read_u32(buffer), read_u32(&buffer[4..])))
        .find(|(_, length)| *length > 0)?;
    let inside = at.checked_add(length)? <= memory.len();
    (inside && length <= BUFFER_BYTES_MAX).then_some((at, length))
}

fn read_u32(bytes: &[u8]) -> usize {
    bytes
        .first_chunk::<4>()
        .and_then(|bytes| usize::try_from(u32::from_le_bytes(*bytes)).ok())
        .unwrap_or_default()
}

fn write_u32(memory: &mut [u8], at: i32, value: usize) -> Option<()> {
    let value = u32::try_from(value).ok()?;
    place(memory, at, 4, 4)?.copy_from_slice(&value.to_le_bytes());
    Some(())
}

/// The `bytes` at address `at`, if they are inside the memory and `at` is a multiple of `align`.
fn place(memory: &mut [u8], at: i32, bytes: usize, align: usize) -> Option<&mut [u8]> {
    let at = size(at).filter(|at| at.is_multiple_of(align))?;
    memory.get_mut(at..at.checked_add(bytes)?)
}

/// An address or a length as wasm means it.
fn size(value: i32) -> Option<usize> {
    usize::try_from(value.cast_unsigned()).ok()
}

fn pointer(at: usize) -> Option<i32> {
    u32::try_from(at).ok().map(u32::cast_signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer of 3 bytes at 64.
    fn memory() -> Vec<u8> {
        let mut memory = vec![0; 1 << 16];
        write_u32(&mut memory, 0, 64).unwrap();
        write_u32(&mut memory, 4, 3).unwrap();
        memory
    }

    #[test]
    fn the_plain_case_of_each_call_needs_no_context() {
        let mut state = State::for_test();
        let memory = &mut memory();
        *state.stdin() = bytes::Bytes::from_static(b"event");
        fd_read(memory, &mut state, (0, 0, 1, 8)).unwrap();
        assert_eq!(memory[64..68], *b"eve\0");
        assert_eq!(state.stdin(), "nt");
        fd_write(memory, &mut state, (1, 0, 1, 8)).unwrap();
        assert_eq!(state.answer.as_ref().unwrap().lock().bytes, b"eve");
        fd_fdstat_get(memory, &state, 1, 128).unwrap();
        environ_sizes_get(memory, &state, 0, 4).unwrap();
        environ_get(memory, &state, 1_024, 2_048).unwrap();
        clock_time_get(memory, &mut state, 0, 16).unwrap();
        clock_time_get(memory, &mut state, 1, 16).unwrap();
        random_get(memory, 512, 32).unwrap();
        assert!(!state.has_wasi());
    }

    #[test]
    fn everything_else_is_left_to_the_stock_functions() {
        let mut state = State::for_test();
        let memory = &mut memory();
        for arguments in [(3, 0, 1, 8), (0, 2, 1, 8), (0, 0, 1, 9), (0, 0, 0, 8)] {
            assert_eq!(fd_read(memory, &mut state, arguments), None);
            assert_eq!(fd_write(memory, &mut state, arguments), None);
        }
        assert_eq!(fd_fdstat_get(memory, &state, 3, 128), None);
        assert_eq!(environ_get(memory, &state, 1_024, (1 << 16) - 9), None);
        assert_eq!(clock_time_get(memory, &mut state, 2, 16), None);
        assert_eq!(random_get(memory, 512, 5_000), None);
        state.wasi();
        assert_eq!(fd_read(memory, &mut state, (0, 0, 1, 8)), None);
        assert_eq!(fd_write(memory, &mut state, (1, 0, 1, 8)), None);
        assert_eq!(fd_fdstat_get(memory, &state, 1, 128), None);
    }
}
