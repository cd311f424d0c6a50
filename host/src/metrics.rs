//! Counters of what the process did, and their text for Prometheus.
//!
//! Counting on the path of an event is an atomic addition; a function's counters hang on its
//! version, so nothing is looked up. Function names are labels, request ids never are: the number of
//! series is bounded by the number of functions.

mod events;

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use domain::{FunctionName, Report, Status};
use http::StatusCode;

use self::events::EventMetrics;
pub(crate) use self::events::{forgotten, waiting};
use crate::concurrency::Refused;

/// Upper bounds of the duration histogram, in microseconds.
const DURATION_BOUNDS_US: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 1_000_000,
    10_000_000, 60_000_000,
];

/// One counter of a function.
type Field = fn(&FunctionMetrics) -> &AtomicU64;

/// What somebody else counts: name, help, and how much it is now. Where the name ends in `_total`, it
/// only grows.
pub(crate) type Value = (&'static str, &'static str, u64);

/// All counters of the process.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    functions: DashMap<FunctionName, Arc<FunctionMetrics>>,
    throttled_process: AtomicU64,
    throttled_memory: AtomicU64,
    /// Responses of the trigger listener by hundreds of their status.
    responses: [AtomicU64; 6],
    /// Requests that did not reach their function, by [`RefusedBy`].
    refused: [AtomicU64; RefusedBy::ALL.len()],
    /// What became of events that wait.
    pub(crate) events: EventMetrics,
}

/// What kept a request from its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedBy {
    /// An allowance of the route.
    Rate,
    /// It is not known who asked, or they may not.
    Auth,
    /// It could not be found out who asked.
    Unavailable,
}

impl RefusedBy {
    const ALL: [Self; 3] = [Self::Rate, Self::Auth, Self::Unavailable];

    fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Auth => "auth",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The counters of one function.
#[derive(Debug, Default)]
pub(crate) struct FunctionMetrics {
    by_status: [AtomicU64; Status::ALL.len()],
    durations: [AtomicU64; DURATION_BOUNDS_US.len() + 1],
    duration_us: AtomicU64,
    cpu_us: AtomicU64,
    billed_ms: AtomicU64,
    charge_picousd: AtomicU64,
    cold_starts: AtomicU64,
    throttled: AtomicU64,
}

impl Metrics {
    /// The counters of `name`, made when they are asked for first.
    pub(crate) fn keep(&self, name: &FunctionName, metrics: Arc<FunctionMetrics>) {
        self.functions.insert(name.clone(), metrics);
    }

    /// Drops the series of a function that is gone.
    pub(crate) fn forget(&self, name: &FunctionName) {
        self.functions.remove(name);
    }

    /// Counts an invocation that was not admitted.
    pub(crate) fn throttled(&self, function: &FunctionMetrics, refused: &Refused) {
        match refused {
            Refused::Function { .. } | Refused::Budget(_) => add(&function.throttled, 1),
            Refused::Process { .. } => add(&self.throttled_process, 1),
            Refused::Memory { .. } => add(&self.throttled_memory, 1),
        }
    }

    /// Counts a response.
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(counter) = self.responses.get(usize::from(status.as_u16() / 100)) {
            add(counter, 1);
        }
    }

    /// Counts a request that did not reach its function.
    pub(crate) fn refused(&self, by: RefusedBy) {
        if let Some(counter) = self.refused.get(by as usize) {
            add(counter, 1);
        }
    }

    /// Everything, in Prometheus's text format, and `values`.
    pub(crate) fn render(&self, values: &[Value]) -> String {
        let mut text = Text::default();
        let mut functions: Vec<_> = self
            .functions
            .iter()
            .map(|f| (f.key().clone(), Arc::clone(f.value())))
            .collect();
        functions.sort_by(|a, b| a.0.cmp(&b.0));

        text.family(
            "mayfly_invocations_total",
            "counter",
            "Attempts to run a function.",
        );
        for (name, function) in &functions {
            for (status, count) in Status::ALL.iter().zip(&function.by_status) {
                let labels = format!("function=\"{name}\",status=\"{status}\"");
                text.sample("mayfly_invocations_total", &labels, get(count));
            }
        }
        let simple: [(&str, &str, Field); 5] = [
            (
                "mayfly_billed_milliseconds_total",
                "Milliseconds billed.",
                |f| &f.billed_ms,
            ),
            (
                "mayfly_charge_picousd_total",
                "Charges, in 10^-12 US dollars.",
                |f| &f.charge_picousd,
            ),
            (
                "mayfly_cpu_microseconds_total",
                "Time sandboxes were executed.",
                |f| &f.cpu_us,
            ),
            (
                "mayfly_cold_starts_total",
                "Invocations that loaded compiled code.",
                |f| &f.cold_starts,
            ),
            (
                "mayfly_throttled_total",
                "Invocations beyond the function's concurrency or a budget.",
                |f| &f.throttled,
            ),
        ];
        for (family, help, field) in simple {
            text.family(family, "counter", help);
            for (name, function) in &functions {
                text.sample(
                    family,
                    &format!("function=\"{name}\""),
                    get(field(function)),
                );
            }
        }
        text.histograms(&functions);
        text.0.push_str(&self.render_process(values));
        text.0
    }

    /// What names no function, and `values`.
    pub(crate) fn render_process(&self, values: &[Value]) -> String {
        let mut text = Text::default();
        text.family(
            "mayfly_refused_total",
            "counter",
            "Invocations beyond a limit of the process.",
        );
        text.sample(
            "mayfly_refused_total",
            "limit=\"concurrency\"",
            get(&self.throttled_process),
        );
        text.sample(
            "mayfly_refused_total",
            "limit=\"memory\"",
            get(&self.throttled_memory),
        );
        text.family(
            "mayfly_http_responses_total",
            "counter",
            "Responses to triggers, by class.",
        );
        for (class, count) in self.responses.iter().enumerate().skip(2) {
            text.sample(
                "mayfly_http_responses_total",
                &format!("class=\"{class}xx\""),
                get(count),
            );
        }
        text.family(
            "mayfly_http_refused_total",
            "counter",
            "Requests that the rules of their route kept from their function.",
        );
        for (by, count) in RefusedBy::ALL.iter().zip(&self.refused) {
            let labels = format!("by=\"{}\"", by.as_str());
            text.sample("mayfly_http_refused_total", &labels, get(count));
        }
        self.events.render(&mut text);
        for (name, help, value) in values {
            let is_counter = name.ends_with("_total");
            text.family(name, if is_counter { "counter" } else { "gauge" }, help);
            text.sample(name, "", *value);
        }
        text.0
    }
}

impl FunctionMetrics {
    /// Counts an invocation that is recorded.
    pub(crate) fn observe(&self, report: &Report) {
        if let Some(counter) = self.by_status.get(report.status as usize) {
            add(counter, 1);
        }
        let duration_us = report.duration_ns / 1_000;
        let bucket = DURATION_BOUNDS_US.partition_point(|bound| *bound < duration_us);
        if let Some(counter) = self.durations.get(bucket) {
            add(counter, 1);
        }
        add(&self.duration_us, duration_us);
        add(&self.cpu_us, report.cpu_ns / 1_000);
        add(&self.billed_ms, report.billed_ms);
        add(&self.charge_picousd, report.charge_picousd);
        add(&self.cold_starts, u64::from(report.init_ns.is_some()));
    }
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        match labels {
            "" => self.line(format_args!("{name} {value}")),
            labels => self.line(format_args!("{name}{{{labels}}} {value}")),
        }
    }

    fn histograms(&mut self, functions: &[(FunctionName, Arc<FunctionMetrics>)]) {
        const NAME: &str = "mayfly_duration_microseconds";
        self.family(NAME, "histogram", "Duration of invocations.");
        for (function, metrics) in functions {
            let mut total = 0;
            for (at, count) in metrics.durations.iter().enumerate() {
                total += get(count);
                let bound = DURATION_BOUNDS_US
                    .get(at)
                    .map_or_else(|| "+Inf".to_owned(), ToString::to_string);
                let labels = format!("function=\"{function}\",le=\"{bound}\"");
                self.sample(&format!("{NAME}_bucket"), &labels, total);
            }
            let labels = format!("function=\"{function}\"");
            self.sample(&format!("{NAME}_sum"), &labels, get(&metrics.duration_us));
            self.sample(&format!("{NAME}_count"), &labels, total);
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let written = writeln!(self.0, "{line}");
        debug_assert!(written.is_ok(), "writing to a String can't fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_gauges_and_counters_are_rendered_and_a_forgotten_function_is_not() {
        let metrics = Metrics::default();
        let name = FunctionName::parse("f").unwrap();
        let refused = Refused::Function {
            function: name.clone(),
            limit: 1,
        };
        let function = Arc::new(FunctionMetrics::default());
        metrics.keep(&name, Arc::clone(&function));
        metrics.throttled(&function, &refused);
        metrics.answered(StatusCode::NOT_FOUND);
        let values = [("mayfly_up", "Always 1.", 1), ("mayfly_c_total", "C.", 7)];
        let text = metrics.render(&values);
        for line in [
            "mayfly_throttled_total{function=\"f\"} 1",
            "mayfly_http_responses_total{class=\"4xx\"} 1",
            "mayfly_duration_microseconds_bucket{function=\"f\",le=\"+Inf\"} 0",
            "# TYPE mayfly_up gauge",
            "mayfly_up 1",
            "# TYPE mayfly_c_total counter",
            "mayfly_c_total 7",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        metrics.forget(&name);
        assert!(!metrics.render(&[]).contains("function=\"f\""));
    }
}
