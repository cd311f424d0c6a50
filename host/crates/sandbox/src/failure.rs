//! From what the engine says to whose failure it was.
//!
//! A guest chooses the names of its functions, so what is kept of them is short and escaped. The
//! engine's own texts hold such names and are never passed on whole.

use domain::{FunctionError, Outcome};
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::execute::State;
use crate::run::SandboxError;
use crate::wasi::Exit;

/// Longest name of a function in a backtrace, in characters.
const FRAME_CHARS_MAX: usize = 100;

/// Longest text taken over from the engine, in characters.
const MESSAGE_CHARS_MAX: usize = 300;

/// Where a guest failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// While its instance was made, start function included.
    Start,
    /// While its entry point ran.
    Call,
}

/// Whether the guest was stopped at its deadline.
pub(crate) fn is_interrupt(error: &Error) -> bool {
    error.downcast_ref::<Trap>() == Some(&Trap::Interrupt)
}

/// What `error` means for the run.
pub(crate) fn outcome(state: &State, error: &Error, phase: Phase) -> Result<Outcome, SandboxError> {
    if let Some(limit) = error.downcast_ref::<PoolConcurrencyLimitError>() {
        return Err(SandboxError::PoolFull {
            message: limit.to_string(),
        });
    }
    if is_interrupt(error) {
        let timeout = state.guest.spec.limits.timeout;
        return Ok(Outcome::Failed(FunctionError::TimedOut { timeout }));
    }
    let trap = error.downcast_ref::<Trap>();
    let denied = state.budget.denied();
    let failed = match (error.downcast_ref::<Exit>(), trap, phase) {
        (Some(Exit(0)), ..) => FunctionError::Exited { code: 0 },
        (Some(_), ..) if denied => FunctionError::OutOfMemory,
        (Some(Exit(code)), ..) => FunctionError::Exited { code: *code },
        (None, Some(_), _) if denied => FunctionError::OutOfMemory,
        (None, Some(trap), Phase::Start) => FunctionError::Init {
            message: format!("its start function or its data trapped: {trap:?}"),
        },
        (None, Some(trap), Phase::Call) => FunctionError::Trapped {
            code: format!("{trap:?}"),
            frames: frames(error),
        },
        (None, None, Phase::Start) if has_backtrace(error) => FunctionError::Init {
            message: short(error),
        },
        (None, None, Phase::Start) if denied => FunctionError::Init {
            message: format!(
                "it needs more than its {} MB: {}",
                memory_mb(state),
                short(error)
            ),
        },
        // Neither the guest's code nor its budget: the engine could not make an instance.
        (None, None, Phase::Start) => {
            return Err(SandboxError::Instantiate {
                message: short(error),
            });
        }
        // A host call that refused what the guest asked for.
        (None, None, Phase::Call) => FunctionError::Trapped {
            code: format!("host call failed: {}", short(error)),
            frames: frames(error),
        },
    };
    Ok(Outcome::Failed(failed))
}

fn memory_mb(state: &State) -> u32 {
    state.guest.spec.limits.memory.get()
}

fn has_backtrace(error: &Error) -> bool {
    error.downcast_ref::<WasmBacktrace>().is_some()
}

/// Names or numbers of the functions on the stack, innermost first.
fn frames(error: &Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return Vec::new();
    };
    let frame = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        Some(name) => printable(name, FRAME_CHARS_MAX),
        None => format!("function[{}]", frame.func_index()),
    };
    backtrace.frames().iter().map(frame).collect()
}

/// The innermost reason, short and printable.
pub(crate) fn short(error: &Error) -> String {
    printable(&error.root_cause().to_string(), MESSAGE_CHARS_MAX)
}

/// Why linking failed, from the import's name to the types that differ; short and printable.
pub(crate) fn link(error: &Error) -> String {
    let texts = error.chain().map(ToString::to_string).collect::<Vec<_>>();
    printable(&texts.join(": "), MESSAGE_CHARS_MAX)
}

/// The first characters of `text`, control characters escaped.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    let cut = text.chars().take(chars_max).collect::<String>();
    let ellipsis = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{ellipsis}", cut.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_and_escaped() {
        assert_eq!(printable("main", 100), "main");
        assert_eq!(
            printable("a\nREPORT\u{1b}[31m", 100),
            "a\\nREPORT\\u{1b}[31m"
        );
        assert_eq!(
            printable(&"ä".repeat(100_000), 100),
            format!("{}…", "ä".repeat(100))
        );
    }
}
