//! Put, Get, Delete and List of the policies in a user (`PutUserPolicy`) or role (`PutRolePolicy`).

use super::{Call, DONE, page, policy_name};
use crate::api::error::ApiError;
use crate::api::xml::Node;
use crate::auth::identities::Owner;
use crate::client::encode;

pub(super) fn put(call: &Call<'_>, owner: Owner<'_>) -> Result<Option<Node>, ApiError> {
    let document = call.form.required("PolicyDocument")?;
    call.identities
        .put_inline_policy(owner, policy_name(call.form)?, document)?;
    DONE
}

pub(super) fn get(call: &Call<'_>, owner: Owner<'_>) -> Result<Option<Node>, ApiError> {
    let name = policy_name(call.form)?;
    let state = call.identities.now();
    let holdings = state.holdings(owner)?;
    let document = holdings.inline.get(name);
    let document = document.ok_or_else(|| owner.no_inline_policy(name))?;
    let (member, owner) = match owner {
        Owner::User(name) => ("UserName", name),
        Owner::Role(name) => ("RoleName", name),
    };
    Ok(Some(Node::Fields(vec![
        (member, Node::text(owner)),
        ("PolicyName", Node::text(name)),
        ("PolicyDocument", Node::Text(encode(&document.text))),
    ])))
}

pub(super) fn delete(call: &Call<'_>, owner: Owner<'_>) -> Result<Option<Node>, ApiError> {
    call.identities
        .delete_inline_policy(owner, policy_name(call.form)?)?;
    DONE
}

pub(super) fn list(call: &Call<'_>, owner: Owner<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let names = state.holdings(owner)?.inline.keys();
    let names = names.map(|name| (name.clone(), Node::text(&**name)));
    page::page("PolicyNames", names, call).map(Some)
}
