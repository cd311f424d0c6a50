//! `mayfly logs`: what a function wrote, with the lines that the platform puts around it.
//!
//! Asks the running server; without one it reads the data directory, which is enough unless it is to
//! follow.

mod stored;

use std::process::ExitCode;
use std::time::Duration;

use domain::FunctionName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::number::number;
use super::output::{answer, note, printable};
use super::places::Places;
use super::since::{Since, now};
use crate::client::{ClientError, query};

/// Between two looks for new lines.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(300);

/// Lines asked for at once when following.
const FOLLOW_LINES: u32 = 1_000;

/// Lines shown when nothing is said.
const TAIL_DEFAULT: u32 = 100;

/// Most lines that can be asked for at once.
const TAIL_MAX: u32 = 10_000;

/// Shows what a function wrote, and the START, END and REPORT lines of its invocations.
///
/// Without a running server the lines are read from the data directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly logs hello
  mayfly logs hello --follow
  mayfly logs hello --since 10m --timestamps
  mayfly logs hello --tail 1000 --json | jq -r 'select(.source == \"function\").text'")]
pub(super) struct Logs {
    /// Function whose log is shown
    name: FunctionName,

    /// Wait for new lines and show them as they come
    #[arg(short, long)]
    follow: bool,

    /// Lines to show, counted from the end, at most 10000 [default: 100; 10000 with --since]
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true, value_parser = number::<0, TAIL_MAX>)]
    tail: Option<u32>,

    /// Lines from then on: a span (10m, 2h, 3d), a day or an RFC 3339 instant
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<Since>,

    /// Put the time before each line
    #[arg(short, long, conflicts_with = "json")]
    timestamps: bool,

    /// Print one JSON object for each line
    #[arg(long)]
    json: bool,
}

/// A piece of a log.
#[derive(Debug, Deserialize)]
struct Page {
    events: Vec<Event>,
    cursor: Option<String>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Event {
    /// Unix milliseconds.
    timestamp: i64,
    /// `platform` or `function`.
    source: String,
    text: String,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// At most so many, the last ones.
    tail: u32,
    /// Not before this, in Unix milliseconds.
    since_ms: Option<u64>,
}

/// Shows the log.
pub(super) fn run(command: &Logs, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let since = command
        .since
        .map(|since| since.instant(now()).as_millisecond());
    let tail_default = if since.is_some() {
        TAIL_MAX
    } else {
        TAIL_DEFAULT
    };
    let wanted = Wanted {
        tail: command.tail.unwrap_or(tail_default),
        since_ms: since.map(|ms| u64::try_from(ms).unwrap_or(0)),
    };
    let client = Places::client(&config)?;
    let path = format!("/mayfly/logs/{}", command.name);
    let first = query(&[
        ("tail", Some(wanted.tail.to_string())),
        ("since_ms", wanted.since_ms.map(|ms| ms.to_string())),
    ]);
    let mut page: Page = match client.get(&format!("{path}{first}")) {
        Err(error @ ClientError::NoServer { .. }) if !command.follow => {
            let Some(events) = stored::read(&config, &command.name, wanted)? else {
                return Err(error.into());
            };
            note(&format!(
                "no server answers; reading `{}`",
                config.data_dir.display()
            ));
            Page {
                events,
                cursor: None,
            }
        }
        answered => answered?,
    };
    answer(text(&page.events, command))?;
    if !command.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        if page.events.is_empty() {
            client.wait(FOLLOW_INTERVAL);
        }
        let next = query(&[
            ("after", page.cursor),
            ("max", Some(FOLLOW_LINES.to_string())),
        ]);
        page = client.get(&format!("{path}{next}"))?;
        answer(text(&page.events, command))?;
    }
}

fn text(events: &[Event], command: &Logs) -> String {
    let mut text = String::new();
    for event in events {
        if command.json {
            // Texts and a number: this can't fail.
            text.push_str(&serde_json::to_string(event).unwrap_or_default());
        } else {
            if command.timestamps {
                let at = Timestamp::from_millisecond(event.timestamp).unwrap_or_default();
                text.push_str(&format!("{at:.3} "));
            }
            text.push_str(&printable(event.text.trim_end_matches(['\r', '\n'])));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        logs: Logs,
    }

    #[track_caller]
    fn check(flags: &str, expected: &str) {
        let line = format!("logs f {flags}");
        let command = Line::parse_from(line.split_whitespace()).logs;
        let events = [
            Event {
                timestamp: 0,
                source: "platform".to_owned(),
                text: "START".to_owned(),
            },
            Event {
                timestamp: 1_500,
                source: "function".to_owned(),
                text: "\u{1b}[2J\tx\n".to_owned(),
            },
        ];
        assert_eq!(text(&events, &command), expected);
    }

    #[test]
    fn lines_are_plain_stamped_or_json() {
        check("", "START\n\\u{1b}[2J\tx\n");
        check(
            "-t",
            "1970-01-01T00:00:00.000Z START\n1970-01-01T00:00:01.500Z \\u{1b}[2J\tx\n",
        );
        check(
            "--json",
            "{\"timestamp\":0,\"source\":\"platform\",\"text\":\"START\"}\n{\"timestamp\":1500,\"source\":\"function\",\"text\":\"\\u001b[2J\\tx\\n\"}\n",
        );
    }

    #[test]
    fn a_bad_name_or_time_is_refused_by_the_command_line() {
        for line in [
            "logs a.b",
            "logs f --since 10y",
            "logs f --tail -1",
            "logs f -t --json",
        ] {
            Line::try_parse_from(line.split(' ')).unwrap_err();
        }
    }
}
