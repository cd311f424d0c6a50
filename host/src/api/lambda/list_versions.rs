//! `GET /2015-03-31/functions/{name}/versions`: `$LATEST`, then the numbers.

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::list_functions::place;
use super::paging::page;
use super::wire::{Detail, FunctionConfiguration, version_arn};
use crate::http::error::HttpResponse;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Versions {
    versions: Vec<FunctionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(super) fn list_versions(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let function = call.function()?;
    let numbers = function.versions.values();
    let versions = std::iter::once(&function.latest).chain(numbers);
    let page = page(call, 10_000, versions.map(Arc::clone).collect(), |v| {
        place(v)
    })?;
    let region = call.region();
    let versions = Versions {
        versions: page
            .items
            .iter()
            .map(|version| {
                let arn = version_arn(&version.name, version.id, region);
                FunctionConfiguration::of(version, arn, region, Detail::Listed)
            })
            .collect(),
        next_marker: page.next_marker,
    };
    reply(StatusCode::OK, &versions)
}
