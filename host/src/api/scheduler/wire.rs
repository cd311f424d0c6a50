//! What the API writes and reads, and the errors it has words for.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use storage::QueueError;

use crate::api::checks::Checks;
use crate::api::error::ApiError;
use crate::api::json::object;
use crate::manifest::schedule::{NAME_CHARS_MAX, is_name};
use crate::trigger::schedule::ChangeError;

const NAME_PATTERN: &str = "[0-9a-zA-Z-_.]+";

/// The body of `CreateSchedule` and `UpdateSchedule`. Members that are missing are the defaults in both.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ScheduleRequest {
    pub(super) schedule_expression: Option<String>,
    pub(super) schedule_expression_timezone: Option<String>,
    pub(super) start_date: Option<f64>,
    pub(super) end_date: Option<f64>,
    pub(super) description: Option<String>,
    pub(super) state: Option<String>,
    pub(super) kms_key_arn: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub(super) target: Option<TargetWire>,
    #[serde(default, deserialize_with = "object")]
    pub(super) flexible_time_window: Option<WindowWire>,
    pub(super) client_token: Option<String>,
    pub(super) action_after_completion: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TargetWire {
    pub(super) arn: Option<String>,
    pub(super) role_arn: Option<String>,
    pub(super) input: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub(super) retry_policy: Option<RetryWire>,
    pub(super) dead_letter_config: Option<Value>,
    /// Parameters of targets that are no function.
    #[serde(flatten)]
    pub(super) other: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RetryWire {
    pub(super) maximum_event_age_in_seconds: Option<i64>,
    pub(super) maximum_retry_attempts: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WindowWire {
    pub(super) mode: Option<String>,
    pub(super) maximum_window_in_minutes: Option<i64>,
}

impl ScheduleRequest {
    /// Whether every member is one that it may be, as far as that can be said of each by itself.
    ///
    /// # Errors
    ///
    /// 400.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        let expression = self.schedule_expression.as_ref();
        checks.required("scheduleExpression", expression);
        checks.length("scheduleExpression", expression.map(|e| &**e), &(1..=256));
        let zone = self.schedule_expression_timezone.as_deref();
        checks.length("scheduleExpressionTimezone", zone, &(1..=50));
        checks.length("description", self.description.as_deref(), &(0..=512));
        checks.one_of("state", self.state.as_deref(), &["ENABLED", "DISABLED"]);
        checks.length("kmsKeyArn", self.kms_key_arn.as_deref(), &(1..=2_048));
        let action = self.action_after_completion.as_deref();
        checks.one_of("actionAfterCompletion", action, &["NONE", "DELETE"]);
        check_token(&mut checks, self.client_token.as_deref());
        checks.required("flexibleTimeWindow", self.flexible_time_window.as_ref());
        if let Some(window) = &self.flexible_time_window {
            let (member, mode) = ("flexibleTimeWindow.mode", window.mode.as_ref());
            checks.required(member, mode);
            checks.one_of(member, mode.map(|m| &**m), &["OFF", "FLEXIBLE"]);
            let minutes = window.maximum_window_in_minutes;
            checks.range(
                "flexibleTimeWindow.maximumWindowInMinutes",
                minutes,
                &(1..=1_440),
            );
        }
        checks.required("target", self.target.as_ref());
        if let Some(target) = &self.target {
            checks.required("target.arn", target.arn.as_ref());
            checks.length("target.arn", target.arn.as_deref(), &(1..=1_600));
            checks.required("target.roleArn", target.role_arn.as_ref());
            let role = target.role_arn.as_deref();
            checks.length("target.roleArn", role, &(1..=1_600));
            let pattern = "arn:aws[a-z-]*:iam::\\d{12}:role\\/[\\w+=,.@\\/-]+";
            checks.pattern("target.roleArn", role, pattern, |text| {
                text.starts_with("arn:aws") && text.contains(":iam::") && text.contains(":role/")
            });
            checks.length("target.input", target.input.as_deref(), &(1..=usize::MAX));
            let retry = target.retry_policy.as_ref();
            let age = retry.and_then(|retry| retry.maximum_event_age_in_seconds);
            checks.range(
                "target.retryPolicy.maximumEventAgeInSeconds",
                age,
                &(60..=86_400),
            );
            let attempts = retry.and_then(|retry| retry.maximum_retry_attempts);
            checks.range(
                "target.retryPolicy.maximumRetryAttempts",
                attempts,
                &(0..=185),
            );
        }
        checks.done()
    }
}

pub(super) fn check_token(checks: &mut Checks, token: Option<&str>) {
    checks.length("clientToken", token, &(1..=64));
    checks.pattern(
        "clientToken",
        token,
        "[a-zA-Z0-9-_]+",
        crate::api::checks::is_word,
    );
}

/// Names of groups and schedules.
pub(super) fn check_names(group: &str, name: Option<&str>) -> Result<(), ApiError> {
    let mut checks = Checks::default();
    for (member, text) in [("groupName", Some(group)), ("name", name)] {
        checks.length(member, text, &(1..=NAME_CHARS_MAX));
        checks.pattern(member, text, NAME_PATTERN, |text| {
            is_name(text) || text.chars().count() > NAME_CHARS_MAX
        });
    }
    checks.done()
}

/// 400 in the name that this API has for it.
pub(super) fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "ValidationException", message)
}

/// 409.
pub(super) fn conflict(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "ConflictException", message)
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Queue(error) => not_stored(&error),
            ChangeError::Invalid(reason) => {
                tracing::error!(reason, "a schedule that was checked is none");
                ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// The error for what the disk or the queue did not take. Our log says why.
pub(super) fn not_stored(error: &QueueError) -> ApiError {
    tracing::warn!(%error, "a schedule was not stored");
    ApiError::unavailable(match error {
        QueueError::Full { .. } => "little space is left for schedules",
        QueueError::Closed => "the server is stopping",
        _ => "the schedule could not be stored, and the server's log says why",
    })
}

/// Seconds since 1970, with decimals or without, in microseconds.
///
/// # Errors
///
/// 400.
pub(super) fn instant_us(member: &str, seconds: f64) -> Result<i64, ApiError> {
    let since = Duration::try_from_secs_f64(seconds).ok();
    since
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .filter(|us| jiff::Timestamp::from_microsecond(*us).is_ok())
        .ok_or_else(|| {
            invalid(format!(
                "{member} must be in seconds since 1970, up to the year 9999"
            ))
        })
}

/// Seconds since 1970 as JSON has them; milliseconds are kept.
pub(super) fn seconds(unix_us: i64) -> Value {
    let (s, ms) = (
        unix_us.div_euclid(1_000_000),
        unix_us.rem_euclid(1_000_000) / 1_000,
    );
    match format!("{s}.{ms:03}").parse::<f64>() {
        Ok(seconds) if ms > 0 && s >= 0 => json!(seconds),
        _ => json!(s),
    }
}
