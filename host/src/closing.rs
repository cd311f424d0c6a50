//! How an invocation is closed: what its answer means, its report, its log.
//!
//! Pure but for the clock that measures a run which has not ended. The spine closes what a server
//! ran, `mayfly invoke --local` what it ran by itself; both print the same lines. Knows nothing of
//! ledgers and files.

use domain::billing::Tariff;
use domain::report::{Ending, Ran};
use domain::{Clock, FunctionError, Invocation, Outcome, Report};
use sandbox::{GuestLog, Observed};
use storage::{LogEvent, LogSource};

use crate::answer::{self, Answer};
use crate::time_text::rfc3339_ms;

const NANOS_PER_MS: u64 = 1_000_000;

/// An invocation at its end.
#[derive(Debug)]
pub(crate) struct Closing<'a> {
    pub(crate) invocation: &'a Invocation,
    pub(crate) ran: Ran,
    /// When it was admitted, in Unix microseconds.
    pub(crate) started_at_us: i64,
    pub(crate) observed: &'a Observed,
    pub(crate) tariff: &'a Tariff,
    pub(crate) clock: &'a Clock,
}

/// Reads an outcome as the invocation's caller would. An answer that breaks its rule is the
/// function's failure, and that is the outcome which is recorded then.
pub(crate) fn read(
    invocation: &Invocation,
    outcome: Outcome,
) -> (Result<Answer, FunctionError>, Outcome) {
    match answer::read(invocation.trigger, outcome.clone()) {
        Ok(answer) => (Ok(answer), outcome),
        Err(error) => (Err(error.clone()), Outcome::Failed(error)),
    }
}

impl Closing<'_> {
    /// The record.
    pub(crate) fn report(&self, ending: Ending<'_>) -> Report {
        let usage = self.observed.usage(self.clock);
        Report::new(
            self.invocation,
            self.ran,
            self.started_at_us,
            (&usage, ending),
            self.tariff,
        )
    }

    /// The log, from START to REPORT. Takes the guest's lines, so it can be asked for once.
    pub(crate) fn log(&self, report: &Report, ending: Ending<'_>) -> Vec<LogEvent> {
        let id = report.request_id;
        let start_ms = u64::try_from(self.started_at_us.div_euclid(1_000)).unwrap_or(0);
        let took_ns = report
            .duration_ns
            .saturating_add(report.init_ns.unwrap_or(0));
        let platform = |at_unix_ms, text| LogEvent {
            at_unix_ms,
            source: LogSource::Platform,
            text,
        };

        let GuestLog {
            lines,
            dropped_bytes,
        } = self.observed.take_log();
        // Two clocks and their rounding: what ends it was not said before what it printed.
        let last_line_ms = lines.last().map_or(0, |line| line.at_unix_ms);
        let end_ms = start_ms
            .saturating_add(took_ns / NANOS_PER_MS)
            .max(last_line_ms);
        let mut events = Vec::with_capacity(lines.len() + 3);
        events.push(platform(start_ms, Report::start_line(id, report.version)));
        events.extend(lines.into_iter().map(|line| LogEvent {
            at_unix_ms: line.at_unix_ms,
            source: LogSource::Function,
            text: line.text,
        }));
        if dropped_bytes > 0 {
            let text = format!("RequestId: {id} Log truncated: {dropped_bytes} bytes were dropped");
            events.push(platform(end_ms, text));
        }
        if let Ending::Outcome(Outcome::Failed(error)) = ending {
            let end_us = i64::try_from(end_ms).unwrap_or(0).saturating_mul(1_000);
            let lines = error.log_lines(id, &rfc3339_ms(end_us));
            events.extend(lines.into_iter().map(|text| platform(end_ms, text)));
        }
        events.push(platform(end_ms, report.end_line()));
        events.push(platform(end_ms, report.line()));
        events
    }
}
