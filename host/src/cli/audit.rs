//! `mayfly audit`: who asked for what through the control API, and what came of it.
//!
//! Asks the running server; without one it reads the data directory.

use std::process::ExitCode;

use serde::Deserialize;
use storage::audit::read;
use storage::{AuditDecision, AuditEntry, AuditQuery, DataDir, StorageError};

use super::number::number;
use super::output::{answer, note, printable};
use super::places::Places;
use super::since::{Since, now};
use crate::client::{ClientError, query};
use crate::config::Config;
use crate::time_text::rfc3339_ms;

/// Entries shown when nothing is said.
const LIMIT_DEFAULT: u32 = 1_000;

/// Most entries that can be asked for at once.
const LIMIT_MAX: u32 = 10_000;

/// Shows who asked for what through the control API, and what came of it.
///
/// Without a running server the entries are read from the data directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly audit
  mayfly audit --since 1d --denied
  mayfly audit --user bob --action 'lambda:*'
  mayfly audit --json | jq -r .action")]
pub(super) struct Audit {
    /// Entries from then on: a span (10m, 2h, 3d), a day or an RFC 3339 instant
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    since: Option<Since>,

    /// Entries of one caller: a user's name, `root` or an ARN
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Entries of one action; a `*` at the end stands for anything
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,

    /// Only what was denied
    #[arg(long)]
    denied: bool,

    /// Entries to show, counted from the end, at most 10000 [default: 1000]
    #[arg(short = 'n', long, value_name = "N", allow_hyphen_values = true, value_parser = number::<1, LIMIT_MAX>)]
    limit: Option<u32>,

    /// Print one JSON object for each entry
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Deserialize)]
struct Page {
    entries: Vec<AuditEntry>,
    damaged: u64,
}

/// Shows the audit log.
pub(super) fn run(command: &Audit, places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    let limit = command.limit.unwrap_or(LIMIT_DEFAULT);
    let since = command
        .since
        .map(|since| rfc3339_ms(since.instant(now()).as_microsecond()));
    let path = query(&[
        ("since", since.clone()),
        ("user", command.user.clone()),
        ("action", command.action.clone()),
        ("denied", command.denied.then(|| "true".to_owned())),
        ("limit", Some(limit.to_string())),
    ]);
    let asked = Places::client(&config)?.get::<Page>(&format!("/mayfly/audit{path}"));
    let page = match asked {
        Err(error @ ClientError::NoServer { .. }) => {
            let wanted = AuditQuery {
                since,
                user: command.user.clone(),
                action: command.action.clone(),
                denied: command.denied,
                limit: usize::try_from(limit).unwrap_or(usize::MAX),
            };
            let Some(page) = stored(&config, &wanted)? else {
                return Err(error.into());
            };
            note(&format!(
                "no server answers; reading `{}`",
                config.data_dir.display()
            ));
            page
        }
        answered => answered?,
    };
    if page.damaged > 0 {
        note(&format!("{} lines can't be read", page.damaged));
    }
    answer(text(&page.entries, command.json))?;
    Ok(ExitCode::SUCCESS)
}

/// The entries that are wanted; `None` when there is no data directory.
fn stored(config: &Config, wanted: &AuditQuery) -> anyhow::Result<Option<Page>> {
    match DataDir::open_for_reading(&config.data_dir) {
        Err(StorageError::Missing { .. }) => Ok(None),
        opened => {
            let page = read(opened?.path(), wanted)?;
            Ok(Some(Page {
                entries: page.entries,
                damaged: page.damaged,
            }))
        }
    }
}

fn text(entries: &[AuditEntry], is_json: bool) -> String {
    let mut text = String::new();
    for entry in entries {
        if is_json {
            // Texts and numbers: this can't fail.
            text.push_str(&serde_json::to_string(entry).unwrap_or_default());
        } else {
            text.push_str(&printable(&line(entry)));
        }
        text.push('\n');
    }
    text
}

fn line(entry: &AuditEntry) -> String {
    let decision = match entry.decision {
        AuditDecision::Allowed => "allowed",
        AuditDecision::Denied => "denied",
        AuditDecision::None => "-",
    };
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mut line = format!(
        "{} {decision} {} {} {} {} {}",
        entry.time,
        entry.status,
        or_dash(&entry.caller),
        entry.source_ip,
        or_dash(&entry.action),
        or_dash(&entry.resource),
    );
    for (name, value) in [("error", &entry.error), ("reason", &entry.reason)] {
        if let Some(value) = value {
            line.push_str(&format!(" {name}: {value}"));
        }
    }
    if entry.left_out > 0 {
        line.push_str(&format!(" ({} more like it before)", entry.left_out));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_line_or_one_object() {
        let entry = AuditEntry {
            time: "2026-11-22T00:00:00.000Z".to_owned(),
            caller: Some("arn:aws:iam::000000000000:root".to_owned()),
            source_ip: "127.0.0.1".to_owned(),
            action: Some("lambda:CreateFunction".to_owned()),
            resource: Some("f\u{1b}[2J".to_owned()),
            decision: AuditDecision::Denied,
            reason: Some("because no".to_owned()),
            status: 403,
            left_out: 2,
            ..AuditEntry::default()
        };
        assert_eq!(
            text(std::slice::from_ref(&entry), false),
            "2026-11-22T00:00:00.000Z denied 403 arn:aws:iam::000000000000:root 127.0.0.1 lambda:CreateFunction f\\u{1b}[2J reason: because no (2 more like it before)\n"
        );
        let json = text(std::slice::from_ref(&entry), true);
        assert_eq!(serde_json::from_str::<AuditEntry>(&json).unwrap(), entry);
    }
}
