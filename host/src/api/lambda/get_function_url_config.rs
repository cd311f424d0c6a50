//! `GET /2021-10-31/functions/{name}/url`.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::Call;
use super::urls::{Moment, check_qualifier, no_url, show};
use super::wire::settings_key;
use crate::http::error::HttpResponse;

pub(super) fn get_function_url_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    check_qualifier(call)?;
    let function = call.function().map_err(|_| no_url())?;
    let key = settings_key(call.target()?.qualifier.as_ref());
    let url = function.settings.urls.get(&key).ok_or_else(no_url)?;
    show(call, StatusCode::OK, url, Moment::Later)
}
