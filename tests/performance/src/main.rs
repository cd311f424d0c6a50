//! Benchmarks of Mayfly beside its peers.
//!
//! Reading order: the load generator ([`load`]), what a process used ([`process`]), a server under
//! test ([`server`]). `docs/benchmarks.md` says how it is measured and how to read the tables.
//!
//! Nothing is asserted about time. A wrong answer ends the run.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, and waits for servers that it does not know"
)]

mod cores;
mod load;
mod process;
mod server;

fn main() -> anyhow::Result<()> {
    Ok(())
}
