//! `GET /2015-03-31/functions/{name}/aliases`: all aliases, or those that lead to one version.

use domain::VersionId;
use http::StatusCode;
use serde::Serialize;

use super::super::error::ApiError;
use super::call::{Call, reply, version_id};
use super::paging::page;
use super::wire::AliasConfiguration;
use crate::http::error::HttpResponse;
use crate::registry::Alias;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aliases {
    aliases: Vec<AliasConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(super) fn list_aliases(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let wanted = match call.query.text("FunctionVersion") {
        Some(text) => Some(version_id("functionVersion", text)?),
        None => None,
    };
    let function = call.function()?;
    let aliases = function
        .aliases
        .iter()
        .filter(|(_, alias)| wanted.is_none_or(|version| leads_to(alias, version)));
    let page = page(call, 10_000, aliases.collect(), |(name, _)| {
        name.to_string()
    })?;
    let region = call.region();
    let aliases = Aliases {
        aliases: page
            .items
            .iter()
            .map(|(name, alias)| AliasConfiguration::of(&function.name, name, alias, region))
            .collect(),
        next_marker: page.next_marker,
    };
    reply(StatusCode::OK, &aliases)
}

fn leads_to(alias: &Alias, version: VersionId) -> bool {
    let other = alias
        .additional
        .map(|other| VersionId::Number(other.version));
    alias.version == version || other == Some(version)
}
