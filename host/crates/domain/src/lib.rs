//! The nouns and rules of Mayfly: what a function, an invocation, a report and a charge *are*.
//!
//! Reading order: names, how requests name a function, limits, what went in and out of an invocation,
//! whose failure it was, what was measured, what it costs, the report that closes it, which path belongs
//! to which function, and what policies allow.
//!
//! Absent on purpose: IO, threads, HTTP types and wasm. Everything but the clock is a value or
//! a pure function, so every rule can be tested exhaustively.

pub mod artifact;
pub mod billing;
pub mod clock;
pub mod event;
pub mod fault;
pub mod function_ref;
pub mod invocation;
pub mod limits;
pub mod log_filter;
pub mod names;
pub mod outcome;
pub mod policy;
pub mod qualifier;
pub mod report;
pub mod retry;
pub mod routing;
pub mod schedule;
pub mod topic;
pub mod usage;

pub use artifact::{ArtifactId, ArtifactIdError};
pub use clock::Clock;
pub use event::{Condition, EventState, Target};
pub use fault::Fault;
pub use function_ref::{FunctionRef, FunctionRefError};
pub use invocation::{Invocation, Trigger};
pub use limits::{Limits, MemoryMb, Timeout};
pub use log_filter::{LogFilter, LogFilterError};
pub use names::{FunctionName, RequestId, VersionId};
pub use outcome::{FunctionError, Outcome};
pub use qualifier::{AliasName, Qualifier, QualifierError};
pub use report::{Report, Started, Status};
pub use topic::{TopicError, TopicName, TopicPattern};
pub use usage::Usage;
