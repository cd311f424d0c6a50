//! Table `[sandbox]`: how all sandboxes together are bounded.
//!
//! Knows nothing of where a value was written.

use super::layers::Section;
use super::memory;

/// How all sandboxes together are bounded.
#[derive(Debug, Clone)]
pub(crate) struct SandboxConfig {
    /// Sandboxes that may run at once in this process.
    ///
    /// Range 1 to 20,000, default 1,000. Key `sandbox.concurrency_max`, variable
    /// `MAYFLY_SANDBOX_CONCURRENCY_MAX`.
    pub(crate) concurrency_max: u32,

    /// Memory that all running sandboxes together may reach, in MB; beyond it invocations are
    /// refused.
    ///
    /// Range 1 to 16,777,216, default half of what the machine or the control group has. Key
    /// `sandbox.memory_budget_mb`, variable `MAYFLY_SANDBOX_MEMORY_BUDGET_MB`.
    pub(crate) memory_budget_mb: u64,

    /// Functions whose code may be loaded at once.
    ///
    /// Range 1 to 10,000,000, default what the limits of the system leave. Key `sandbox.loaded_max`,
    /// variable `MAYFLY_SANDBOX_LOADED_MAX`.
    pub(crate) loaded_max: Option<u32>,
}

impl SandboxConfig {
    pub(super) fn from_section(sandbox: &Section<'_>) -> Self {
        Self {
            concurrency_max: sandbox.u32("concurrency_max", 1..=20_000, 1_000),
            memory_budget_mb: sandbox
                .integer("memory_budget_mb", 1..=16_777_216)
                .unwrap_or_else(|| (memory::available_mb() / 2).max(1)),
            loaded_max: sandbox.optional_u32("loaded_max", 1..=10_000_000),
        }
    }
}
