//! `PUT /2021-10-31/functions/{name}/url`: members that are not there stay as they are.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::Call;
use super::checks::Checks;
use super::urls::{Moment, UrlRequest, check_function, check_qualifier, no_url, show};
use super::wire::settings_key;
use crate::http::error::HttpResponse;

pub(super) async fn update_function_url_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: UrlRequest = call.json()?;
    let mut checks = Checks::default();
    request.check(&mut checks);
    checks.done()?;
    check_qualifier(call)?;
    check_function(call)?;
    let key = settings_key(call.target()?.qualifier.as_ref());
    let now_us = call.request.app.clock.unix_us();
    let url = call
        .settings(move |_function, settings| {
            let url = settings.urls.get_mut(&key).ok_or_else(no_url)?;
            url.auth = request.auth().unwrap_or(url.auth);
            url.invoke_mode = request.mode().or(url.invoke_mode);
            if let Some(cors) = request.cors {
                url.cors = Some(cors.into());
            }
            url.modified_at_us = now_us;
            Ok(url.clone())
        })
        .await?;
    show(call, StatusCode::OK, &url, Moment::Later)
}
