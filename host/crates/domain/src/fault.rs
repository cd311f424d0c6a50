//! Whose failure it was, which decides status, billing, retry and log level everywhere.

/// Whose failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The caller's: bad input, an unknown name, a denied or throttled request. Not billed.
    Caller,
    /// The function's: it returned an error, trapped, or reached a limit. It ran, so it is billed.
    Function,
    /// Ours: disk, engine, a bug. Not billed; someone must act.
    Host,
}
