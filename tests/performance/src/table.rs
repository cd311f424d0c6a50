//! What a run looks like as text, for a terminal and for `docs/benchmarks.md` alike.
//!
//! Medians over the rounds. A ratio is taken in each round and then its median; the least and the
//! most are beside it.

use std::fmt::Write as _;

use crate::compare::{Entry, Run, Turn};
use crate::contestants::{Contestant, Guest, Instances, Profile};
use crate::statistics::{Spread, median};

/// A figure of a turn.
type Figure = fn(&Turn) -> f64;

/// A goal of the project, as a ratio within one run.
struct Goal {
    what: Measure,
    of: Guest,
    to: Rival,
    bound: Bound,
}

/// What a goal is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    Cpu,
    Throughput,
}

impl Measure {
    fn text(self) -> &'static str {
        match self {
            Self::Cpu => "CPU per request",
            Self::Throughput => "throughput",
        }
    }

    fn figure(self) -> Figure {
        match self {
            Self::Cpu => CPU,
            Self::Throughput => THROUGHPUT,
        }
    }

    /// Whether it says something about the server: throughput does so only where the server, not the
    /// load generator or another program, was what had no more time.
    fn is_clear(self, entry: &Entry) -> bool {
        let busy = median(&values(entry, |turn| turn.server_busy));
        self == Self::Cpu || busy.is_some_and(|busy| busy >= BUSY)
    }
}

/// The part of the time that a server has to be busy if its throughput is to mean something.
const BUSY: f64 = 0.8;

enum Rival {
    /// The ceiling of the same profile.
    Ceiling,
    Wasmtime(Instances),
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

const CPU: Figure = |turn| turn.cpu_us;
const THROUGHPUT: Figure = |turn| turn.throughput;

const GOALS: [Goal; 5] = [
    Goal {
        what: Measure::Cpu,
        of: Guest::Sdk,
        to: Rival::Wasmtime(Instances::Reused),
        bound: Bound::AtMost(1.0),
    },
    Goal {
        what: Measure::Cpu,
        of: Guest::Sdk,
        to: Rival::Wasmtime(Instances::Fresh),
        bound: Bound::AtMost(0.28),
    },
    Goal {
        what: Measure::Cpu,
        of: Guest::Sdk,
        to: Rival::Wasmtime(Instances::FreshTuned),
        bound: Bound::AtMost(0.55),
    },
    Goal {
        what: Measure::Throughput,
        of: Guest::Sdk,
        to: Rival::Ceiling,
        bound: Bound::AtLeast(0.45),
    },
    Goal {
        what: Measure::Cpu,
        of: Guest::Command,
        to: Rival::Wasmtime(Instances::FreshTuned),
        bound: Bound::AtMost(0.75),
    },
];

/// The whole text.
pub(crate) fn render(run: &Run) -> String {
    let parts = [
        conditions(run),
        figures(run),
        ratios(run),
        goals(run),
        missing(run),
    ];
    let parts = parts.iter().filter(|part| !part.is_empty());
    let parts: Vec<&str> = parts.map(|part| part.trim_end()).collect();
    parts.join("\n\n")
}

fn conditions(run: &Run) -> String {
    let (machine, settings) = (&run.machine, &run.settings);
    let swap = if machine.swap { "swap on" } else { "no swap" };
    format!(
        "{}, {} cores, {} MiB, {swap}, Linux {}, load {} before; {}; commit {}\n\
         {} rounds; closed loop of {} s on {} connections, then {} s at {} requests/s; \
         server on core {}, load generator on core {}\n",
        machine.processor,
        machine.cores,
        machine.memory_mib,
        machine.kernel,
        machine.load_before,
        machine.rustc,
        machine.commit,
        settings.rounds,
        settings.seconds,
        settings.connections,
        settings.seconds,
        settings.rate_per_second,
        settings.server_core,
        settings.load_core,
    )
}

fn figures(run: &Run) -> String {
    let columns: [(&str, Figure, usize); 8] = [
        ("requests/s", THROUGHPUT, 0),
        ("CPU µs", CPU, 1),
        ("p50 µs", |turn| turn.p50_us, 0),
        ("p99 µs", |turn| turn.p99_us, 0),
        ("p99.9 µs", |turn| turn.p999_us, 0),
        ("memory MiB", |turn| mib(turn.memory_peak_kib), 1),
        ("server busy %", |turn| turn.server_busy * 100.0, 0),
        ("load busy %", |turn| turn.load_busy * 100.0, 0),
    ];
    let mut rows = vec![
        ["contestant"]
            .into_iter()
            .chain(columns.map(|column| column.0))
            .map(str::to_owned)
            .collect(),
    ];
    for entry in &run.entries {
        let cells = columns.iter().map(|(_, figure, digits)| {
            let value = median(&values(entry, *figure)).unwrap_or(f64::NAN);
            format!("{value:.digits$}")
        });
        rows.push(
            [entry.contestant.name().to_owned()]
                .into_iter()
                .chain(cells)
                .collect(),
        );
    }
    aligned(&rows)
}

/// Everyone's CPU and throughput, to the ceiling's.
fn ratios(run: &Run) -> String {
    let header = ["contestant", "CPU to hyper", "throughput to hyper", "what"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for entry in &run.entries {
        let Some(ceiling) = ceiling(run, entry.contestant) else {
            continue;
        };
        rows.push(vec![
            entry.contestant.name().to_owned(),
            ratio(entry, ceiling, CPU),
            ratio(entry, ceiling, THROUGHPUT),
            format!("{} ({})", entry.contestant.what(), entry.version),
        ]);
    }
    aligned(&rows)
}

fn goals(run: &Run) -> String {
    let mut rows = vec![
        ["goal", "bound", "measured", "least to most", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for goal in &GOALS {
        for profile in [Profile::Release, Profile::Dist] {
            rows.extend(goal_row(run, goal, profile));
        }
    }
    if rows.len() == 1 {
        String::new()
    } else {
        aligned(&rows)
    }
}

/// None when one of the two did not take part.
fn goal_row(run: &Run, goal: &Goal, profile: Profile) -> Option<Vec<String>> {
    let this = find(run, Contestant::Mayfly(goal.of, profile))?;
    let rival = match goal.to {
        Rival::Ceiling => find(run, Contestant::Hyper(profile))?,
        Rival::Wasmtime(instances) => find(run, Contestant::Wasmtime(instances))?,
    };
    let spread = spread(this, rival, goal.what.figure())?;
    let (bound, met) = match goal.bound {
        Bound::AtMost(bound) => (format!("<= {bound}"), spread.median <= bound),
        Bound::AtLeast(bound) => (format!(">= {bound}"), spread.median >= bound),
    };
    let verdict = match met {
        _ if !goal.what.is_clear(this) || !goal.what.is_clear(rival) => "unclear",
        true => "met",
        false => "missed",
    };
    let (this, rival) = (this.contestant.name(), rival.contestant.name());
    Some(vec![
        format!("{}, {this} to {rival}", goal.what.text()),
        bound,
        format!("{:.2}", spread.median),
        format!("{:.2} to {:.2}", spread.least, spread.most),
        verdict.to_owned(),
    ])
}

fn missing(run: &Run) -> String {
    let line = |missing: &crate::compare::Missing| {
        format!(
            "{} did not take part: {}\n",
            missing.contestant.name(),
            missing.how_to_get_it
        )
    };
    run.missing.iter().map(line).collect()
}

fn ratio(this: &Entry, to: &Entry, figure: Figure) -> String {
    match spread(this, to, figure) {
        Some(Spread { median, .. }) => format!("{median:.2}"),
        None => "-".to_owned(),
    }
}

fn spread(this: &Entry, to: &Entry, figure: Figure) -> Option<Spread> {
    Spread::of_ratios(&values(this, figure), &values(to, figure))
}

fn values(entry: &Entry, figure: Figure) -> Vec<f64> {
    entry.turns.iter().map(figure).collect()
}

/// Hyper in the profile of a contestant; a peer's profile is its own, and it is held against the
/// quick one.
fn ceiling(run: &Run, contestant: Contestant) -> Option<&Entry> {
    let profile = match contestant {
        Contestant::Hyper(profile) | Contestant::Mayfly(_, profile) => profile,
        Contestant::Wasmtime(_) | Contestant::Workerd => Profile::Release,
    };
    find(run, Contestant::Hyper(profile))
}

fn find(run: &Run, contestant: Contestant) -> Option<&Entry> {
    run.entries
        .iter()
        .find(|entry| entry.contestant == contestant)
}

fn mib(kib: u64) -> f64 {
    crate::load::count(kib) / 1_024.0
}

/// Columns as wide as their widest cell, in the form of a Markdown table; the first and the last on
/// the left, numbers on the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_number = |column: usize| {
        rows.iter()
            .skip(1)
            .filter_map(|row| row.get(column))
            .all(|cell| {
                cell.chars()
                    .next()
                    .is_none_or(|first| first.is_ascii_digit())
            })
    };
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Writing to a string can't fail.
            let _written = if is_number(column) {
                write!(text, "| {cell:>width$} ")
            } else {
                write!(text, "| {cell:<width$} ")
            };
        }
        text.push_str("|\n");
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let line = "-".repeat(*width);
                text.push_str(&if is_number(column) {
                    format!("|-{line}:")
                } else {
                    format!("|-{line}-")
                });
            }
            text.push_str("|\n");
        }
    }
    text
}

#[cfg(test)]
mod tests;
