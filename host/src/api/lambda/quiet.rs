//! Operations on things that do not exist here, answered so that tools go on: nothing is listed, and
//! what every function has on Lambda says that it is as it always is.
//!
//! Nothing here pretends that something was done: none of these changes anything.

use http::StatusCode;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::call::{Call, reply};
use crate::http::error::HttpResponse;

/// `GET /2015-03-31/event-source-mappings`.
pub(super) fn list_event_source_mappings() -> Result<HttpResponse, ApiError> {
    listed("EventSourceMappings")
}

/// `GET /2018-10-31/layers`.
pub(super) fn list_layers() -> Result<HttpResponse, ApiError> {
    listed("Layers")
}

/// `GET /2019-09-30/functions/{name}/provisioned-concurrency?List=ALL`.
pub(super) fn list_provisioned_concurrency_configs(
    call: &Call<'_>,
) -> Result<HttpResponse, ApiError> {
    call.function()?;
    listed("ProvisionedConcurrencyConfigs")
}

/// `GET /2019-09-30/functions/{name}/provisioned-concurrency`.
pub(super) fn get_provisioned_concurrency_config(
    call: &Call<'_>,
) -> Result<HttpResponse, ApiError> {
    call.function_with_qualifier()?;
    Err(ApiError::new(
        StatusCode::NOT_FOUND,
        "ProvisionedConcurrencyConfigNotFoundException",
        "No Provisioned Concurrency Config found for this function",
    ))
}

/// `GET /2020-06-30/functions/{name}/code-signing-config`: Terraform asks after every create.
pub(super) fn get_function_code_signing_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let function = call.function()?;
    let body = json!({ "CodeSigningConfigArn": "", "FunctionName": function.name });
    reply(StatusCode::OK, &body)
}

/// `GET /2021-07-20/functions/{name}/runtime-management-config`.
pub(super) fn get_runtime_management_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    call.version()?;
    let body = json!({ "UpdateRuntimeOn": "Auto", "FunctionArn": call.target_arn()? });
    reply(StatusCode::OK, &body)
}

/// `GET /2024-08-31/functions/{name}/recursion-config`.
pub(super) fn get_function_recursion_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    call.function()?;
    reply(StatusCode::OK, &json!({ "RecursiveLoop": "Terminate" }))
}

fn listed(name: &str) -> Result<HttpResponse, ApiError> {
    let nothing: [Value; 0] = [];
    reply(StatusCode::OK, &json!({ name: nothing }))
}
