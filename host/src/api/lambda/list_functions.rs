//! `GET /2015-03-31/functions`: all functions, or all their versions.

use std::ops::Bound;
use std::sync::Arc;

use domain::FunctionName;
use http::StatusCode;
use serde::Serialize;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::checks::Checks;
use super::paging::asked;
use super::wire::{Detail, FunctionConfiguration, version_arn};
use crate::http::error::HttpResponse;
use crate::registry::Version;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Functions {
    functions: Vec<FunctionConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(super) fn list_functions(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let wanted = call.query.text("FunctionVersion");
    let mut checks = Checks::default();
    checks.one_of("functionVersion", wanted, &["ALL"]);
    checks.done()?;
    let asked = asked(call, 10_000)?;
    let last = asked.after.as_deref().and_then(name_of_place);
    let from = last.as_ref().map_or(Bound::Unbounded, Bound::Included);
    // The one that the last page ended with, and one beyond this page.
    let most = asked.wanted + 2;
    let functions = call.request.app.registry.functions_from(from, most);
    let versions: Vec<Arc<Version>> = match wanted {
        None => functions.iter().map(|f| Arc::clone(&f.latest)).collect(),
        Some(_) => functions
            .iter()
            .flat_map(|f| std::iter::once(&f.latest).chain(f.versions.values()))
            .map(Arc::clone)
            .collect(),
    };
    let page = asked.page(call, versions, |version| place(version));
    let region = call.region();
    let shown = |version: &Arc<Version>| {
        let arn = match wanted {
            None => version.name.arn(region),
            Some(_) => version_arn(&version.name, version.id, region),
        };
        FunctionConfiguration::of(version, arn, region, Detail::Listed)
    };
    let functions = Functions {
        functions: page.items.iter().map(shown).collect(),
        next_marker: page.next_marker,
    };
    reply(StatusCode::OK, &functions)
}

/// Sorts by name, then `$LATEST` before the numbers.
pub(super) fn place(version: &Version) -> String {
    let number = match version.id {
        domain::VersionId::Latest => 0,
        domain::VersionId::Number(number) => number,
    };
    format!("{}\0{number:020}", version.name)
}

fn name_of_place(place: &str) -> Option<FunctionName> {
    let (name, _number) = place.split_once('\0')?;
    FunctionName::parse(name).ok()
}
