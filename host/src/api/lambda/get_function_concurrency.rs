//! `GET /2019-09-30/functions/{name}/concurrency`: nothing when nothing is set.

use http::StatusCode;
use serde_json::json;

use super::super::error::ApiError;
use super::call::{Call, reply};
use crate::http::error::HttpResponse;

pub(super) fn get_function_concurrency(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    match call.function()?.settings.reserved_concurrency {
        None => reply(StatusCode::OK, &json!({})),
        Some(number) => reply(
            StatusCode::OK,
            &json!({ "ReservedConcurrentExecutions": number }),
        ),
    }
}
