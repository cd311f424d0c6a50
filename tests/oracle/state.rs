//! What the server says of itself: its events and its ledger.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;
use support::ledger::Ledger;
use support::{Request, Signer, http};

/// A page of events.
const PAGE: usize = 1_000;

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    control: SocketAddr,
    signer: Signer,
}

/// An event, as far as it matters here.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) id: String,
    /// Absent for what is delivered elsewhere.
    pub(crate) function: Option<String>,
    pub(crate) state: String,
    pub(crate) attempts: u64,
}

/// The attempts at one event that have a record, and how each ended.
pub(crate) type Attempts = BTreeMap<u64, String>;

impl Server {
    pub(crate) fn new(control: SocketAddr, signer: Signer) -> Self {
        Self { control, signer }
    }

    fn get(&self, target: &str) -> Result<Value, String> {
        let request = self.signer.sign(&Request::get(target), self.control);
        let response =
            http::send(self.control, &request).map_err(|error| format!("{target}: {error}"))?;
        if response.status != 200 {
            return Err(format!("{target}: {} {}", response.status, response.text()));
        }
        Ok(response.json())
    }

    /// All events, newest first; the same one twice is a violation.
    pub(crate) fn events(&self) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        let mut next = String::new();
        loop {
            let page = self.get(&format!("/mayfly/events?limit={PAGE}{next}"))?;
            for event in page["events"].as_array().into_iter().flatten() {
                events.push(Event {
                    id: event["request_id"].as_str().unwrap_or("").to_owned(),
                    function: event["function"].as_str().map(str::to_owned),
                    state: event["state"].as_str().unwrap_or("").to_owned(),
                    attempts: event["attempts"].as_u64().unwrap_or(0),
                });
            }
            match page["next"].as_str() {
                Some(token) => next = format!("&next={token}"),
                None => return Ok(events),
            }
        }
    }

    /// How many function events and deliveries have not ended.
    pub(crate) fn unsettled(&self) -> Result<u64, String> {
        let queues = self.get("/mayfly/queues")?;
        let counts = queues["queues"].as_array().into_iter().flatten();
        let counts = counts.map(|queue| {
            let count = |key: &str| queue[key].as_u64().unwrap_or(0);
            count("queued") + count("running")
        });
        Ok(counts.sum())
    }

    /// The ledger, which must add up.
    pub(crate) fn ledger(&self) -> Result<Ledger, String> {
        let list = |target: &str| -> Result<Vec<Value>, String> {
            Ok(self.get(target)?.as_array().cloned().unwrap_or_default())
        };
        Ok(Ledger {
            entries: list("/mayfly/billing?limit=1000000")?,
            summary: list("/mayfly/billing/summary")?,
        })
    }
}
