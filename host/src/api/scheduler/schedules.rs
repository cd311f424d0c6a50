//! One schedule: made, read, changed and deleted.

use domain::schedule::{Expression, Missed, Overlap, Zone};
use domain::{FunctionRef, Qualifier};
use http::StatusCode;
use serde_json::{Value, json};

use super::Call;
use super::wire::{
    ScheduleRequest, TargetWire, WindowWire, conflict, instant_us, invalid, not_stored, seconds,
};
use crate::api::error::ApiError;
use crate::auth;
use crate::manifest::schedule::{INPUT_BYTES_MAX, never_due};
use crate::trigger::schedule::definition::{Declared, Definition, api_key, schedule_arn};
use crate::trigger::schedule::event::input_problem;
use crate::trigger::schedule::{Schedule, Schedules};

/// Schedules of the API that there may be.
const SCHEDULES_MAX: usize = 10_000;

/// Those that may have one function as their target.
const SCHEDULES_OF_FUNCTION_MAX: usize = 1_000;

/// How long ago a start may be, in microseconds.
///
/// # Source
///
/// Scheduler: "cannot be earlier than 5 minutes ago".
const START_AGE_US_MAX: i64 = 300_000_000;

pub(super) async fn create(call: &Call<'_>) -> Result<Value, ApiError> {
    let new = definition(call)?;
    let app = call.request.app;
    let name = call.name.clone();
    let put = app.schedules.put(new.key(), |old| match old {
        Some(old) if is_repeated(&old.definition, &new) => Ok(old.definition.clone()),
        Some(_) => Err(conflict(format!("Schedule {name} already exists."))),
        None => {
            check_group(call)?;
            check_count(
                &app.schedules,
                &new,
                SCHEDULES_MAX,
                SCHEDULES_OF_FUNCTION_MAX,
            )?;
            Ok(new)
        }
    });
    put.await?;
    Ok(arn(call))
}

pub(super) async fn update(call: &Call<'_>) -> Result<Value, ApiError> {
    let mut new = definition(call)?;
    let put = call.request.app.schedules.put(new.key(), |old| {
        let old = old.ok_or_else(|| missing(call))?;
        if let (Some(new), Some(old)) = (&mut new.api, &old.definition.api) {
            new.client_token.clone_from(&old.client_token);
        }
        if new.function != old.definition.function {
            // Its own place is free again.
            let schedules = &call.request.app.schedules;
            check_count(
                schedules,
                &new,
                SCHEDULES_MAX + 1,
                SCHEDULES_OF_FUNCTION_MAX,
            )?;
        }
        Ok::<_, ApiError>(new)
    });
    put.await?;
    Ok(arn(call))
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Value, ApiError> {
    call.query.only(&["groupName", "clientToken"])?;
    let key = api_key(&call.group, &call.name);
    match call.request.app.schedules.remove(&key).await {
        Ok(true) => Ok(json!({})),
        Ok(false) => Err(missing(call)),
        Err(error) => Err(not_stored(&error)),
    }
}

pub(super) fn get(call: &Call<'_>) -> Result<Value, ApiError> {
    let key = api_key(&call.group, &call.name);
    let found = call.request.app.schedules.get(&key);
    let schedule: &Schedule = found.as_deref().ok_or_else(|| missing(call))?;
    let definition = &schedule.definition;
    let api = definition.api.as_ref().ok_or_else(|| missing(call))?;
    let mut target = json!({ "Arn": api.target_arn, "RoleArn": api.role_arn });
    target["RetryPolicy"] = json!({
        "MaximumEventAgeInSeconds": api.retry_age_s.unwrap_or(86_400),
        "MaximumRetryAttempts": api.retry_attempts.unwrap_or(185),
    });
    if let Some(input) = &definition.input {
        target["Input"] = json!(input);
    }
    let window = match definition.window_s / 60 {
        0 => json!({ "Mode": "OFF" }),
        minutes => json!({ "Mode": "FLEXIBLE", "MaximumWindowInMinutes": minutes }),
    };
    let mut shown = json!({
        "Arn": schedule_arn(call.region(), &call.group, &call.name),
        "GroupName": call.group,
        "Name": call.name,
        "ScheduleExpression": definition.expression,
        "ScheduleExpressionTimezone": definition.zone,
        "State": state(definition),
        "CreationDate": seconds(definition.created_at_us),
        "LastModificationDate": seconds(definition.modified_at_us),
        "Target": target,
        "FlexibleTimeWindow": window,
        "ActionAfterCompletion": if api.deletes_itself { "DELETE" } else { "NONE" },
    });
    for (member, value) in [
        (
            "Description",
            api.description.as_ref().map(|text| json!(text)),
        ),
        (
            "KmsKeyArn",
            api.kms_key_arn.as_ref().map(|text| json!(text)),
        ),
        ("StartDate", definition.start_us.map(seconds)),
        ("EndDate", definition.end_us.map(seconds)),
    ] {
        if let Some(value) = value {
            shown[member] = value;
        }
    }
    Ok(shown)
}

/// Whether there may be one more schedule, and one more with its function as the target.
fn check_count(
    schedules: &Schedules,
    new: &Definition,
    max: usize,
    of_function_max: usize,
) -> Result<(), ApiError> {
    let refused = |message: String| {
        let code = "ServiceQuotaExceededException";
        Err(ApiError::new(StatusCode::PAYMENT_REQUIRED, code, message))
    };
    let (mut count, mut of_function) = (0, 0);
    for schedule in schedules.all() {
        let definition = &schedule.definition;
        if definition.api.is_some() {
            count += 1;
            of_function += usize::from(definition.function == new.function);
        }
    }
    if count >= max {
        return refused(format!(
            "There are {max} schedules already, and no more may be."
        ));
    }
    if of_function >= of_function_max {
        let function = &new.function;
        return refused(format!(
            "There are {of_function_max} schedules for the function {function} already, and no more may be."
        ));
    }
    Ok(())
}

pub(super) fn state(definition: &Definition) -> &'static str {
    if definition.is_enabled {
        "ENABLED"
    } else {
        "DISABLED"
    }
}

/// The group that is named must be there.
pub(super) fn check_group(call: &Call<'_>) -> Result<(), ApiError> {
    if call
        .request
        .app
        .schedules
        .groups()
        .contains_key(&call.group)
    {
        return Ok(());
    }
    let group = &call.group;
    Err(ApiError::not_found(format!(
        "Schedule group {group} does not exist."
    )))
}

fn arn(call: &Call<'_>) -> Value {
    json!({ "ScheduleArn": schedule_arn(call.region(), &call.group, &call.name) })
}

fn missing(call: &Call<'_>) -> ApiError {
    ApiError::not_found(format!("Schedule {} does not exist.", call.name))
}

/// Whether a request is one that was answered before: the same token, and the same schedule.
fn is_repeated(old: &Definition, new: &Definition) -> bool {
    let token = |definition: &Definition| definition.api.as_ref()?.client_token.clone();
    token(new).is_some() && token(new) == token(old) && new.says_the_same(old)
}

/// What the body asks for, if the caller may and it makes sense.
fn definition(call: &Call<'_>) -> Result<Definition, ApiError> {
    let request: ScheduleRequest = call.request.json()?;
    request.check()?;
    let (Some(expression), Some(target), Some(window)) = (
        request.schedule_expression,
        request.target,
        request.flexible_time_window,
    ) else {
        return Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR));
    };
    let parsed = Expression::parse(&expression).map_err(|error| {
        invalid(format!(
            "Invalid Schedule Expression {}: {error}.",
            expression.escape_debug()
        ))
    })?;
    let zone = request
        .schedule_expression_timezone
        .unwrap_or_else(|| "UTC".to_owned());
    let known_zone = Zone::named(&zone)
        .map_err(|error| invalid(format!("Invalid ScheduleExpressionTimezone: {error}.")))?;
    if !parsed.is_ever_due(&known_zone) {
        let why = never_due(&known_zone);
        return Err(invalid(format!(
            "Invalid Schedule Expression {parsed}: {why}."
        )));
    }
    let now_us = call.request.app.clock.unix_us();
    let (start_us, end_us) = dates(call, request.start_date, request.end_date, now_us)?;
    let window_s = window_s(&window)?;
    check_target(&target)?;
    let target_arn = target.arn.unwrap_or_default();
    let function = function(call, &target_arn)?;
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    let retry = target.retry_policy.unwrap_or_default();
    let definition = Definition {
        name: call.name.clone(),
        function: function.name,
        qualifier: function.qualifier,
        expression,
        zone,
        input: target.input,
        missed: Missed::RunOnce,
        overlap: Overlap::Allow,
        window_s,
        is_enabled: request.state.as_deref() != Some("DISABLED"),
        start_us,
        end_us,
        created_at_us: now_us,
        modified_at_us: now_us,
        since_us: now_us,
        api: Some(Declared {
            group: call.group.clone(),
            description: request.description,
            target_arn,
            role_arn: target.role_arn.unwrap_or_default(),
            kms_key_arn: request.kms_key_arn,
            retry_age_s: number(retry.maximum_event_age_in_seconds),
            retry_attempts: number(retry.maximum_retry_attempts),
            deletes_itself: request.action_after_completion.as_deref() == Some("DELETE"),
            client_token: request.client_token,
        }),
    };
    let timing = definition.timing().map_err(invalid)?;
    if definition.is_enabled && timing.next_due_us(None).is_none() {
        return Err(invalid(format!("{parsed} has no run in the future.")));
    }
    Ok(definition)
}

/// Start and end, if they make sense.
fn dates(
    call: &Call<'_>,
    start: Option<f64>,
    end: Option<f64>,
    now_us: i64,
) -> Result<(Option<i64>, Option<i64>), ApiError> {
    let instant = |member, seconds: Option<f64>| {
        seconds
            .map(|seconds| instant_us(member, seconds))
            .transpose()
    };
    let start_us = instant("StartDate", start)?;
    let end_us = instant("EndDate", end)?;
    let old = call
        .request
        .app
        .schedules
        .get(&api_key(&call.group, &call.name));
    let is_old_start = old.is_some_and(|old| old.definition.start_us == start_us);
    if start_us.is_some_and(|start| start < now_us - START_AGE_US_MAX) && !is_old_start {
        let message = "The StartDate you specify cannot be earlier than 5 minutes ago.";
        return Err(invalid(message));
    }
    if let (Some(start), Some(end)) = (start_us, end_us)
        && start >= end
    {
        return Err(invalid(
            "The StartDate you specify must come before the EndDate.",
        ));
    }
    Ok((start_us, end_us))
}

/// Seconds over which runs are spread.
fn window_s(window: &WindowWire) -> Result<u32, ApiError> {
    let minutes = window.maximum_window_in_minutes;
    let minutes = minutes.and_then(|minutes| u32::try_from(minutes).ok());
    match (window.mode.as_deref(), minutes) {
        (Some("FLEXIBLE"), Some(minutes)) => Ok(minutes * 60),
        (Some("FLEXIBLE"), None) => Err(invalid(
            "FlexibleTimeWindow needs MaximumWindowInMinutes with the mode FLEXIBLE.",
        )),
        (_, Some(_)) => Err(invalid(
            "MaximumWindowInMinutes of FlexibleTimeWindow is not allowed with the mode OFF.",
        )),
        (_, None) => Ok(0),
    }
}

/// What a target may not have, and whether its input is JSON.
fn check_target(target: &TargetWire) -> Result<(), ApiError> {
    if target.dead_letter_config.is_some() {
        return Err(invalid(
            "DeadLetterConfig is not offered: there is no SQS here. Events that fail are kept and can be redriven; the function's own configuration can name a destination for them.",
        ));
    }
    let mut others = target.other.keys();
    if let Some(other) = others.find(|name| name.ends_with("Parameters")) {
        let other: String = other.chars().take(64).collect();
        let other = other.escape_debug();
        return Err(invalid(format!(
            "{other} is for targets that are no function."
        )));
    }
    let Some(input) = &target.input else {
        return Ok(());
    };
    if input.len() > INPUT_BYTES_MAX {
        let bytes = input.len();
        return Err(invalid(format!(
            "Target.Input has {bytes} bytes; at most {INPUT_BYTES_MAX} are allowed."
        )));
    }
    match input_problem(input) {
        Some(problem) => Err(invalid(format!("Target.Input is no JSON: {problem}."))),
        None => Ok(()),
    }
}

/// The function of an ARN, if the caller may invoke it and it is there.
fn function(call: &Call<'_>, arn: &str) -> Result<FunctionRef, ApiError> {
    let refused = |reason: String| {
        invalid(format!(
            "Provided Arn is not supported: {reason}. A target is the ARN of a function, such as {}.",
            "arn:aws:lambda:REGION:000000000000:function:NAME"
        ))
    };
    if !arn.starts_with("arn:aws:lambda:") {
        return Err(refused(format!(
            "`{}` is no function's",
            arn.escape_debug()
        )));
    }
    let function = FunctionRef::parse(arn).map_err(|error| refused(error.to_string()))?;
    let (app, caller) = (call.request.app, &call.request.caller);
    let resource = function.arn(&caller.region);
    let _grant = auth::authorise(app, caller, "lambda:InvokeFunction", &resource)?;
    let found = app.registry.function(&function.name);
    let is_there = found.is_some_and(|found| match &function.qualifier {
        None => true,
        Some(Qualifier::Version(id)) => found.version(*id).is_some(),
        Some(Qualifier::Alias(name)) => found.aliases.contains_key(name),
    });
    if is_there {
        Ok(function)
    } else {
        Err(refused(format!("Function not found: {resource}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::schedule::ChangeError;

    fn schedule(name: &str, function: &str) -> Definition {
        Definition {
            name: name.to_owned(),
            function: domain::FunctionName::parse(function).unwrap(),
            qualifier: None,
            expression: "rate(1 day)".to_owned(),
            zone: "UTC".to_owned(),
            input: None,
            missed: Missed::RunOnce,
            overlap: Overlap::Allow,
            window_s: 0,
            is_enabled: true,
            start_us: None,
            end_us: None,
            created_at_us: 0,
            modified_at_us: 0,
            since_us: 0,
            api: Some(Declared {
                group: "default".to_owned(),
                description: None,
                target_arn: String::new(),
                role_arn: String::new(),
                kms_key_arn: None,
                retry_age_s: None,
                retry_attempts: None,
                deletes_itself: false,
                client_token: None,
            }),
        }
    }

    #[test]
    fn one_function_can_be_the_target_of_so_many_and_all_together_are_bounded_too() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clock = domain::Clock::manual(1_800_000_000_000_000);
        let app = crate::steps::app(dir.path(), &runtime, clock);
        let schedules = &app.schedules;
        let mut of_manifest = schedule("m", "f");
        of_manifest.api = None;
        for definition in [
            schedule("a", "f"),
            schedule("b", "f"),
            schedule("c", "g"),
            of_manifest,
        ] {
            let put = schedules.put(definition.key(), |_| Ok::<_, ChangeError>(definition));
            runtime.block_on(put).unwrap();
        }
        let refused = |function: &str, max, of_function_max| {
            let checked = check_count(schedules, &schedule("n", function), max, of_function_max);
            checked.err().map(|error| {
                assert_eq!(error.code(), "ServiceQuotaExceededException");
                error.message().to_owned()
            })
        };
        assert_eq!(refused("f", 4, 3), None);
        assert_eq!(
            refused("f", 4, 2).unwrap(),
            "There are 2 schedules for the function f already, and no more may be."
        );
        assert_eq!(refused("g", 4, 2), None);
        assert_eq!(
            refused("g", 3, 2).unwrap(),
            "There are 3 schedules already, and no more may be."
        );
    }
}
