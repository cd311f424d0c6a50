//! Why a file is not accepted as a function.
//!
//! Each text names the rule and what broke it, so that a person can act on it without a log.

use crate::failure::printable;

/// Longest name taken over from a file, in characters.
const NAME_CHARS_MAX: usize = 80;

/// The rule that a file breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not begin like WebAssembly.
    #[error("the file is {found}, not a WebAssembly module")]
    NotWasm {
        /// What it looks like.
        found: &'static str,
    },
    /// A component where a core module is expected.
    #[error(
        "the file is a component; functions are core modules, so build for the target `wasm32-wasip1`"
    )]
    Component,
    /// Larger than any module may be.
    #[error("the file has {bytes} bytes; at most {max} are allowed")]
    FileTooLarge {
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// It uses a part of WebAssembly that is switched off here.
    #[error("the module uses the `{proposal}` proposal, which is switched off (at byte {offset})")]
    Proposal {
        /// The proposal's name.
        proposal: String,
        /// Where in the file.
        offset: usize,
    },
    /// It is not valid WebAssembly.
    #[error("the module is not valid: {message} (at byte {offset})")]
    Invalid {
        /// The rule of WebAssembly.
        message: String,
        /// Where in the file.
        offset: usize,
    },
    /// More of something than a module may have.
    #[error("the module has {count} {what}; at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much it has; counting stops soon after the limit.
        count: u64,
        /// The limit.
        max: u64,
    },
    /// It wants something from the host that no guest gets.
    #[error(
        "the module imports `{module}.{name}`; only the functions of `wasi_snapshot_preview1` can be imported"
    )]
    Import {
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// An import of something that is not a function.
    #[error("the module imports a {kind}, `{module}.{name}`; only functions can be imported")]
    ImportKind {
        /// What it imports.
        kind: &'static str,
        /// The import's module.
        module: String,
        /// The import's name.
        name: String,
    },
    /// It can't start within the function's memory.
    #[error(
        "the module needs {needed_bytes} bytes of memory to start; the function has {limit_mb} MB"
    )]
    Memory {
        /// Memories and tables at their smallest.
        needed_bytes: u64,
        /// The function's memory.
        limit_mb: u32,
    },
    /// It can be entered in no way.
    #[error(
        "the module exports neither `_start`, as programs do, nor what the SDK exports (missing: {})",
        missing.join(", ")
    )]
    NoEntry {
        /// The SDK's exports that it does not have.
        missing: Vec<&'static str>,
    },
    /// It can be entered in two ways.
    #[error(
        "the module exports both `_start` and `{sdk}`; it must be a program or an SDK function"
    )]
    TwoEntries {
        /// The SDK's export.
        sdk: &'static str,
    },
    /// An export that is there has another type.
    #[error("the module's export `{name}` must be {expected}")]
    ExportType {
        /// The export's name.
        name: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Host functions could not read what the guest gives them.
    #[error("the module does not export its memory as `memory`")]
    NoMemory,
}

impl Refusal {
    pub(crate) fn import(module: &str, name: &str) -> Self {
        Self::Import {
            module: cut(module),
            name: cut(name),
        }
    }

    pub(crate) fn import_kind(kind: &'static str, module: &str, name: &str) -> Self {
        Self::ImportKind {
            kind,
            module: cut(module),
            name: cut(name),
        }
    }
}

impl From<wasmparser::Error> for Refusal {
    fn from(error: wasmparser::Error) -> Self {
        let offset = error.offset();
        match error
            .missing_wasm_feature()
            .and_then(|missing| missing.iter_names().next())
        {
            Some((name, _)) => Self::Proposal {
                proposal: name.to_lowercase().replace('_', "-"),
                offset,
            },
            None => Self::Invalid {
                message: printable(error.message(), 200),
                offset,
            },
        }
    }
}

fn cut(name: &str) -> String {
    printable(name, NAME_CHARS_MAX)
}
