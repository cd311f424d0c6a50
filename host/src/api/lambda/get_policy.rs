//! `GET /2015-03-31/functions/{name}/policy`: the resource policy as a text of JSON.

use http::StatusCode;
use serde_json::json;

use super::super::error::ApiError;
use super::add_permission::policy_text;
use super::call::{Call, reply};
use super::principals::shown;
use super::wire::settings_key;
use crate::http::error::HttpResponse;

pub(super) fn get_policy(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let none = || ApiError::not_found("The resource you requested does not exist.");
    let function = call.function_with_qualifier()?;
    let key = settings_key(call.target()?.qualifier.as_ref());
    let policy = function.settings.policies.get(&key).ok_or_else(none)?;
    let identities = call.request.app.identities.now();
    let statements = policy.statements.iter();
    let statements: Vec<_> = statements.map(|kept| shown(&identities, kept)).collect();
    let body = json!({
        "Policy": policy_text(&statements),
        "RevisionId": policy.revision,
    });
    reply(StatusCode::OK, &body)
}
