//! What was sent and what was answered, in a file of the oracle's own.
//!
//! A line for each request before it is sent, and one for its answer. What has no answer may or may not
//! have happened.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Value, json};

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A request whose answer is the function's.
    Sync,
    /// An event.
    Event,
}

/// What the oracle remembers.
#[derive(Debug)]
pub(crate) struct Journal {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    sent: u64,
    /// Events that were answered with 202, and their functions.
    accepted: HashMap<String, String>,
    /// Requests that were answered in full, and their functions.
    answered: HashMap<String, String>,
    refused: u64,
    unanswered: HashMap<Kind, u64>,
}

impl Journal {
    pub(crate) fn create(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let file = File::create(folder.join("journal.jsonl")).unwrap();
        Self {
            inner: Mutex::new(Inner {
                file,
                sent: 0,
                accepted: HashMap::new(),
                answered: HashMap::new(),
                refused: 0,
                unanswered: HashMap::new(),
            }),
        }
    }

    /// Notes a request that is about to be sent; its number.
    pub(crate) fn sending(&self, kind: Kind, function: &str) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        inner.sent += 1;
        let number = inner.sent;
        let is_event = kind == Kind::Event;
        inner.write(&json!({"sent": number, "event": is_event, "function": function}));
        number
    }

    /// Notes what came back: the status and the request id of a complete answer, or nothing.
    pub(crate) fn answered(
        &self,
        (number, kind, function): (u64, Kind, &str),
        answer: Option<(u16, String)>,
    ) {
        let mut inner = self.inner.lock().unwrap();
        match answer {
            None => {
                inner.write(&json!({"unanswered": number}));
                *inner.unanswered.entry(kind).or_default() += 1;
            }
            Some((status, id)) => {
                inner.write(&json!({"answered": number, "status": status, "id": id}));
                match (kind, status) {
                    (Kind::Event, 202) => drop(inner.accepted.insert(id, function.to_owned())),
                    (Kind::Sync, 200 | 502 | 504) => {
                        drop(inner.answered.insert(id, function.to_owned()));
                    }
                    _ => inner.refused += 1,
                }
            }
        }
    }

    pub(crate) fn sync(&self) {
        self.inner.lock().unwrap().file.sync_data().unwrap();
    }

    /// Events that were accepted.
    pub(crate) fn accepted(&self) -> HashMap<String, String> {
        self.inner.lock().unwrap().accepted.clone()
    }

    /// Requests that were answered in full.
    pub(crate) fn complete(&self) -> HashMap<String, String> {
        self.inner.lock().unwrap().answered.clone()
    }

    /// How many of a kind had no answer, so that nobody knows what became of them.
    pub(crate) fn unanswered(&self, kind: Kind) -> u64 {
        let inner = self.inner.lock().unwrap();
        inner.unanswered.get(&kind).copied().unwrap_or(0)
    }

    pub(crate) fn figures(&self) -> Value {
        let inner = self.inner.lock().unwrap();
        json!({
            "sent": inner.sent,
            "accepted": inner.accepted.len(),
            "answered": inner.answered.len(),
            "refused": inner.refused,
            "unanswered": inner.unanswered.values().sum::<u64>(),
        })
    }
}

impl Inner {
    fn write(&mut self, line: &Value) {
        writeln!(self.file, "{line}").unwrap();
    }
}
