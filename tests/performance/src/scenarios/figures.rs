//! What a scenario found, for people and for programs.
//!
//! Knows nothing of how it was measured.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Figure {
    /// The scenario that found it.
    pub(super) scenario: &'static str,
    /// What was measured.
    pub(super) what: String,
    /// In `unit`.
    pub(super) value: f64,
    /// `ms`, `KiB`, `s`, `x` for a ratio, or empty for a count.
    pub(super) unit: &'static str,
    /// The most that is wanted, if something is.
    pub(super) goal: Option<f64>,
    /// Whether the goal is met.
    pub(super) met: Option<bool>,
}

/// The figures of one scenario, as they are found.
#[derive(Debug)]
pub(super) struct Figures {
    scenario: &'static str,
    found: Vec<Figure>,
}

impl Figures {
    pub(super) fn of(scenario: &'static str) -> Self {
        let found = Vec::new();
        Self { scenario, found }
    }

    /// Notes a figure without a goal.
    pub(super) fn note(&mut self, what: impl Into<String>, value: f64, unit: &'static str) {
        self.push(what.into(), value, unit, None);
    }

    /// Notes a figure that is wanted to be `goal` at most.
    pub(super) fn judge(
        &mut self,
        what: impl Into<String>,
        (value, unit): (f64, &'static str),
        goal: f64,
    ) {
        self.push(what.into(), value, unit, Some(goal));
    }

    fn push(&mut self, what: String, value: f64, unit: &'static str, goal: Option<f64>) {
        self.found.push(Figure {
            scenario: self.scenario,
            what,
            value,
            unit,
            goal,
            met: goal.map(|goal| value <= goal),
        });
    }

    pub(super) fn done(self) -> Vec<Figure> {
        self.found
    }
}

/// Milliseconds of a duration.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The figures as a table in Markdown.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut text = "| scenario | measured | | goal | met |\n|---|---|---|---|---|\n".to_owned();
    for figure in figures {
        let value = shown(figure.value, figure.unit);
        let goal = figure.goal.map_or_else(String::new, |goal| {
            format!("<= {}", shown(goal, figure.unit))
        });
        let met = match figure.met {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        let (scenario, what) = (figure.scenario, &figure.what);
        // Writing to a string does not fail.
        let _written = writeln!(text, "| {scenario} | {what} | {value} | {goal} | {met} |");
    }
    text
}

/// Three digits or so, and the unit.
fn shown(value: f64, unit: &str) -> String {
    let decimals = match (unit, value.abs()) {
        ("", _) => 0,
        (_, size) if size >= 100.0 => 0,
        (_, size) if size >= 10.0 => 1,
        (_, size) if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_up_to_and_with_its_value() {
        let mut figures = Figures::of("x");
        figures.judge("at", (2.0, "ms"), 2.0);
        figures.judge("over", (2.001, "ms"), 2.0);
        figures.note("without", 5.0, "ms");
        let met: Vec<_> = figures.done().iter().map(|figure| figure.met).collect();
        assert_eq!(met, [Some(true), Some(false), None]);
    }

    #[test]
    fn a_row_shows_value_goal_and_verdict() {
        let mut figures = Figures::of("cold");
        figures.judge("p99", (0.1234, "ms"), 1.0);
        figures.note("maps", 35_121.0, "");
        let table = table(&figures.done());
        assert!(
            table.contains("| cold | p99 | 0.123 ms | <= 1.00 ms | yes |\n"),
            "{table}"
        );
        assert!(
            table.ends_with("| cold | maps | 35121 |  |  |\n"),
            "{table}"
        );
    }
}
