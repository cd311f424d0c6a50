//! `/mayfly/schedules`: every schedule, of manifests and of the API, with its next times.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::http::error::{HttpResponse, json_response};
use crate::time_text::rfc3339_ms;
use crate::trigger::schedule::Schedule;

/// Times of a schedule that are shown.
const NEXT_MAX: usize = 5;

pub(super) fn list(app: &App) -> HttpResponse {
    let all = app.schedules.all();
    let schedules: Vec<_> = all.iter().map(|schedule| view(app, schedule)).collect();
    json_response(
        StatusCode::OK,
        json!({ "schedules": schedules }).to_string(),
    )
}

fn view(app: &App, schedule: &Schedule) -> Value {
    let definition = &schedule.definition;
    let next = schedule.next_due_us(app.clock.unix_us(), NEXT_MAX);
    let state = if !definition.is_enabled {
        "disabled"
    } else if app.schedules.is_paused(schedule) {
        "paused"
    } else if next.is_empty() {
        "over"
    } else {
        "enabled"
    };
    let group = definition.api.as_ref().map(|api| api.group.clone());
    let qualifier = definition.qualifier.as_ref().map(ToString::to_string);
    let mut shown = Map::new();
    let members = [
        ("key", Some(json!(schedule.key))),
        ("name", Some(json!(definition.name))),
        ("group", group.map(Value::from)),
        ("function", Some(json!(definition.function))),
        ("qualifier", qualifier.map(Value::from)),
        ("expression", Some(json!(definition.expression))),
        ("timezone", Some(json!(definition.zone))),
        ("state", Some(json!(state))),
        (
            "last_due_at",
            schedule.last_due_us.map(|us| json!(rfc3339_ms(us))),
        ),
        (
            "next_due_at",
            Some(next.into_iter().map(rfc3339_ms).collect()),
        ),
        ("missed", Some(json!(definition.missed))),
        ("overlap", Some(json!(definition.overlap))),
        ("jitter_s", Some(json!(definition.window_s))),
        ("start", definition.start_us.map(|us| json!(rfc3339_ms(us)))),
        ("end", definition.end_us.map(|us| json!(rfc3339_ms(us)))),
        ("input", definition.input.as_ref().map(|input| json!(input))),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            shown.insert(name.to_owned(), value);
        }
    }
    Value::Object(shown)
}
