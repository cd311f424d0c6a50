//! What a function's configuration says of its events: how often and how long they are tried, and who
//! hears of their end.
//!
//! Member by member, what was set through the control API stands over the manifest, and the manifest over
//! the defaults. Knows nothing of attempts; what becomes of an event is decided in [`domain::retry`].

use std::time::Duration;

use domain::event::Target;
use domain::retry::RetryPolicy;
use domain::{FunctionName, Qualifier};

use super::destination;
use crate::app::App;
use crate::manifest::events::EventRules;
use crate::registry::{EventInvoke, settings_key};

/// What becomes of the events of a function, asked for by one of its qualifiers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EventPolicy {
    /// How often and how long an event is tried.
    pub(crate) retry: RetryPolicy,
    /// Who gets the record of an event that succeeded.
    pub(crate) on_success: Option<Target>,
    /// Who gets the record of an event that was given up.
    pub(crate) on_failure: Option<Target>,
}

impl EventPolicy {
    /// The policy of events that were sent to this qualifier; the default one when the function is gone.
    pub(crate) fn of(app: &App, name: &FunctionName, qualifier: Option<&Qualifier>) -> Self {
        let Some(function) = app.registry.function(name) else {
            return Self::default();
        };
        let version = function.named(qualifier);
        Self::merged(
            version.map(|version| &version.configuration.events),
            function.settings.event_invoke.get(&settings_key(qualifier)),
        )
    }

    fn merged(manifest: Option<&EventRules>, set: Option<&EventInvoke>) -> Self {
        let manifest = manifest.cloned().unwrap_or_default();
        let retry = RetryPolicy::default();
        let retries = set
            .and_then(|set| set.maximum_retry_attempts)
            .or(manifest.retries);
        let age_s = set
            .and_then(|set| set.maximum_event_age_s)
            .or(manifest.max_age_s);
        Self {
            retry: RetryPolicy {
                retries: retries.map_or(retry.retries, u32::from),
                age_max: age_s.map_or(retry.age_max, |age_s| Duration::from_secs(u64::from(age_s))),
            },
            on_success: set
                .and_then(|set| destination_of(set.on_success.as_deref()))
                .or(manifest.on_success),
            on_failure: set
                .and_then(|set| destination_of(set.on_failure.as_deref()))
                .or(manifest.on_failure),
        }
    }
}

/// What was set. It was checked then; an older server took names of what is nowhere.
fn destination_of(text: Option<&str>) -> Option<Target> {
    let target = destination::parse(text?);
    target
        .inspect_err(|error| tracing::warn!("a destination is passed over: {error}"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<Target> {
        Some(destination::parse(text).unwrap())
    }

    #[test]
    fn what_was_set_stands_over_the_manifest_member_by_member() {
        let manifest = EventRules {
            retries: Some(1),
            max_age_s: Some(60),
            on_success: target("archive"),
            on_failure: target("file:failures"),
        };
        let set = EventInvoke {
            maximum_retry_attempts: Some(0),
            on_failure: Some("alarm:live".to_owned()),
            ..EventInvoke::default()
        };
        let policy = |retries, age_s, on_success, on_failure| EventPolicy {
            retry: RetryPolicy {
                retries,
                age_max: Duration::from_secs(age_s),
            },
            on_success,
            on_failure,
        };
        let (archive, file, alarm) = (
            target("archive"),
            target("file:failures"),
            target("alarm:live"),
        );
        assert_eq!(EventPolicy::merged(None, None), EventPolicy::default());
        assert_eq!(
            EventPolicy::merged(Some(&manifest), None),
            policy(1, 60, archive.clone(), file)
        );
        assert_eq!(
            EventPolicy::merged(Some(&manifest), Some(&set)),
            policy(0, 60, archive, alarm.clone())
        );
        assert_eq!(
            EventPolicy::merged(None, Some(&set)),
            policy(0, 21_600, None, alarm)
        );
    }

    #[test]
    fn a_destination_of_an_older_server_that_is_nowhere_is_passed_over() {
        let set = EventInvoke {
            on_failure: Some("arn:aws:sqs:local:000000000000:q".to_owned()),
            ..EventInvoke::default()
        };
        assert_eq!(
            EventPolicy::merged(None, Some(&set)),
            EventPolicy::default()
        );
    }
}
