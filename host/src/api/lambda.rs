//! The Lambda API: which operation a request is, whether its caller may, and then the operation.
//!
//! A new operation is a variant of [`Operation`]: routing, authorisation and the tests that go over all
//! operations follow from its row in [`Operation::spec`].

mod invoke;

use domain::FunctionName;
use domain::limits::PAYLOAD_BYTES_MAX;
use http::Method;

use super::error::ApiError;
use super::request::{ApiRequest, decode};
use crate::auth;
use crate::http::error::HttpResponse;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Invoke,
}

/// What is known of an operation before it is looked into.
#[derive(Debug)]
struct Spec {
    /// What a policy has to allow.
    action: &'static str,
    method: Method,
    /// Segments; `{}` stands for a label.
    path: &'static [&'static str],
}

impl Operation {
    const ALL: [Self; 1] = [Self::Invoke];

    fn spec(self) -> Spec {
        match self {
            Self::Invoke => Spec {
                action: "lambda:InvokeFunction",
                method: Method::POST,
                path: &["2015-03-31", "functions", "{}", "invocations"],
            },
        }
    }
}

/// Longest body of an upload of code: 50 MiB in base64, and the rest of the request.
const CODE_BYTES_MAX: usize = 70_167_211;

/// How long the body of an operation may be, in bytes, if it is more than usual.
pub(super) fn body_bytes_max(method: &Method, path: &str) -> Option<usize> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (method, segments.as_slice()) {
        (
            &Method::POST,
            [
                _,
                "functions",
                _,
                "invocations" | "response-streaming-invocations",
            ],
        ) => Some(PAYLOAD_BYTES_MAX),
        (&Method::POST, [_, "functions"]) | (&Method::PUT, [_, "functions", _, "code"]) => {
            Some(CODE_BYTES_MAX)
        }
        _ => None,
    }
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<HttpResponse, ApiError> {
    let (operation, labels) = route(request)?;
    let [function] = labels.as_slice() else {
        return Err(unknown(request));
    };
    let target = invoke::target(request, function)?;
    let resource = target.arn(&request.app.config.region);
    let _grant = auth::authorise(
        request.app,
        &request.caller,
        operation.spec().action,
        &resource,
    )?;
    match operation {
        Operation::Invoke => invoke::invoke_function(request, target).await,
    }
}

fn unknown(request: &ApiRequest<'_>) -> ApiError {
    ApiError::unknown_operation(&request.parts.method, request.parts.uri.path())
}

/// The operation and the decoded labels of its path.
fn route(request: &ApiRequest<'_>) -> Result<(Operation, Vec<String>), ApiError> {
    let segments = request.segments();
    let mut allowed = None;
    for operation in Operation::ALL {
        let spec = operation.spec();
        let Some(labels) = labels(spec.path, &segments) else {
            continue;
        };
        if request.parts.method == spec.method {
            let labels = labels.into_iter().map(decode).collect::<Result<_, _>>()?;
            return Ok((operation, labels));
        }
        allowed = Some(spec.method);
    }
    match allowed {
        None => Err(unknown(request)),
        Some(allowed) => {
            let path = request.parts.uri.path();
            Err(ApiError::wrong_method(
                path,
                &allowed,
                &request.parts.method,
            ))
        }
    }
}

/// What stands where `pattern` has `{}`, if `segments` fit it.
fn labels<'a>(pattern: &[&str], segments: &[&'a str]) -> Option<Vec<&'a str>> {
    if pattern.len() != segments.len() {
        return None;
    }
    let mut labels = Vec::new();
    for (expected, segment) in pattern.iter().zip(segments) {
        if *expected == "{}" {
            labels.push(*segment);
        } else if expected != segment {
            return None;
        }
    }
    Some(labels)
}

/// The error for a function that is not there.
fn function_not_found(request: &ApiRequest<'_>, name: &FunctionName) -> ApiError {
    let arn = name.arn(&request.app.config.region);
    ApiError::not_found(format!("Function not found: {arn}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_labels_where_it_says_so_and_nothing_else() {
        let pattern = Operation::Invoke.spec().path;
        let split = |path: &'static str| path.split('/').skip(1).collect::<Vec<_>>();
        assert_eq!(
            labels(pattern, &split("/2015-03-31/functions/f/invocations")),
            Some(vec!["f"])
        );
        for other in [
            "/",
            "/2015-03-31/functions/f",
            "/2015-03-31/functions/f/invocations/x",
            "/2015-03-31/function/f/invocations",
        ] {
            assert_eq!(labels(pattern, &split(other)), None, "{other}");
        }
    }
}
