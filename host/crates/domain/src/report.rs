//! The record and the line that close an invocation.
//!
//! The ledger stores a [`Report`] and the log prints it, so the two can't differ. Knows nothing of
//! storage formats.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::billing::{PicoUsd, Tariff};
use crate::invocation::{Invocation, Trigger};
use crate::limits::{MB, MemoryMb};
use crate::names::{FunctionName, RequestId, VersionId};
use crate::outcome::Outcome;
use crate::usage::Usage;

/// How an invocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The function answered.
    Success,
    /// The function failed by itself.
    Error,
    /// The function reached its timeout.
    Timeout,
    /// The function was refused memory and failed.
    OutOfMemory,
    /// The caller left before the answer.
    Cancelled,
    /// No sandbox could be made, or we failed while it ran.
    HostError,
    /// The host died while it ran.
    HostCrash,
}

impl Status {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Error,
        Self::Timeout,
        Self::OutOfMemory,
        Self::Cancelled,
        Self::HostError,
        Self::HostCrash,
    ];

    /// The word used in the ledger, in metrics and in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out_of_memory",
            Self::Cancelled => "cancelled",
            Self::HostError => "host_error",
            Self::HostCrash => "host_crash",
        }
    }

    /// Whether the attempt is paid for. Our own failures are not.
    #[must_use]
    pub fn is_billed(self) -> bool {
        match self {
            Self::Success | Self::Error | Self::Timeout | Self::OutOfMemory | Self::Cancelled => {
                true
            }
            Self::HostError | Self::HostCrash => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The record of one attempt, keyed by (`request_id`, `attempt`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Which event.
    pub request_id: RequestId,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// Which function.
    pub function: FunctionName,
    /// Which version ran.
    pub version: VersionId,
    /// What produced the event.
    pub trigger: Trigger,
    /// When the attempt was admitted, in Unix microseconds.
    pub started_at_us: i64,
    /// How it ended.
    pub status: Status,
    /// The type of the failure, if it failed.
    pub error_type: Option<String>,
    /// Loading of compiled code, in nanoseconds, if this attempt had to.
    pub init_ns: Option<u64>,
    /// Time of the run, in nanoseconds, never more than the timeout.
    pub duration_ns: u64,
    /// Time it was being executed, in nanoseconds.
    pub cpu_ns: u64,
    /// Milliseconds billed; 0 when it is not billed.
    pub billed_ms: u64,
    /// Configured memory.
    pub memory: MemoryMb,
    /// High-water mark in MB, rounded up, at least 1, never more than `memory`.
    pub memory_used_mb: u32,
    /// What it costs.
    pub charge_picousd: PicoUsd,
}

/// How an attempt ended, for [`Report::new`].
#[derive(Debug, Clone, Copy)]
pub enum Ending<'a> {
    /// The guest ended by itself or at a limit.
    Outcome(&'a Outcome),
    /// The caller left first.
    Cancelled,
    /// We failed.
    HostError,
}

/// What is known of an attempt when it starts, and all that is known of one that the host died under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Which event.
    pub request_id: RequestId,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// Which function.
    pub function: FunctionName,
    /// Which version was to run.
    pub version: VersionId,
    /// What produced the event.
    pub trigger: Trigger,
    /// When the attempt was admitted, in Unix microseconds.
    pub started_at_us: i64,
    /// Configured memory.
    pub memory: MemoryMb,
}

/// Which version ran, under which limits.
#[derive(Debug, Clone, Copy)]
pub struct Ran {
    /// The version.
    pub version: VersionId,
    /// Its limits.
    pub limits: crate::Limits,
}

impl Report {
    /// Closes `invocation`: rounds what was measured, and prices it.
    #[must_use]
    pub fn new(
        invocation: &Invocation,
        ran: Ran,
        started_at_us: i64,
        (usage, ending): (&Usage, Ending<'_>),
        tariff: &Tariff,
    ) -> Self {
        let (status, error_type) = match ending {
            Ending::Outcome(Outcome::Payload(_)) => (Status::Success, None),
            Ending::Outcome(Outcome::Failed(error)) => {
                (error.status(), Some(error.error_type().to_owned()))
            }
            Ending::Cancelled => (Status::Cancelled, None),
            Ending::HostError => (Status::HostError, None),
        };
        // A guest that was stopped a little late is not billed for our lateness.
        let duration = usage.duration.min(ran.limits.timeout.duration());
        let billable = Usage { duration, ..*usage };
        let (billed_ms, charge_picousd) = if status.is_billed() {
            let billed_ms = tariff.billed_ms(&billable);
            (billed_ms, tariff.charge(ran.limits.memory, billed_ms))
        } else {
            (0, 0)
        };
        Self {
            request_id: invocation.id,
            attempt: invocation.attempt,
            function: invocation.function.clone(),
            version: ran.version,
            trigger: invocation.trigger,
            started_at_us,
            status,
            error_type,
            init_ns: usage.init.map(nanos),
            duration_ns: nanos(duration),
            cpu_ns: nanos(usage.cpu),
            billed_ms,
            memory: ran.limits.memory,
            memory_used_mb: memory_used_mb(usage.memory_peak_bytes, ran.limits.memory),
            charge_picousd,
        }
    }

    /// Closes an attempt that the host died under: nothing was measured, and nothing is billed.
    #[must_use]
    pub fn host_crash(started: Started) -> Self {
        Self {
            request_id: started.request_id,
            attempt: started.attempt,
            function: started.function,
            version: started.version,
            trigger: started.trigger,
            started_at_us: started.started_at_us,
            status: Status::HostCrash,
            error_type: None,
            init_ns: None,
            duration_ns: 0,
            cpu_ns: 0,
            billed_ms: 0,
            memory: started.memory,
            memory_used_mb: 1,
            charge_picousd: 0,
        }
    }

    /// The START line, without its newline.
    #[must_use]
    pub fn start_line(id: RequestId, version: VersionId) -> String {
        let mut line = Line::new("START RequestId: ", id, 96);
        line.push(" Version: ");
        line.display(version);
        line.0
    }

    /// The END line, without its newline.
    #[must_use]
    pub fn end_line(&self) -> String {
        Line::new("END RequestId: ", self.request_id, 56).0
    }

    /// The REPORT line, without its newline.
    ///
    /// Fields and tabs stand where clients of Lambda look for them: a success ends with a tab, a
    /// failure with its status.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = Line::new("REPORT RequestId: ", self.request_id, 224);
        line.push("\tDuration: ");
        line.hundredths(self.duration_ns);
        line.push(" ms\tBilled Duration: ");
        line.display(self.billed_ms);
        line.push(" ms\tMemory Size: ");
        line.display(self.memory.get());
        line.push(" MB\tMax Memory Used: ");
        line.display(self.memory_used_mb);
        line.push(" MB\t");
        if let Some(init_ns) = self.init_ns {
            line.push("Init Duration: ");
            line.hundredths(init_ns);
            line.push(" ms\t");
        }
        match self.status {
            Status::Success => {}
            Status::Timeout => line.push("Status: timeout"),
            Status::Error
            | Status::OutOfMemory
            | Status::Cancelled
            | Status::HostError
            | Status::HostCrash => {
                line.push("Status: error\tError Type: ");
                line.push(self.error_type.as_deref().unwrap_or(self.status.as_str()));
            }
        }
        line.0
    }

    /// Whether the attempt counts as an error in totals.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status != Status::Success
    }
}

/// A line of ours. Each event has three, so they are put together without a format string.
struct Line(String);

impl Line {
    fn new(start: &str, id: RequestId, capacity: usize) -> Self {
        let mut line = Self(String::with_capacity(capacity));
        line.push(start);
        line.push(id.encode(&mut [0; RequestId::TEXT_BYTES]));
        line
    }

    fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn display(&mut self, value: impl fmt::Display) {
        let written = fmt::Write::write_fmt(&mut self.0, format_args!("{value}"));
        debug_assert!(written.is_ok(), "writing to a String can't fail");
    }

    /// Nanoseconds as milliseconds with two decimals, rounded half up.
    fn hundredths(&mut self, nanos: u64) {
        let hundredths = (nanos + 5_000) / 10_000;
        self.display(hundredths / 100);
        self.push(if hundredths % 100 < 10 { ".0" } else { "." });
        self.display(hundredths % 100);
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn memory_used_mb(peak_bytes: u64, memory: MemoryMb) -> u32 {
    let mb = u32::try_from(peak_bytes.div_ceil(MB)).unwrap_or(u32::MAX);
    mb.clamp(1, memory.get())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::limits::{Limits, Timeout};
    use crate::outcome::FunctionError;

    fn report(usage: &Usage, outcome: &Outcome) -> Report {
        let invocation = Invocation {
            id: "01936e5c-0000-7000-8000-000000000000".parse().unwrap(),
            attempt: 1,
            function: FunctionName::parse("hello").unwrap(),
            qualifier: None,
            trigger: Trigger::Http,
            event: Bytes::new(),
            client_context: None,
            keep_log: false,
        };
        let ran = Ran {
            version: VersionId::Latest,
            limits: Limits::default(),
        };
        Report::new(
            &invocation,
            ran,
            0,
            (usage, Ending::Outcome(outcome)),
            &Tariff::default(),
        )
    }

    #[track_caller]
    fn check_line(usage: &Usage, outcome: &Outcome, expected: &str) {
        let line = report(usage, outcome).line();
        let expected =
            format!("REPORT RequestId: 01936e5c-0000-7000-8000-000000000000\t{expected}");
        assert_eq!(line, expected);
    }

    fn payload() -> Outcome {
        Outcome::Payload(Bytes::new())
    }

    #[test]
    fn a_success_ends_with_a_tab_and_shows_init_only_when_there_was_one() {
        let mut usage = Usage {
            init: None,
            duration: Duration::from_micros(2_901),
            cpu: Duration::from_micros(900),
            memory_peak_bytes: 36 * MB,
        };
        check_line(
            &usage,
            &payload(),
            "Duration: 2.90 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t",
        );
        usage.init = Some(Duration::from_micros(110_104));
        check_line(
            &usage,
            &payload(),
            "Duration: 2.90 ms\tBilled Duration: 114 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t",
        );
    }

    #[test]
    fn a_timeout_is_billed_for_the_timeout_and_not_for_our_lateness() {
        let usage = Usage {
            duration: Duration::from_millis(3_004),
            ..Usage::default()
        };
        check_line(
            &usage,
            &Outcome::Failed(FunctionError::TimedOut {
                timeout: Timeout::DEFAULT,
            }),
            "Duration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 1 MB\tStatus: timeout",
        );
    }

    #[test]
    fn a_failure_names_its_type() {
        let usage = Usage {
            memory_peak_bytes: 200 * MB,
            ..Usage::default()
        };
        check_line(
            &usage,
            &Outcome::Failed(FunctionError::OutOfMemory),
            "Duration: 0.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB\tStatus: error\tError Type: Runtime.OutOfMemory",
        );
    }

    #[test]
    fn our_own_failure_is_recorded_and_free() {
        let ok = report(&Usage::default(), &payload());
        assert!(ok.charge_picousd > 0);
        let invocation = Invocation {
            id: ok.request_id,
            attempt: 1,
            function: ok.function,
            qualifier: None,
            trigger: Trigger::Invoke,
            event: Bytes::new(),
            client_context: None,
            keep_log: false,
        };
        let ran = Ran {
            version: VersionId::Latest,
            limits: Limits::default(),
        };
        let ending = (&Usage::default(), Ending::HostError);
        let report = Report::new(&invocation, ran, 0, ending, &Tariff::default());
        assert_eq!((report.billed_ms, report.charge_picousd), (0, 0));
        assert!(report.is_error());
    }

    #[test]
    fn an_attempt_that_the_host_died_under_is_recorded_and_free() {
        let ok = report(&Usage::default(), &payload());
        let crashed = Report::host_crash(Started {
            request_id: ok.request_id,
            attempt: 2,
            function: ok.function.clone(),
            version: VersionId::Number(7),
            trigger: Trigger::Event,
            started_at_us: 5,
            memory: ok.memory,
        });
        assert_eq!(crashed.status, Status::HostCrash);
        assert_eq!((crashed.attempt, crashed.started_at_us), (2, 5));
        assert_eq!((crashed.billed_ms, crashed.charge_picousd), (0, 0));
        assert_eq!((crashed.duration_ns, crashed.cpu_ns), (0, 0));
        assert!(crashed.is_error());
    }
}
