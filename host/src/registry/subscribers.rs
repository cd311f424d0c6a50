//! Who gets events of topics, found without looking at every function.
//!
//! Derived from the functions: what is swapped in or forgotten is here at once. Knows nothing of events.

use std::collections::BTreeMap;

use domain::{FunctionName, Qualifier, TopicName, TopicPattern};
use parking_lot::RwLock;

use crate::manifest::subscribe::Subscription;

/// The subscriptions of the functions that have some, by function.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(RwLock<BTreeMap<FunctionName, Vec<Subscription>>>);

/// Who gets an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subscriber {
    pub(crate) function: FunctionName,
    /// The alias or version that it asked for.
    pub(crate) qualifier: Option<Qualifier>,
}

impl Subscribers {
    /// Replaces what a function subscribes to.
    pub(super) fn swap(&self, function: &FunctionName, subscriptions: &[Subscription]) {
        if subscriptions.is_empty() {
            // Most functions have none, and never had.
            if self.0.read().contains_key(function) {
                self.0.write().remove(function);
            }
            return;
        }
        let mut all = self.0.write();
        all.insert(function.clone(), subscriptions.to_vec());
    }

    /// Who gets what is published to `topic`, by function: each once, however many of its patterns fit.
    pub(crate) fn of(&self, topic: &TopicName) -> Vec<Subscriber> {
        let mut found = Vec::new();
        for (function, subscriptions) in &*self.0.read() {
            let fits = subscriptions.iter().filter(|one| one.topic.takes(topic));
            found.extend(fits.map(|one| Subscriber {
                function: function.clone(),
                qualifier: one.qualifier.clone(),
            }));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// All patterns and who has them, both in order.
    pub(crate) fn by_pattern(&self) -> BTreeMap<TopicPattern, Vec<Subscriber>> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (function, subscriptions) in &*self.0.read() {
            for one in subscriptions {
                found
                    .entry(one.topic.clone())
                    .or_default()
                    .push(Subscriber {
                        function: function.clone(),
                        qualifier: one.qualifier.clone(),
                    });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FunctionName {
        FunctionName::parse(text).unwrap()
    }

    fn subscription(topic: &str, qualifier: Option<&str>) -> Subscription {
        Subscription {
            topic: TopicPattern::parse(topic).unwrap(),
            qualifier: qualifier.map(|text| Qualifier::parse(text).unwrap()),
        }
    }

    fn of(subscribers: &Subscribers, topic: &str) -> Vec<String> {
        let found = subscribers.of(&TopicName::parse(topic).unwrap());
        let shown = found.iter().map(|one| match &one.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", one.function),
            None => one.function.to_string(),
        });
        shown.collect()
    }

    #[test]
    fn each_function_and_qualifier_gets_an_event_once() {
        let all = Subscribers::default();
        all.swap(&name("b"), &[subscription("orders.*", None)]);
        all.swap(
            &name("a"),
            &[
                subscription("orders.**", None),
                subscription("orders.created", None),
                subscription("*.created", Some("live")),
            ],
        );
        assert_eq!(of(&all, "orders.created"), ["a", "a:live", "b"]);
        assert_eq!(of(&all, "orders.created.eu"), ["a"]);
        assert_eq!(of(&all, "invoices.paid"), [""; 0]);
        assert_eq!(all.by_pattern().len(), 4);
    }

    #[test]
    fn what_is_swapped_out_gets_nothing() {
        let all = Subscribers::default();
        all.swap(&name("a"), &[subscription("x", None)]);
        all.swap(&name("a"), &[subscription("y", None)]);
        assert_eq!(of(&all, "x"), [""; 0]);
        assert_eq!(of(&all, "y"), ["a"]);
        all.swap(&name("a"), &[]);
        assert_eq!(of(&all, "y"), [""; 0]);
        assert!(all.by_pattern().is_empty());
    }
}
