//! `PUT /2019-09-25/functions/{name}/event-invoke-config`: replaces all of it.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::event_invoke::{EventInvokeRequest, EventInvokeView, check_function};
use super::wire::settings_key;
use crate::http::error::HttpResponse;
use crate::registry::EventInvoke;

pub(super) async fn put_function_event_invoke_config(
    call: &Call<'_>,
) -> Result<HttpResponse, ApiError> {
    let request: EventInvokeRequest = call.json()?;
    request.check()?;
    if request.is_empty() {
        return Err(ApiError::validation(
            "You must specify at least one of error handling or destination setting.",
        ));
    }
    check_function(call)?;
    request.check_destinations(call)?;
    let mut new = EventInvoke::default();
    request.apply(&mut new, call.request.app.clock.unix_us());
    let target = call.target()?;
    let key = settings_key(target.qualifier.as_ref());
    let view = EventInvokeView::of(&target.name.arn(call.region()), &key, &new);
    call.settings(move |_function, settings| {
        settings.event_invoke.insert(key, new);
        Ok(())
    })
    .await?;
    reply(StatusCode::OK, &view)
}
