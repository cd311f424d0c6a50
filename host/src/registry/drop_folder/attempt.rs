//! Publishing entries, and what is kept of a failure.

use std::sync::Arc;
use std::time::Duration;

use domain::FunctionName;

use super::lanes::{Finished, Job, LONG_LOOK, Refused, Tried, short_lane};
use super::{DropFolder, LOOK_AGAIN, TRY_AGAIN, sooner};
use crate::registry::candidate::{Entry, Fingerprint};
use crate::registry::refusals::RefusedFile;
use crate::registry::{Prepared, Published, Version};

/// What a refusal says when it is our bug.
const BUG: &str = "looking at it failed; that is a fault of Mayfly";

impl DropFolder {
    /// Publishes entries, as far as a short effort goes; how soon to look again.
    pub(super) fn publish(&mut self, jobs: Vec<Job>) -> Option<Duration> {
        let mut again = None;
        let (root, registry) = (self.root.clone(), Arc::clone(&self.registry));
        let stop = self.stop_flag();
        short_lane(&root, &registry, jobs, &stop, |batch| {
            again = sooner(again, self.take(batch));
        });
        self.one_by_one = false;
        again
    }

    /// Publishes what took long and is done.
    pub(super) fn publish_long(&mut self) -> Option<Duration> {
        let mut again = None;
        while let Some((job, tried)) = self.long.next() {
            let seen = self.seen.get(&job.entry);
            // What changed meanwhile is looked at again.
            if seen.is_some_and(|seen| seen.fingerprint == job.fingerprint) {
                again = sooner(again, self.take(vec![(job, tried)]));
            }
        }
        again
    }

    /// Swaps in what is prepared and keeps what is refused; how soon to look again.
    pub(super) fn take(&mut self, batch: Vec<Finished>) -> Option<Duration> {
        let mut again = None;
        let mut ready: Vec<(Job, Prepared)> = Vec::new();
        for (job, tried) in batch {
            self.at = Some(job.entry.clone());
            // Of two that would be the same function, the second must see the first.
            let is_twin =
                |(_, other): &(Job, Prepared)| Some(other.name()) == job.entry.function().as_ref();
            if self.one_by_one || ready.iter().any(is_twin) {
                again = sooner(again, self.commit(std::mem::take(&mut ready)));
            }
            let wait = match self.check_twin(&job.entry, tried) {
                Tried::Prepared(prepared) => {
                    ready.push((job, prepared));
                    None
                }
                Tried::Refused(refused) => self.refused(&job, refused),
                Tried::TakesLonger => self.lengthen(job),
            };
            again = sooner(again, wait);
        }
        again = sooner(again, self.commit(ready));
        self.at = None;
        again
    }

    fn commit(&mut self, ready: Vec<(Job, Prepared)>) -> Option<Duration> {
        if ready.is_empty() {
            return None;
        }
        let mut again = None;
        let (jobs, prepared): (Vec<_>, Vec<_>) = ready.into_iter().unzip();
        // A panic in the middle of several does not say whose it was.
        self.at = match &*jobs {
            [only] => Some(only.entry.clone()),
            _ => None,
        };
        let answers = self.registry.commit(&prepared);
        for (job, published) in jobs.into_iter().zip(answers) {
            self.at = Some(job.entry.clone());
            let published = match published {
                Ok(published) => published,
                Err(error) => {
                    again = sooner(again, self.refused(&job, error.into()));
                    continue;
                }
            };
            self.mark_done(&job.entry, job.fingerprint, false);
            self.refusals.remove(&job.entry.label());
            if let Some(name) = job.entry.function() {
                self.sources.insert(name, job.entry);
            }
            if let Published::Live(version) = published {
                tell(&version);
                self.changes_unswept += 1;
                self.reconsider();
            }
        }
        again
    }

    /// Refuses what another entry is published as already.
    fn check_twin(&self, entry: &Entry, tried: Tried) -> Tried {
        let twin = entry.twin();
        let name = entry.function();
        match name.filter(|name| self.sources.get(name) == Some(&twin)) {
            Some(name) => {
                let label = twin.label();
                Tried::Refused(Refused::Others(format!(
                    "function `{name}` is published from {label} already; remove one of the two"
                )))
            }
            None => tried,
        }
    }

    fn lengthen(&mut self, job: Job) -> Option<Duration> {
        let entry = job.entry.clone();
        let place = (&*self.root, &self.registry);
        if self.long.send(job, place, &self.stop) {
            return Some(LONG_LOOK);
        }
        self.hold_back(&entry, TRY_AGAIN)
    }

    /// Keeps a refusal; how soon to try again, if that is worth it.
    fn refused(&mut self, job: &Job, refused: Refused) -> Option<Duration> {
        // It may have left its artifact.
        self.changes_unswept += 1;
        let entry = &job.entry;
        let (reason, wants_others) = match refused {
            Refused::Changing => return self.hold_back(entry, LOOK_AGAIN),
            Refused::Host(reason) => {
                self.refuse(entry, &reason);
                return self.hold_back(entry, TRY_AGAIN);
            }
            Refused::Files(reason) => (reason, false),
            Refused::Others(_) if job.given_up != self.given_up => {
                // It may have been said before that was given up.
                self.reconsidered = true;
                return None;
            }
            Refused::Others(reason) => (reason, true),
            Refused::Bug => (BUG.to_owned(), false),
        };
        self.mark_done(entry, job.fingerprint, wants_others);
        self.refuse(entry, &reason);
        None
    }

    /// Whether an entry is live already, as its files looked when they were read before the start.
    pub(super) fn is_known(&mut self, entry: &Entry, job: &Job) -> bool {
        let (Some(name), Some(source)) = (entry.function(), &job.source) else {
            return false;
        };
        let is_known = self.known.get(&name) == Some(source)
            && !self.sources.contains_key(&name)
            && self.registry.is_whole(&name);
        if is_known {
            self.mark_done(entry, job.fingerprint, false);
            self.refusals.remove(&entry.label());
            self.sources.insert(name, entry.clone());
        }
        is_known
    }

    fn mark_done(&mut self, entry: &Entry, fingerprint: Fingerprint, wants_others: bool) {
        if let Some(seen) = self.seen.get_mut(entry) {
            seen.done = Some(fingerprint);
        }
        if wants_others {
            self.wanting.insert(entry.clone());
        } else {
            self.wanting.remove(entry);
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
        let serves = name.is_some_and(|name| self.registry.dropped(&name).is_some());
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

    /// What another function gave up may be taken now: whoever wanted it is tried again, also who is
    /// on the way to be refused for it. That ends, since each round needs a function that is newly live
    /// or newly gone.
    pub(super) fn reconsider(&mut self) {
        self.given_up += 1;
        for entry in std::mem::take(&mut self.wanting) {
            if let Some(seen) = self.seen.get_mut(&entry) {
                seen.done = None;
                self.reconsidered = true;
            }
        }
    }

    /// After a panic: what was looked at is refused until it changes, so that the rest goes on.
    pub(in crate::registry) fn recover(&mut self) {
        self.owes_scan = true;
        self.one_by_one = true;
        let Some(entry) = self.at.take() else { return };
        if let Some(seen) = self.seen.get_mut(&entry) {
            seen.done = Some(seen.fingerprint);
        }
        self.refuse(&entry, BUG);
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
