//! `GET /2016-08-19/account-settings`: what this server allows, and what of it is used.

use http::StatusCode;
use serde_json::json;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::code::{MODULE_BYTES_MAX, ZIPPED_BYTES_MAX};
use crate::http::error::HttpResponse;

/// Bytes of code that a new account of Lambda may store. Here only the disk is a limit.
const TOTAL_CODE_BYTES: u64 = 80_530_636_800;

pub(super) fn get_account_settings(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let app = call.request.app;
    let functions = app.registry.functions();
    let stored: u64 = functions
        .iter()
        .flat_map(|function| std::iter::once(&function.latest).chain(function.versions.values()))
        .map(|version| version.code.bytes)
        .sum();
    let limit = u64::from(app.config.sandbox.concurrency_max);
    let body = json!({
        "AccountLimit": {
            "TotalCodeSize": TOTAL_CODE_BYTES,
            "CodeSizeUnzipped": MODULE_BYTES_MAX,
            "CodeSizeZipped": ZIPPED_BYTES_MAX,
            "ConcurrentExecutions": limit,
            "UnreservedConcurrentExecutions": limit.saturating_sub(u64::from(app.registry.reserved_concurrency())),
        },
        "AccountUsage": {
            "TotalCodeSize": stored,
            "FunctionCount": functions.len(),
        },
    });
    reply(StatusCode::OK, &body)
}
