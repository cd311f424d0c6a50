//! `POST /2015-03-31/functions/{name}/versions`: freezes `$LATEST` under the next number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::Deserialize;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::change::{Revised, revision};
use super::checks::Checks;
use super::wire::{Detail, FunctionConfiguration, version_arn};
use crate::http::error::HttpResponse;
use crate::registry::PublishVersion;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    code_sha256: Option<String>,
    description: Option<String>,
    revision_id: Option<String>,
}

pub(super) async fn publish_version(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: Request = call.json()?;
    let mut checks = Checks::default();
    checks.length("description", request.description.as_deref(), &(0..=256));
    checks.done()?;
    let function = call.function()?;
    let name = function.name.clone();
    let publish = PublishVersion {
        description: request.description,
        code_sha256: expected_sha256(request.code_sha256.as_deref(), &function.latest.code.sha256)?,
        revision: revision(request.revision_id.as_deref(), Revised::Function)?,
    };
    let (_function, version) = call
        .change(move |app| app.registry.publish_version(&name, publish))
        .await?;
    let region = call.region();
    let arn = version_arn(&version.name, version.id, region);
    let shown = FunctionConfiguration::of(&version, arn, region, Detail::Single);
    reply(StatusCode::CREATED, &shown)
}

/// The hash that `$LATEST` is expected to have; one that is no hash differs from every code.
fn expected_sha256(text: Option<&str>, current: &[u8; 32]) -> Result<Option<[u8; 32]>, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let decoded = STANDARD.decode(text).ok();
    match decoded.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()) {
        Some(sha256) => Ok(Some(sha256)),
        None => Err(super::change::other_code(text, current)),
    }
}
