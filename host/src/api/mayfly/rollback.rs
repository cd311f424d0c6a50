//! `POST /mayfly/functions/{name}/rollback?alias=ALIAS`: an alias leads to what it led to before.
//!
//! Without `alias` it is the function's only one. Once more leads back again.

use std::sync::Arc;

use domain::{AliasName, Fault, FunctionName};
use http::StatusCode;
use serde::Serialize;

use super::super::error::ApiError;
use super::super::query::Query;
use super::functions::TargetView;
use crate::app::App;
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};
use crate::registry::ChangeError;

/// What the alias leads to now, and led to until now.
#[derive(Serialize)]
struct RolledBack {
    function: FunctionName,
    alias: AliasName,
    now: TargetView,
    before: Option<TargetView>,
}

/// The alias that the query names.
///
/// # Errors
///
/// 400 when it can be none.
pub(super) fn named(query: &Query) -> Result<Option<AliasName>, ApiError> {
    let alias = query.text("alias").map(AliasName::parse).transpose();
    alias.map_err(|error| ApiError::validation(format!("query parameter `alias`: {error}")))
}

/// The alias that is meant: the one that the query names, or the function's only one.
///
/// # Errors
///
/// 400 when the query names what can be none.
pub(super) fn alias(
    app: &App,
    function: &FunctionName,
    query: &Query,
) -> Result<Option<AliasName>, ApiError> {
    if let Some(alias) = named(query)? {
        return Ok(Some(alias));
    }
    let function = app.registry.function(function);
    Ok(function.and_then(|function| {
        let mut aliases = function.aliases.keys();
        match (aliases.next(), aliases.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        }
    }))
}

/// Rolls back `alias`; `None` is for a function that has none or several, which is refused.
pub(super) async fn roll_back(
    app: &Arc<App>,
    function: FunctionName,
    alias: Option<AliasName>,
    query: &Query,
) -> Result<HttpResponse, ApiError> {
    query.only(&["alias"])?;
    let app = Arc::clone(app);
    let changing = tokio::task::spawn_blocking(move || {
        let (alias, changed) = app.registry.roll_back(&function, alias)?;
        Ok(RolledBack {
            function,
            alias,
            now: TargetView::of(changed.target()),
            before: changed.previous().copied().map(TargetView::of),
        })
    });
    let rolled_back = changing
        .await
        .map_err(|_| ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))?
        .map_err(|error| api_error(&error))?;
    // Texts and numbers only: there is nothing that can fail.
    let body = serde_json::to_vec(&rolled_back).unwrap_or_default();
    Ok(json_response(StatusCode::OK, body))
}

fn api_error(error: &ChangeError) -> ApiError {
    if error.fault() == Fault::Host {
        tracing::error!("rolling back failed: {}", chain(error));
        return ApiError::service(StatusCode::INTERNAL_SERVER_ERROR);
    }
    match error {
        ChangeError::UnknownFunction { .. }
        | ChangeError::UnknownVersion { .. }
        | ChangeError::UnknownAlias { .. } => ApiError::not_found(error.to_string()),
        ChangeError::WhichAlias { .. } | ChangeError::Invalid(_) => {
            ApiError::validation(error.to_string())
        }
        ChangeError::NothingBefore { .. }
        | ChangeError::Exists { .. }
        | ChangeError::AliasExists { .. }
        | ChangeError::Revision { .. }
        | ChangeError::CodeSha { .. }
        | ChangeError::FromDropFolder { .. }
        | ChangeError::Absent { .. }
        | ChangeError::UnreadableAlias { .. }
        | ChangeError::InUse { .. }
        | ChangeError::TooFewUnreserved { .. }
        | ChangeError::Publish(_)
        | ChangeError::Storage(_) => ApiError::new(
            StatusCode::CONFLICT,
            "ResourceConflictException",
            error.to_string(),
        ),
    }
}
