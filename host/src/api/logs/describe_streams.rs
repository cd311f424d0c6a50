//! `DescribeLogStreams`: the streams of a group by name or by their last event.

use serde_json::{Value, json};
use storage::LogStream;

use super::super::checks::Checks;
use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::group::Group;
use super::members::Members;
use super::{done, invalid, limit, place, reading, reply};
use crate::http::error::HttpResponse;

/// Most streams of one answer.
const STREAMS_MAX: u32 = 50;

/// What a list is sorted by: each stream has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderBy {
    Name,
    LastEvent,
}

impl OrderBy {
    fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        let mut checks = Checks::default();
        checks.one_of("orderBy", text, &["LogStreamName", "LastEventTime"]);
        done(checks)?;
        Ok(match text {
            Some("LastEventTime") => Self::LastEvent,
            _ => Self::Name,
        })
    }

    fn key(self, stream: &LogStream) -> String {
        match self {
            Self::Name => stream.name.to_string(),
            // As many digits as there can be, so that texts sort as numbers do.
            Self::LastEvent => format!("{:020} {}", stream.last_ms, stream.name),
        }
    }
}

pub(super) async fn describe(
    request: &ApiRequest<'_>,
    group: Group,
    members: Members,
) -> Result<HttpResponse, ApiError> {
    let function = group.function(request.app)?;
    let limit = limit(members.limit, STREAMS_MAX)?;
    let order = OrderBy::parse(members.order_by.as_deref())?;
    let is_descending = members.descending.unwrap_or(false);
    let prefix = members.log_stream_name_prefix;
    if prefix.is_some() && order == OrderBy::LastEvent {
        return Err(invalid(
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ));
    }
    let purpose = format!(
        "DescribeLogStreams {:?} {order:?} {is_descending} {prefix:?}",
        group.name
    );
    let after = place(request, &purpose, members.next_token.as_deref())?;

    let streams = reading(request.app, move |app| app.logs.streams(&function)).await?;
    let mut streams = streams
        .into_iter()
        .filter(|stream| {
            prefix
                .as_ref()
                .is_none_or(|prefix| stream.name.starts_with(prefix.as_str()))
        })
        .map(|stream| (order.key(&stream), stream))
        .filter(|(key, _)| match &after {
            None => true,
            Some(after) if is_descending => key < after,
            Some(after) => key > after,
        })
        .collect::<Vec<_>>();
    streams.sort_by(|(a, _), (b, _)| if is_descending { b.cmp(a) } else { a.cmp(b) });
    let has_more = streams.len() > limit;
    streams.truncate(limit);

    let group_arn = group.arn(request);
    let views: Vec<Value> = streams
        .iter()
        .map(|(_, stream)| view(&group_arn, stream))
        .collect();
    let mut body = json!({ "logStreams": views });
    if has_more && let Some((key, _)) = streams.last() {
        body["nextToken"] = request.app.tokens.seal(&purpose, key).into();
    }
    Ok(reply(&body))
}

fn view(group_arn: &str, stream: &LogStream) -> Value {
    json!({
        "logStreamName": &*stream.name,
        "creationTime": stream.first_ms,
        "firstEventTimestamp": stream.first_ms,
        "lastEventTimestamp": stream.last_ms,
        "lastIngestionTime": stream.last_ms,
        "arn": format!("{group_arn}:log-stream:{}", stream.name),
        "storedBytes": 0,
    })
}
