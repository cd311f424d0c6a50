//! `DELETE /2015-03-31/functions/{name}/policy/{sid}`: one statement less.

use super::super::error::ApiError;
use super::call::{Call, no_content};
use super::change::{Revised, new_revision, policy_revision, revision};
use super::wire::settings_key;
use crate::http::error::HttpResponse;

pub(super) async fn remove_permission(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let expected = revision(call.query.text("RevisionId"), Revised::Policy)?;
    let sid = call.label()?.to_owned();
    call.function_with_qualifier()?;
    let key = settings_key(call.target()?.qualifier.as_ref());
    let new = new_revision(call.request.app);
    call.settings(move |_function, settings| {
        let Some(policy) = settings.policies.get_mut(&key) else {
            return Err(ApiError::not_found(
                "No policy is associated with the given resource.",
            ));
        };
        policy_revision(expected, Some(policy))?;
        let before = policy.statements.len();
        policy.statements.retain(|known| known["Sid"] != *sid);
        if policy.statements.len() == before {
            return Err(ApiError::not_found(format!(
                "Statement {} is not found in resource policy.",
                sid.escape_debug()
            )));
        }
        policy.revision = new;
        if policy.statements.is_empty() {
            settings.policies.remove(&key);
        }
        Ok(())
    })
    .await?;
    Ok(no_content())
}
