//! An event as programs read it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::event::{Condition, EventState, Target};
use serde::Serialize;
use storage::Event;

use crate::answer::is_json;
use crate::time_text::rfc3339_ms;
use crate::trigger::queue::destination::shown;

/// An event without its payload. What there is nothing to say of is left out, but for the function,
/// which is null for a record on its way to an address or a file.
#[derive(Debug, Serialize)]
pub(super) struct EventView<'a> {
    request_id: String,
    function: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qualifier: Option<String>,
    /// `NAME[:QUALIFIER]`, an address without what may be a secret, or `file:NAME`.
    target: String,
    state: &'static str,
    attempts: u32,
    trigger: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    accepted_at: String,
    /// When the next attempt may start.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    changed_at: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView<'a>>,
}

/// What failed last.
#[derive(Debug, Serialize)]
struct ErrorView<'a> {
    code: u16,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    error_type: Option<&'a str>,
    message: &'a str,
}

impl<'a> EventView<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        let qualifier = match &event.target {
            Target::Function { qualifier, .. } => qualifier.as_ref().map(ToString::to_string),
            Target::Http { .. } | Target::File { .. } => None,
        };
        let queue = shown(&event.target);
        let due = (event.state == EventState::Queued).then_some(event.due_at_us);
        Self {
            request_id: event.id.to_string(),
            function: event.target.function().map(AsRef::as_ref),
            target: match &qualifier {
                Some(qualifier) => format!("{queue}:{qualifier}"),
                None => queue,
            },
            qualifier,
            state: event.state.as_str(),
            attempts: event.attempts,
            trigger: event.trigger.as_str(),
            source: event.source.as_deref(),
            accepted_at: rfc3339_ms(event.accepted_at_us),
            due_at: due.map(rfc3339_ms),
            changed_at: rfc3339_ms(event.changed_at_us),
            bytes: event.bytes,
            condition: event.condition.map(Condition::as_str),
            error: event.failure.as_ref().map(|failure| ErrorView {
                code: failure.code,
                error_type: failure.error_type.as_deref(),
                message: &failure.message,
            }),
        }
    }
}

/// An event with its payload, while that is kept: `payload`, as it is, when it is JSON, else
/// `payload_base64`.
pub(super) fn with_payload(event: &Event, payload: Option<&Bytes>) -> Vec<u8> {
    // Texts and numbers only: there is nothing that can fail.
    let mut text = serde_json::to_vec(&EventView::of(event)).unwrap_or_default();
    let Some(payload) = payload else {
        return text;
    };
    // The brace at the end.
    text.pop();
    if is_json(payload) {
        text.extend_from_slice(b",\"payload\":");
        text.extend_from_slice(payload);
    } else {
        text.extend_from_slice(b",\"payload_base64\":\"");
        text.extend_from_slice(STANDARD.encode(payload).as_bytes());
        text.push(b'"');
    }
    text.push(b'}');
    text
}

#[cfg(test)]
mod tests {
    use domain::{FunctionName, RequestId, Trigger};
    use serde_json::{Value, json};
    use storage::Failure;

    use super::*;

    fn event() -> Event {
        Event {
            id: RequestId::new(1_763_830_000_123, [7; 10]),
            target: Target::Function {
                name: FunctionName::parse("f").unwrap(),
                qualifier: Some("live".parse().unwrap()),
            },
            trigger: Trigger::Topic,
            source: Some("orders.created".to_owned()),
            state: EventState::Queued,
            attempts: 1,
            failures: 1,
            refusals: 0,
            depth: 0,
            accepted_at_us: 1_763_830_000_123_000,
            due_at_us: 1_763_830_060_123_000,
            changed_at_us: 1_763_830_000_500_000,
            bytes: 2,
            condition: None,
            failure: Some(Failure::new(200, Some("Oops".to_owned()), "no".to_owned())),
            ledger_from: 1,
        }
    }

    fn shown(event: &Event, payload: Option<&'static [u8]>) -> Value {
        let payload = payload.map(Bytes::from_static);
        serde_json::from_slice(&with_payload(event, payload.as_ref())).unwrap()
    }

    #[test]
    fn an_event_says_what_there_is_to_say() {
        let id = event().id.to_string();
        assert_eq!(
            shown(&event(), Some(b"{\"a\": 1}")),
            json!({
                "request_id": id, "function": "f", "qualifier": "live", "target": "f:live",
                "state": "queued", "attempts": 1, "trigger": "topic", "source": "orders.created",
                "accepted_at": "2025-11-22T16:46:40.123Z", "due_at": "2025-11-22T16:47:40.123Z",
                "changed_at": "2025-11-22T16:46:40.500Z", "bytes": 2,
                "error": {"code": 200, "type": "Oops", "message": "no"}, "payload": {"a": 1},
            })
        );
    }

    #[test]
    fn a_delivery_has_no_function_and_an_ended_event_is_not_due() {
        let delivery = Event {
            target: Target::File {
                name: "failures".to_owned(),
            },
            state: EventState::Dead,
            condition: Some(Condition::DeliveryFailed),
            failure: None,
            source: None,
            ..event()
        };
        let shown = shown(&delivery, Some(b"\xff"));
        assert_eq!(shown["function"], Value::Null);
        assert_eq!(shown["target"], "file:failures");
        assert_eq!(shown["condition"], "DeliveryFailed");
        assert_eq!(shown["payload_base64"], "/w==");
        for absent in ["qualifier", "source", "due_at", "error", "payload"] {
            assert_eq!(shown.get(absent), None, "{absent}");
        }
    }
}
