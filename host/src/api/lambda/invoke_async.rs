//! `POST /2014-11-13/functions/{name}/invoke-async`: what `Event` was before there was Invoke.

use super::super::error::ApiError;
use super::call::Call;
use super::invoke::{accepted, checked_event, enqueue};
use crate::http::error::HttpResponse;

pub(super) async fn invoke_async(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    if call.request.app.is_draining() {
        return Err(ApiError::stopping());
    }
    call.version()?;
    let event = checked_event(call.request.body.clone())?;
    enqueue(call, event).await?;
    Ok(accepted())
}
