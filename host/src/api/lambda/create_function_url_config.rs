//! `POST /2021-10-31/functions/{name}/url`: an address of its own for a function or an alias.

use http::StatusCode;

use super::super::error::ApiError;
use super::call::Call;
use super::checks::Checks;
use super::urls::{Moment, UrlRequest, check_function, check_qualifier, show};
use super::wire::settings_key;
use crate::http::error::HttpResponse;
use crate::registry::{UrlAuth, UrlConfig};

pub(super) async fn create_function_url_config(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: UrlRequest = call.json()?;
    let mut checks = Checks::default();
    checks.required("authType", request.auth_type.as_ref());
    request.check(&mut checks);
    checks.done()?;
    check_qualifier(call)?;
    check_function(call)?;
    let now_us = call.request.app.clock.unix_us();
    let url = UrlConfig {
        id: call.request.app.registry.new_url_id(),
        auth: request.auth().unwrap_or(UrlAuth::AwsIam),
        invoke_mode: request.mode(),
        cors: request.cors.map(Into::into),
        created_at_us: now_us,
        modified_at_us: now_us,
    };
    let key = settings_key(call.target()?.qualifier.as_ref());
    let (arn, created) = (call.target_arn()?, url.clone());
    call.settings(move |_function, settings| {
        if settings.urls.contains_key(&key) {
            return Err(ApiError::conflict(format!(
                "Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists for this Lambda function"
            )));
        }
        settings.urls.insert(key, created);
        Ok(())
    })
    .await?;
    show(call, StatusCode::CREATED, &url, Moment::Created)
}
