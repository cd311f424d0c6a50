//! `GetLogEvents`: one stream, forward or back from a token.
//!
//! Both tokens always come back. At the end of the stream the forward one is the one that was given, and
//! clients stop there.

use std::collections::HashSet;
use std::ops::ControlFlow;

use domain::FunctionName;
use serde_json::{Value, json};
use storage::{LogRange, ScanEnd, ScannedBack, ScannedEvent, StorageError};

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::filter::{Page, Streams, message};
use super::group::{Group, missing};
use super::members::Members;
use super::token::{Purpose, decode, encode};
use super::{EVENTS_MAX, READ_BYTES_MAX, bad_token, limit, no_such_stream, reading, reply, time};
use crate::app::App;
use crate::http::error::HttpResponse;

/// Which way a token leads.
#[derive(Debug, Clone, Copy)]
enum Direction {
    Forward(ScanEnd),
    /// Before a place, or from the end.
    Back(Option<ScanEnd>),
}

/// What was read: the events, where they begin and where they end.
struct Read {
    events: Vec<ScannedEvent>,
    before: ScanEnd,
    after: ScanEnd,
}

pub(super) async fn get(
    request: &ApiRequest<'_>,
    group: Group,
    members: Members,
) -> Result<HttpResponse, ApiError> {
    let function = group.function(request.app)?;
    let Some(stream) = members.log_stream_name else {
        return Err(missing("logStreamName"));
    };
    let limit = limit(members.limit, EVENTS_MAX)?;
    let range = LogRange {
        since_ms: time("startTime", members.start_time)?.unwrap_or(0),
        // The end is not in it.
        until_ms: time("endTime", members.end_time)?.map_or(u64::MAX, |end| end.saturating_sub(1)),
        bytes_max: READ_BYTES_MAX,
    };
    let purpose = Purpose(&["GetLogEvents", &group.name, &stream]);
    let direction = match members.next_token.as_deref() {
        None if members.start_from_head == Some(true) => Direction::Forward(ScanEnd::START),
        None => Direction::Back(None),
        Some(token) => direction(purpose, token).ok_or_else(bad_token)?,
    };
    let wanted = Wanted {
        function,
        streams: Streams {
            names: Some(HashSet::from([stream.clone()])),
            prefixes: Vec::new(),
        },
        range,
        limit,
        is_known: members.next_token.is_some(),
    };
    let name = stream.clone();
    let read = reading(request.app, move |app| {
        let read = wanted.read(app, direction)?;
        let exists = wanted.is_known
            || !read.events.is_empty()
            || (app.logs.streams(&wanted.function)?.iter()).any(|known| *known.name == *name);
        Ok(exists.then_some(read))
    })
    .await?;
    let Some(Read {
        events,
        before,
        after,
    }) = read
    else {
        return Err(no_such_stream());
    };
    let before = events.first().map_or(before, |first| ScanEnd {
        next: first.place,
        ..before
    });
    Ok(reply(&json!({
        "events": events.iter().map(view).collect::<Vec<_>>(),
        "nextForwardToken": format!("f/{}/s", encode(purpose, after)),
        "nextBackwardToken": format!("b/{}/s", encode(purpose, before)),
    })))
}

/// What is read.
struct Wanted {
    function: FunctionName,
    streams: Streams,
    range: LogRange,
    limit: usize,
    /// A token of this stream came along.
    is_known: bool,
}

impl Wanted {
    fn read(&self, app: &App, direction: Direction) -> Result<Read, StorageError> {
        match direction {
            Direction::Forward(from) => {
                let mut page = Page::new(self.limit);
                let end = app.logs.scan(&self.function, from, self.range, |scanned| {
                    if self.streams.has(&scanned.stream) {
                        page.push(scanned)
                    } else {
                        ControlFlow::Continue(())
                    }
                })?;
                let is_at_end = page.events.is_empty() && end.is_complete && self.is_known;
                Ok(Read {
                    before: from,
                    after: if is_at_end { from } else { end },
                    events: page.events,
                })
            }
            Direction::Back(before) => {
                let place = before.map(|before| before.next);
                let bounds = (self.range, self.limit);
                let ScannedBack { events, begin, end } =
                    app.logs
                        .scan_back(&self.function, place, bounds, |scanned| {
                            self.streams.has(&scanned.stream)
                        })?;
                let after = before.unwrap_or(end);
                Ok(Read {
                    // Without an event it leads on before what was read.
                    before: ScanEnd {
                        next: begin,
                        ..after
                    },
                    after,
                    events: last_of(events),
                })
            }
        }
    }
}

/// The last of `events` that there is room for in one answer.
fn last_of(mut events: Vec<ScannedEvent>) -> Vec<ScannedEvent> {
    let mut room = super::ANSWER_BYTES_MAX;
    let has_room = |event: &&ScannedEvent| {
        let bytes = event.event.text.len() + super::EVENT_OVERHEAD_BYTES;
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    };
    let kept = events.iter().rev().take_while(has_room).count();
    events.split_off(events.len() - kept)
}

fn direction(purpose: Purpose<'_>, token: &str) -> Option<Direction> {
    let (kind, place) = token.strip_suffix("/s")?.split_at_checked(2)?;
    let place = decode(purpose, place)?;
    match kind {
        "f/" => Some(Direction::Forward(place)),
        "b/" => Some(Direction::Back(Some(place))),
        _ => None,
    }
}

fn view(scanned: &ScannedEvent) -> Value {
    json!({
        "timestamp": scanned.stamp_ms,
        "message": message(scanned),
        "ingestionTime": scanned.stamp_ms,
    })
}
