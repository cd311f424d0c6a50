//! The operations on access keys.

use super::{Call, DONE, page};
use crate::api::error::ApiError;
use crate::api::xml::Node;
use crate::auth::identities::{AccessKey, IdentityError};
use crate::time_text::rfc3339_s;

/// The one answer that has a secret in it.
pub(super) fn create(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let user = call.user_or_caller()?;
    let new = call.identities.create_key(user)?;
    let key = Node::Fields(vec![
        ("UserName", Node::text(user)),
        ("AccessKeyId", Node::text(&*new.id)),
        ("Status", Node::text("Active")),
        ("SecretAccessKey", Node::text(new.secret.expose())),
        ("CreateDate", Node::text(rfc3339_s(new.created_at_us))),
    ]);
    Ok(Some(Node::Fields(vec![("AccessKey", key)])))
}

pub(super) fn list(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let user = state.user(call.user_or_caller()?)?;
    let mut keys = state.keys_of(&user.record.id);
    // Pages go by name.
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    let keys = keys
        .iter()
        .map(|key| (key.id.to_string(), view(key, &user.record.name)));
    page::page("AccessKeyMetadata", keys, call).map(Some)
}

pub(super) fn update(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let id = call.form.required("AccessKeyId")?;
    call.form.required("Status")?;
    let status = call.form.one_of("Status", &["Active", "Inactive"])?;
    let is_active = status == Some("Active");
    let user = call.user_or_caller()?;
    call.identities.set_key_active(user, id, is_active)?;
    DONE
}

pub(super) fn delete(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let id = call.form.required("AccessKeyId")?;
    call.identities.delete_key(call.user_or_caller()?, id)?;
    DONE
}

pub(super) fn last_used(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let id = call.form.required("AccessKeyId")?;
    let state = call.identities.now();
    let found = state
        .keys
        .get(id)
        .and_then(|key| Some((key, state.user_by_id(&key.owner)?)));
    let (key, user) = found.ok_or_else(|| IdentityError::NoAccessKey(id.to_owned()))?;
    let used = match key.used() {
        None => vec![
            ("ServiceName", Node::text("N/A")),
            ("Region", Node::text("N/A")),
        ],
        Some(used) => vec![
            ("LastUsedDate", Node::text(rfc3339_s(used.at_us))),
            ("ServiceName", Node::Text(used.service)),
            ("Region", Node::Text(used.region)),
        ],
    };
    Ok(Some(Node::Fields(vec![
        ("UserName", Node::text(&*user.record.name)),
        ("AccessKeyLastUsed", Node::Fields(used)),
    ])))
}

fn view(key: &AccessKey, user: &str) -> Node {
    Node::Fields(vec![
        ("UserName", Node::text(user)),
        ("AccessKeyId", Node::text(&*key.id)),
        (
            "Status",
            Node::text(if key.is_active { "Active" } else { "Inactive" }),
        ),
        ("CreateDate", Node::text(rfc3339_s(key.created_at_us))),
    ])
}
