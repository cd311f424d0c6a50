//! The operations on users.

use domain::names::ACCOUNT_ID;

use super::{Call, DONE, names, page, user_name};
use crate::api::error::ApiError;
use crate::api::xml::Node;
use crate::auth::Identity;
use crate::auth::identities::{User, UserUpdate};
use crate::time_text::rfc3339_s;

pub(super) fn create(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let (name, path) = (user_name(call.form)?, names::path(call.form, "Path")?);
    let user = call.identities.create_user(name, path, call.form.tags()?)?;
    Ok(Some(Node::Fields(vec![("User", view(&user, true))])))
}

pub(super) fn get(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    if call.form.text("UserName").is_none() && call.caller.identity == Identity::Root {
        let root = Node::Fields(vec![
            ("UserId", Node::text(ACCOUNT_ID)),
            ("Arn", Node::text(call.caller.arn())),
        ]);
        return Ok(Some(Node::Fields(vec![("User", root)])));
    }
    let state = call.identities.now();
    let user = state.user(call.user_or_caller()?)?;
    Ok(Some(Node::Fields(vec![("User", view(user, true))])))
}

pub(super) fn list(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let prefix = names::path_prefix(call.form)?;
    let state = call.identities.now();
    let users = state
        .users
        .values()
        .filter(|user| user.record.path.starts_with(prefix));
    let users = users.map(|user| (user.record.name.clone(), view(user, false)));
    page::page("Users", users, call).map(Some)
}

pub(super) fn update(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let path = call.form.text("NewPath").is_some();
    let update = UserUpdate {
        name: call.form.text("NewUserName").map(str::to_owned),
        path: if path {
            Some(names::path(call.form, "NewPath")?.to_owned())
        } else {
            None
        },
    };
    call.identities.update_user(user_name(call.form)?, update)?;
    DONE
}

pub(super) fn delete(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    call.identities.delete_user(user_name(call.form)?)?;
    DONE
}

fn view(user: &User, with_tags: bool) -> Node {
    let record = &user.record;
    let mut fields = vec![
        ("Path", Node::text(&*record.path)),
        ("UserName", Node::text(&*record.name)),
        ("UserId", Node::text(&*record.id)),
        ("Arn", Node::text(user.arn())),
        ("CreateDate", Node::text(rfc3339_s(record.created_at_us))),
    ];
    if with_tags && !record.tags.is_empty() {
        fields.push(("Tags", tags(&record.tags)));
    }
    Node::Fields(fields)
}

/// Tags as a list of keys and values.
pub(super) fn tags(tags: &[(String, String)]) -> Node {
    let tag = |(key, value): &(String, String)| {
        Node::Fields(vec![
            ("Key", Node::text(&**key)),
            ("Value", Node::text(&**value)),
        ])
    };
    Node::List(tags.iter().map(tag).collect())
}
