//! What a function's configuration says of its events: how often and how long they are tried, and who
//! hears of their end.
//!
//! Knows nothing of attempts; what becomes of an event is decided in [`domain::retry`].

use std::time::Duration;

use domain::retry::RetryPolicy;
use domain::{FunctionName, Qualifier, VersionId};

use crate::app::App;
use crate::registry::EventInvoke;

/// What becomes of the events of a function, asked for by one of its qualifiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventPolicy {
    /// How often and how long an event is tried.
    pub(crate) retry: RetryPolicy,
    /// Who gets the record of an event that succeeded.
    pub(crate) on_success: Option<String>,
    /// Who gets the record of an event that was given up.
    pub(crate) on_failure: Option<String>,
}

impl EventPolicy {
    /// The policy of events that were sent to this qualifier; the default one when the function is gone.
    pub(crate) fn of(app: &App, name: &FunctionName, qualifier: Option<&Qualifier>) -> Self {
        let key = match qualifier {
            None | Some(Qualifier::Version(VersionId::Latest)) => String::new(),
            Some(qualifier) => qualifier.to_string(),
        };
        let function = app.registry.function(name);
        let settings = function
            .as_ref()
            .and_then(|function| function.settings.event_invoke.get(&key));
        settings.map(Self::from_settings).unwrap_or_default()
    }

    fn from_settings(settings: &EventInvoke) -> Self {
        let retry = RetryPolicy::default();
        Self {
            retry: RetryPolicy {
                retries: settings
                    .maximum_retry_attempts
                    .map_or(retry.retries, u32::from),
                age_max: settings
                    .maximum_event_age_s
                    .map_or(retry.age_max, |age_s| Duration::from_secs(u64::from(age_s))),
            },
            on_success: settings.on_success.clone(),
            on_failure: settings.on_failure.clone(),
        }
    }
}
