//! `PUT /2015-03-31/functions/{name}/aliases/{alias}`: points an alias somewhere else, whole or not at
//! all.

use http::StatusCode;
use serde::Deserialize;

use super::super::error::ApiError;
use super::super::json::object;
use super::call::{Call, alias_name, version_id};
use super::change::{Revised, revision};
use super::checks::Checks;
use super::create_alias::{additional, show};
use super::wire::RoutingConfig;
use crate::http::error::HttpResponse;
use crate::registry::AliasChange;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    function_version: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "object")]
    routing_config: Option<RoutingConfig>,
    revision_id: Option<String>,
}

pub(super) async fn update_alias(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: Request = call.json()?;
    let mut checks = Checks::default();
    checks.length("description", request.description.as_deref(), &(0..=256));
    checks.done()?;
    let alias = alias_name("name", call.label()?)?;
    let version = match request.function_version.as_deref() {
        Some(text) => Some(version_id("functionVersion", text)?),
        None => None,
    };
    // An empty configuration clears the weights.
    let routing = match &request.routing_config {
        Some(routing) => Some(additional(Some(routing))?),
        None => None,
    };
    let change = AliasChange {
        version,
        additional: routing,
        description: request.description,
        revision: revision(request.revision_id.as_deref(), Revised::Function)?,
    };
    let (name, changed) = (call.target()?.name.clone(), alias.clone());
    let (function, _alias) = call
        .change(move |app| app.registry.update_alias(&name, &changed, change))
        .await?;
    show(call, StatusCode::OK, &function, &alias)
}
