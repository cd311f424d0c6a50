//! `GET /2015-03-31/functions/{name}/configuration`: one version, under the name it was asked for.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::wire::{Detail, FunctionConfiguration};
use crate::http::error::HttpResponse;

pub(super) fn get_function_configuration(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let (_function, version) = call.version()?;
    let arn = call.target_arn()?;
    let shown = FunctionConfiguration::of(&version, arn, call.region(), Detail::Single);
    reply(StatusCode::OK, &shown)
}
