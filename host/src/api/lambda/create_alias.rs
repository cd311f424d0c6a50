//! `POST /2015-03-31/functions/{name}/aliases`: a name for a version, or for two with a weight.

use domain::VersionId;
use http::StatusCode;
use serde::Deserialize;

use super::super::error::ApiError;
use super::super::json::object;
use super::call::{Call, alias_name, reply, version_id};
use super::checks::Checks;
use super::wire::{AliasConfiguration, RoutingConfig};
use crate::http::error::HttpResponse;
use crate::registry::{Additional, Function, Target};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    name: Option<String>,
    function_version: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "object")]
    routing_config: Option<RoutingConfig>,
}

pub(super) async fn create_alias(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: Request = call.json()?;
    let mut checks = Checks::default();
    checks.required("name", request.name.as_ref());
    checks.required("functionVersion", request.function_version.as_ref());
    checks.length("description", request.description.as_deref(), &(0..=256));
    checks.done()?;
    let alias = alias_name("name", &request.name.unwrap_or_default())?;
    let text = request.function_version.unwrap_or_default();
    let version = version_id("functionVersion", &text)?;
    let additional = additional(request.routing_config.as_ref())?;
    let name = call.target()?.name.clone();
    let target = Target {
        version,
        additional,
    };
    let description = request.description.unwrap_or_default();
    let created = alias.clone();
    let (function, _alias) = call
        .change(move |app| {
            app.registry
                .create_alias(&name, created, target, description)
        })
        .await?;
    show(call, StatusCode::CREATED, &function, &alias)
}

/// An alias of `function` as it is now.
pub(super) fn show(
    call: &Call<'_>,
    status: StatusCode,
    function: &Function,
    alias: &domain::AliasName,
) -> Result<HttpResponse, ApiError> {
    let region = call.region();
    let Some(found) = function.aliases.get(alias) else {
        let arn = format!("{}:{alias}", function.name.arn(region));
        return Err(ApiError::not_found(format!("Cannot find alias arn: {arn}")));
    };
    reply(
        status,
        &AliasConfiguration::of(&function.name, alias, found, region),
    )
}

/// The other version of a routing configuration, if it has one.
///
/// # Errors
///
/// 400 for more than one, and for a weight that is not from 0 to 1.
pub(super) fn additional(routing: Option<&RoutingConfig>) -> Result<Option<Additional>, ApiError> {
    let Some(weights) = routing.and_then(|routing| routing.additional.as_ref()) else {
        return Ok(None);
    };
    if weights.len() > 1 {
        return Err(ApiError::validation(
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ));
    }
    let Some((version, weight)) = weights.first_key_value() else {
        return Ok(None);
    };
    let mut checks = Checks::default();
    if !(0.0..=1.0).contains(weight) {
        let rule = if *weight < 0.0 {
            "have value greater than or equal to 0.0"
        } else {
            "have value less than or equal to 1.0"
        };
        checks.breach(
            "routingConfig.additionalVersionWeights",
            &weight.to_string(),
            rule,
        );
    }
    checks.done()?;
    match version_id("routingConfig.additionalVersionWeights", version)? {
        VersionId::Number(version) => Ok(Some(Additional {
            version,
            weight: *weight,
        })),
        VersionId::Latest => Err(ApiError::validation(
            "$LATEST is not supported for an alias pointing to more than 1 version",
        )),
    }
}
