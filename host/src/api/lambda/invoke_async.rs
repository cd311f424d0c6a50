//! `POST /2014-11-13/functions/{name}/invoke-async`: what `Event` was before there was Invoke.

use super::super::error::ApiError;
use super::call::Call;
use super::invoke::no_queue;
use crate::http::error::HttpResponse;

pub(super) fn invoke_async(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    call.function()?;
    Err(no_queue())
}
