//! `mayfly billing verify`: whether the ledger is what was written.
//!
//! Reads the data directory, beside a running server or without one, and changes nothing there.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use storage::{DataDir, Ledger, LedgerHead, LedgerProblem, Verification};

use crate::cli::output::answer;
use crate::config::Config;

/// Problems that are printed; --json has the first 1,000.
const LINES_MAX: usize = 20;

/// Checks that no record was altered, removed, doubled or moved, and that the sums are right.
///
/// Reads the data directory, also while a server runs, and changes nothing. Exits with 1 when something
/// is wrong. The head that it prints, kept elsewhere, proves later that the past was not rewritten.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  mayfly billing verify
  mayfly billing verify --json | jq .problems
  mayfly billing verify --head \"$(cat head-of-october.txt)\"")]
pub(super) struct Verify {
    /// Also check that the past is the one that this head was printed for
    #[arg(long, value_name = "DIGEST@SEQUENCE")]
    head: Option<LedgerHead>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What to do when something is wrong.
const NEXT: &str = "no head, for the records are not as they were written. Keep a copy of the data directory as it is, \
    then compare with a backup: mayfly restore FILE --data NEW, and mayfly billing verify --data NEW";

/// What came out, as `--json` prints it.
#[derive(Debug, Serialize)]
struct View<'a> {
    records: u64,
    first_sequence: u64,
    last_sequence: u64,
    segments: u64,
    bytes: u64,
    sums_checked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<String>,
    problems_total: u64,
    problems: Vec<ProblemView<'a>>,
}

#[derive(Debug, Serialize)]
struct ProblemView<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    reason: &'a str,
}

pub(super) fn run(verify: &Verify, config: &Config) -> anyhow::Result<ExitCode> {
    let data_dir = DataDir::open_for_reading(&config.data_dir)?;
    let found = Ledger::open_for_reading(&data_dir)?.verify(verify.head.as_ref())?;
    if verify.json {
        answer(format!("{}\n", serde_json::to_string(&View::from(&found))?))?;
    } else {
        answer(text(&found, verify.head.as_ref()))?;
    }
    Ok(if found.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(found: &Verification, known: Option<&LedgerHead>) -> String {
    let mut text = String::new();
    let mut say = |line: &str| {
        text.push_str(line);
        text.push('\n');
    };
    let records = counted(found.records, "record");
    let segments = counted(found.segments, "segment");
    if found.records == 0 {
        say(&format!("no records in {segments}"));
    } else {
        let (first, last) = (found.first_sequence, found.last_sequence);
        say(&format!("{records} ({first} to {last}) in {segments}"));
    }
    if found.first_sequence > 1 {
        let dropped = counted(found.first_sequence - 1, "record");
        say(&format!(
            "{dropped} before them dropped by retention; their sums are kept"
        ));
    }
    if !found.are_sums_checked && found.is_clean() && found.records > 0 {
        say("there are no sums to compare; the next start of the server makes them");
    }
    for problem in found.problems.iter().take(LINES_MAX) {
        say(&format!("PROBLEM {}", line(problem)));
    }
    let shown = u64::try_from(found.problems.len().min(LINES_MAX)).unwrap_or(u64::MAX);
    if found.problems_total > shown {
        let more = counted(found.problems_total - shown, "problem");
        say(&format!("and {more} more"));
    }
    if found.is_clean() {
        if let Some(known) = known {
            say(&format!(
                "the records up to {} are those of the head",
                known.sequence
            ));
        }
        say("nothing is wrong");
    }
    if let Some(head) = &found.head {
        say(&format!("head: {head}"));
    }
    if !found.is_clean() {
        say(NEXT);
    }
    text
}

fn line(problem: &LedgerProblem) -> String {
    let mut line = problem.file.clone();
    if let Some(sequence) = problem.sequence {
        // Writing to a String can't fail.
        let _ = write!(line, ", record {sequence}");
    }
    if let Some(offset) = problem.offset {
        let _ = write!(line, ", byte {offset}");
    }
    line.push_str(": ");
    line.push_str(&problem.reason);
    line
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl<'a> From<&'a Verification> for View<'a> {
    fn from(found: &'a Verification) -> Self {
        let problems = found.problems.iter().map(|problem| ProblemView {
            file: &problem.file,
            sequence: problem.sequence,
            offset: problem.offset,
            reason: &problem.reason,
        });
        Self {
            records: found.records,
            first_sequence: found.first_sequence,
            last_sequence: found.last_sequence,
            segments: found.segments,
            bytes: found.bytes,
            sums_checked: found.are_sums_checked,
            head: found.head.map(|head| head.to_string()),
            problems_total: found.problems_total,
            problems: problems.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_named_with_its_file_its_record_and_its_place() {
        let problem = LedgerProblem {
            file: "ledger/00000000000000000001.seg".to_owned(),
            offset: Some(128),
            sequence: Some(1),
            reason: "the record can't be read: its checksum does not match".to_owned(),
        };
        let found = Verification {
            records: 2,
            first_sequence: 1,
            last_sequence: 3,
            segments: 1,
            problems_total: 25,
            problems: vec![problem; 25],
            ..Verification::default()
        };
        let text = text(&found, None);
        assert!(
            text.starts_with("2 records (1 to 3) in 1 segment\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "PROBLEM ledger/00000000000000000001.seg, record 1, byte 128: the record can't"
            ),
            "{text}"
        );
        assert!(text.contains("\nand 5 problems more\n"), "{text}");
        assert!(
            text.ends_with("mayfly billing verify --data NEW\n"),
            "{text}"
        );
    }
}
