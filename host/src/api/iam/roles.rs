//! The operations on roles. Deployment tools make roles for functions; a function here needs none.

use super::users::tags;
use super::{Call, DONE, names, page, role_name};
use crate::api::error::ApiError;
use crate::api::form::validation;
use crate::api::xml::Node;
use crate::auth::identities::{NewRole, Role};
use crate::client::encode;
use crate::time_text::rfc3339_s;

/// Longest session, in seconds: what AWS takes, and its default.
const SESSION_SECONDS: std::ops::RangeInclusive<u32> = 3_600..=43_200;
const SESSION_SECONDS_DEFAULT: u32 = 3_600;

const DESCRIPTION_CHARS_MAX: usize = 1_000;

pub(super) fn create(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let form = call.form;
    let description = form.text("Description").unwrap_or("");
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(validation(format!(
            "description must have at most {DESCRIPTION_CHARS_MAX} characters"
        )));
    }
    let seconds = form.number("MaxSessionDuration", SESSION_SECONDS)?;
    let role = call.identities.create_role(NewRole {
        name: role_name(form)?.to_owned(),
        path: names::path(form, "Path")?.to_owned(),
        trust: form.required("AssumeRolePolicyDocument")?.to_owned(),
        description: description.to_owned(),
        session_seconds_max: seconds.unwrap_or(SESSION_SECONDS_DEFAULT),
        tags: form.tags()?,
    })?;
    Ok(Some(Node::Fields(vec![("Role", view(&role, true))])))
}

pub(super) fn get(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let role = state.role(role_name(call.form)?)?;
    Ok(Some(Node::Fields(vec![("Role", view(role, true))])))
}

pub(super) fn list(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let prefix = names::path_prefix(call.form)?;
    let state = call.identities.now();
    let roles = state
        .roles
        .values()
        .filter(|role| role.record.path.starts_with(prefix));
    let roles = roles.map(|role| (role.record.name.clone(), view(role, false)));
    page::page("Roles", roles, call).map(Some)
}

pub(super) fn delete(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    call.identities.delete_role(role_name(call.form)?)?;
    DONE
}

pub(super) fn update_trust(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let document = call.form.required("PolicyDocument")?;
    call.identities
        .update_trust(role_name(call.form)?, document)?;
    DONE
}

fn view(role: &Role, with_tags: bool) -> Node {
    let record = &role.record;
    let mut fields = vec![
        ("Path", Node::text(&*record.path)),
        ("RoleName", Node::text(&*record.name)),
        ("RoleId", Node::text(&*record.id)),
        ("Arn", Node::text(role.arn())),
        ("CreateDate", Node::text(rfc3339_s(record.created_at_us))),
        (
            "AssumeRolePolicyDocument",
            Node::Text(encode(&record.trust)),
        ),
        (
            "MaxSessionDuration",
            Node::text(record.session_seconds_max.to_string()),
        ),
    ];
    if !record.description.is_empty() {
        fields.push(("Description", Node::text(&*record.description)));
    }
    if with_tags && !record.tags.is_empty() {
        fields.push(("Tags", tags(&record.tags)));
    }
    Node::Fields(fields)
}
