//! Regular expressions of filter patterns: compiled once, within bounds, and searched for in time
//! that grows with the line alone.
//!
//! Classes such as `\d` and `\w` are those of ASCII, as in CloudWatch; `.` is one byte.

use regex_automata::Input;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;

use super::LogFilterError;

/// Bytes that an expression may take once it is compiled, and while it is. A few dozen counted
/// repetitions fit; `(a{99}){99}` does not.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// How deeply groups may be nested.
const NESTING_MAX: u32 = 50;

/// A regular expression.
#[derive(Debug, Clone)]
pub(super) struct Regex(dense::DFA<Vec<u32>>);

impl Regex {
    /// Compiles an expression.
    pub(super) fn parse(expression: &str) -> Result<Self, LogFilterError> {
        if expression.is_empty() {
            return Err(LogFilterError::EmptyTerm);
        }
        let grammar = syntax::Config::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(NESTING_MAX);
        let parsed = syntax::parse_with(expression, &grammar).map_err(|error| {
            // The last line of the text says what is wrong; those before it draw where.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            LogFilterError::Regex(reason.to_owned())
        })?;
        let too_large = || LogFilterError::Regex("it is too large".to_owned());
        let limits = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(COMPILED_BYTES_MAX));
        let states = thompson::Compiler::new()
            .configure(limits)
            .build_from_hir(&parsed)
            .map_err(|_| too_large())?;
        let limits = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(COMPILED_BYTES_MAX))
            .determinize_size_limit(Some(COMPILED_BYTES_MAX));
        let automaton = dense::Builder::new()
            .configure(limits)
            .build_from_nfa(&states)
            .map_err(|_| too_large())?;
        Ok(Self(automaton))
    }

    /// Whether the line has a match.
    pub(super) fn matches(&self, line: &str) -> bool {
        let input = Input::new(line).earliest(true);
        // Nothing in these automata makes a search stop early.
        let found = self.0.try_search_fwd(&input);
        found.is_ok_and(|found| found.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_told_in_one_line() {
        let reason = |expression: &str| match Regex::parse(expression) {
            Err(LogFilterError::Regex(reason)) => reason,
            other => panic!("{expression}: {other:?}"),
        };
        for broken in ["(a", "a**b(", "[z-a]", "\\", "a{2,1}", "(?<n"] {
            let reason = reason(broken);
            assert!(!reason.is_empty() && !reason.contains('\n'), "{reason}");
        }
        for large in ["(a{99}){99}", "(((a{9}){9}){9}){9}", "[ab]*a[ab]{30}"] {
            assert_eq!(reason(large), "it is too large");
        }
        let deep = format!("{}a{}", "(".repeat(60), ")".repeat(60));
        assert!(reason(&deep).contains("nest"), "{}", reason(&deep));
        assert_eq!(Regex::parse("").unwrap_err(), LogFilterError::EmptyTerm);
    }

    #[test]
    fn expressions_that_make_backtrackers_slow_are_as_fast_as_others() {
        let line = "a".repeat(1 << 16);
        assert!(!Regex::parse("(a+)+b").unwrap().matches(&line));
    }
}
