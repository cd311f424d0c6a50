//! Groups of schedules. The group `default` is always there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::Call;
use super::tags::{Tag, check_tags};
use super::wire::{check_token, conflict, invalid, not_stored, seconds};
use crate::api::checks::Checks;
use crate::api::error::ApiError;
use crate::trigger::schedule::definition::{DEFAULT_GROUP, Group, group_arn};

/// Groups that there may be. Scheduler's quota.
const GROUPS_MAX: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupRequest {
    client_token: Option<String>,
    tags: Option<Vec<Tag>>,
}

pub(super) async fn create(call: &Call<'_>) -> Result<Value, ApiError> {
    let request: GroupRequest = call.request.json()?;
    let mut checks = Checks::default();
    check_token(&mut checks, request.client_token.as_deref());
    let tags = request.tags.unwrap_or_default();
    check_tags(&mut checks, &tags, 0);
    checks.done()?;
    let tags: BTreeMap<_, _> = tags.into_iter().map(Tag::pair).collect();
    let app = call.request.app;
    let now_us = app.clock.unix_us();
    if app.schedules.groups().len() >= GROUPS_MAX {
        return Err(ApiError::new(
            http::StatusCode::PAYMENT_REQUIRED,
            "ServiceQuotaExceededException",
            format!("There are {GROUPS_MAX} schedule groups already, and no more may be."),
        ));
    }
    let put = app.schedules.put_group(&call.group, |old| match old {
        Some(old) => {
            let token = request.client_token.as_ref();
            if token.is_some() && token == old.client_token.as_ref() && tags == old.tags {
                return Ok(old.clone());
            }
            let name = &call.group;
            Err(conflict(format!("Schedule group {name} already exists.")))
        }
        None => Ok(Group {
            created_at_us: now_us,
            modified_at_us: now_us,
            tags,
            client_token: request.client_token.clone(),
        }),
    });
    put.await?;
    Ok(json!({ "ScheduleGroupArn": group_arn(call.region(), &call.group) }))
}

pub(super) fn get(call: &Call<'_>) -> Result<Value, ApiError> {
    let groups = call.request.app.schedules.groups();
    let group = groups.get(&call.group).ok_or_else(|| missing(call))?;
    Ok(view(call, &call.group, group))
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    if call.group == DEFAULT_GROUP {
        return Err(invalid("The default schedule group cannot be deleted."));
    }
    match call.request.app.schedules.remove_group(&call.group).await {
        Ok(true) => Ok(json!({})),
        Ok(false) => Err(missing(call)),
        Err(error) => Err(not_stored(&error)),
    }
}

pub(super) fn missing(call: &Call<'_>) -> ApiError {
    let name = &call.group;
    ApiError::not_found(format!("Schedule group {name} does not exist."))
}

pub(super) fn view(call: &Call<'_>, name: &str, group: &Group) -> Value {
    json!({
        "Arn": group_arn(call.region(), name),
        "Name": name,
        "State": "ACTIVE",
        "CreationDate": seconds(group.created_at_us),
        "LastModificationDate": seconds(group.modified_at_us),
    })
}
