//! `[[subscribe]]`: the topics that a function gets events of.
//!
//! Knows nothing of which topics are published to, and of how an event is taken in.

use domain::{Qualifier, TopicPattern};
use serde::{Deserialize, Serialize};

use super::document::Table;

/// Most `[[subscribe]]` entries of one function.
pub(crate) const SUBSCRIPTIONS_MAX: usize = 100;

/// What a function gets events of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// Key `topic`.
    pub(crate) topic: TopicPattern,
    /// The alias or version that gets them; `None` is what was dropped last. Key `qualifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) qualifier: Option<Qualifier>,
}

/// The `[[subscribe]]` entries of a manifest.
pub(super) fn subscriptions(root: &Table<'_>) -> Vec<Subscription> {
    let Some(entries) = root.tables("subscribe") else {
        return Vec::new();
    };
    let read: Vec<_> = entries.iter().map(subscription).collect();
    if entries.len() > SUBSCRIPTIONS_MAX {
        root.wrong(format!(
            "`subscribe` has {} entries; at most {SUBSCRIPTIONS_MAX} are allowed",
            entries.len()
        ));
        return Vec::new();
    }
    let mut subscriptions: Vec<Subscription> = Vec::with_capacity(read.len());
    for (at, (entry, read)) in entries.iter().zip(read).enumerate() {
        let Some(subscription) = read else { continue };
        if subscriptions.contains(&subscription) {
            let (at, topic) = (at + 1, &subscription.topic);
            entry.wrong(format!("`subscribe[{at}]` has the topic `{topic}` again"));
        }
        subscriptions.push(subscription);
    }
    subscriptions
}

fn subscription(entry: &Table<'_>) -> Option<Subscription> {
    let qualifier = entry.text("qualifier").and_then(|written| {
        let read = Qualifier::parse(written.value);
        if let Err(error) = &read {
            entry.wrong_at(&written, "qualifier", &format!("is none: {error}"));
        }
        read.ok()
    });
    let Some(written) = entry.text("topic") else {
        if !entry.has("topic") {
            entry.wrong("`[[subscribe]]` needs a `topic`, such as \"orders.*\"".to_owned());
        }
        return None;
    };
    match TopicPattern::parse(written.value) {
        Ok(topic) => Some(Subscription { topic, qualifier }),
        Err(error) => {
            entry.wrong_at(
                &written,
                "topic",
                &format!("can't be subscribed to: {error}"),
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[track_caller]
    fn check_refused(text: &str, expected: &[&str]) {
        let error = Manifest::parse(text).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn subscriptions_are_read_in_their_order() {
        let text = "[[subscribe]]\ntopic = \"orders.*\"\n[[subscribe]]\ntopic = \"orders.*\"\nqualifier = \"live\"\n";
        let manifest = Manifest::parse(text).unwrap();
        let read: Vec<_> = manifest
            .subscriptions
            .iter()
            .map(|one| {
                (
                    one.topic.as_str(),
                    one.qualifier.as_ref().map(Qualifier::to_string),
                )
            })
            .collect();
        assert_eq!(
            read,
            [("orders.*", None), ("orders.*", Some("live".to_owned()))]
        );
        assert!(Manifest::parse("").unwrap().subscriptions.is_empty());
    }

    #[test]
    fn a_wrong_subscription_is_told_with_its_place_and_an_example() {
        check_refused(
            "[[subscribe]]\ntopic = \"orders.cr*\"\n",
            &[
                "2:9: `subscribe[1].topic` can't be subscribed to: ",
                "`*` at character 10",
                "`orders.*`",
            ],
        );
        check_refused(
            "[[subscribe]]\ntopic = \"a..b\"\n",
            &["2:9: ", "empty segment at character 3"],
        );
        check_refused(
            "[[subscribe]]\n",
            &["needs a `topic`, such as \"orders.*\""],
        );
        check_refused(
            "[[subscribe]]\ntopic = \"a\"\nqualifier = \"0\"\n",
            &["3:13: `subscribe[1].qualifier`"],
        );
        check_refused(
            "[[subscribe]]\ntopic = 1\n",
            &["`subscribe[1].topic` must be text"],
        );
        check_refused(
            "[[subscribe]]\ntopic = \"a\"\nto = 1\n",
            &["`subscribe[1].to` is not a known key"],
        );
        check_refused(
            "[[subscribe]]\ntopic = \"a\"\n[[subscribe]]\ntopic = \"a\"\n",
            &["3:1: `subscribe[2]` has the topic `a` again"],
        );
        let many = "[[subscribe]]\ntopic = \"a\"\n".repeat(SUBSCRIPTIONS_MAX + 1);
        check_refused(&many, &["has 101 entries; at most 100 are allowed"]);
    }
}
