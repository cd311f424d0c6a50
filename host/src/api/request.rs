//! A control request whose caller is known, as operations see it.

use std::sync::Arc;

use bytes::Bytes;
use domain::RequestId;
use domain::routing::decode_percent;
use http::Method;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error::ApiError;
use super::form::Encoding;
use super::json;
use super::lambda::operation::labels;
use super::query::Query;
use crate::app::App;
use crate::auth::Caller;

/// A request with its body, after its signature was verified.
#[derive(Debug)]
pub(super) struct ApiRequest<'a> {
    pub(super) app: &'a Arc<App>,
    /// The request's id; an invocation that it starts has the same.
    pub(super) id: RequestId,
    pub(super) parts: &'a Parts,
    pub(super) caller: Caller,
    pub(super) body: Bytes,
}

impl ApiRequest<'_> {
    /// Which of these operations is asked for, by method and path, and the label of its path, decoded; empty
    /// when the path has none.
    ///
    /// # Errors
    ///
    /// 404 for a path that none of them has, 405 for a method that the path does not take.
    pub(super) fn operation<O>(
        &self,
        all: impl Iterator<Item = (O, Method, &'static str)>,
    ) -> Result<(O, String), ApiError> {
        let (method, path) = (&self.parts.method, self.parts.uri.path());
        let mut other = None;
        for (operation, expected, pattern) in all {
            let Some(labels) = labels(pattern, path) else {
                continue;
            };
            if expected == *method {
                let label = labels.first().map(|label| decode(label)).transpose()?;
                return Ok((operation, label.unwrap_or_default()));
            }
            other = other.or(Some(expected));
        }
        Err(match other {
            Some(other) => ApiError::wrong_method(path, &other, method),
            None => ApiError::unknown_operation(method, path),
        })
    }

    /// The query, decoded.
    ///
    /// # Errors
    ///
    /// 400 when it is not percent-encoded UTF-8.
    pub(super) fn query(&self) -> Result<Query, ApiError> {
        Query::parse(self.parts.uri.query().unwrap_or(""))
    }

    /// A header's text; `None` when it is not there.
    ///
    /// # Errors
    ///
    /// 400 when it is not ASCII.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>, ApiError> {
        self.parts
            .headers
            .get(name)
            .map(|value| value.to_str())
            .transpose()
            .map_err(|_| ApiError::validation(format!("{name} is not ASCII text")))
    }

    /// How the parameters of IAM and STS are written in this request, and its answer.
    pub(super) fn encoding(&self) -> Encoding {
        let content_type = self.parts.headers.get(CONTENT_TYPE);
        if content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json")) {
            Encoding::Json
        } else {
            Encoding::Form
        }
    }

    /// The body as JSON; an empty one is `{}`. Unknown members are ignored, as on AWS.
    ///
    /// # Errors
    ///
    /// 400 that names the member and its place.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        read_json(&self.body)
    }
}

/// A body as JSON; an empty one is `{}`.
///
/// # Errors
///
/// 400 that names the place.
pub(super) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = if body.is_empty() { b"{}" } else { body };
    Ok(json::read(body)?)
}

/// A segment of a path, decoded once.
///
/// # Errors
///
/// 400 when it is not percent-encoded UTF-8.
pub(super) fn decode(segment: &str) -> Result<String, ApiError> {
    decode_percent(segment.as_bytes())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ApiError::validation(format!("`{segment}` is not percent-encoded UTF-8")))
}
