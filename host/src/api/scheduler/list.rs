//! Lists of schedules and of groups, page by page.

use serde_json::{Value, json};

use super::wire::{invalid, seconds};
use super::{Call, groups, schedules};
use crate::api::checks::Checks;
use crate::api::error::ApiError;
use crate::trigger::schedule::definition::schedule_arn;

/// Most items of a page, and how many when nothing is said.
const PAGE_MAX: i64 = 100;

pub(super) fn schedules(call: &Call<'_>) -> Result<Value, ApiError> {
    let filters = ["ScheduleGroup", "NamePrefix", "State"];
    call.query
        .only(&[
            "ScheduleGroup",
            "NamePrefix",
            "State",
            "NextToken",
            "MaxResults",
        ])
        .map_err(|error| invalid(error.message()))?;
    let filter = |name| call.query.text(name);
    let mut checks = Checks::default();
    checks.one_of("state", filter("State"), &["ENABLED", "DISABLED"]);
    checks.length("namePrefix", filter("NamePrefix"), &(1..=64));
    checks.done()?;
    let app = call.request.app;
    if let Some(group) = filter("ScheduleGroup")
        && !app.schedules.groups().contains_key(group)
    {
        let group = group.escape_debug();
        return Err(ApiError::not_found(format!(
            "Schedule group {group} does not exist."
        )));
    }
    let mut found = Vec::new();
    for schedule in app.schedules.all() {
        let definition = &schedule.definition;
        let Some(api) = &definition.api else { continue };
        let state = schedules::state(definition);
        let is_wanted = filter("ScheduleGroup").is_none_or(|group| api.group == group)
            && filter("NamePrefix").is_none_or(|prefix| definition.name.starts_with(prefix))
            && filter("State").is_none_or(|wanted| state == wanted);
        if is_wanted {
            let item = json!({
                "Arn": schedule_arn(call.region(), &api.group, &definition.name),
                "Name": definition.name,
                "GroupName": api.group,
                "State": state,
                "CreationDate": seconds(definition.created_at_us),
                "LastModificationDate": seconds(definition.modified_at_us),
                "Target": { "Arn": api.target_arn },
            });
            found.push((schedule.key.clone(), item));
        }
    }
    page(call, "Schedules", &filters, found)
}

pub(super) fn groups(call: &Call<'_>) -> Result<Value, ApiError> {
    call.query
        .only(&["NamePrefix", "NextToken", "MaxResults"])
        .map_err(|error| invalid(error.message()))?;
    let prefix = call.query.text("NamePrefix").unwrap_or("");
    let groups = call.request.app.schedules.groups();
    let wanted = groups.iter().filter(|(name, _)| name.starts_with(prefix));
    let found = wanted
        .map(|(name, group)| (name.clone(), groups::view(call, name, group)))
        .collect();
    page(call, "ScheduleGroups", &["NamePrefix"], found)
}

/// The page that is asked for, of items with their unique places, in their order. A token is good for the
/// same list with the same filters only.
fn page(
    call: &Call<'_>,
    list: &str,
    filters: &[&str],
    found: Vec<(String, Value)>,
) -> Result<Value, ApiError> {
    let wanted = match call.query.text("MaxResults") {
        None => PAGE_MAX,
        Some(text) => text
            .parse()
            .map_err(|_| invalid("MaxResults must be a number from 1 to 100."))?,
    };
    let mut checks = Checks::default();
    checks.range("maxResults", Some(wanted), &(1..=PAGE_MAX));
    checks.done()?;
    let wanted = usize::try_from(wanted).unwrap_or(1);
    let mut purpose = format!("scheduler\n{list}");
    for filter in filters {
        purpose.push('\n');
        purpose.push_str(call.query.text(filter).unwrap_or(""));
    }
    let tokens = &call.request.app.tokens;
    let after = call.query.text("NextToken").map(|token| {
        tokens
            .open(&purpose, token)
            .ok_or_else(|| invalid("NextToken is not one that this list was given; begin without."))
    });
    let after = after.transpose()?;
    let start = after.map_or(0, |last| found.partition_point(|(place, _)| *place <= last));
    let has_more = found.len() > start + wanted;
    let items: Vec<_> = found.into_iter().skip(start).take(wanted).collect();
    let next = items.last().filter(|_| has_more);
    let next = next.map(|(place, _)| tokens.seal(&purpose, place));
    let items: Vec<_> = items.into_iter().map(|(_, item)| item).collect();
    let mut answer = json!({ list: items });
    if let Some(next) = next {
        answer["NextToken"] = json!(next);
    }
    Ok(answer)
}
