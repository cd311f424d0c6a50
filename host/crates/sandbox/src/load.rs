//! Makes machine code out of bytes that this process wrote: the one place with `unsafe`.
//!
//! Knows nothing of where the bytes are kept and how they were checked; the callers' contract is in
//! each function's text.
#![expect(
    unsafe_code,
    reason = "the engine can't check that machine code is its own"
)]

use std::fs::File;
use std::io;

use rustix::io::Errno;
use wasmtime::{Engine, Module};

use crate::cache::Verified;

/// Maps compiled code from an open file.
pub(crate) fn from_file(engine: &Engine, code: Verified<File>) -> wasmtime::Result<Module> {
    // SAFETY: a `Verified` file's content was written by this installation's own compiler for an
    // engine like this one: its authentication code was checked over this very descriptor, with a
    // key that only the owner of the cache can read. It stays as it is while it is mapped: the cache
    // replaces files by renaming and never writes to one, and nobody else may open it for writing.
    unsafe { Module::deserialize_open_file(engine, code.into_inner()) }
}

/// Copies compiled code that never was on disk.
pub(crate) fn from_bytes(engine: &Engine, code: &Verified<Vec<u8>>) -> wasmtime::Result<Module> {
    // SAFETY: `Verified` bytes come from this process' own compiler.
    unsafe { Module::deserialize(engine, code.get()) }
}

/// Whether `error` says that the system has no descriptor, no mapping or no memory left: then there is
/// nothing wrong with the code.
pub(crate) fn shortage(error: &wasmtime::Error) -> Option<io::Error> {
    let of = |cause: &(dyn std::error::Error + 'static)| match cause.downcast_ref::<Errno>() {
        Some(errno) => Some(*errno),
        None => Errno::from_io_error(cause.downcast_ref::<io::Error>()?),
    };
    let errno = error.chain().find_map(of)?;
    is_shortage(errno).then(|| errno.into())
}

/// Whether this is what the system says when it has nothing left to give.
pub(crate) fn is_shortage(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN
    )
}
