//! `GET /2017-03-31/tags/{arn}`.

use http::StatusCode;
use serde_json::json;

use super::super::error::ApiError;
use super::call::{Call, reply};
use crate::http::error::HttpResponse;

pub(super) fn list_tags(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let function = call.function()?;
    reply(StatusCode::OK, &json!({ "Tags": function.settings.tags }))
}
