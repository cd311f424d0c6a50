//! `GET /mayfly/code/{token}`: the code of a function, for whoever was given the address.
//!
//! The token says which artifact and until when, and only this process can make one. What is served is
//! a zip with one entry, as clients expect. Asks for no signature: the token is the permission.

use std::sync::Arc;

use domain::ArtifactId;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

use super::error::ApiError;
use super::lambda::code::zipped;
use crate::app::App;
use crate::auth::trail::{Decided, Trail};
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};

/// How the paths begin.
const PREFIX: &str = "/mayfly/code/";

/// What the tokens are for.
const PURPOSE: &str = "code";

/// How long an address is good, in milliseconds. About what Lambda gives.
const VALID_MS: u64 = 600_000;

/// The path where `artifact` can be downloaded for ten minutes.
pub(super) fn location(app: &App, artifact: ArtifactId) -> String {
    let until_ms = app.clock.unix_ms() + VALID_MS;
    let token = app.tokens.seal(PURPOSE, &format!("{artifact}/{until_ms}"));
    format!("{PREFIX}{token}")
}

/// The token of a request for code, if it is one.
///
/// # Errors
///
/// 405 for anything but GET.
pub(super) fn token(parts: &Parts) -> Result<Option<&str>, ApiError> {
    let path = parts.uri.path();
    match path.strip_prefix(PREFIX) {
        Some(token) if parts.method == Method::GET => Ok(Some(token)),
        Some(_) => Err(ApiError::wrong_method(PREFIX, &Method::GET, &parts.method)),
        None => Ok(None),
    }
}

/// The zip that `token` is for.
///
/// # Errors
///
/// 403 for a token that is none of ours or too old, 404 when the artifact is gone.
pub(super) async fn download(
    app: &Arc<App>,
    token: &str,
    trail: &Trail,
) -> Result<HttpResponse, ApiError> {
    let artifact = artifact(app, token)
        .ok_or_else(|| ApiError::denied("the address is not valid or not valid any more"))?;
    trail.note(Decided {
        action: "mayfly:DownloadCode",
        resource: format!("arn:aws:mayfly:::code/{artifact}"),
        denied: None,
    });
    let app = Arc::clone(app);
    let reading = tokio::task::spawn_blocking(move || {
        let wasm = app.registry.artifact(artifact)?;
        Ok::<_, storage::StorageError>(zipped(&wasm))
    });
    let internal = || ApiError::service(StatusCode::INTERNAL_SERVER_ERROR);
    let zip = match reading.await {
        Ok(Ok(Ok(zip))) => zip,
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "zipping an artifact failed");
            return Err(internal());
        }
        Ok(Err(error)) => {
            tracing::warn!("an artifact can't be downloaded: {}", chain(&error));
            return Err(ApiError::not_found("the code is not there any more"));
        }
        Err(error) => {
            tracing::error!(%error, "zipping an artifact failed");
            return Err(internal());
        }
    };
    let mut response = json_response(StatusCode::OK, zip);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
    let name = HeaderValue::from_static("attachment; filename=\"function.zip\"");
    headers.insert(CONTENT_DISPOSITION, name);
    Ok(response)
}

fn artifact(app: &App, token: &str) -> Option<ArtifactId> {
    let text = app.tokens.open(PURPOSE, token)?;
    let (artifact, until_ms) = text.split_once('/')?;
    let until_ms: u64 = until_ms.parse().ok()?;
    (app.clock.unix_ms() <= until_ms).then_some(())?;
    artifact.parse().ok()
}
