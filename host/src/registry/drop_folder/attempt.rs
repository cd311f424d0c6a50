//! Publishing an entry, and what is kept of a failure.

use std::time::Duration;

use domain::{Fault, FunctionName};

use super::{DropFolder, LOOK_AGAIN, TRY_AGAIN};
use crate::faults::chain;
use crate::registry::candidate::{CandidateError, Entry, Fingerprint};
use crate::registry::refusals::RefusedFile;
use crate::registry::{Published, Version};

/// Why an entry was not published.
enum Refused {
    /// It is being written.
    Changing,
    /// Its files are wrong.
    Files(String),
    /// Another function has what it wants.
    Others(String),
    /// We failed.
    Host(String),
}

impl DropFolder {
    /// Publishes an entry in this state; how soon to try again, if that is worth it.
    pub(super) fn publish(&mut self, entry: &Entry, fingerprint: Fingerprint) -> Option<Duration> {
        let (reason, wants_others) = match self.try_publish(entry) {
            Ok(published) => {
                self.mark_done(entry, fingerprint, false);
                self.refusals.remove(&entry.label());
                if let Published::Live(version) = published {
                    tell(&version);
                    self.reconsider();
                }
                return None;
            }
            Err(Refused::Changing) => return self.hold_back(entry, LOOK_AGAIN),
            Err(Refused::Host(reason)) => {
                self.refuse(entry, &reason);
                return self.hold_back(entry, TRY_AGAIN);
            }
            Err(Refused::Files(reason)) => (reason, false),
            Err(Refused::Others(reason)) => (reason, true),
        };
        self.mark_done(entry, fingerprint, wants_others);
        self.refuse(entry, &reason);
        None
    }

    fn try_publish(&mut self, entry: &Entry) -> Result<Published, Refused> {
        let twin = entry.twin();
        let name = entry.function();
        if let Some(name) = name.filter(|name| self.sources.get(name) == Some(&twin)) {
            let label = twin.label();
            return Err(Refused::Others(format!(
                "function `{name}` is published from {label} already; remove one of the two"
            )));
        }
        let draft = entry.read(&self.root).map_err(|error| match error {
            CandidateError::Changing { .. } => Refused::Changing,
            error if error.fault() == Fault::Host => Refused::Host(error.to_string()),
            error => Refused::Files(error.to_string()),
        })?;
        let published = self.registry.publish(&draft);
        if !matches!(published, Ok(Published::Unchanged)) {
            // What was refused may have left its artifact.
            self.changes_unswept += 1;
        }
        let published = published.map_err(|error| match error.fault() {
            Fault::Host => Refused::Host(chain(&error)),
            _ if error.is_about_another() => Refused::Others(chain(&error)),
            _ => Refused::Files(chain(&error)),
        })?;
        self.sources.insert(draft.name, entry.clone());
        Ok(published)
    }

    fn mark_done(&mut self, entry: &Entry, fingerprint: Fingerprint, wants_others: bool) {
        if let Some(seen) = self.seen.get_mut(entry) {
            seen.done = Some(fingerprint);
            seen.wants_others = wants_others;
        }
    }

    pub(super) fn hold_back(&mut self, entry: &Entry, wait: Duration) -> Option<Duration> {
        let seen = self.seen.get_mut(entry)?;
        seen.done = None;
        seen.not_before = Some(self.clock.now() + wait);
        Some(wait)
    }

    fn refuse(&self, entry: &Entry, reason: &str) {
        let name = entry.function();
        let serves = name.is_some_and(|name| self.registry.resolve(&name).is_ok());
        let file = entry.label();
        if self.remember(&file, entry.function(), reason) {
            let kept = if serves {
                "; the last good version keeps serving"
            } else {
                ""
            };
            tracing::warn!("refused {}: {reason}{kept}", file.escape_debug());
        }
    }

    /// Keeps a refusal for people to read; true when it is news.
    pub(super) fn remember(
        &self,
        file: &str,
        function: Option<FunctionName>,
        reason: &str,
    ) -> bool {
        self.refusals.insert(RefusedFile {
            file: file.to_owned(),
            function: function.map(|name| name.as_str().to_owned()),
            reason: reason.to_owned(),
            since_us: self.clock.unix_us(),
        })
    }

    /// What another function gave up may be taken now: whoever wanted it is tried again. That ends,
    /// since each round needs a function that is newly live or newly gone.
    pub(super) fn reconsider(&mut self) {
        for seen in self.seen.values_mut().filter(|seen| seen.wants_others) {
            seen.wants_others = false;
            seen.done = None;
            self.reconsidered = true;
        }
    }

    /// After a panic: what was looked at is refused until it changes, so that the rest goes on.
    pub(in crate::registry) fn recover(&mut self) {
        self.owes_scan = true;
        let Some(entry) = self.at.take() else { return };
        if let Some(seen) = self.seen.get_mut(&entry) {
            seen.done = Some(seen.fingerprint);
        }
        self.refuse(&entry, "looking at it failed; that is a fault of Mayfly");
    }
}

fn tell(version: &Version) {
    let limits = version.configuration.limits;
    tracing::info!(
        function.name = %version.name,
        "function `{}` is live: {}, {} MB, {} ms",
        version.name,
        version.configuration.kind.as_str(),
        limits.memory.get(),
        limits.timeout.ms(),
    );
}
