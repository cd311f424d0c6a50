//! `DescribeLogStreams`: the streams of a group by name or by their last event.

use serde::Deserialize;
use serde_json::{Value, json};
use storage::LogStream;

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::group::Group;
use super::token::{Purpose, decode_text, encode_text};
use super::{bad_token, invalid, limit, members, reading, reply};
use crate::http::error::HttpResponse;

/// Most streams of one answer.
const STREAMS_MAX: u32 = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    descending: Option<bool>,
    limit: Option<i64>,
    next_token: Option<String>,
}

/// What a list is sorted by: each stream has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrderBy {
    Name,
    LastEvent,
}

impl OrderBy {
    fn parse(text: Option<&str>) -> Result<Self, ApiError> {
        match text {
            None | Some("LogStreamName") => Ok(Self::Name),
            Some("LastEventTime") => Ok(Self::LastEvent),
            Some(other) => Err(invalid(format!(
                "1 validation error detected: Value '{other}' at 'orderBy' failed to satisfy constraint: Member must satisfy enum value set: [LogStreamName, LastEventTime]"
            ))),
        }
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
) -> Result<HttpResponse, ApiError> {
    let members: Members = members(request)?;
    let function = group.function(request.app)?;
    let limit = limit(members.limit, STREAMS_MAX, STREAMS_MAX)?;
    let order = OrderBy::parse(members.order_by.as_deref())?;
    let is_descending = members.descending.unwrap_or(false);
    let prefix = members.log_stream_name_prefix;
    if prefix.is_some() && order == OrderBy::LastEvent {
        return Err(invalid(
            "Cannot order by LastEventTime with a logStreamNamePrefix.",
        ));
    }
    let purpose_text = format!("{order:?} {is_descending} {prefix:?}");
    let purpose = Purpose(&["DescribeLogStreams", &group.name, &purpose_text]);
    let after = members
        .next_token
        .map(|token| decode_text(purpose, &token).ok_or_else(bad_token));
    let after = after.transpose()?;

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
        body["nextToken"] = encode_text(purpose, key).into();
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
