//! `PUT /2015-03-31/functions/{name}/code`: new code for `$LATEST`, checked and compiled before it is
//! answered.

use http::StatusCode;
use serde::Deserialize;

use super::super::error::ApiError;
use super::super::request::read_json;
use super::call::{Call, reply};
use super::change::{Revised, revision};
use super::checks::Checks;
use super::code::{self, CodeSource, Uploaded};
use super::declaration::check_architectures;
use super::wire::{Detail, FunctionConfiguration, version_arn};
use crate::http::error::HttpResponse;
use crate::registry::CodeUpdate;
use domain::VersionId;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    architectures: Option<Vec<String>>,
    publish: Option<bool>,
    dry_run: Option<bool>,
    revision_id: Option<String>,
    #[serde(flatten)]
    source: CodeSource,
}

pub(super) async fn update_function_code(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let function = call.function()?;
    let _place = code::take_place(&call.request.app.uploads)?;
    let body = call.request.body.clone();
    let handler = function.latest.configuration.declared.handler.clone();
    let read = move |_app: &crate::app::App| read(&body, handler.as_deref());
    let (request, uploaded) = call.blocking(read).await??;
    let options = CodeUpdate {
        revision: revision(request.revision_id.as_deref(), Revised::Function)?,
        dry_run: request.dry_run.unwrap_or(false),
        publish: request.publish.unwrap_or(false),
        architectures: request.architectures,
    };
    let (name, code) = (function.name.clone(), uploaded.into());
    let (_function, version) = call
        .change(move |app| app.registry.update_code(&name, &code, options))
        .await?;
    let region = call.region();
    let arn = match version.id {
        VersionId::Latest => call.target_arn()?,
        VersionId::Number(_) => version_arn(&version.name, version.id, region),
    };
    let shown = FunctionConfiguration::of(&version, arn, region, Detail::Single);
    reply(StatusCode::OK, &shown)
}

/// The request, checked, and the module in it.
fn read(body: &[u8], handler: Option<&str>) -> Result<(Request, Uploaded), ApiError> {
    let request: Request = read_json(body)?;
    let mut checks = Checks::default();
    check_architectures(&mut checks, request.architectures.as_deref());
    checks.done()?;
    if request.source.image_uri.is_some() {
        return Err(ApiError::validation(
            "Please don't provide ImageUri when updating a function with packageType Zip.",
        ));
    }
    let uploaded = code::read(&request.source, handler)?;
    Ok((request, uploaded))
}
