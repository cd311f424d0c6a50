//! What is wrong with an expression: where, what was found there, and how one may look.

pub(super) const RATE_EXAMPLE: &str = "rate(5 minutes)";
pub(super) const CRON_EXAMPLE: &str = "cron(0 9 ? * MON-FRI *)";
pub(super) const AT_EXAMPLE: &str = "at(2030-01-01T09:00:00)";

/// Characters of an expression that an error repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}; an example is `{example}`")]
pub struct ScheduleError {
    /// From 1, in characters.
    pub column: usize,
    /// What was expected and what was found.
    pub problem: String,
    /// A whole expression that is right.
    pub example: &'static str,
}

pub(super) fn fail(column: usize, problem: String, example: &'static str) -> ScheduleError {
    ScheduleError {
        column,
        problem,
        example,
    }
}

/// What stands somewhere, for an error.
pub(super) fn found(text: &str) -> String {
    match text {
        "" => "nothing".to_owned(),
        text => format!("`{}`", shown(text)),
    }
}

/// A piece of an expression, fit for an error.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > SHOWN_CHARS_MAX {
        shown.push('…');
    }
    shown
}
