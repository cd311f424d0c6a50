//! Sandboxes: one for each event, none for two.
//!
//! [`inspect()`] decides from a file's bytes what kind of guest it is, or why it is none.
//! [`Sandboxes::compile`] turns it into machine code on disk, and [`Sandboxes::run`] makes a fresh
//! instance of it, gives it one event and drops it, whatever happened.
//!
//! A run ends when
//! * the guest answers, or returns without an answer;
//! * it traps, exits, or reaches a limit;
//! * its deadline passes, in wasm or inside a host call;
//! * the caller drops the future: the instance goes with it, and [`Observed`] still holds what was
//!   measured.
//!
//! Reading order: what a guest is and which files are refused, how code is compiled, kept and
//! loaded, how one event runs, and what is put around it (engine, limits, WASI, time).
//!
//! Invariant: no byte a guest wrote is readable by a later guest.
//! Absent on purpose: HTTP, money, permits and storage. A sandbox never waits for a permit;
//! admission comes first. No type of the engine is in the public interface.

mod budget;
mod cache;
mod command;
mod compile;
mod engine;
mod execute;
mod failure;
mod guest;
mod inspect;
mod load;
mod log;
mod observed;
mod random;
mod refusal;
mod run;
mod sandboxes;
mod sdk;
mod settings;
mod snapshot;
mod stdio;
#[cfg(test)]
mod tests;
mod ticker;
mod wasi;

pub use domain::ArtifactId;

pub use compile::{CompileError, Compiled, WorkerLimits, compile_worker, compile_worker_within};
pub use engine::EngineError;
pub use guest::{Guest, GuestKind, GuestSpec, LoadError};
pub use inspect::inspect;
pub use log::{GuestLine, GuestLog};
pub use observed::Observed;
pub use refusal::Refusal;
pub use run::{RunRequest, SandboxError};
pub use sandboxes::{PoolCounts, Sandboxes};
pub use settings::{Compile, EngineReport, EngineSettings, Profile};
pub use snapshot::{SnapshotError, snapshot};
