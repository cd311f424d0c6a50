//! What was decided about a request, gathered for the audit log while the request is answered.
//!
//! A caller carries it, and whoever decides notes it there; so nothing that was decided can be left
//! out.

use std::sync::Arc;
use std::sync::OnceLock;

use parking_lot::Mutex;

/// The trail of one request. Cheap to clone; clones are the same trail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    who: OnceLock<Who>,
    decided: Mutex<Vec<Decided>>,
}

/// Who was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) arn: String,
    pub(crate) access_key_id: Arc<str>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) action: &'static str,
    pub(crate) resource: String,
    /// Why the caller may not, if so.
    pub(crate) denied: Option<String>,
}

impl Trail {
    /// Notes who asks, once that is proven.
    pub(crate) fn recognise(&self, arn: String, access_key_id: Arc<str>) {
        // The first one counts; a request has one caller.
        drop(self.0.who.set(Who { arn, access_key_id }));
    }

    /// Notes a decision.
    pub(crate) fn note(&self, decided: Decided) {
        self.0.decided.lock().push(decided);
    }

    pub(crate) fn who(&self) -> Option<&Who> {
        self.0.who.get()
    }

    /// What was decided so far.
    pub(crate) fn decided(&self) -> Vec<Decided> {
        self.0.decided.lock().clone()
    }
}
