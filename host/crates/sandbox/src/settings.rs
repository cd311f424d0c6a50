//! What the sandboxes are built from, and what they then report about themselves.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use domain::Clock;

/// What [`crate::Sandboxes::new`] needs.
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Sandboxes that may be alive at once: slots of the pool. 1,000 is usual.
    pub sandboxes_max: u32,
    /// Guests whose code may be loaded at once; beyond it, code that was not used for a while is given
    /// up. Each holds one descriptor and three mappings.
    pub loaded_max: u32,
    /// Where compiled code is kept; created with mode 0700.
    pub cache_dir: PathBuf,
    /// Where compilation runs.
    pub compile: Compile,
    /// Runtime for guests that used up their first slice, and for blocking loads. Its threads should
    /// have a low priority. It must drive timers.
    pub background: tokio::runtime::Handle,
    /// Time.
    pub clock: Clock,
}

/// Where compilation runs.
#[derive(Debug, Clone)]
pub enum Compile {
    /// In this process: for tests and for commands that run once. Nothing bounds its memory.
    InProcess,
    /// In a child process with limits of its own, which calls [`crate::compile_worker`].
    Child {
        /// The program, usually this one.
        program: PathBuf,
        /// Its arguments, usually a hidden subcommand.
        args: Vec<OsString>,
    },
}

/// How the pool resets a slot between two guests. A closed set: freshness is proven for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Written pages are found by asking the kernel, and up to 1 MiB of them are zeroed in place.
    /// Used only where no swap is active: a page in swap is not found this way. If swap is switched
    /// on later, nothing is run any more; see [`crate::SandboxError::SwapActive`].
    Scan,
    /// The first 320 KiB of a slot are reset in place, written or not, and the rest is given back to
    /// the kernel. Slower, most of all for large guests, and right everywhere.
    Plain,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Scan, Self::Plain];

    /// For banners and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Plain => "plain",
        }
    }
}

/// What the engine says of itself, read back from it.
///
/// It is the state at the start. Swap that is switched on later does not change it: under
/// [`Profile::Scan`] it is noticed within about a second, every new run ends with
/// [`crate::SandboxError::SwapActive`], and the server must be started again, which then chooses
/// [`Profile::Plain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineReport {
    /// How slots are reset.
    pub profile: Profile,
    /// Whether the pool asks the kernel for written pages.
    pub pagemap_scan: bool,
    /// Whether swap was active at the start, the usual reason for [`Profile::Plain`].
    pub swap_active: bool,
    /// Memory of a free slot that stays mapped, in bytes.
    pub memory_keep_resident_bytes: usize,
    /// Slots of the pool.
    pub sandboxes_max: u32,
    /// Largest memory one sandbox can be given, in bytes.
    pub memory_bytes_max: usize,
    /// Version of the engine.
    pub engine_version: &'static str,
}

impl fmt::Display for EngineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scan = match (self.pagemap_scan, self.swap_active) {
            (true, _) => "on",
            (false, true) => "off because swap is on",
            (false, false) => "off",
        };
        write!(
            f,
            "wasmtime {}, {} sandboxes, pagemap scan {scan}",
            self.engine_version, self.sandboxes_max
        )
    }
}
