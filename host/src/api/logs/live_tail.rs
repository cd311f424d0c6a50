//! `StartLiveTail`: the new events of groups, about once a second, until the client leaves, three hours
//! are over or the server drains.

use std::collections::HashSet;
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::names::ACCOUNT_ID;
use domain::{FunctionName, LogFilter};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use serde_json::{Value, json};
use storage::{LogRange, ScanEnd, ScannedEvent};
use tokio::sync::mpsc;

use super::super::body::{ApiResponse, Piece, stream};
use super::super::error::ApiError;
use super::super::event_stream::{self, exception, json_event};
use super::super::request::ApiRequest;
use super::filter::{Streams, is_wanted, message};
use super::group::{Group, check_stream_name};
use super::members::Members;
use super::{client_error, invalid, pattern, reading};
use crate::app::App;
use crate::auth::trail::Trail;
use crate::auth::{self, Caller};
use crate::live_tails::LiveTailPlace;

/// Between two updates.
const EVERY: Duration = Duration::from_secs(1);

/// The longest that a session lasts.
const SESSION_MAX: Duration = Duration::from_secs(3 * 60 * 60);

/// Most events of an update; what is beyond is left out, and the update says that it is a sample.
const EVENTS_MAX: usize = 500;

/// Most bytes of a log that are read for one update; the rest follows with the next one.
const READ_BYTES_MAX: u64 = 4 << 20;

/// Most names or prefixes of streams.
const NAMES_MAX: usize = 10;

/// A group that is followed, and how far it was read.
#[derive(Debug, Clone)]
struct Followed {
    group: String,
    function: FunctionName,
    read: ScanEnd,
}

/// What a session wants.
#[derive(Debug)]
struct Wanted {
    streams: Streams,
    filter: LogFilter,
}

/// Follows groups, for as long as the action and the resources are granted.
pub(super) async fn start(
    request: &ApiRequest<'_>,
    groups: Vec<Group>,
    members: Members,
    (action, resources): (&'static str, Vec<String>),
) -> Result<ApiResponse, ApiError> {
    let filter = pattern(members.log_event_filter_pattern.as_deref())?;
    let streams = streams(&members, groups.len())?;
    let functions = groups
        .iter()
        .map(|group| Ok((group.name.clone(), group.function(request.app)?)))
        .collect::<Result<Vec<_>, ApiError>>()?;
    let place = request.app.live_tails.enter(&request.caller.arn());
    let place = place.map_err(|error| client_error("LimitExceededException", error.to_string()))?;
    // What is said from now on.
    let followed = reading(request.app, move |app| {
        let from_here = |(group, function): (String, FunctionName)| {
            let (_, next) = app.logs.tail(&function, 0, None)?;
            let read = ScanEnd {
                next,
                ..ScanEnd::START
            };
            Ok(Followed {
                group,
                function,
                read,
            })
        };
        functions
            .into_iter()
            .map(from_here)
            .collect::<Result<Vec<_>, _>>()
    })
    .await?;

    let identifiers: Vec<_> = groups.iter().map(|group| identifier(&group.name)).collect();
    let session_start = json!({
        "requestId": request.id,
        "sessionId": request.app.random.hex(),
        "logGroupIdentifiers": identifiers,
        "logStreamNames": members.log_stream_names.unwrap_or_default(),
        "logStreamNamePrefixes": members.log_stream_name_prefixes.unwrap_or_default(),
        "logEventFilterPattern": members.log_event_filter_pattern.unwrap_or_default(),
    });
    let (pieces, body) = stream();
    let session = Session {
        app: Arc::clone(request.app),
        pieces,
        wanted: Arc::new(Wanted { streams, filter }),
        followed,
        may: May {
            caller: Caller {
                // The request's own trail ends with its answer.
                trail: Trail::default(),
                ..request.caller.clone()
            },
            action,
            resources,
        },
        _place: place,
    };
    tokio::spawn(session.run(session_start, EVERY, SESSION_MAX));
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(event_stream::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}

fn streams(members: &Members, groups: usize) -> Result<Streams, ApiError> {
    let names = members.log_stream_names.as_deref().unwrap_or_default();
    let prefixes = members
        .log_stream_name_prefixes
        .as_deref()
        .unwrap_or_default();
    if !names.is_empty() && !prefixes.is_empty() {
        return Err(invalid(
            "logStreamNames and logStreamNamePrefixes are mutually exclusive parameters.",
        ));
    }
    let most = names.len().max(prefixes.len());
    if most > NAMES_MAX {
        return Err(invalid(format!(
            "{most} streams are named; it must be {NAMES_MAX} or fewer"
        )));
    }
    if most > 0 && groups != 1 {
        return Err(invalid(
            "streams can be named only where logGroupIdentifiers has one member",
        ));
    }
    for name in names.iter().chain(prefixes) {
        check_stream_name(name)?;
    }
    Ok(Streams {
        names: (!names.is_empty()).then(|| names.iter().cloned().collect::<HashSet<_>>()),
        prefixes: prefixes.to_vec(),
    })
}

/// How answers of this operation call a group.
fn identifier(group: &str) -> String {
    format!("{ACCOUNT_ID}:{group}")
}

/// What a caller has to be allowed for as long as the session goes on.
#[derive(Debug)]
struct May {
    caller: Caller,
    action: &'static str,
    resources: Vec<String>,
}

impl May {
    /// Whether the key may still be used, and its owner still read all groups.
    fn is_so(&self, app: &App) -> bool {
        // Decisions of a session that goes on for hours are not gathered.
        let caller = Caller {
            trail: Trail::default(),
            ..self.caller.clone()
        };
        app.authentication.is_active(&caller.access_key_id)
            && self
                .resources
                .iter()
                .all(|resource| auth::authorise(app, &caller, self.action, resource).is_ok())
    }
}

/// A live tail that runs.
#[derive(Debug)]
struct Session {
    app: Arc<App>,
    pieces: mpsc::Sender<Piece>,
    wanted: Arc<Wanted>,
    followed: Vec<Followed>,
    may: May,
    _place: LiveTailPlace,
}

impl Session {
    async fn run(mut self, session_start: Value, every: Duration, at_most: Duration) {
        let pieces = self.pieces.clone();
        let app = Arc::clone(&self.app);
        // Sending fails when the client has left.
        let session = async {
            self.send(json_event("initial-response", &json!({})))
                .await?;
            self.send(json_event("sessionStart", &session_start))
                .await?;
            loop {
                tokio::time::sleep(every).await;
                if !self.may.is_so(&self.app) {
                    let why = "The caller may not read these log groups any more.";
                    self.send(exception("SessionStreamingException", why))
                        .await?;
                    return Err(Gone);
                }
                let update = self.update().await?;
                self.send(json_event("sessionUpdate", &update)).await?;
            }
        };
        let last = tokio::select! {
            ended = session => {
                let Err(Gone): Result<Infallible, Gone> = ended;
                return;
            }
            () = pieces.closed() => return,
            () = app.drain_started() => exception("SessionStreamingException", "The server is stopping."),
            () = tokio::time::sleep(at_most) => {
                exception("SessionTimeoutException", "The session reached its longest time.")
            }
        };
        drop(pieces.send(Ok(last)).await);
    }

    async fn send(&self, frame: Bytes) -> Result<(), Gone> {
        self.pieces.send(Ok(frame)).await.map_err(|_| Gone)
    }

    /// What was said since the last update.
    async fn update(&mut self) -> Result<Value, Gone> {
        let (followed, wanted) = (self.followed.clone(), Arc::clone(&self.wanted));
        let reading = reading(&self.app, move |app| {
            let range = LogRange {
                since_ms: 0,
                until_ms: u64::MAX,
                bytes_max: READ_BYTES_MAX,
            };
            let (mut results, mut is_sample) = (Vec::new(), false);
            let mut read = Vec::with_capacity(followed.len());
            for mut log in followed {
                log.read = app.logs.scan(&log.function, log.read, range, |scanned| {
                    if is_wanted(&scanned, &wanted.streams, &wanted.filter) {
                        if results.len() < EVENTS_MAX {
                            results.push(view(&log.group, &scanned));
                        } else {
                            is_sample = true;
                        }
                    }
                    ControlFlow::Continue(())
                })?;
                read.push(log);
            }
            Ok((read, results, is_sample))
        });
        // What went wrong is in our log; the client meets the end of its stream.
        let (followed, results, is_sample) = reading.await.map_err(|_| Gone)?;
        self.followed = followed;
        Ok(json!({
            "sessionMetadata": { "sampled": is_sample },
            "sessionResults": results,
        }))
    }
}

/// Nobody reads the session any more, or it can't go on.
#[derive(Debug, Clone, Copy)]
struct Gone;

fn view(group: &str, scanned: &ScannedEvent) -> Value {
    json!({
        "logStreamName": &*scanned.stream,
        "logGroupIdentifier": identifier(group),
        "message": message(scanned),
        "timestamp": scanned.stamp_ms,
        "ingestionTime": scanned.stamp_ms,
    })
}
