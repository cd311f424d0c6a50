//! The CloudWatch Logs API over the logs of functions: which operation a request is, whether its caller
//! may, and then the operation.
//!
//! A function's log is the group `/aws/lambda/NAME`, there as long as the function is, and after it
//! as long as its log is. Groups belong to functions and streams to their versions: nobody else makes,
//! writes or deletes any.
//!
//! Times are Unix milliseconds. What is read for one answer is bounded, and read on threads that may
//! wait for a disk.

mod describe_groups;
mod describe_streams;
mod filter;
mod get;
mod group;
mod live_tail;
mod members;
mod refused;
mod token;

use std::sync::Arc;

use domain::names::ACCOUNT_ID;
use domain::{LogFilter, LogFilterError};
use http::{HeaderValue, StatusCode};
use storage::StorageError;

use self::group::{Group, required_group};
use self::members::Members;
use super::body::{ApiResponse, whole};
use super::checks::Checks;
use super::error::ApiError;
use super::request::ApiRequest;
use crate::app::App;
use crate::auth;
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};

/// What the header `X-Amz-Target` begins with.
pub(super) const TARGET_PREFIX: &str = "Logs_20140328.";
const TARGET: &str = "x-amz-target";

/// Most events of one answer.
const EVENTS_MAX: u32 = 10_000;

/// Most bytes of messages in one answer; AWS has the same bound.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What AWS counts for each event beside its message, in bytes.
const EVENT_OVERHEAD_BYTES: usize = 26;

/// Most bytes of log files that are read for one page of events; a longer search goes on with the next
/// page.
const READ_BYTES_MAX: u64 = 16 << 20;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    DescribeLogGroups,
    DescribeLogStreams,
    FilterLogEvents,
    GetLogEvents,
    StartLiveTail,
    ListTagsForResource,
    ListTagsLogGroup,
    CreateLogGroup,
    CreateLogStream,
    DeleteLogGroup,
    DeleteLogStream,
    PutLogEvents,
    PutRetentionPolicy,
    DeleteRetentionPolicy,
    TagResource,
    UntagResource,
}

/// What an operation is about, for policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// All groups.
    AllGroups,
    /// The group of `logGroupName` or `logGroupIdentifier`.
    Group,
    /// A stream of such a group.
    Stream,
    /// Each group of `logGroupIdentifiers`.
    Groups,
    /// The group of `resourceArn`.
    Resource,
}

/// What is known of an operation before it is looked into.
#[derive(Debug)]
struct Spec {
    name: &'static str,
    /// What a policy has to allow.
    action: &'static str,
    rule: Rule,
}

impl Operation {
    const ALL: [Self; 16] = [
        Self::DescribeLogGroups,
        Self::DescribeLogStreams,
        Self::FilterLogEvents,
        Self::GetLogEvents,
        Self::StartLiveTail,
        Self::ListTagsForResource,
        Self::ListTagsLogGroup,
        Self::CreateLogGroup,
        Self::CreateLogStream,
        Self::DeleteLogGroup,
        Self::DeleteLogStream,
        Self::PutLogEvents,
        Self::PutRetentionPolicy,
        Self::DeleteRetentionPolicy,
        Self::TagResource,
        Self::UntagResource,
    ];

    fn spec(self) -> Spec {
        let (name, action, rule) = match self {
            Self::DescribeLogGroups => (
                "DescribeLogGroups",
                "logs:DescribeLogGroups",
                Rule::AllGroups,
            ),
            Self::DescribeLogStreams => {
                ("DescribeLogStreams", "logs:DescribeLogStreams", Rule::Group)
            }
            Self::FilterLogEvents => ("FilterLogEvents", "logs:FilterLogEvents", Rule::Group),
            Self::GetLogEvents => ("GetLogEvents", "logs:GetLogEvents", Rule::Stream),
            Self::StartLiveTail => ("StartLiveTail", "logs:StartLiveTail", Rule::Groups),
            Self::ListTagsForResource => (
                "ListTagsForResource",
                "logs:ListTagsForResource",
                Rule::Resource,
            ),
            Self::ListTagsLogGroup => ("ListTagsLogGroup", "logs:ListTagsLogGroup", Rule::Group),
            Self::CreateLogGroup => ("CreateLogGroup", "logs:CreateLogGroup", Rule::Group),
            Self::CreateLogStream => ("CreateLogStream", "logs:CreateLogStream", Rule::Group),
            Self::DeleteLogGroup => ("DeleteLogGroup", "logs:DeleteLogGroup", Rule::Group),
            Self::DeleteLogStream => ("DeleteLogStream", "logs:DeleteLogStream", Rule::Stream),
            Self::PutLogEvents => ("PutLogEvents", "logs:PutLogEvents", Rule::Stream),
            Self::PutRetentionPolicy => {
                ("PutRetentionPolicy", "logs:PutRetentionPolicy", Rule::Group)
            }
            Self::DeleteRetentionPolicy => (
                "DeleteRetentionPolicy",
                "logs:DeleteRetentionPolicy",
                Rule::Group,
            ),
            Self::TagResource => ("TagResource", "logs:TagResource", Rule::Resource),
            Self::UntagResource => ("UntagResource", "logs:UntagResource", Rule::Resource),
        };
        Spec { name, action, rule }
    }
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let operation = operation(request)?;
    let Spec { action, rule, .. } = operation.spec();
    let members: Members = request.json()?;
    let (groups, resources) = resources(request, rule, &members)?;
    for resource in &resources {
        let _grant = auth::authorise(request.app, &request.caller, action, resource)?;
    }
    let answered = match operation {
        Operation::StartLiveTail => {
            let may = (action, resources);
            return live_tail::start(request, groups, members, may).await;
        }
        Operation::DescribeLogGroups => describe_groups::describe(request, members).await,
        _ => {
            // Every other rule is about one group.
            let Some(group) = groups.into_iter().next() else {
                return Err(invalid("logGroupName is missing"));
            };
            match operation {
                Operation::DescribeLogStreams => {
                    describe_streams::describe(request, group, members).await
                }
                Operation::FilterLogEvents => filter::filter(request, group, members).await,
                Operation::GetLogEvents => get::get(request, group, members).await,
                other => refused::answer(request, other, &group),
            }
        }
    };
    answered.map(whole)
}

fn operation(request: &ApiRequest<'_>) -> Result<Operation, ApiError> {
    let target = request.header(TARGET)?.unwrap_or_default();
    let name = target.strip_prefix(TARGET_PREFIX).unwrap_or_default();
    let operation = Operation::ALL
        .into_iter()
        .find(|operation| operation.spec().name == name);
    operation.ok_or_else(|| {
        let message = format!("X-Amz-Target names no operation of this API: `{target}`");
        client_error("UnknownOperationException", message)
    })
}

/// The groups that a request is about, and their names for policies.
fn resources(
    request: &ApiRequest<'_>,
    rule: Rule,
    members: &Members,
) -> Result<(Vec<Group>, Vec<String>), ApiError> {
    // Decisions do not depend on the region.
    let arn = |rest: &str| {
        let region = &request.app.config.region;
        format!("arn:aws:logs:{region}:{ACCOUNT_ID}:log-group:{rest}")
    };
    let groups = match rule {
        Rule::AllGroups => return Ok((Vec::new(), vec![arn("*")])),
        Rule::Group | Rule::Stream => vec![required_group(request, members)?],
        Rule::Groups => group::identified(request, members.log_group_identifiers.as_deref())?,
        Rule::Resource => vec![group::tagged(request, members)?],
    };
    let stream = members.log_stream_name.as_deref();
    let resource = |group: &Group| match (rule, stream) {
        (Rule::Stream, Some(stream)) => arn(&format!("{}:log-stream:{stream}", group.name)),
        _ => arn(&format!("{}:*", group.name)),
    };
    if let Some(stream) = stream {
        group::check_stream_name(stream)?;
    }
    let resources = groups.iter().map(resource).collect();
    Ok((groups, resources))
}

fn client_error(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, code, message)
}

fn invalid(message: impl Into<String>) -> ApiError {
    client_error("InvalidParameterException", message)
}

fn no_such_stream() -> ApiError {
    let message = "The specified log stream does not exist.";
    client_error("ResourceNotFoundException", message)
}

fn bad_token() -> ApiError {
    invalid("The specified nextToken is invalid.")
}

/// Nothing, or what `checks` found in the words of this API.
fn done(checks: Checks) -> Result<(), ApiError> {
    checks.done_as("InvalidParameterException")
}

/// `limit`, if it is in its range.
fn limit(value: Option<i64>, max: u32) -> Result<usize, ApiError> {
    let mut checks = Checks::default();
    checks.range("limit", value, &(1..=i64::from(max)));
    done(checks)?;
    let value = value.unwrap_or_else(|| max.into());
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}

/// The place in a list that a token holds which was made for `purpose`.
fn place(
    request: &ApiRequest<'_>,
    purpose: &str,
    token: Option<&str>,
) -> Result<Option<String>, ApiError> {
    let open = |token| request.app.tokens.open(purpose, token);
    token
        .map(|token| open(token).ok_or_else(bad_token))
        .transpose()
}

/// A time that is not negative, in Unix milliseconds.
fn time(name: &str, value: Option<i64>) -> Result<Option<u64>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    match u64::try_from(value) {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(invalid(format!(
            "{name} is {value}; it must be Unix milliseconds, 0 or more"
        ))),
    }
}

fn pattern(pattern: Option<&str>) -> Result<LogFilter, ApiError> {
    LogFilter::parse(pattern.unwrap_or_default())
        .map_err(|error: LogFilterError| invalid(format!("Invalid filter pattern: {error}")))
}

/// Runs what reads files on a thread that may wait for a disk.
async fn reading<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&App) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, ApiError> {
    let internal = || {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        ApiError::new(status, "InternalFailure", "The log could not be read.")
    };
    let app = Arc::clone(app);
    match tokio::task::spawn_blocking(move || read(&app)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!("reading a log failed: {}", chain(&error));
            Err(internal())
        }
        Err(_) => Err(internal()),
    }
}

fn reply(body: &serde_json::Value) -> HttpResponse {
    with_type(json_response(StatusCode::OK, body.to_string()))
}

/// 200 without members.
fn empty_reply() -> HttpResponse {
    with_type(json_response(StatusCode::OK, ""))
}

fn with_type(mut response: HttpResponse) -> HttpResponse {
    let json11 = HeaderValue::from_static("application/x-amz-json-1.1");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, json11);
    response
}

/// The operations for the table that the tests from outside go over.
#[cfg(test)]
pub(super) fn rows() -> Vec<super::matrix::Row> {
    let row = |operation: Operation| {
        let spec = operation.spec();
        super::matrix::Row {
            service: "logs",
            name: spec.name,
            action: spec.action,
            method: "POST",
            target: "/".to_owned(),
            about: match spec.rule {
                Rule::AllGroups => "groups",
                Rule::Group | Rule::Groups | Rule::Resource => "group",
                Rule::Stream => "stream",
            },
        }
    };
    Operation::ALL.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_the_action_of_that_name() {
        let names: HashSet<_> = Operation::ALL.iter().map(|o| o.spec().name).collect();
        assert_eq!(names.len(), Operation::ALL.len());
        for operation in Operation::ALL {
            let spec = operation.spec();
            assert_eq!(spec.action, format!("logs:{}", spec.name));
            assert_eq!(format!("{operation:?}"), spec.name);
        }
    }

    #[test]
    fn a_limit_outside_its_range_is_refused_in_the_words_of_aws() {
        assert_eq!(limit(None, 10_000).unwrap(), 10_000);
        assert_eq!(limit(Some(1), 50).unwrap(), 1);
        let message = limit(Some(10_001), 10_000).unwrap_err();
        assert_eq!(
            message.message(),
            "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"
        );
        for bad in [0, -1, i64::MIN, 51] {
            limit(Some(bad), 50).unwrap_err();
        }
    }
}
