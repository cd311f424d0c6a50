//! `PUT /2017-10-31/functions/{name}/concurrency`: how many of a function may run at once, kept free
//! for it. 0 lets none run.

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::checks::Checks;
use crate::http::error::HttpResponse;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    reserved_concurrent_executions: Option<i64>,
}

pub(super) async fn put_function_concurrency(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: Request = call.json()?;
    let wanted = request.reserved_concurrent_executions;
    let mut checks = Checks::default();
    checks.required("reservedConcurrentExecutions", wanted.as_ref());
    checks.range("reservedConcurrentExecutions", wanted, &(0..=i64::MAX));
    checks.done()?;
    call.function()?;
    // More than there can be is too much, and the registry says so.
    let number = u32::try_from(wanted.unwrap_or(0)).unwrap_or(u32::MAX);
    call.settings(move |_function, settings| {
        settings.reserved_concurrency = Some(number);
        Ok(())
    })
    .await?;
    reply(
        StatusCode::OK,
        &json!({ "ReservedConcurrentExecutions": number }),
    )
}
