//! `/mayfly/api-keys`: the keys that clients of HTTP triggers send. A key is shown once, when it is made.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use storage::identity::ApiKeyRecord;

use crate::api::error::ApiError;
use crate::app::App;
use crate::auth::identities::{Identities, IdentityError};
use crate::http::error::{HttpResponse, json_response};
use crate::time_text::rfc3339_ms;

const NAME_CHARS_MAX: usize = 64;

/// The body of a request that makes a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
}

/// The body of a request that changes a key.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    enabled: bool,
}

/// The name of a key: 1 to 64 letters, digits, `-`, `_` and `.`.
pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.chars().all(is_allowed) {
        Ok(())
    } else {
        Err(ApiError::validation(format!(
            "the name of an API key must be 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`, not `{}`",
            name.chars().take(80).collect::<String>().escape_debug()
        )))
    }
}

pub(super) async fn create(app: &Arc<App>, body: Create) -> Result<HttpResponse, ApiError> {
    check_name(&body.name)?;
    let new = blocking(app, move |identities| identities.create_api_key(&body.name)).await?;
    let mut view = view(&new.record);
    if let Some(members) = view.as_object_mut() {
        members.insert("key".to_owned(), json!(new.key.expose()));
    }
    Ok(json_response(StatusCode::CREATED, view.to_string()))
}

pub(super) fn list(app: &App) -> HttpResponse {
    let state = app.identities.now();
    let keys: Vec<_> = state.api_keys.values().map(|key| view(key)).collect();
    json_response(StatusCode::OK, json!({ "api_keys": keys }).to_string())
}

pub(super) async fn update(
    app: &Arc<App>,
    name: String,
    body: Update,
) -> Result<HttpResponse, ApiError> {
    blocking(app, move |identities| {
        identities.set_api_key_enabled(&name, body.enabled)
    })
    .await?;
    Ok(json_response(StatusCode::OK, "{}"))
}

pub(super) async fn delete(app: &Arc<App>, name: String) -> Result<HttpResponse, ApiError> {
    blocking(app, move |identities| identities.delete_api_key(&name)).await?;
    Ok(json_response(StatusCode::OK, "{}"))
}

/// Makes a change where it may wait for the disk.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    change: impl FnOnce(&Identities) -> Result<T, IdentityError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = Arc::clone(app);
    let changing = tokio::task::spawn_blocking(move || change(&app.identities));
    let changed = changing
        .await
        .map_err(|_| ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))?;
    changed.map_err(|error| match error {
        IdentityError::NoApiKey(_) => ApiError::not_found(error.to_string()),
        IdentityError::Exists { .. } => ApiError::new(
            StatusCode::CONFLICT,
            "ResourceConflictException",
            error.to_string(),
        ),
        error => error.into(),
    })
}

fn view(key: &ApiKeyRecord) -> serde_json::Value {
    json!({
        "name": key.name,
        "enabled": key.is_enabled,
        "created_at": rfc3339_ms(key.created_at_us),
    })
}
