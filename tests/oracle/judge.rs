//! Holds what the server says against what it promised.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use support::ledger::Ledger;
use support::wait;

use crate::collector::Collector;
use crate::journal::{Journal, Kind};
use crate::state::{Attempts, Event, Server};

/// How long events may take to end once nothing is sent any more.
const SETTLE: Duration = Duration::from_secs(120);

/// Knows what was promised.
#[derive(Debug)]
pub(crate) struct Judge {
    journal: Arc<Journal>,
    collector: Collector,
    /// How events were found to have ended: that does not change.
    ended: HashMap<String, String>,
}

impl Judge {
    pub(crate) fn new(journal: Arc<Journal>, collector: Collector) -> Self {
        Self {
            journal,
            collector,
            ended: HashMap::new(),
        }
    }

    /// Checks a server, which may go on meanwhile unless this is the last time.
    ///
    /// # Errors
    ///
    /// What it broke.
    pub(crate) fn judge(&mut self, server: &Server, is_last: bool) -> Result<Value, String> {
        if is_last {
            settle(server)?;
        }
        let events = server.events()?;
        // Read after the events: it holds at least the attempts that they name.
        let ledger = server.ledger()?;
        let attempts = attempts(&ledger)?;
        let by_id = self.check_events(&events)?;
        self.check_attempts(&by_id, &attempts, is_last)?;
        let requests = self.check_requests(&by_id, &attempts)?;
        if is_last {
            if let Some(problem) = ledger.problem(true) {
                return Err(format!("the ledger does not add up: {problem}"));
            }
            self.check_deliveries(&by_id)?;
        }
        Ok(self.figures(&by_id, &attempts, requests))
    }

    /// Every event that was accepted is there, once, in one state; what ended stays ended.
    fn check_events<'e>(
        &mut self,
        events: &'e [Event],
    ) -> Result<HashMap<&'e str, &'e Event>, String> {
        const STATES: [&str; 5] = ["queued", "running", "succeeded", "dead", "expired"];
        let mut by_id = HashMap::new();
        let mut unknown = 0;
        let accepted = self.journal.accepted();
        for event in events.iter().filter(|event| event.function.is_some()) {
            if !STATES.contains(&&*event.state) {
                return Err(format!(
                    "event {} is in the state `{}`",
                    event.id, event.state
                ));
            }
            if by_id.insert(&*event.id, event).is_some() {
                return Err(format!("event {} is listed twice", event.id));
            }
            unknown += u64::from(!accepted.contains_key(&event.id));
        }
        let unanswered = self.journal.unanswered(Kind::Event);
        if unknown > unanswered {
            return Err(format!(
                "{unknown} events were never accepted, and only {unanswered} had no answer"
            ));
        }
        for (id, function) in &accepted {
            let Some(event) = by_id.get(&**id) else {
                return Err(format!("the accepted event {id} is lost"));
            };
            if event.function.as_ref() != Some(function) {
                return Err(format!(
                    "event {id} of `{function}` is of {:?}",
                    event.function
                ));
            }
        }
        for event in by_id.values() {
            let before = self.ended.get(&event.id);
            if before.is_some_and(|before| *before != event.state) {
                return Err(format!(
                    "event {} ended as {before:?} and is {}",
                    event.id, event.state
                ));
            }
            if matches!(&*event.state, "succeeded" | "dead" | "expired") {
                self.ended.insert(event.id.clone(), event.state.clone());
            }
        }
        Ok(by_id)
    }

    /// Each attempt at an event has one record: none is missing, and none is of an attempt that never was.
    fn check_attempts(
        &self,
        events: &HashMap<&str, &Event>,
        attempts: &HashMap<String, Attempts>,
        is_last: bool,
    ) -> Result<(), String> {
        let none = Attempts::new();
        for event in events.values() {
            let id = &event.id;
            let records = attempts.get(id).unwrap_or(&none);
            // The record of an attempt that runs comes with its end.
            let closed = event.attempts - u64::from(event.state == "running");
            if let Some(missing) = (1..=closed).find(|number| !records.contains_key(number)) {
                return Err(format!(
                    "attempt {missing} at event {id} ({}) has no record",
                    event.state
                ));
            }
            let ended = self.ended.contains_key(id);
            let last = records.keys().next_back().copied().unwrap_or(0);
            if (is_last || ended) && last != event.attempts {
                return Err(format!(
                    "event {id} had {} attempts, and there is a record of attempt {last}",
                    event.attempts
                ));
            }
            let succeeded = records
                .values()
                .filter(|status| *status == "success")
                .count();
            let is_right = match &*event.state {
                "succeeded" => {
                    succeeded == 1 && records.get(&event.attempts).is_some_and(|s| s == "success")
                }
                "dead" | "expired" => succeeded == 0,
                _ => true,
            };
            if !is_right {
                return Err(format!(
                    "event {id} is {} with the attempts {records:?}",
                    event.state
                ));
            }
        }
        Ok(())
    }

    /// Each answered request has one record, and no record is of an id that nobody knows.
    fn check_requests(
        &self,
        events: &HashMap<&str, &Event>,
        attempts: &HashMap<String, Attempts>,
    ) -> Result<u64, String> {
        let complete = self.journal.complete();
        for (id, function) in &complete {
            match attempts.get(id) {
                Some(records) if records.len() == 1 && records.contains_key(&1) => {}
                records => {
                    return Err(format!(
                        "request {id} to `{function}` was answered; its records: {records:?}"
                    ));
                }
            }
        }
        let known = |id: &str| events.contains_key(id) || complete.contains_key(id);
        let unknown: HashSet<_> = attempts.keys().filter(|id| !known(id)).collect();
        let unanswered = self.journal.unanswered(Kind::Sync) + self.journal.unanswered(Kind::Event);
        let count = u64::try_from(unknown.len()).unwrap_or(u64::MAX);
        if count > unanswered {
            return Err(format!(
                "{count} records are of ids that nobody knows, and only {unanswered} requests had no answer"
            ));
        }
        Ok(count)
    }

    /// The end of each event was told to its destination, and told right.
    fn check_deliveries(&self, events: &HashMap<&str, &Event>) -> Result<(), String> {
        let deliveries = self.collector.deliveries();
        for event in events.values() {
            let expected: &[&str] = match &*event.state {
                "succeeded" => &["Success"],
                "dead" => &["RetriesExhausted"],
                _ => &["EventAgeExceeded"],
            };
            let told = deliveries.get(&event.id);
            let is_right = told.is_some_and(|told| {
                told.iter()
                    .all(|condition| expected.contains(&&**condition))
            });
            if !is_right {
                return Err(format!(
                    "event {} is {}, and its destination was told {told:?}",
                    event.id, event.state
                ));
            }
        }
        Ok(())
    }

    fn figures(
        &self,
        events: &HashMap<&str, &Event>,
        attempts: &HashMap<String, Attempts>,
        requests_unanswered: u64,
    ) -> Value {
        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        for event in events.values() {
            *states.entry(&event.state).or_default() += 1;
        }
        let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
        for status in attempts.values().flat_map(Attempts::values) {
            *statuses.entry(status).or_default() += 1;
        }
        let told = self.collector.deliveries();
        let repeated = told.values().filter(|told| told.len() > 1).count();
        json!({
            "journal": self.journal.figures(),
            "events": states,
            "records": statuses,
            "records_of_unanswered": requests_unanswered,
            "deliveries": told.values().map(Vec::len).sum::<usize>(),
            "events_told_more_than_once": repeated,
        })
    }
}

/// The attempts with a record, by event or request. One attempt with two is a violation.
fn attempts(ledger: &Ledger) -> Result<HashMap<String, Attempts>, String> {
    let mut attempts: HashMap<String, Attempts> = HashMap::new();
    for entry in &ledger.entries {
        let text = |key: &str| entry[key].as_str().unwrap_or("").to_owned();
        let number = entry["attempt"].as_u64().unwrap_or(0);
        let records = attempts.entry(text("request_id")).or_default();
        if records.insert(number, text("status")).is_some() {
            return Err(format!("two records of one attempt: {entry}"));
        }
    }
    Ok(attempts)
}

fn settle(server: &Server) -> Result<(), String> {
    let mut last = Ok(0);
    let settled = wait::within(SETTLE, || {
        last = server.unsettled();
        matches!(last, Ok(0)).then_some(())
    });
    match settled {
        Some(()) => Ok(()),
        None => Err(format!(
            "events do not end: {last:?} are left after {SETTLE:?}"
        )),
    }
}
