//! Preparing entries beside each other, in two lanes.
//!
//! The short lane has several threads for the length of a pass; each entry may take what an ordinary
//! module takes. What takes longer goes to the long lane, one thread that works on while others come
//! and go. So an expensive module holds the others up for no longer than a short effort may take, and the
//! number of compilers is bounded.
//!
//! Knows nothing of what becomes of an entry that is prepared or refused.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread;
use std::time::Duration;

use domain::Fault;
use parking_lot::Mutex;

use crate::faults::chain;
use crate::registry::candidate::{CandidateError, Entry, Fingerprint};
use crate::registry::{Effort, Prepared, PublishError, Registry};

/// Threads of the short lane, if there are as many cores: each may have a compiler of 1 GiB.
const SHORT_THREADS_MAX: usize = 4;

/// How soon to look whether the long lane has something.
pub(super) const LONG_LOOK: Duration = Duration::from_millis(50);

/// An entry that is to be published in this state.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) entry: Entry,
    pub(super) fingerprint: Fingerprint,
    /// What its files look like, if they need not be read again while they look like this.
    pub(super) source: Option<String>,
    /// How often others had given something up when this was made: a refusal for what belongs to
    /// another is good only while that stays the same.
    pub(super) given_up: u64,
}

/// What trying came to.
#[derive(Debug)]
pub(super) enum Tried {
    Prepared(Prepared),
    Refused(Refused),
    /// It needs the long lane.
    TakesLonger,
}

/// Why an entry was not published.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is being written.
    Changing,
    /// Its files are wrong.
    Files(String),
    /// Another function has what it wants.
    Others(String),
    /// We failed.
    Host(String),
    /// We have a bug.
    Bug,
}

impl From<PublishError> for Refused {
    fn from(error: PublishError) -> Self {
        match error.fault() {
            Fault::Host => Self::Host(chain(&error)),
            _ if error.is_about_another() => Self::Others(chain(&error)),
            _ => Self::Files(chain(&error)),
        }
    }
}

/// A job, and what came of it.
pub(super) type Finished = (Job, Tried);

/// Reads and prepares one entry.
pub(super) fn attempt(root: &Path, registry: &Registry, job: &Job, effort: Effort) -> Tried {
    let prepare = || -> Result<Option<Prepared>, Refused> {
        let draft = match job.entry.read(root) {
            Err(CandidateError::Changing { .. }) => return Err(Refused::Changing),
            Err(error) if error.fault() == Fault::Host => {
                return Err(Refused::Host(error.to_string()));
            }
            read => read,
        };
        // It was found complete a while ago, and somebody may write it again by now.
        if job.entry.state(root, None).0 != job.fingerprint {
            return Err(Refused::Changing);
        }
        let draft = draft.map_err(|error| Refused::Files(error.to_string()))?;
        let prepared = registry.prepare(&draft, effort);
        prepared.map_err(|error| match &error {
            PublishError::Destination {
                place: Some((line, column)),
                ..
            } => {
                let file = job.entry.manifest_path();
                Refused::Files(format!("{}:{line}:{column}: {error}", file.display()))
            }
            _ => Refused::from(error),
        })
    };
    // A panic ends this attempt and nothing else.
    match catch_unwind(AssertUnwindSafe(prepare)) {
        Ok(Ok(Some(prepared))) => Tried::Prepared(prepared.with_source(job.source.clone())),
        Ok(Ok(None)) => Tried::TakesLonger,
        Ok(Err(refused)) => Tried::Refused(refused),
        Err(_panic) => Tried::Refused(Refused::Bug),
    }
}

/// Prepares jobs on several threads, and hands over what is done in the order of the jobs, some at a
/// time. Those that a stop left out are not handed over.
pub(super) fn short_lane(
    root: &Path,
    registry: &Registry,
    jobs: Vec<Job>,
    stop: &AtomicBool,
    mut done: impl FnMut(Vec<Finished>),
) {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = cores.min(SHORT_THREADS_MAX).min(jobs.len());
    let queue = Mutex::new(jobs.into_iter().enumerate());
    let (sender, receiver) = channel();
    let work = |sender: Sender<(usize, Job, Tried)>| {
        while !stop.load(Ordering::Relaxed) {
            let Some((at, job)) = queue.lock().next() else {
                return;
            };
            let tried = attempt(root, registry, &job, Effort::Short);
            if sender.send((at, job, tried)).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        let start = |sender| thread::Builder::new().spawn_scoped(scope, || work(sender));
        let started = (0..threads).filter(|_| start(sender.clone()).is_ok());
        if started.count() == 0 {
            // The system has no thread left but this one.
            work(sender);
        } else {
            drop(sender);
        }
        let mut next = 0;
        let mut early = BTreeMap::new();
        while let Ok(first) = receiver.recv() {
            let ready = std::iter::once(first).chain(receiver.try_iter());
            early.extend(ready.map(|(at, job, tried)| (at, (job, tried))));
            let mut batch = Vec::new();
            while let Some(finished) = early.remove(&next) {
                batch.push(finished);
                next += 1;
            }
            if !batch.is_empty() {
                done(batch);
            }
        }
    });
}

/// The thread for what takes long. It ends with this.
#[derive(Debug)]
pub(super) struct LongLane {
    /// `None` before the first job.
    jobs: Option<Sender<Job>>,
    done: (Sender<Finished>, Receiver<Finished>),
    /// Nothing is ever sent; the thread holds a clone of it until it ends.
    ends: Option<SyncSender<()>>,
    /// What is on its way.
    entries: BTreeSet<Entry>,
}

impl LongLane {
    pub(super) fn new() -> Self {
        Self {
            jobs: None,
            done: channel(),
            ends: None,
            entries: BTreeSet::new(),
        }
    }

    /// Lets the thread, which was not started yet, hold this until it ends.
    pub(super) fn hold(&mut self, ends: SyncSender<()>) {
        self.ends = Some(ends);
    }

    /// Whether this entry is on its way.
    pub(super) fn has(&self, entry: &Entry) -> bool {
        self.entries.contains(entry)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Takes a job; false if there is no thread for it.
    pub(super) fn send(
        &mut self,
        job: Job,
        (root, registry): (&Path, &Arc<Registry>),
        stop: &Arc<AtomicBool>,
    ) -> bool {
        if self.jobs.is_none() {
            let place = (root.to_owned(), Arc::clone(registry));
            let ends = self.ends.clone();
            self.jobs = start(place, Arc::clone(stop), self.done.0.clone(), ends).ok();
        }
        let Some(jobs) = &self.jobs else {
            return false;
        };
        let entry = job.entry.clone();
        let is_sent = jobs.send(job).is_ok();
        if is_sent {
            self.entries.insert(entry);
        }
        is_sent
    }

    /// Something that is done, if there is.
    pub(super) fn next(&mut self) -> Option<Finished> {
        let done = self.done.1.try_recv().ok()?;
        self.entries.remove(&done.0.entry);
        Some(done)
    }
}

fn start(
    (root, registry): (PathBuf, Arc<Registry>),
    stop: Arc<AtomicBool>,
    done: Sender<Finished>,
    ends: Option<SyncSender<()>>,
) -> std::io::Result<Sender<Job>> {
    let (sender, jobs) = channel::<Job>();
    thread::Builder::new()
        .name("drop-folder-long".to_owned())
        .spawn(move || {
            let _ends = ends;
            for job in jobs {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let tried = attempt(&root, &registry, &job, Effort::Full);
                if done.send((job, tried)).is_err() {
                    return;
                }
            }
        })?;
    Ok(sender)
}
