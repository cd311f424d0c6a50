//! What groups and streams of functions do not allow, said clearly; and the few of these operations
//! whose answer is true without doing anything.

use serde_json::json;

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::group::Group;
use super::{Operation, client_error, empty_reply, invalid, reply};
use crate::http::error::HttpResponse;

/// Answers an operation that would change something.
pub(super) fn answer(
    request: &ApiRequest<'_>,
    operation: Operation,
    group: &Group,
) -> Result<HttpResponse, ApiError> {
    let found = group.function(request.app);
    if operation == Operation::CreateLogGroup {
        return Err(match found {
            Ok(_) => client_error(
                "ResourceAlreadyExistsException",
                "The specified log group already exists",
            ),
            Err(_) => invalid(format!(
                "`{}` can't be made: log groups belong to functions, and `/aws/lambda/NAME` is there as soon as function NAME is",
                group.name
            )),
        });
    }
    found?;
    match operation {
        // Groups have no tags and no retention in days, so there is none to show or to take away.
        Operation::ListTagsForResource | Operation::ListTagsLogGroup => {
            Ok(reply(&json!({ "tags": {} })))
        }
        Operation::DeleteRetentionPolicy | Operation::UntagResource => Ok(empty_reply()),
        Operation::PutRetentionPolicy => Err(invalid(
            "the logs of functions are kept by size, not by days: see logs.segment_kb and logs.segments_per_function in the server's configuration",
        )),
        Operation::TagResource => Err(invalid(
            "log groups take no tags; tag the function with lambda:TagResource",
        )),
        Operation::CreateLogStream | Operation::PutLogEvents => Err(invalid(
            "the streams of this group are written by its function alone",
        )),
        Operation::DeleteLogGroup | Operation::DeleteLogStream => Err(invalid(
            "the log of a function can't be deleted; its oldest events go when it reaches its size",
        )),
        Operation::CreateLogGroup
        | Operation::DescribeLogGroups
        | Operation::DescribeLogStreams
        | Operation::FilterLogEvents
        | Operation::GetLogEvents
        | Operation::StartLiveTail => Err(invalid("this operation is answered elsewhere")),
    }
}
