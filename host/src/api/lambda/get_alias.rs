//! `GET /2015-03-31/functions/{name}/aliases/{alias}`.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::{Call, alias_name};
use super::create_alias::show;
use crate::http::error::HttpResponse;

pub(super) fn get_alias(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let alias = alias_name("name", call.label()?)?;
    show(call, StatusCode::OK, &*call.function()?, &alias)
}
