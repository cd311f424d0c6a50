//! Events as people read them.

use std::fmt::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::output::{one_line, printable};
use crate::cli::table::{Align, aligned};

/// Longest name of an error beside a condition, in characters.
const ERROR_CHARS_MAX: usize = 40;

/// Bytes of a payload that a terminal is shown.
const SHOWN_BYTES_MAX: usize = 4_096;

/// An event, as the control API writes it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    request_id: String,
    target: String,
    state: String,
    attempts: u32,
    trigger: String,
    source: Option<String>,
    accepted_at: String,
    due_at: Option<String>,
    changed_at: String,
    bytes: u64,
    condition: Option<String>,
    error: Option<Failure>,
}

#[derive(Debug, Clone, Deserialize)]
struct Failure {
    code: u16,
    #[serde(rename = "type")]
    error_type: Option<String>,
    message: String,
}

/// What it carries, if that is kept.
#[derive(Debug, Deserialize)]
struct Carried<'a> {
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    payload_base64: Option<String>,
}

/// Events in a table.
pub(super) fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "no events\n".to_owned();
    }
    let columns = [
        ("ACCEPTED", Align::Left),
        ("TARGET", Align::Left),
        ("TRIGGER", Align::Left),
        ("STATE", Align::Left),
        ("ATTEMPTS", Align::Right),
        ("BYTES", Align::Right),
        ("REASON", Align::Left),
        ("REQUEST ID", Align::Left),
    ];
    let cells = |row: &Row| {
        vec![
            row.accepted_at.clone(),
            one_line(&row.target),
            row.trigger.clone(),
            row.state.clone(),
            row.attempts.to_string(),
            row.bytes.to_string(),
            row.reason().unwrap_or_else(|| "-".to_owned()),
            row.request_id.clone(),
        ]
    };
    aligned(&columns, &rows.iter().map(cells).collect::<Vec<_>>())
}

impl Row {
    /// How it ended, and in parentheses what failed last; of one that did not end, what failed last.
    fn reason(&self) -> Option<String> {
        let failed = self.error.as_ref().map(|error| match &error.error_type {
            Some(kind) => one_line(kind),
            None => format!("error {}", error.code),
        });
        match (self.condition.clone(), failed) {
            (Some(ended), Some(failed)) if failed.chars().count() <= ERROR_CHARS_MAX => {
                Some(format!("{ended} ({failed})"))
            }
            (Some(ended), _) => Some(ended),
            (None, failed) => failed,
        }
    }
}

/// What an event carries, byte for byte, from the JSON of the control API.
pub(super) fn payload(text: &str) -> anyhow::Result<Vec<u8>> {
    let carried: Carried<'_> = serde_json::from_str(text)?;
    if let Some(payload) = carried.payload {
        return Ok(payload.get().as_bytes().to_vec());
    }
    let Some(encoded) = carried.payload_base64 else {
        anyhow::bail!("what the event carried is not kept any more");
    };
    STANDARD
        .decode(encoded)
        .context("the payload of the answer is not base64")
}

/// One event with what it carries, from the JSON of the control API; a long payload is cut if that is
/// asked for.
pub(super) fn details(text: &str, is_cut: bool) -> anyhow::Result<String> {
    let row: Row = serde_json::from_str(text)?;
    let carried: Carried<'_> = serde_json::from_str(text)?;
    let state = match &row.condition {
        Some(condition) => format!("{} ({condition})", row.state),
        None => row.state.clone(),
    };
    let trigger = match &row.source {
        Some(source) => format!("{} from {source}", row.trigger),
        None => row.trigger.clone(),
    };
    let error = row.error.as_ref().map(|error| {
        let kind = error.error_type.as_deref().unwrap_or("error");
        format!("{kind} ({}): {}", error.code, error.message)
    });
    let carries = match (carried.payload, &carried.payload_base64) {
        (None, None) => format!("{} bytes, not kept any more", row.bytes),
        _ => format!("{} bytes", row.bytes),
    };
    let lines = [
        ("target", Some(row.target)),
        ("state", Some(state)),
        ("attempts", Some(row.attempts.to_string())),
        ("trigger", Some(trigger)),
        ("accepted", Some(row.accepted_at)),
        ("due", row.due_at),
        ("changed", Some(row.changed_at)),
        ("error", error),
        ("payload", Some(carries)),
    ];
    let mut shown = format!("{}\n", row.request_id);
    for (label, value) in lines {
        if let Some(value) = value {
            let _written = writeln!(shown, "  {label:<12} {}", one_line(&value));
        }
    }
    let payload = carried.payload.map(RawValue::get);
    if let Some(payload) = payload.or(carried.payload_base64.as_deref()) {
        let is_cut = is_cut && payload.len() > SHOWN_BYTES_MAX;
        let end = match is_cut {
            true => payload.floor_char_boundary(SHOWN_BYTES_MAX),
            false => payload.len(),
        };
        let lines: Vec<_> = payload[..end].lines().map(printable).collect();
        let _written = writeln!(shown, "{}", lines.join("\n"));
        if is_cut {
            let _written = writeln!(
                shown,
                "… cut after {end} of {} bytes; --payload FILE writes all of it",
                payload.len()
            );
        }
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEAD: &str = r#"{"request_id":"id-1","function":"f","target":"f:live","state":"dead","attempts":3,"trigger":"topic","source":"a.b","accepted_at":"2026-11-22T16:00:00.000Z","changed_at":"2026-11-22T16:03:00.000Z","bytes":7,"condition":"RetriesExhausted","error":{"code":200,"type":"Oops","message":"bad\u001b[2J"},"payload":{"a":1}}"#;

    #[test]
    fn details_show_what_there_is_and_move_no_cursor() {
        assert_eq!(
            details(DEAD, true).unwrap(),
            "id-1\n  target       f:live\n  state        dead (RetriesExhausted)\n  attempts     3\n  trigger      topic from a.b\n  accepted     2026-11-22T16:00:00.000Z\n  changed      2026-11-22T16:03:00.000Z\n  error        Oops (200): bad\\u{1b}[2J\n  payload      7 bytes\n{\"a\":1}\n"
        );
        let gone = DEAD.replace(",\"payload\":{\"a\":1}", "");
        assert!(
            details(&gone, true)
                .unwrap()
                .ends_with("7 bytes, not kept any more\n")
        );
    }

    #[test]
    fn a_table_has_a_line_for_each_event() {
        let row: Row = serde_json::from_str(DEAD).unwrap();
        let text = table(&[row]);
        assert_eq!(
            text,
            "ACCEPTED                  TARGET  TRIGGER  STATE  ATTEMPTS  BYTES  REASON                   REQUEST ID\n\
             2026-11-22T16:00:00.000Z  f:live  topic    dead          3      7  RetriesExhausted (Oops)  id-1\n"
        );
        assert_eq!(table(&[]), "no events\n");
    }

    #[test]
    fn the_reason_is_how_it_ended_and_what_failed_last() {
        let reason = |change: fn(&mut Row)| {
            let mut row: Row = serde_json::from_str(DEAD).unwrap();
            change(&mut row);
            row.reason()
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(reason(|row| row.condition = None), is("Oops"));
        assert_eq!(reason(|row| row.error = None), is("RetriesExhausted"));
        let http = |row: &mut Row| {
            row.condition = None;
            row.error.as_mut().unwrap().error_type = None;
        };
        assert_eq!(reason(http), is("error 200"));
        let long = |row: &mut Row| row.error.as_mut().unwrap().error_type = Some("x".repeat(41));
        assert_eq!(reason(long), is("RetriesExhausted"));
    }

    #[test]
    fn a_long_payload_is_cut_for_a_terminal_and_whole_elsewhere() {
        let long = "é".repeat(SHOWN_BYTES_MAX);
        let text = DEAD.replace("{\"a\":1}", &format!("\"x{long}\""));
        assert!(details(&text, false).unwrap().contains(&long));
        let cut = details(&text, true).unwrap();
        assert!(cut.len() < 5_000);
        let last = cut.lines().last().unwrap();
        assert_eq!(
            last,
            "… cut after 4096 of 8195 bytes; --payload FILE writes all of it"
        );
        assert_eq!(payload(&text).unwrap(), format!("\"x{long}\"").as_bytes());
        let binary = DEAD.replace("\"payload\":{\"a\":1}", "\"payload_base64\":\"/w==\"");
        assert_eq!(payload(&binary).unwrap(), [255]);
    }
}
