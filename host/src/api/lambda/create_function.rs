//! `POST /2015-03-31/functions`: a new function, checked and compiled before it is answered.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::Deserialize;

use super::super::error::ApiError;
use super::super::json::object;
use super::super::request::read_json;
use super::call::{Call, reply};
use super::checks::Checks;
use super::code::{self, CodeSource, Uploaded};
use super::declaration::Declaration;
use super::tag_resource::check_tags;
use super::wire::{Detail, FunctionConfiguration};
use crate::http::error::HttpResponse;
use crate::registry::{Declared, NewFunction};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    #[serde(default, deserialize_with = "object")]
    code: Option<CodeSource>,
    package_type: Option<String>,
    publish: Option<bool>,
    tags: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    declaration: Declaration,
}

pub(super) async fn create_function(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let _place = code::take_place(&call.request.app.uploads)?;
    let body = call.request.body.clone();
    let read = move |_app: &crate::app::App| read(&body);
    let (request, uploaded) = call.blocking(read).await??;
    let declaration = request.declaration;
    let (description, limits) = (declaration.description(), declaration.limits());
    let environment = declaration.environment();
    let mut declared = Declared::default();
    declaration.declare(&mut declared);
    let new = NewFunction {
        name: call.target()?.name.clone(),
        code: uploaded.into(),
        description,
        limits,
        environment,
        declared,
        tags: request.tags.unwrap_or_default(),
        publish: request.publish.unwrap_or(false),
    };
    let publish = new.publish;
    let function = call.change(move |app| app.registry.create(new)).await?;
    let version = match function.versions.last_key_value() {
        Some((_, first)) if publish => first,
        _ => &function.latest,
    };
    let (arn, region) = (call.target_arn()?, call.region());
    let shown = FunctionConfiguration::of(version, arn, region, Detail::Single);
    reply(StatusCode::CREATED, &shown)
}

/// The request, checked, and the module in it.
fn read(body: &[u8]) -> Result<(Request, Uploaded), ApiError> {
    let mut request: Request = read_json(body)?;
    let mut checks = Checks::default();
    checks.required("role", request.declaration.role.as_ref());
    checks.required("code", request.code.as_ref());
    let kinds = ["Zip", "Image"];
    checks.one_of("packageType", request.package_type.as_deref(), &kinds);
    checks.done()?;
    request.declaration.check()?;
    if let Some(tags) = &request.tags {
        check_tags(tags)?;
    }
    if request.package_type.as_deref() == Some("Image") {
        return Err(ApiError::validation(
            "Mayfly runs WebAssembly modules, not images: PackageType must be Zip.",
        ));
    }
    let source = request.code.take().unwrap_or_default();
    let uploaded = code::read(&source, request.declaration.handler.as_deref())?;
    Ok((request, uploaded))
}
