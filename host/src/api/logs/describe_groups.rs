//! `DescribeLogGroups`: a group for each function, and for each log that a removed function left.

use std::collections::BTreeMap;

use domain::FunctionName;
use serde_json::{Value, json};
use storage::{LogRange, ScanEnd, StorageError};

use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::group::{Group, PREFIX, identified};
use super::members::Members;
use super::{invalid, limit, place, reading, reply};
use crate::app::App;
use crate::http::error::HttpResponse;

/// Most groups of one answer.
const GROUPS_MAX: u32 = 50;

/// A group with what is told of it.
struct Described {
    group: Group,
    created_ms: u64,
    stored_bytes: u64,
}

pub(super) async fn describe(
    request: &ApiRequest<'_>,
    members: Members,
) -> Result<HttpResponse, ApiError> {
    let limit = limit(members.limit, GROUPS_MAX)?;
    let (prefix, pattern) = (
        members.log_group_name_prefix,
        members.log_group_name_pattern,
    );
    if prefix.is_some() && pattern.is_some() {
        return Err(invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
        ));
    }
    let only = match members.log_group_identifiers {
        None => None,
        identifiers => Some(identified(request, identifiers.as_deref())?),
    };
    let purpose = format!("DescribeLogGroups {prefix:?} {pattern:?} {only:?}");
    let after = place(request, &purpose, members.next_token.as_deref())?;

    let pattern = pattern.map(|pattern| pattern.to_lowercase());
    let is_wanted = move |name: &str| {
        prefix
            .as_ref()
            .is_none_or(|prefix| name.starts_with(prefix.as_str()))
            && pattern
                .as_ref()
                .is_none_or(|pattern| name.to_lowercase().contains(pattern.as_str()))
            && only
                .as_ref()
                .is_none_or(|only| only.iter().any(|group| group.name == name))
            && after.as_ref().is_none_or(|after| name > after.as_str())
    };
    let (page, has_more) = reading(request.app, move |app| {
        let mut wanted = functions(app)?
            .into_iter()
            .filter(|(function, _)| is_wanted(&format!("{PREFIX}{function}")));
        let page = wanted
            .by_ref()
            .take(limit)
            .map(|(function, created_ms)| described(app, &function, created_ms))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((page, wanted.next().is_some()))
    })
    .await?;

    let groups: Vec<Value> = page.iter().map(|group| view(request, group)).collect();
    let mut body = json!({ "logGroups": groups });
    if has_more && let Some(last) = page.last() {
        body["nextToken"] = request.app.tokens.seal(&purpose, &last.group.name).into();
    }
    Ok(reply(&body))
}

/// Every function with a group, by name; and since when, in Unix milliseconds, where that is known.
fn functions(app: &App) -> Result<BTreeMap<FunctionName, Option<u64>>, StorageError> {
    let logs = app.logs.functions()?.into_iter();
    let mut functions: BTreeMap<_, _> = logs.map(|function| (function, None)).collect();
    for function in app.registry.functions() {
        let created_ms = u64::try_from(function.created_at_us / 1_000).unwrap_or(0);
        functions.insert(function.name.clone(), Some(created_ms));
    }
    Ok(functions)
}

fn described(
    app: &App,
    function: &FunctionName,
    created_ms: Option<u64>,
) -> Result<Described, StorageError> {
    let created_ms = match created_ms {
        Some(created_ms) => created_ms,
        // The function is gone: its group is as old as what is left.
        None => first_event_ms(app, function)?,
    };
    Ok(Described {
        group: Group::of(function),
        created_ms,
        stored_bytes: app.logs.stored_bytes(function)?,
    })
}

fn first_event_ms(app: &App, function: &FunctionName) -> Result<u64, StorageError> {
    let range = LogRange {
        since_ms: 0,
        until_ms: u64::MAX,
        bytes_max: u64::MAX,
    };
    let mut first_ms = 0;
    app.logs.scan(function, ScanEnd::START, range, |scanned| {
        first_ms = scanned.stamp_ms;
        std::ops::ControlFlow::Break(())
    })?;
    Ok(first_ms)
}

fn view(request: &ApiRequest<'_>, described: &Described) -> Value {
    let arn = described.group.arn(request);
    json!({
        "logGroupName": described.group.name,
        "creationTime": described.created_ms,
        "metricFilterCount": 0,
        "arn": format!("{arn}:*"),
        "logGroupArn": arn,
        "storedBytes": described.stored_bytes,
        "logGroupClass": "STANDARD",
        "deletionProtectionEnabled": false,
    })
}
