//! `GET /2019-09-25/functions/{name}/event-invoke-config`.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::event_invoke::{EventInvokeView, key_and_missing};
use crate::http::error::HttpResponse;

pub(super) fn get_function_event_invoke_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let (key, missing) = key_and_missing(call)?;
    let function = call.function().map_err(|_| missing())?;
    let found = function.settings.event_invoke.get(&key);
    let arn = function.name.arn(call.region());
    let view = EventInvokeView::of(&arn, &key, found.ok_or_else(missing)?);
    reply(StatusCode::OK, &view)
}
