//! Which lines of a log are wanted: the part of CloudWatch's filter patterns that is about text.
//!
//! | pattern | wants lines that |
//! |---|---|
//! | (empty) | are lines |
//! | `a b` | have every term |
//! | `?a ?b` | have one of them; beside other terms these are ignored |
//! | `a -b` | do not have `b` |
//! | `"a b"` | have this text; `\"` is a quote in it |
//! | `%ab+%` | have a match of this regular expression (see [`regex`]) |
//!
//! Terms are compared with case, and where they begin or end with a letter, a digit or `_` the line's
//! word must begin or end there too. Patterns for JSON (`{...}`) and for columns (`[...]`) are refused:
//! [`LogFilterError`].

mod regex;

use self::regex::Regex;

/// Longest pattern, in characters; CloudWatch has the same bound.
pub const FILTER_CHARS_MAX: usize = 1_024;

/// Most regular expressions in a pattern; CloudWatch has the same bound.
pub const FILTER_REGEXES_MAX: usize = 2;

/// A pattern that was understood.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    all: Vec<Term>,
    any: Vec<Term>,
    none: Vec<Term>,
}

/// What a line may have.
#[derive(Debug, Clone)]
enum Term {
    /// A text, as whole words.
    Text(String),
    /// A match of it.
    Regex(Box<Regex>),
}

/// Why a pattern is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogFilterError {
    /// It is too long.
    #[error("it is longer than {FILTER_CHARS_MAX} characters")]
    TooLong,
    /// It is of a kind that is not supported.
    #[error("patterns for {0} are not supported; give terms or quoted texts")]
    Unsupported(&'static str),
    /// A quoted text does not end.
    #[error("a quoted text has no end")]
    Unterminated,
    /// A regular expression does not end.
    #[error("a regular expression has no % at its end")]
    UnterminatedRegex,
    /// A regular expression is none, or is larger than it may be.
    #[error("the regular expression can't be used: {0}")]
    Regex(String),
    /// There are too many regular expressions.
    #[error("it has more than {FILTER_REGEXES_MAX} regular expressions")]
    TooManyRegexes,
    /// There is nothing to look for.
    #[error("a term is empty")]
    EmptyTerm,
}

impl LogFilter {
    /// Understands a pattern.
    ///
    /// # Errors
    ///
    /// [`LogFilterError`].
    pub fn parse(pattern: &str) -> Result<Self, LogFilterError> {
        if pattern.chars().count() > FILTER_CHARS_MAX {
            return Err(LogFilterError::TooLong);
        }
        let mut filter = Self::default();
        let mut rest = pattern.trim();
        match rest.chars().next() {
            Some('{') => return Err(LogFilterError::Unsupported("JSON")),
            Some('[') => return Err(LogFilterError::Unsupported("columns")),
            _ => {}
        }
        let mut regexes = 0;
        while !rest.is_empty() {
            let (terms, after_sign) = match rest.split_at_checked(1) {
                Some(("?", after)) => (&mut filter.any, after),
                Some(("-", after)) => (&mut filter.none, after),
                _ => (&mut filter.all, rest),
            };
            let (term, after) = match after_sign.strip_prefix('%') {
                Some(_) if regexes == FILTER_REGEXES_MAX => {
                    return Err(LogFilterError::TooManyRegexes);
                }
                Some(after_mark) => {
                    regexes += 1;
                    let end = after_mark.split_once('%');
                    let (expression, after) = end.ok_or(LogFilterError::UnterminatedRegex)?;
                    (Term::Regex(Box::new(Regex::parse(expression)?)), after)
                }
                None => {
                    let (text, after) = text_term(after_sign)?;
                    (Term::Text(text), after)
                }
            };
            terms.push(term);
            rest = after.trim_start();
        }
        if !filter.all.is_empty() {
            filter.any.clear();
        }
        Ok(filter)
    }

    /// Whether a line is wanted.
    #[must_use]
    pub fn matches(&self, line: &str) -> bool {
        let has = |term: &Term| match term {
            Term::Text(text) => has_text(line, text),
            Term::Regex(regex) => regex.matches(line),
        };
        self.all.iter().all(has)
            && (self.any.is_empty() || self.any.iter().any(has))
            && !self.none.iter().any(has)
    }
}

/// The term that `text` begins with, and what comes after it.
fn text_term(text: &str) -> Result<(String, &str), LogFilterError> {
    let (term, after) = raw_term(text)?;
    if term.is_empty() {
        return Err(LogFilterError::EmptyTerm);
    }
    Ok((term, after))
}

fn raw_term(text: &str) -> Result<(String, &str), LogFilterError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (term, after) = text.split_at(end);
        return Ok((term.to_owned(), after));
    };
    let mut term = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((term, &quoted[at + 1..])),
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => {
                term.extend(characters.next().map(|(_, escaped)| escaped));
            }
            character => term.push(character),
        }
    }
    Err(LogFilterError::Unterminated)
}

/// Whether `term` stands in `line` as whole words.
fn has_text(line: &str, term: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let (first, last) = (term.chars().next(), term.chars().next_back());
    let begins_word = first.is_some_and(is_word);
    let ends_word = last.is_some_and(is_word);
    let step = first.map_or(1, char::len_utf8);
    let mut from = 0;
    // Not `match_indices`: an occurrence that is no word may hide one that overlaps it.
    while let Some(found) = line[from..].find(term) {
        let (start, end) = (from + found, from + found + term.len());
        let is_inside = |character: Option<char>| character.is_some_and(is_word);
        let begins_inside = begins_word && is_inside(line[..start].chars().next_back());
        let ends_inside = ends_word && is_inside(line[end..].chars().next());
        if !begins_inside && !ends_inside {
            return true;
        }
        from = start + step;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, wanted: &[&str], unwanted: &[&str]) {
        let filter = LogFilter::parse(pattern).unwrap();
        for line in wanted {
            assert!(filter.matches(line), "`{pattern}` wants `{line}`");
        }
        for line in unwanted {
            assert!(!filter.matches(line), "`{pattern}` does not want `{line}`");
        }
    }

    #[test]
    fn an_empty_pattern_wants_every_line() {
        check("", &["", "x"], &[]);
        check("  \t", &["", "x"], &[]);
    }

    #[test]
    fn every_term_must_stand_as_words_and_with_case() {
        check(
            "ERROR",
            &["ERROR", "[ERROR] x", "x:ERROR.", "ERRORS ERROR"],
            &["error", "ERRORS", "MY_ERROR", "ERROR2", ""],
        );
        check("ERROR time", &["time of ERROR"], &["ERROR", "time"]);
        check("é", &["un é!"], &["été"]);
    }

    #[test]
    fn one_of_the_terms_with_a_question_mark_is_enough_unless_there_are_others() {
        check("?ERROR ?WARN", &["ERROR", "a WARN"], &["INFO", ""]);
        check("?ERROR must", &["must"], &["ERROR"]);
        check("?\"a b\" ?c", &["a b", "c"], &["a", "b"]);
    }

    #[test]
    fn terms_with_a_minus_exclude() {
        check("ERROR -time", &["ERROR"], &["ERROR time", "time"]);
        check("-\"is fine\"", &["is bad", ""], &["all is fine"]);
    }

    #[test]
    fn quoted_texts_are_looked_for_as_they_are() {
        check("\"a b\"", &["x a b y"], &["a  b", "b a", "a bc"]);
        check(r#""say \"hi\" \\""#, &[r#"say "hi" \"#], &["say hi"]);
        check("\"-x\"", &["a -x"], &["x"]);
        check("\"[\"", &["a[b"], &["b"]);
        check("\"a\"\"b\"", &["a b"], &["a"]);
    }

    #[test]
    fn regular_expressions_are_searched_for_anywhere_in_the_line() {
        check(
            "%is (full|slow)%",
            &["disk is full", "it is slower"],
            &["is", "full"],
        );
        check("ERROR -%5[0-9]{2}%", &["ERROR 404"], &["ERROR 503", "404"]);
        check("?%^a+$% ?b", &["aaa", "a b"], &["ab", "aab"]);
        check(
            r"%\d+\.\d \w{3}\s\x25%",
            &["took 12.5 sec %"],
            &["took 12 sec %"],
        );
        check("%r.d |é%", &["rod ", "été"], &["rd", "e"]);
    }

    #[test]
    fn an_occurrence_inside_a_word_does_not_hide_one_that_is_a_word() {
        check("\"a a\"", &["ba a a"], &["ba aa"]);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        let refused = |pattern: &str| LogFilter::parse(pattern).unwrap_err();
        assert_eq!(
            refused("{ $.level = \"ERROR\" }"),
            LogFilterError::Unsupported("JSON")
        );
        assert_eq!(
            refused("[ip, user]"),
            LogFilterError::Unsupported("columns")
        );
        assert_eq!(refused("a %b+"), LogFilterError::UnterminatedRegex);
        assert_eq!(refused("%a% %b% -%c%"), LogFilterError::TooManyRegexes);
        assert_eq!(refused("\"a"), LogFilterError::Unterminated);
        assert_eq!(refused("\"a\\\""), LogFilterError::Unterminated);
        for empty in ["-", "?", "\"\"", "a - b"] {
            assert_eq!(refused(empty), LogFilterError::EmptyTerm, "{empty}");
        }
        let long = "a".repeat(FILTER_CHARS_MAX);
        LogFilter::parse(&long).unwrap();
        assert_eq!(refused(&format!("{long}a")), LogFilterError::TooLong);
    }

    proptest! {
        #[test]
        fn any_pattern_is_understood_or_refused_and_any_line_is_decided(
            pattern in ".{0,40}", line in ".{0,80}",
        ) {
            if let Ok(filter) = LogFilter::parse(&pattern) {
                let _decided: bool = filter.matches(&line);
            }
        }

        #[test]
        fn a_quoted_text_is_found_in_a_line_that_is_it(text in "[^%\\[{\"\\\\]{1,20}") {
            let filter = LogFilter::parse(&format!("\"{text}\"")).unwrap();
            prop_assert!(filter.matches(&text));
        }
    }
}
