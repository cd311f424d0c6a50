//! Events that wait, as whoever sends them and whoever looks after the server sees them.

use serde_json::Value;

use crate::TestHost;
use crate::host::invocation;
use crate::http::Response;
use crate::wait::until;

impl TestHost {
    /// Invokes a function asynchronously.
    #[track_caller]
    #[must_use]
    pub fn invoke_async(&self, name: &str, event: impl Into<Vec<u8>>) -> Response {
        self.control_send(&invocation(name, event).header("x-amz-invocation-type", "Event"))
    }

    /// The same, which must be accepted; the event's id.
    #[track_caller]
    #[must_use]
    pub fn accepted(&self, name: &str, event: impl Into<Vec<u8>>) -> String {
        let response = self.invoke_async(name, event);
        assert_eq!(response.status, 202, "{}", response.text());
        assert!(response.body.is_empty(), "{}", response.text());
        response.request_id()
    }

    /// The records of the attempts at an event, in their order.
    #[track_caller]
    #[must_use]
    pub fn attempts(&self, id: &str) -> Vec<Value> {
        let entries = self.ledger().entries;
        let mut found: Vec<Value> = entries
            .into_iter()
            .filter(|entry| entry["request_id"] == id)
            .collect();
        found.sort_by_key(|entry| entry["attempt"].as_u64());
        found
    }

    /// Waits until there are records of `count` attempts at an event; their numbers and statuses.
    #[track_caller]
    #[must_use]
    pub fn wait_attempts(&self, id: &str, count: usize) -> Vec<(u64, String)> {
        let found = until(&format!("{count} attempts at event {id}"), || {
            Some(self.attempts(id)).filter(|found| found.len() >= count)
        });
        let shown = found.iter().map(|entry| {
            let status = entry["status"].as_str().unwrap().to_owned();
            (entry["attempt"].as_u64().unwrap(), status)
        });
        shown.collect()
    }

    /// How many events have ended like this since the server started.
    #[track_caller]
    #[must_use]
    pub fn ended(&self, state: &str) -> u64 {
        let label = format!("state=\"{state}\"");
        self.metric("mayfly_events_ended_total", &[&label])
    }

    /// Waits until `count` events have ended like this since the server started.
    #[track_caller]
    pub fn wait_ended(&self, state: &str, count: u64) {
        until(&format!("{count} events to be {state}"), || {
            (self.ended(state) == count).then_some(())
        });
    }
}
