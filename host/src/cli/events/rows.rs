//! Events as people read them.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::output::{one_line, printable};
use crate::cli::table::{Align, aligned};

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
    /// In a word, why it is where it is.
    fn reason(&self) -> Option<String> {
        let failed = self.error.as_ref();
        let failed = failed.and_then(|error| error.error_type.as_deref().map(one_line));
        let ended = self.condition.as_deref().filter(|word| *word != "Success");
        failed.or_else(|| ended.map(str::to_owned))
    }
}

/// One event with what it carries, from the JSON of the control API.
pub(super) fn details(text: &str) -> anyhow::Result<String> {
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
        let lines: Vec<_> = payload.lines().map(printable).collect();
        let _written = writeln!(shown, "{}", lines.join("\n"));
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
            details(DEAD).unwrap(),
            "id-1\n  target       f:live\n  state        dead (RetriesExhausted)\n  attempts     3\n  trigger      topic from a.b\n  accepted     2026-11-22T16:00:00.000Z\n  changed      2026-11-22T16:03:00.000Z\n  error        Oops (200): bad\\u{1b}[2J\n  payload      7 bytes\n{\"a\":1}\n"
        );
        let gone = DEAD.replace(",\"payload\":{\"a\":1}", "");
        assert!(
            details(&gone)
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
            "ACCEPTED                  TARGET  TRIGGER  STATE  ATTEMPTS  BYTES  REASON  REQUEST ID\n\
             2026-11-22T16:00:00.000Z  f:live  topic    dead          3      7  Oops    id-1\n"
        );
        assert_eq!(table(&[]), "no events\n");
    }
}
