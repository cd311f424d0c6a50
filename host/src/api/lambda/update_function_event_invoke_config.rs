//! `POST /2019-09-25/functions/{name}/event-invoke-config`: changes what is given, keeps the rest.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::event_invoke::{EventInvokeRequest, EventInvokeView, check_function, key_and_missing};
use crate::http::error::HttpResponse;

pub(super) async fn update_function_event_invoke_config(
    call: &Call<'_>,
) -> Result<HttpResponse, ApiError> {
    let request: EventInvokeRequest = call.json()?;
    request.check()?;
    check_function(call)?;
    request.check_destinations(call)?;
    let (key, missing) = key_and_missing(call)?;
    let arn = call.target()?.name.arn(call.region());
    let now_us = call.request.app.clock.unix_us();
    let view = call
        .settings(move |_function, settings| {
            let found = settings.event_invoke.get_mut(&key).ok_or_else(missing)?;
            request.apply(found, now_us);
            Ok(EventInvokeView::of(&arn, &key, found))
        })
        .await?;
    reply(StatusCode::OK, &view)
}
