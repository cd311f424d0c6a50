//! What the operations on asynchronous invocation share: its settings on the wire.

use std::ops::RangeInclusive;

use domain::FunctionRef;
use domain::event::Target;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::json::object;
use super::call::Call;
use super::checks::Checks;
use super::wire::settings_key;
use crate::auth;
use crate::registry::EventInvoke;
use crate::trigger::queue::destination::{self, DESTINATION_CHARS_MAX};

const RETRIES: RangeInclusive<i64> = 0..=2;

/// Seconds.
const AGE: RangeInclusive<i64> = 60..=21_600;

/// What may be asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EventInvokeRequest {
    maximum_retry_attempts: Option<i64>,
    maximum_event_age_in_seconds: Option<i64>,
    #[serde(default, deserialize_with = "object")]
    destination_config: Option<DestinationConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationConfig {
    #[serde(default, deserialize_with = "object")]
    on_success: Option<DestinationWire>,
    #[serde(default, deserialize_with = "object")]
    on_failure: Option<DestinationWire>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DestinationWire {
    destination: Option<String>,
}

/// The settings as clients get them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EventInvokeView {
    /// Seconds since 1970.
    last_modified: i64,
    function_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_retry_attempts: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum_event_age_in_seconds: Option<u32>,
    destination_config: Value,
}

impl EventInvokeRequest {
    /// Whether every member is one that it may be.
    ///
    /// # Errors
    ///
    /// 400.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        checks.range(
            "maximumRetryAttempts",
            self.maximum_retry_attempts,
            &RETRIES,
        );
        let age = self.maximum_event_age_in_seconds;
        checks.range("maximumEventAgeInSeconds", age, &AGE);
        for (member, destination) in [
            ("destinationConfig.onSuccess.destination", self.on_success()),
            ("destinationConfig.onFailure.destination", self.on_failure()),
        ] {
            let destination = destination.as_deref();
            checks.length(member, destination, &(0..=DESTINATION_CHARS_MAX));
        }
        checks.done()
    }

    /// Whether the destinations are there, and the caller may use them: records are sent as if the caller
    /// had sent them.
    ///
    /// # Errors
    ///
    /// 400, and 403 for a function that the caller may not invoke.
    pub(super) fn check_destinations(&self, call: &Call<'_>) -> Result<(), ApiError> {
        for destination in [self.on_success(), self.on_failure()] {
            let Some(text) = destination.filter(|text| !text.is_empty()) else {
                continue;
            };
            let target = self.target(call, &text)?;
            if let Target::Function { name, qualifier } = target {
                let region = Some(call.region().to_owned());
                let wanted = FunctionRef {
                    name,
                    qualifier,
                    region,
                };
                let (app, caller) = (call.request.app, &call.request.caller);
                let arn = wanted.arn(call.region());
                let _grant = auth::authorise(app, caller, "lambda:InvokeFunction", &arn)?;
                let function = app.registry.function(&wanted.name);
                if function.is_none_or(|found| found.named(wanted.qualifier.as_ref()).is_none()) {
                    return Err(self.invalid(&format!("Function not found: {arn}")));
                }
            }
        }
        Ok(())
    }

    fn target(&self, call: &Call<'_>, text: &str) -> Result<Target, ApiError> {
        let target = destination::parse(text).map_err(|error| self.invalid(&error.to_string()))?;
        let allowed = &call.request.app.config.destinations.allow;
        let checked = allowed.check_for(&call.target()?.name, &target);
        checked.map_err(|error| self.invalid(&error.to_string()))?;
        Ok(target)
    }

    /// 400 in the words of AWS, and why.
    fn invalid(&self, reason: &str) -> ApiError {
        let shown = |kind: &str, destination: Option<String>| match destination {
            Some(text) => format!("{kind}(destination={})", text.escape_debug()),
            None => "null".to_owned(),
        };
        ApiError::validation(format!(
            "The provided destination config DestinationConfig(onSuccess={}, onFailure={}) is invalid. {reason}",
            shown("OnSuccess", self.on_success()),
            shown("OnFailure", self.on_failure()),
        ))
    }

    /// Whether it asks for nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.maximum_retry_attempts.is_none()
            && self.maximum_event_age_in_seconds.is_none()
            && self.destination_config.is_none()
    }

    fn on_success(&self) -> Option<String> {
        let destination = self.destination_config.as_ref()?.on_success.as_ref()?;
        destination.destination.clone()
    }

    fn on_failure(&self) -> Option<String> {
        let destination = self.destination_config.as_ref()?.on_failure.as_ref()?;
        destination.destination.clone()
    }

    /// Puts what is asked for over `settings`; an empty destination takes it away.
    pub(super) fn apply(&self, settings: &mut EventInvoke, now_us: i64) {
        settings.modified_at_us = now_us;
        if let Some(retries) = self.maximum_retry_attempts {
            settings.maximum_retry_attempts = u8::try_from(retries).ok();
        }
        if let Some(age) = self.maximum_event_age_in_seconds {
            settings.maximum_event_age_s = u32::try_from(age).ok();
        }
        if let Some(destination) = self.on_success() {
            settings.on_success = Some(destination).filter(|text| !text.is_empty());
        }
        if let Some(destination) = self.on_failure() {
            settings.on_failure = Some(destination).filter(|text| !text.is_empty());
        }
    }
}

impl EventInvokeView {
    /// The settings that belong to `key` of the function with this name.
    pub(super) fn of(function_arn: &str, key: &str, settings: &EventInvoke) -> Self {
        let qualifier = if key.is_empty() { "$LATEST" } else { key };
        let mut destinations = Map::new();
        for (name, destination) in [
            ("OnSuccess", &settings.on_success),
            ("OnFailure", &settings.on_failure),
        ] {
            let shown = destination
                .as_ref()
                .map_or_else(|| json!({}), |arn| json!({ "Destination": arn }));
            destinations.insert(name.to_owned(), shown);
        }
        Self {
            last_modified: settings.modified_at_us.div_euclid(1_000_000),
            function_arn: format!("{function_arn}:{qualifier}"),
            maximum_retry_attempts: settings.maximum_retry_attempts,
            maximum_event_age_in_seconds: settings.maximum_event_age_s,
            destination_config: Value::Object(destinations),
        }
    }
}

/// 404 when there is nothing that could have settings.
pub(super) fn check_function(call: &Call<'_>) -> Result<(), ApiError> {
    match call.version() {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::not_found("The function doesn't exist.")),
    }
}

/// The key of the settings that are asked for, and the 404 for when there are none.
pub(super) fn key_and_missing(
    call: &Call<'_>,
) -> Result<(String, impl Fn() -> ApiError + Send + 'static), ApiError> {
    let target = call.target()?;
    let key = settings_key(target.qualifier.as_ref());
    let qualifier = if key.is_empty() { "$LATEST" } else { &key };
    let arn = format!("{}:{qualifier}", target.name.arn(call.region()));
    let missing = move || {
        ApiError::not_found(format!(
            "The function {arn} doesn't have an EventInvokeConfig"
        ))
    };
    Ok((key, missing))
}
