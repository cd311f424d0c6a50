//! `DELETE /2019-09-25/functions/{name}/event-invoke-config`.

use super::super::error::ApiError;
use super::call::{Call, no_content};
use super::event_invoke::key_and_missing;
use crate::http::error::HttpResponse;

pub(super) async fn delete_function_event_invoke_config(
    call: &Call<'_>,
) -> Result<HttpResponse, ApiError> {
    let (key, missing) = key_and_missing(call)?;
    call.function().map_err(|_| missing())?;
    call.settings(move |_function, settings| {
        let removed = settings.event_invoke.remove(&key);
        removed.map(drop).ok_or_else(missing)
    })
    .await?;
    Ok(no_content())
}
