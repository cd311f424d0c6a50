//! Functions of ours that stand where the stock ones would: each for a reason of its own.
//!
//! * `proc_exit`: the stock one turns codes from 126 on into traps.
//! * `sock_*`: the stock ones write a warning to the host's log at each call, so a guest could fill
//!   it. There are no sockets; that is all they have to say.
//! * `fd_read`, `fd_write`: the stock ones refuse a buffer longer than what the host may allocate in
//!   one call. A large buffer is legal, and a short read or write is too, so that is what it gets.
//!   Both, and `fd_fdstat_get`, first ask `quick` for the plain case.

use std::future::{Future, ready};

use wasmtime::{Caller, Linker};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as stock, WasiSnapshotPreview1 as _};
use wiggle::GuestMemory;

use super::{Exit, HOSTCALL_BYTES_MAX, MODULE, memory_and_state, quick};
use crate::execute::State;

/// What is moved at once for a buffer that is too large for the stock functions.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Bytes of an address and a length in a guest's memory.
pub(super) const IOVEC_BYTES: usize = 8;

pub(super) const ERRNO_SUCCESS: i32 = 0;
pub(super) const ERRNO_BADF: i32 = 8;
const ERRNO_NOTSOCK: i32 = 57;

/// Puts them in front of the stock functions.
pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |_: Caller<'_, State>, code: i32| -> wasmtime::Result<()> { Err(Exit::new(code).into()) },
    )?;
    add_sockets(linker)?;
    linker.func_wrap_async(MODULE, "fd_read", |caller, arguments: Arguments| {
        transfer(caller, Way::Read, arguments)
    })?;
    linker.func_wrap_async(MODULE, "fd_write", |caller, arguments: Arguments| {
        transfer(caller, Way::Write, arguments)
    })?;
    linker.func_wrap_async(MODULE, "fd_fdstat_get", |caller, arguments: (i32, i32)| {
        status(caller, arguments)
    })?;
    Ok(())
}

fn add_sockets(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Ctx<'a> = Caller<'a, State>;
    linker.func_wrap(
        MODULE,
        "sock_accept",
        |mut caller: Ctx<'_>, fd: i32, _: i32, _: i32| no_socket(&mut caller, fd),
    )?;
    linker.func_wrap(
        MODULE,
        "sock_recv",
        |mut caller: Ctx<'_>, fd: i32, _: i32, _: i32, _: i32, _: i32, _: i32| {
            no_socket(&mut caller, fd)
        },
    )?;
    linker.func_wrap(
        MODULE,
        "sock_send",
        |mut caller: Ctx<'_>, fd: i32, _: i32, _: i32, _: i32, _: i32| no_socket(&mut caller, fd),
    )?;
    linker.func_wrap(
        MODULE,
        "sock_shutdown",
        |mut caller: Ctx<'_>, fd: i32, _: i32| no_socket(&mut caller, fd),
    )?;
    Ok(())
}

/// Whether `fd` is no descriptor at all, or one that is not a socket.
fn no_socket(caller: &mut Caller<'_, State>, fd: i32) -> wasmtime::Result<i32> {
    // It tells open descriptors from others, and no descriptor of a guest has a position to write.
    let mut position = [0; 8];
    let mut memory = GuestMemory::Unshared(&mut position);
    let wasi = caller.data_mut().wasi();
    match stock::fd_tell(wasi, &mut memory, fd, 0)? {
        ERRNO_BADF => Ok(ERRNO_BADF),
        _ => Ok(ERRNO_NOTSOCK),
    }
}

/// Descriptor, address and count of the buffers, and where the number of moved bytes is written.
pub(super) type Arguments = (i32, i32, i32, i32);

/// What an asynchronous function returns.
type Errno<'a> = Box<dyn Future<Output = wasmtime::Result<i32>> + Send + 'a>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Write,
}

impl Way {
    async fn call(
        self,
        wasi: &mut WasiP1Ctx,
        memory: &mut [u8],
        (fd, buffers, count, moved): Arguments,
    ) -> wasmtime::Result<i32> {
        let mut memory = GuestMemory::Unshared(memory);
        match self {
            Self::Read => stock::fd_read(wasi, &mut memory, fd, buffers, count, moved).await,
            Self::Write => stock::fd_write(wasi, &mut memory, fd, buffers, count, moved).await,
        }
    }
}

fn transfer(mut caller: Caller<'_, State>, way: Way, arguments: Arguments) -> Errno<'_> {
    let quick = memory_and_state(&mut caller).map(|(memory, state)| match way {
        Way::Read => quick::fd_read(memory, state, arguments),
        Way::Write => quick::fd_write(memory, state, arguments),
    });
    match quick {
        Ok(Some(())) => Box::new(ready(Ok(ERRNO_SUCCESS))),
        Ok(None) => Box::new(transfer_slowly(caller, way, arguments)),
        Err(error) => Box::new(ready(Err(error))),
    }
}

async fn transfer_slowly(
    mut caller: Caller<'_, State>,
    way: Way,
    arguments: Arguments,
) -> wasmtime::Result<i32> {
    let (memory, state) = memory_and_state(&mut caller)?;
    let wasi = state.wasi();
    wasi.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    match Large::find(memory, arguments) {
        Some(large) => large.transfer(wasi, memory, way, arguments.0).await,
        None => way.call(wasi, memory, arguments).await,
    }
}

fn status(mut caller: Caller<'_, State>, (fd, at): (i32, i32)) -> Errno<'_> {
    let quick = memory_and_state(&mut caller)
        .map(|(memory, state)| quick::fd_fdstat_get(memory, state, fd, at));
    match quick {
        Ok(Some(())) => Box::new(ready(Ok(ERRNO_SUCCESS))),
        Ok(None) => Box::new(async move {
            let (memory, state) = memory_and_state(&mut caller)?;
            let wasi = state.wasi();
            wasi.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
            stock::fd_fdstat_get(wasi, &mut GuestMemory::Unshared(memory), fd, at).await
        }),
        Err(error) => Box::new(ready(Err(error))),
    }
}

/// A buffer that the stock functions would refuse for its length. All of it that is used, and the
/// place for the number, is inside the memory.
#[derive(Debug, PartialEq, Eq)]
struct Large {
    address: usize,
    bytes: usize,
    moved: usize,
}

impl Large {
    /// The buffer that counts is the first one that is not empty. `None` leaves the call to the stock
    /// function, which also has the right errors for addresses outside the memory.
    fn find(memory: &[u8], (_, buffers, count, moved): Arguments) -> Option<Self> {
        let table = size(count)?.checked_mul(IOVEC_BYTES)?;
        let budget = HOSTCALL_BYTES_MAX.checked_sub(table)?;
        let start = size(buffers)?;
        let table = memory.get(start..start.checked_add(table)?)?;
        let (address, length) = table
            .chunks_exact(IOVEC_BYTES)
            .filter_map(|buffer| Some((read_u32(buffer, 0)?, read_u32(buffer, 4)?)))
            .find(|(_, length)| *length > 0)?;
        let bytes = length.min(CHUNK_BYTES_MAX);
        let moved = size(moved)?;
        let inside =
            |at: usize, bytes: usize| at.checked_add(bytes).is_some_and(|end| end <= memory.len());
        let is_large = length > budget && inside(address, bytes) && inside(moved, 4);
        is_large.then_some(Self {
            address,
            bytes,
            moved,
        })
    }

    /// Moves the first bytes of it by way of a small memory of our own.
    async fn transfer(
        &self,
        wasi: &mut WasiP1Ctx,
        memory: &mut [u8],
        way: Way,
        fd: i32,
    ) -> wasmtime::Result<i32> {
        /// Where in that memory the one buffer is described, the number comes, and the bytes are.
        const BUFFERS: usize = 0;
        const MOVED: usize = 8;
        const BYTES: usize = 16;

        let theirs = self.address..self.address + self.bytes;
        let mut own = vec![0; BYTES + self.bytes];
        write_u32(&mut own, BUFFERS, BYTES);
        write_u32(&mut own, BUFFERS + 4, self.bytes);
        if way == Way::Write {
            own[BYTES..].copy_from_slice(&memory[theirs.clone()]);
        }
        let errno = way.call(wasi, &mut own, (fd, 0, 1, 8)).await?;
        if errno != ERRNO_SUCCESS {
            return Ok(errno);
        }
        let moved = read_u32(&own, MOVED).unwrap_or(0).min(self.bytes);
        if way == Way::Read {
            memory[theirs][..moved].copy_from_slice(&own[BYTES..BYTES + moved]);
        }
        write_u32(memory, self.moved, moved);
        Ok(ERRNO_SUCCESS)
    }
}

/// An address or a length as wasm means it.
fn size(value: i32) -> Option<usize> {
    usize::try_from(value.cast_unsigned()).ok()
}

fn read_u32(memory: &[u8], at: usize) -> Option<usize> {
    let bytes = memory.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

/// Writes what is known to fit, to a place that is known to be there.
fn write_u32(memory: &mut [u8], at: usize, value: usize) {
    let value = u32::try_from(value).unwrap_or(u32::MAX);
    memory[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A memory with `lengths` as the lengths of buffers at 1,024.
    fn memory(lengths: &[usize]) -> Vec<u8> {
        let mut memory = vec![0; 4 << 20];
        for (index, length) in lengths.iter().enumerate() {
            write_u32(&mut memory, index * IOVEC_BYTES, 1_024);
            write_u32(&mut memory, index * IOVEC_BYTES + 4, *length);
        }
        memory
    }

    #[test]
    fn only_what_the_stock_functions_refuse_for_its_length_is_large() {
        let large = Large {
            address: 1_024,
            bytes: CHUNK_BYTES_MAX,
            moved: 64,
        };
        let budget = HOSTCALL_BYTES_MAX - IOVEC_BYTES;
        for (lengths, expected) in [
            (&[][..], None),
            (&[0], None),
            (&[10], None),
            (&[budget], None),
            (&[budget + 1], Some(&large)),
            (&[0, budget + 1], Some(&large)),
            (&[1, usize::MAX], None),
            (&[usize::MAX], Some(&large)),
        ] {
            let count = i32::try_from(lengths.len()).unwrap();
            let found = Large::find(&memory(lengths), (1, 0, count, 64));
            assert_eq!(found.as_ref(), expected, "{lengths:?}");
        }
    }

    #[test]
    fn what_is_outside_the_memory_is_left_to_the_stock_functions() {
        let memory = memory(&[64 << 20]);
        assert!(Large::find(&memory, (1, 0, 1, 64)).is_some());
        for arguments in [
            (1, 0, 1, -1),
            (1, 0, 1, (4 << 20) - 3),
            (1, -8, 1, 64),
            (1, 0, -1, 64),
            (1, 0, i32::MAX, 64),
        ] {
            assert_eq!(Large::find(&memory, arguments), None, "{arguments:?}");
        }
        assert_eq!(Large::find(&memory[..2_000], (1, 0, 1, 64)), None);
    }
}
