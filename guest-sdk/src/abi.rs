//! The module's side of ABI version 1: addresses, lengths and the state that outlives a call.
//!
//! `#[handler]` writes the exports into the function's crate, because a linker keeps what the
//! top crate exports; each of them is one call into this module. Only built for wasm.
//!
//! | export | does |
//! |---|---|
//! | `_initialize` | runs the constructors of libc and of the crates unless they have run |
//! | `mayfly_v1_input` | global: the address of a buffer of [`INPUT_BYTES`] for the input |
//! | `mayfly_v1_alloc` | the address of a buffer for one larger input, or 0 |
//! | `mayfly_v1_init` | runs the `init` hook unless it has run |
//! | `mayfly_v1_handle` | runs the handler: address of the answer in the upper half, length below |
//!
//! Invariant: an answer stays where it is until the next call into the module.
//! Absent on purpose: what the bytes mean (`runtime`), and catching panics: they trap, and the
//! sandbox ends with the event anyway.
#![expect(
    unsafe_code,
    reason = "the host speaks in addresses; nowhere else in this crate"
)]

use std::cell::UnsafeCell;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::runtime::{self, ANSWER_BYTES_USUAL, Call};

/// Bytes that the static input buffer holds: 64 KiB.
const INPUT_BYTES: usize = 64 * 1024;

/// Where the host writes an input of up to [`INPUT_BYTES`].
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct InputBuffer(UnsafeCell<[u8; INPUT_BYTES]>);

// SAFETY: this target has one thread, and the crate itself never touches the bytes by this name:
// the host writes them between calls, and `handle` gets their address from the host.
unsafe impl Sync for InputBuffer {}

impl InputBuffer {
    /// A buffer of zeros, which takes no room in the module's file.
    #[expect(
        clippy::new_without_default,
        reason = "only ever the value of a static"
    )]
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; INPUT_BYTES]))
    }
}

/// Whether the module's constructors have run, here or before a snapshot.
static CONSTRUCTED: AtomicBool = AtomicBool::new(false);
/// Whether the panic hook is set and the `init` hook has run, here or before a snapshot.
static INITIALISED: AtomicBool = AtomicBool::new(false);
/// The buffer that `alloc` gave out last.
static LARGE_INPUT: Mutex<Vec<u8>> = Mutex::new(Vec::new());
/// The last answer. Kept, so that its memory is used again.
static ANSWER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

unsafe extern "C" {
    /// Made by the linker: every constructor of the module in order.
    fn __wasm_call_ctors();
}

/// Runs the module's constructors unless they have run.
///
/// Naming them here also keeps the linker from running them around every export.
pub fn initialize() {
    if CONSTRUCTED.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: the linker defines the function in every module; it must run once, and does.
    unsafe { __wasm_call_ctors() }
}

/// Gets ready for the first event, with the hook of `#[handler(init = ..)]` last, unless that is
/// done. The room for an answer is made here so that a snapshot holds a heap that is set up.
pub fn init(hook: Option<fn()>) {
    if INITIALISED.swap(true, Ordering::Relaxed) {
        return;
    }
    std::panic::set_hook(Box::new(log_panic));
    lock(&ANSWER).reserve(ANSWER_BYTES_USUAL);
    if let Some(hook) = hook {
        hook();
    }
    // What stayed in the buffer would be in a snapshot, and be printed by every invocation.
    flush_stdout();
}

/// Makes room for an input of `length` bytes. The buffer given out before is gone then.
pub fn alloc(length: usize) -> *mut u8 {
    let mut buffer = lock(&LARGE_INPUT);
    *buffer = Vec::new();
    if buffer.try_reserve_exact(length.max(1)).is_err() {
        return std::ptr::null_mut();
    }
    buffer.as_mut_ptr()
}

/// Runs the handler on the input at `address` and says where its answer is.
///
/// # Safety
///
/// The `length` bytes at `address` are written, inside the memory, and not written to before the
/// function returns: the input buffer, or what [`alloc`] gave out last.
pub unsafe fn handle(address: *const u8, length: usize, hook: Option<fn()>, call: Call) -> u64 {
    init(hook);
    // SAFETY: the caller vouches for the bytes; nothing in this crate writes to either buffer.
    let input = unsafe { std::slice::from_raw_parts(address, length) };
    let mut answer = lock(&ANSWER);
    runtime::answer(input, call, &mut answer);
    // Nothing else does: the sandbox ends with the answer, and stdout waits for the end of a line.
    flush_stdout();
    ((answer.as_ptr().addr() as u64) << u32::BITS) | answer.len() as u64
}

/// Locks what only one thread ever locks. A panic traps, so there is nobody to see it poisoned.
fn lock(buffer: &Mutex<Vec<u8>>) -> MutexGuard<'_, Vec<u8>> {
    buffer.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes out what was printed without the end of a line.
fn flush_stdout() {
    // A log that can't be written is no reason to fail.
    let _flushed = std::io::stdout().flush();
}

#[expect(clippy::print_stderr, reason = "stderr is the function's log")]
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    eprintln!("the function {panic}");
    flush_stdout();
}
