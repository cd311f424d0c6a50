//! The spine: resolve, admit, run, report, record.
//!
//! Every trigger reaches a guest through [`invoke`], so limits, metering, logs and billing can't
//! differ between triggers. A guest's own failure is an outcome here, billed and recorded; an
//! [`InvokeError`] means that there is no outcome to answer with.
//!
//! Invariant: whatever was admitted leaves exactly one record, also when the caller's future is
//! dropped half way.

use std::sync::Arc;

use domain::report::{Ending, Ran};
use domain::{
    Fault, FunctionError, FunctionName, Invocation, Outcome, Qualifier, Report, RequestId, Started,
};
use sandbox::{Observed, RunRequest};
use storage::{LedgerHealth, LogEvent, LogSource, OpenStart};

use crate::answer::Answer;
use crate::app::App;
use crate::closing::{self, Closing};
use crate::concurrency::{Candidate, Permit, Refused};
use crate::registry::Version;

/// An invocation that ran, and is recorded.
#[derive(Debug)]
pub(crate) struct Completed {
    /// What its caller gets, or how the function failed.
    pub(crate) answer: Result<Answer, FunctionError>,
    /// Its record.
    pub(crate) report: Report,
    /// Its log, from START to REPORT, if the invocation asked for it; empty otherwise.
    pub(crate) log: Vec<LogEvent>,
}

/// Why an invocation has no outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvokeError {
    /// No function has this name.
    #[error("there is no function `{name}`")]
    UnknownFunction {
        /// The name.
        name: String,
    },
    /// The function has no such version or alias.
    #[error("function `{name}` has no version or alias `{qualifier}`")]
    UnknownQualifier {
        /// The function.
        name: String,
        /// What was asked for.
        qualifier: String,
    },
    /// No permit was free.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The ledger takes no records now, so nothing may run.
    #[error("the ledger takes no records: {reason}")]
    LedgerClosed {
        /// Why not.
        reason: String,
    },
    /// No sandbox could be made. The artifact linked when it was published, so this is ours.
    #[error("starting a sandbox for invocation {id} failed")]
    Sandbox {
        /// Which invocation.
        id: RequestId,
        /// What failed.
        source: sandbox::SandboxError,
    },
    /// The ledger did not take the report, so the invocation can't be answered as done.
    #[error("recording invocation {id} failed")]
    Record {
        /// Which invocation.
        id: RequestId,
        /// What failed.
        source: storage::StorageError,
    },
}

impl InvokeError {
    /// Whose failure this is. Decides status, billing, retry and log level.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::UnknownFunction { .. }
            | Self::UnknownQualifier { .. }
            | Self::Refused(
                Refused::Function { .. } | Refused::Process { .. } | Refused::Budget(_),
            ) => Fault::Caller,
            Self::Refused(Refused::Memory { .. })
            | Self::LedgerClosed { .. }
            | Self::Sandbox { .. }
            | Self::Record { .. } => Fault::Host,
        }
    }
}

/// Runs one invocation to its end and records it.
///
/// # Errors
///
/// [`InvokeError`] when there is no outcome to answer with. A function that failed is not an error
/// here: the answer says so, and it is billed.
pub(crate) async fn invoke(app: &App, invocation: Invocation) -> Result<Completed, InvokeError> {
    begin(app, invocation)?.run().await
}

/// Finds what is to run and admits it. Whoever gets an [`Admitted`] runs it or drops it; both leave a
/// record.
///
/// # Errors
///
/// [`InvokeError`] when nothing was admitted; there is no record then.
pub(crate) fn begin(app: &App, invocation: Invocation) -> Result<Admitted<'_>, InvokeError> {
    let qualifier = invocation.qualifier.as_ref();
    let random = qualifier.map_or(0, |_| app.random.bits());
    let version = app
        .registry
        .resolve(&invocation.function, qualifier, random)?;
    let permit = admit(app, &version)?;
    Ok(Admitted::new(app, version, permit, invocation))
}

/// A permit to run `version`, unless the ledger or a limit is against it.
pub(crate) fn admit(app: &App, version: &Version) -> Result<Permit, InvokeError> {
    if !app.ledger.is_writable()
        && let Some(reason) = ledger_failure(&app.ledger.health())
    {
        return Err(InvokeError::LedgerClosed { reason });
    }
    if let Err(spent) = app.budgets.check(&version.spending) {
        let refused = Refused::from(spent);
        app.metrics.throttled(&version.metrics, &refused);
        return Err(InvokeError::Refused(refused));
    }
    let candidate = Candidate {
        function: &version.name,
        running: &version.running,
        memory_bytes: version
            .running
            .expected_bytes(version.configuration.limits.memory),
        memory_in_use_bytes: app.sandboxes.memory_in_use_bytes(),
    };
    app.concurrency.admit(candidate).map_err(|refused| {
        app.metrics.throttled(&version.metrics, &refused);
        InvokeError::Refused(refused)
    })
}

/// An invocation between its admission and its record. Dropped half way, it records that the caller
/// left, or, where nobody waits, that we stopped it.
pub(crate) struct Admitted<'a> {
    app: &'a App,
    version: Arc<Version>,
    invocation: Invocation,
    observed: Arc<Observed>,
    started_at_us: i64,
    permit: Option<Permit>,
    /// In strict mode, what makes the record if we die.
    start: Option<OpenStart>,
}

impl<'a> Admitted<'a> {
    fn new(app: &'a App, version: Arc<Version>, permit: Permit, invocation: Invocation) -> Self {
        Self {
            app,
            version,
            invocation,
            observed: Observed::new(),
            started_at_us: app.clock.unix_us(),
            permit: Some(permit),
            start: None,
        }
    }

    fn request(&self) -> RunRequest {
        let timeout = self.version.configuration.limits.timeout;
        let started_ms = u64::try_from(self.started_at_us.div_euclid(1_000)).unwrap_or(0);
        RunRequest {
            id: self.invocation.id,
            event: self.invocation.event.clone(),
            arn: self.arn(),
            client_context: self.invocation.client_context.clone(),
            deadline: self.app.clock.now() + timeout.duration(),
            deadline_unix_ms: started_ms + u64::from(timeout.ms()),
            observed: Arc::clone(&self.observed),
        }
    }

    /// How the function sees itself named, if a version or an alias was asked for.
    fn arn(&self) -> Option<String> {
        let qualifier = self.invocation.qualifier.as_ref()?;
        let arn = self.version.name.arn(&self.app.config.region);
        Some(format!("{arn}:{qualifier}"))
    }

    /// Runs the guest to its end, and records the invocation.
    ///
    /// # Errors
    ///
    /// [`InvokeError::Sandbox`], with a record, and [`InvokeError::Record`], without one.
    pub(crate) async fn run(&mut self) -> Result<Completed, InvokeError> {
        // The claim of a queued event is on disk already.
        if self.app.ledger.is_strict() && !self.invocation.trigger.is_queued() {
            return Box::pin(self.run_strictly()).await;
        }
        self.run_guest().await
    }

    /// With the start on disk before the guest runs, and the record before the answer.
    async fn run_strictly(&mut self) -> Result<Completed, InvokeError> {
        let id = self.invocation.id;
        let unwritten = |source| InvokeError::Record { id, source };
        let started = Started {
            request_id: id,
            attempt: self.invocation.attempt,
            function: self.invocation.function.clone(),
            version: self.version.id,
            trigger: self.invocation.trigger,
            started_at_us: self.started_at_us,
            memory: self.version.configuration.limits.memory,
        };
        match self.app.ledger.start(&started).await {
            Ok(start) => self.start = start,
            Err(source) => {
                self.record(Ending::HostError)?;
                return Err(unwritten(source));
            }
        }
        let completed = self.run_guest().await;
        self.app.ledger.durable().await.map_err(unwritten)?;
        completed
    }

    async fn run_guest(&mut self) -> Result<Completed, InvokeError> {
        let guest = Arc::clone(&self.version.guest);
        let run = self.app.sandboxes.run(guest, self.request());
        match run.await {
            Ok(outcome) => self.close(outcome),
            Err(source) => {
                self.record(Ending::HostError).inspect_err(|_| {
                    self.app.faults.note(&self.app.clock, &source);
                })?;
                let id = self.invocation.id;
                Err(InvokeError::Sandbox { id, source })
            }
        }
    }

    /// Records that we stopped it before its end. The run must have been dropped.
    ///
    /// # Errors
    ///
    /// [`InvokeError::Record`]; there is no record then.
    pub(crate) fn cut(mut self) -> Result<(), InvokeError> {
        self.record(Ending::HostError).map(drop)
    }

    /// Reads the answer as the caller will, and records the invocation.
    fn close(&mut self, outcome: Outcome) -> Result<Completed, InvokeError> {
        let (answer, outcome) = closing::read(&self.invocation, outcome);
        let (report, log) = self.record(Ending::Outcome(&outcome))?;
        Ok(Completed {
            answer,
            report,
            log,
        })
    }

    /// Reports, appends to the ledger, counts and logs; once.
    fn record(&mut self, ending: Ending<'_>) -> Result<(Report, Vec<LogEvent>), InvokeError> {
        let permit = self.permit.take();
        let closing = Closing {
            invocation: &self.invocation,
            ran: Ran {
                version: self.version.id,
                limits: self.version.configuration.limits,
            },
            started_at_us: self.started_at_us,
            observed: &self.observed,
            tariff: &self.app.config.billing,
            clock: &self.app.clock,
        };
        let report = closing.report(ending);
        self.app
            .ledger
            .append(&report)
            .map_err(|source| InvokeError::Record {
                id: self.invocation.id,
                source,
            })?;
        if let Some(start) = self.start.take() {
            start.close();
        }
        drop(permit);
        self.version.metrics.observe(&report);
        self.version
            .running
            .note_memory(self.observed.usage(&self.app.clock).memory_peak_bytes);
        let mut log = closing.log(&report, ending);
        for warning in self.app.budgets.spend(&self.version.spending, &report) {
            log.push(LogEvent {
                at_unix_ms: self.app.clock.unix_ms(),
                source: LogSource::Platform,
                text: warning.text(),
            });
        }
        let kept = if self.invocation.keep_log {
            log.clone()
        } else {
            Vec::new()
        };
        self.app.logs.append(
            &self.version.name,
            &self.version.guest.spec().log_stream,
            log,
        );
        Ok((report, kept))
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        let ending = if self.invocation.trigger.is_queued() {
            Ending::HostError
        } else {
            Ending::Cancelled
        };
        if let Err(error) = self.record(ending) {
            self.app.faults.note(&self.app.clock, &error);
        }
    }
}

/// Why the ledger takes no new invocations, if it does not.
pub(crate) fn ledger_failure(health: &LedgerHealth) -> Option<String> {
    match health {
        LedgerHealth::Writable => None,
        LedgerHealth::Full { reason } | LedgerHealth::Failed { reason } => Some(reason.clone()),
    }
}

/// The function an error is about, for callers that name one.
pub(crate) fn unknown(name: &FunctionName) -> InvokeError {
    InvokeError::UnknownFunction {
        name: name.as_str().to_owned(),
    }
}

/// The error for a version or alias that is not there.
pub(crate) fn unknown_qualifier(name: &FunctionName, qualifier: &Qualifier) -> InvokeError {
    InvokeError::UnknownQualifier {
        name: name.as_str().to_owned(),
        qualifier: qualifier.to_string(),
    }
}
