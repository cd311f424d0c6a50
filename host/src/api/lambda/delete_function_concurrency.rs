//! `DELETE /2017-10-31/functions/{name}/concurrency`: the function shares the server's limit again.

use super::super::error::ApiError;
use super::call::{Call, no_content};
use crate::http::error::HttpResponse;

pub(super) async fn delete_function_concurrency(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    call.function()?;
    call.settings(|_function, settings| {
        settings.reserved_concurrency = None;
        Ok(())
    })
    .await?;
    Ok(no_content())
}
