//! `FilterLogEvents`: the events of a group by time, stream and text.
//!
//! In the order of their stamps, which is the order of the log, so that a client that asks again from
//! the last time it saw and leaves out the ids it knows (`aws logs tail --follow`) misses no event and
//! shows none twice.

use std::collections::HashSet;
use std::ops::ControlFlow;

use domain::LogFilter;
use serde_json::{Value, json};
use storage::{LogRange, ScanEnd, ScannedEvent};

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::group::{Group, check_stream_name};
use super::members::Members;
use super::token::{Purpose, decode, encode, event_id};
use super::{
    ANSWER_BYTES_MAX, EVENT_OVERHEAD_BYTES, EVENTS_MAX, READ_BYTES_MAX, bad_token, invalid, limit,
    pattern, reading, reply, time,
};
use crate::http::error::HttpResponse;

/// Most streams that can be named.
const STREAMS_MAX: usize = 100;

/// Which streams are wanted.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) names: Option<HashSet<String>>,
    pub(super) prefixes: Vec<String>,
}

impl Streams {
    pub(super) fn has(&self, stream: &str) -> bool {
        self.names
            .as_ref()
            .is_none_or(|names| names.contains(stream))
            && (self.prefixes.is_empty()
                || self
                    .prefixes
                    .iter()
                    .any(|prefix| stream.starts_with(prefix.as_str())))
    }
}

pub(super) async fn filter(
    request: &ApiRequest<'_>,
    group: Group,
    members: Members,
) -> Result<HttpResponse, ApiError> {
    let function = group.function(request.app)?;
    let limit = limit(members.limit, EVENTS_MAX)?;
    let range = LogRange {
        since_ms: time("startTime", members.start_time)?.unwrap_or(0),
        until_ms: time("endTime", members.end_time)?.unwrap_or(u64::MAX),
        bytes_max: READ_BYTES_MAX,
    };
    if range.since_ms > range.until_ms {
        return Err(invalid(format!(
            "startTime is {} and endTime {}; startTime must not be the later one",
            range.since_ms, range.until_ms
        )));
    }
    let wanted = pattern(members.filter_pattern.as_deref())?;
    let purpose_text = format!(
        "{:?} {:?} {range:?} {wanted:?}",
        members.log_stream_names, members.log_stream_name_prefix
    );
    let purpose = Purpose(&["FilterLogEvents", &group.name, &purpose_text]);
    let streams = streams(members.log_stream_names, members.log_stream_name_prefix)?;
    let from = match &members.next_token {
        None => ScanEnd::START,
        Some(token) => decode(purpose, token).ok_or_else(bad_token)?,
    };

    let (events, end) = reading(request.app, move |app| {
        let mut page = Page::new(limit);
        let end = app.logs.scan(&function, from, range, |scanned| {
            if is_wanted(&scanned, &streams, &wanted) {
                page.push(scanned)
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok((page.events, end))
    })
    .await?;
    let events: Vec<Value> = events.iter().map(view).collect();
    let mut body = json!({ "events": events, "searchedLogStreams": [] });
    if !end.is_complete {
        body["nextToken"] = encode(purpose, end).into();
    }
    Ok(reply(&body))
}

/// Whether an event is of a wanted stream and has a wanted text.
pub(super) fn is_wanted(scanned: &ScannedEvent, streams: &Streams, wanted: &LogFilter) -> bool {
    streams.has(&scanned.stream) && wanted.matches(&scanned.event.text)
}

fn streams(names: Option<Vec<String>>, prefix: Option<String>) -> Result<Streams, ApiError> {
    match (&names, &prefix) {
        (Some(_), Some(_)) => {
            return Err(invalid(
                "logStreamNames and logStreamNamePrefix are mutually exclusive parameters.",
            ));
        }
        (Some(names), _) if !(1..=STREAMS_MAX).contains(&names.len()) => {
            return Err(invalid(format!(
                "logStreamNames has {} members; it must have 1 to {STREAMS_MAX}",
                names.len()
            )));
        }
        _ => {}
    }
    for name in names.iter().flatten().chain(&prefix) {
        check_stream_name(name)?;
    }
    Ok(Streams {
        names: names.map(|names| names.into_iter().collect()),
        prefixes: prefix.into_iter().collect(),
    })
}

/// Events up to a number and a size.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<ScannedEvent>,
    events_max: usize,
    bytes: usize,
}

impl Page {
    pub(super) fn new(events_max: usize) -> Self {
        Self {
            events: Vec::new(),
            events_max,
            bytes: 0,
        }
    }

    /// Takes an event, or breaks when there is no room; the first one always has.
    pub(super) fn push(&mut self, scanned: ScannedEvent) -> ControlFlow<()> {
        let bytes = self.bytes + scanned.event.text.len() + EVENT_OVERHEAD_BYTES;
        let is_full = self.events.len() >= self.events_max || bytes > ANSWER_BYTES_MAX;
        if is_full && !self.events.is_empty() {
            return ControlFlow::Break(());
        }
        self.bytes = bytes;
        self.events.push(scanned);
        ControlFlow::Continue(())
    }
}

fn view(scanned: &ScannedEvent) -> Value {
    json!({
        "logStreamName": &*scanned.stream,
        "timestamp": scanned.stamp_ms,
        "message": message(scanned),
        "ingestionTime": scanned.stamp_ms,
        "eventId": event_id(scanned.place, scanned.event.at_unix_ms),
    })
}

/// What an event says; our own lines end as those of AWS do.
pub(super) fn message(scanned: &ScannedEvent) -> String {
    let text = &scanned.event.text;
    match scanned.event.source {
        storage::LogSource::Platform => format!("{text}\n"),
        storage::LogSource::Function => text.clone(),
    }
}
