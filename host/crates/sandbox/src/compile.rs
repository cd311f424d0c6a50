//! From wasm to machine code, in this process or in a child that has limits of its own.
//!
//! Some small files take the compiler minutes and gigabytes; that is known and not a bug of the
//! engine. A child is stopped by the system, and the server answers "too expensive". Knows nothing of
//! the cache.

mod child;
mod worker;

use std::io;
use std::path::PathBuf;

use wasmparser::{Parser, Payload};
use wasmtime::Engine;

use crate::failure::{printable, short};
use crate::settings::Compile;

pub use worker::{WorkerLimits, compile_worker, compile_worker_within};

/// What a child is told, after its other arguments, that may take no more than
/// [`WorkerLimits::short`].
const SHORT_FLAG: &str = "--short";

/// Longest wasm and longest compiled code that are passed through a pipe.
const PIPE_BYTES_MAX: u64 = 1 << 30;

/// Longest wasm that a short compilation is tried with: more of it takes longer anyway.
const SHORT_WASM_BYTES_MAX: usize = 1 << 20;

/// What one compilation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Seconds and little memory, so that several may run at once: enough for ordinary modules.
    Short,
    /// As much as one module may take at all; one at a time.
    Full,
}

/// First byte of what the child writes: code follows, or why the module is refused, or why the child
/// itself failed.
const COMPILED: u8 = 0;
const REFUSED: u8 = 1;
const FAILED: u8 = 2;

/// What compiling a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiled {
    /// It was compiled now.
    Fresh,
    /// It was compiled before, and its code is still good.
    Cached,
}

/// Why a file was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler refused it.
    #[error("the module can't be compiled: {message}")]
    Refused {
        /// What the compiler said.
        message: String,
    },
    /// Compiling took more time or memory than allowed.
    #[error("the module is too expensive to compile ({limit})")]
    TooExpensive {
        /// How it ended.
        limit: String,
    },
    /// The compiler itself could not be set up.
    #[error("setting up the compiler failed: {message}")]
    Setup {
        /// What the engine said.
        message: String,
    },
    /// The child could not be started or spoken to.
    #[error("talking to the compiler `{}` failed", program.display())]
    Child {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The worker could not read its input, write its output, or limit itself; or it ended in another
    /// way that is not the module's fault.
    #[error("the compile worker failed while {doing}")]
    Worker {
        /// What it was doing.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no descriptor or no mapping left for compiled code.
    #[error("the system has no room for compiled code (see `ulimit -n` and vm.max_map_count)")]
    NoRoom {
        /// What the system said.
        source: io::Error,
    },
    /// Compiled code could not be kept.
    #[error("keeping compiled code failed")]
    Keep {
        /// What the system said.
        source: io::Error,
    },
}

/// Compiles `wasm`, where the settings say. Blocks.
pub(crate) fn compile(
    engine: &Engine,
    settings: &Compile,
    wasm: &[u8],
    effort: Effort,
) -> Result<Vec<u8>, CompileError> {
    if effort == Effort::Short && wasm.len() > SHORT_WASM_BYTES_MAX {
        return Err(CompileError::TooExpensive {
            limit: "it is large".to_owned(),
        });
    }
    let wasm = strip(wasm).map_err(|error| CompileError::Refused {
        message: printable(error.message(), 200),
    })?;
    match settings {
        Compile::InProcess => in_process(engine, &wasm),
        Compile::Child { program, args } => {
            let mut args = args.clone();
            let wall = match effort {
                Effort::Short => {
                    args.push(SHORT_FLAG.into());
                    child::SHORT_WALL_MAX
                }
                Effort::Full => child::WALL_MAX,
            };
            child::compile(program, &args, &wasm, wall)
        }
    }
}

/// Leaves out what a compiler need not see: custom sections other than the names of functions.
fn strip(wasm: &[u8]) -> Result<Vec<u8>, wasmparser::Error> {
    let mut stripped = Vec::with_capacity(wasm.len());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::Version { range, .. } => stripped.extend_from_slice(&wasm[range.clone()]),
            Payload::CustomSection(section) if section.name() != "name" => continue,
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            stripped.push(id);
            leb128(range.len(), &mut stripped);
            stripped.extend_from_slice(&wasm[range]);
        }
    }
    Ok(stripped)
}

fn leb128(mut value: usize, into: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            into.push(low & 0x7f);
            return;
        }
        into.push(low | 0x80);
    }
}

fn in_process(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    engine
        .precompile_module(wasm)
        .map_err(|error| CompileError::Refused {
            message: short(&error),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_sections_but_the_names_are_left_out() {
        let wasm = wat::parse_str(
            r#"(module (@custom "secret" "xyz") (func $named (export "_start"))
                 (@custom ".debug_info" (after code) "dwarf"))"#,
        )
        .unwrap();
        let stripped = strip(&wasm).unwrap();
        let has = |part: &[u8]| stripped.windows(part.len()).any(|window| window == part);
        assert!(!has(b"secret") && !has(b"dwarf") && has(b"named") && has(b"_start"));
        wasmparser::validate(&stripped).unwrap();
        // What has none comes out as it went in.
        assert_eq!(strip(&stripped).unwrap(), stripped);
    }

    #[test]
    fn lengths_are_written_as_wasm_writes_them() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (624_485, &[0xe5, 0x8e, 0x26]),
        ] {
            let mut written = Vec::new();
            leb128(value, &mut written);
            assert_eq!(written, bytes);
        }
    }
}
