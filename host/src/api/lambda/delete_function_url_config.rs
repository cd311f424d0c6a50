//! `DELETE /2021-10-31/functions/{name}/url`.

use super::super::error::ApiError;
use super::call::{Call, no_content};
use super::urls::{check_qualifier, no_url};
use super::wire::settings_key;
use crate::http::error::HttpResponse;

pub(super) async fn delete_function_url_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    check_qualifier(call)?;
    call.function().map_err(|_| no_url())?;
    let key = settings_key(call.target()?.qualifier.as_ref());
    call.settings(move |_function, settings| {
        settings.urls.remove(&key).map(drop).ok_or_else(no_url)
    })
    .await?;
    Ok(no_content())
}
