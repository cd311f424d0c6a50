//! `GET /2015-03-31/functions/{name}`: one version, and where its code can be downloaded.

use std::collections::BTreeMap;

use http::StatusCode;
use http::header::HOST;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::code_download::location;
use super::super::error::ApiError;
use super::call::{Call, reply};
use super::wire::{Detail, FunctionConfiguration};
use crate::http::error::HttpResponse;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FunctionView {
    configuration: FunctionConfiguration,
    code: Value,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<Value>,
}

pub(super) fn get_function(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let (function, version) = call.version()?;
    let (app, caller) = (call.request.app, &call.request.caller);
    let scheme = if caller.is_secure { "https" } else { "http" };
    // The caller reached us under this name, so it will again.
    let host = call.request.header(HOST.as_str())?;
    let host = host.map_or_else(|| app.control.to_string(), str::to_owned);
    let path = location(app, version.artifact);
    let reserved = function.settings.reserved_concurrency;
    let view = FunctionView {
        configuration: FunctionConfiguration::of(
            &version,
            call.target_arn()?,
            call.region(),
            Detail::Single,
        ),
        code: json!({ "RepositoryType": "S3", "Location": format!("{scheme}://{host}{path}") }),
        tags: function.settings.tags.clone(),
        concurrency: reserved.map(|number| json!({ "ReservedConcurrentExecutions": number })),
    };
    reply(StatusCode::OK, &view)
}
