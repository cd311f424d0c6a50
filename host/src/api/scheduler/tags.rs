//! Tags of groups: kept and given back.

use std::collections::BTreeMap;

use domain::names::ACCOUNT_ID;
use serde::Deserialize;
use serde_json::{Value, json};

use super::wire::invalid;
use super::{Call, groups};
use crate::api::checks::Checks;
use crate::api::error::ApiError;
use crate::api::request::ApiRequest;
use crate::trigger::schedule::definition::Group;

/// Tags that a group may have.
const TAGS_MAX: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    key: String,
    value: String,
}

impl Tag {
    pub(super) fn pair(self) -> (String, String) {
        (self.key, self.value)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagRequest {
    tags: Option<Vec<Tag>>,
}

/// The group that an ARN names.
pub(super) fn group(arn: &str, request: &ApiRequest<'_>) -> Result<String, ApiError> {
    let region = &request.caller.region;
    let prefix = format!("arn:aws:scheduler:{region}:{ACCOUNT_ID}:schedule-group/");
    arn.strip_prefix(&prefix).map(str::to_owned).ok_or_else(|| {
        let arn: String = arn.chars().take(256).collect();
        let arn = arn.escape_debug();
        invalid(format!(
            "`{arn}` is not the ARN of a schedule group, {prefix}NAME."
        ))
    })
}

pub(super) fn check_tags(checks: &mut Checks, tags: &[Tag], more: usize) {
    for tag in tags {
        checks.length("tags.key", Some(&tag.key), &(1..=128));
        checks.length("tags.value", Some(&tag.value), &(1..=256));
    }
    let count = tags.len() + more;
    if count > TAGS_MAX {
        let rule = format!("have length less than or equal to {TAGS_MAX}");
        checks.breach("tags", &count.to_string(), &rule);
    }
}

pub(super) async fn tag(call: &Call<'_>) -> Result<Value, ApiError> {
    let request: TagRequest = call.request.json()?;
    let mut checks = Checks::default();
    checks.required("tags", request.tags.as_ref());
    let tags = request.tags.unwrap_or_default();
    check_tags(&mut checks, &tags, 0);
    checks.done()?;
    change(call, |old| old.extend(tags.into_iter().map(Tag::pair))).await
}

pub(super) async fn untag(call: &Call<'_>) -> Result<Value, ApiError> {
    change(call, |old| {
        for key in call.query.all("TagKeys") {
            old.remove(key);
        }
    })
    .await
}

pub(super) fn list(call: &Call<'_>) -> Result<Value, ApiError> {
    let groups = call.request.app.schedules.groups();
    let group = groups
        .get(&call.group)
        .ok_or_else(|| groups::missing(call))?;
    let tag = |(key, value): (&String, &String)| json!({ "Key": key, "Value": value });
    let tags: Vec<_> = group.tags.iter().map(tag).collect();
    Ok(json!({ "Tags": tags }))
}

async fn change(
    call: &Call<'_>,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<Value, ApiError> {
    let app = call.request.app;
    let now_us = app.clock.unix_us();
    let put = app.schedules.put_group(&call.group, |old| {
        let mut group: Group = old.ok_or_else(|| groups::missing(call))?.clone();
        change(&mut group.tags);
        let mut checks = Checks::default();
        check_tags(&mut checks, &[], group.tags.len());
        checks.done()?;
        group.modified_at_us = now_us;
        Ok::<_, ApiError>(group)
    });
    put.await?;
    Ok(json!({}))
}
