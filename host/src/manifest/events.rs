//! The table `[async]` of a manifest: what becomes of a function's events.
//!
//! Knows nothing of which destinations the operator allows, and of what is set through the control API.

use domain::event::Target;
use domain::retry::{EVENT_AGE_S_MAX, EVENT_AGE_S_MIN, RETRIES_MAX};
use serde::{Deserialize, Serialize};

use super::document::Table;
use crate::trigger::queue::destination;

/// What a manifest says of a function's events. What is not there has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct EventRules {
    /// Attempts after the first one, 0 to 2. Key `async.retries`.
    pub(crate) retries: Option<u8>,
    /// Seconds after which an event is given up, 60 to 21,600. Key `async.max_age_s`.
    pub(crate) max_age_s: Option<u32>,
    /// Who gets the record of an event that succeeded. Key `async.on_success`.
    pub(crate) on_success: Option<Target>,
    /// Who gets the record of an event that was given up. Key `async.on_failure`.
    pub(crate) on_failure: Option<Target>,
}

impl EventRules {
    /// The destinations, with their keys.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = (&'static str, &Target)> {
        let both = [
            ("on_success", &self.on_success),
            ("on_failure", &self.on_failure),
        ];
        both.into_iter()
            .filter_map(|(key, target)| target.as_ref().map(|target| (key, target)))
    }
}

/// Where keys stand: line and column, from 1.
type Places = Vec<(&'static str, (usize, usize))>;

/// Reads the table; says also where its destinations stand.
pub(super) fn event_rules(root: &Table<'_>) -> (EventRules, Places) {
    let Some(table) = root.table("async") else {
        return (EventRules::default(), Places::new());
    };
    let mut places = Places::new();
    let ages = u64::from(EVENT_AGE_S_MIN)..=u64::from(EVENT_AGE_S_MAX);
    let rules = EventRules {
        retries: table
            .integer("retries", &(0..=u64::from(RETRIES_MAX)))
            .and_then(|number| u8::try_from(number).ok()),
        max_age_s: table
            .integer("max_age_s", &ages)
            .and_then(|number| u32::try_from(number).ok()),
        on_success: target(&table, "on_success", &mut places),
        on_failure: target(&table, "on_failure", &mut places),
    };
    (rules, places)
}

fn target(table: &Table<'_>, key: &'static str, places: &mut Places) -> Option<Target> {
    let text = table.text(key)?;
    places.push((key, table.place(&text)));
    destination::parse(text.value)
        .inspect_err(|error| table.wrong_at(&text, key, &format!("is no destination: {error}")))
        .ok()
}

#[cfg(test)]
mod tests {
    use crate::manifest::Manifest;
    use crate::trigger::queue::destination;

    #[track_caller]
    fn refused(text: &str) -> String {
        Manifest::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_table_is_read() {
        let text = "[async]\nretries = 0\nmax_age_s = 60\non_success = \"archive:live\"\non_failure = \"file:failures\"\n";
        let events = Manifest::parse(text).unwrap().events;
        assert_eq!((events.retries, events.max_age_s), (Some(0), Some(60)));
        let targets: Vec<_> = events.destinations().collect();
        let archive = destination::parse("archive:live").unwrap();
        let file = destination::parse("file:failures").unwrap();
        assert_eq!(targets, [("on_success", &archive), ("on_failure", &file)]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_what_there_is() {
        assert_eq!(
            refused("[async]\nretries = 3\nmax_age_s = 59\n"),
            "2:11: `async.retries` must be a whole number from 0 to 2, not 3; \
             3:13: `async.max_age_s` must be a whole number from 60 to 21600, not 59"
        );
        let message = refused("[async]\non_failure = \"arn:aws:sqs:local:000000000000:q\"\n");
        assert!(
            message.starts_with("2:14: `async.on_failure` is no destination: `arn:aws:sqs:local:000000000000:q` is a resource of `sqs`, which Mayfly does not have; a destination is a function"),
            "{message}"
        );
        let message = refused("[async]\nretry = 1\n");
        assert!(message.contains("did you mean `retries`?"), "{message}");
    }
}
