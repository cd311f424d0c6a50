//! Policies that stand by themselves, and whom they are attached to. Each has one version, `v1`.

use http::StatusCode;

use super::{Call, DONE, names, page, policy_name};
use crate::api::error::ApiError;
use crate::api::form::validation;
use crate::api::xml::Node;
use crate::auth::identities::{Owner, Policy};
use crate::client::encode;
use crate::time_text::rfc3339_s;

const VERSION: &str = "v1";
const DESCRIPTION_CHARS_MAX: usize = 1_000;

pub(super) fn create(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let name = policy_name(call.form)?;
    let path = names::path(call.form, "Path")?;
    let description = call.form.text("Description").unwrap_or("");
    if description.chars().count() > DESCRIPTION_CHARS_MAX {
        return Err(validation(format!(
            "description must have at most {DESCRIPTION_CHARS_MAX} characters"
        )));
    }
    let document = call.form.required("PolicyDocument")?;
    let policy = call
        .identities
        .create_policy(name, path, description, document)?;
    Ok(Some(Node::Fields(vec![(
        "Policy",
        view(&policy, 0, false),
    )])))
}

pub(super) fn get(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let policy = state.policy(names::policy_arn(call.form)?)?;
    let view = view(policy, state.attachments(&policy.arn), true);
    Ok(Some(Node::Fields(vec![("Policy", view)])))
}

pub(super) fn get_version(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let policy = state.policy(names::policy_arn(call.form)?)?;
    let wanted = call.form.required("VersionId")?;
    if wanted != VERSION {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "NoSuchEntity",
            format!(
                "Policy {} version {} does not exist.",
                policy.arn,
                wanted.escape_debug()
            ),
        ));
    }
    let version = version(policy, true);
    Ok(Some(Node::Fields(vec![("PolicyVersion", version)])))
}

pub(super) fn list_versions(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let policy = state.policy(names::policy_arn(call.form)?)?;
    let versions = std::iter::once((VERSION.to_owned(), version(policy, false)));
    page::page("Versions", versions, call).map(Some)
}

pub(super) fn list(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let scope = call.form.one_of("Scope", &["All", "AWS", "Local"])?;
    let (own, of_aws) = (scope != Some("AWS"), scope != Some("Local"));
    let only_attached = call.form.text("OnlyAttached") == Some("true");
    let prefix = names::path_prefix(call.form)?;
    let state = call.identities.now();
    let policies = state.policies.values().filter_map(|policy| {
        let count = state.attachments(&policy.arn);
        let is_wanted = if policy.is_aws { of_aws } else { own }
            && policy.path.starts_with(prefix)
            && (count > 0 || !only_attached);
        is_wanted.then(|| (policy.arn.clone(), view(policy, count, false)))
    });
    page::page("Policies", policies, call).map(Some)
}

pub(super) fn delete(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    call.identities
        .delete_policy(names::policy_arn(call.form)?)?;
    DONE
}

pub(super) fn attach(call: &Call<'_>, owner: Owner<'_>) -> Result<Option<Node>, ApiError> {
    call.identities
        .attach(owner, names::policy_arn(call.form)?)?;
    DONE
}

pub(super) fn detach(call: &Call<'_>, owner: Owner<'_>) -> Result<Option<Node>, ApiError> {
    call.identities
        .detach(owner, names::policy_arn(call.form)?)?;
    DONE
}

pub(super) fn list_attached(call: &Call<'_>, owner: Owner<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let attached = state.holdings(owner)?.attached.iter().map(|arn| {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        let policy = Node::Fields(vec![
            ("PolicyName", Node::text(name)),
            ("PolicyArn", Node::text(&**arn)),
        ]);
        (arn.clone(), policy)
    });
    page::page("AttachedPolicies", attached, call).map(Some)
}

fn view(policy: &Policy, attachments: usize, with_description: bool) -> Node {
    let mut fields = vec![
        ("PolicyName", Node::text(&*policy.name)),
        ("PolicyId", Node::text(&*policy.id)),
        ("Arn", Node::text(&*policy.arn)),
        ("Path", Node::text(&*policy.path)),
        ("DefaultVersionId", Node::text(VERSION)),
        ("AttachmentCount", Node::text(attachments.to_string())),
        ("PermissionsBoundaryUsageCount", Node::text("0")),
        ("IsAttachable", Node::text("true")),
        ("CreateDate", Node::text(rfc3339_s(policy.created_at_us))),
        ("UpdateDate", Node::text(rfc3339_s(policy.created_at_us))),
    ];
    if with_description && !policy.description.is_empty() {
        fields.push(("Description", Node::text(&*policy.description)));
    }
    Node::Fields(fields)
}

fn version(policy: &Policy, with_document: bool) -> Node {
    let mut fields = vec![
        ("VersionId", Node::text(VERSION)),
        ("IsDefaultVersion", Node::text("true")),
        ("CreateDate", Node::text(rfc3339_s(policy.created_at_us))),
    ];
    if with_document {
        fields.push(("Document", Node::Text(encode(&policy.document.text))));
    }
    Node::Fields(fields)
}
