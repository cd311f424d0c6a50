//! Everything that a process owns, opened in the order in which one part needs another.
//!
//! Knows nothing of when things begin and end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::Clock;
use sandbox::{Compile, EngineSettings, Sandboxes};
use storage::{
    Artifacts, Audit, AuditSettings, DataDir, IdentityStore, Ledger, LedgerSettings, LogSettings,
    Logs, Queue, QueueSettings, Records,
};
use tokio::sync::{Notify, Semaphore, watch};

use super::{Runtimes, Sockets};
use crate::app::{App, EXPORTS_MAX, Random, UPLOADS_MAX};
use crate::audit::AuditLog;
use crate::auth::authentication::Authentication;
use crate::auth::identities::Identities;
use crate::auth::key_sets::KeySets;
use crate::auth::root_key::{Endpoint, KeyPlaces, RootKey};
use crate::budgets::Budgets;
use crate::capacity::{System, Wanted};
use crate::concurrency::Concurrency;
use crate::config::Config;
use crate::faults::Faults;
use crate::http::body::Room;
use crate::live_tails::LiveTails;
use crate::metrics::Metrics;
use crate::registry::{Parts, Registry};
use crate::tokens::Tokens;
use crate::trigger::queue::deliver::Deliveries;
use crate::trigger::schedule::Schedules;

const SECONDS_PER_DAY: u64 = 86_400;

/// Sandboxes beyond the permits: one whose caller left, or whose time is over while its thread has no
/// core, gives its permit back at once, and its slot when its thread comes to it.
const SPARE_SANDBOXES: u32 = 64;

/// What is kept on disk for good.
struct Stores {
    ledger: Ledger,
    queue: Queue,
    queue_changed: Arc<Notify>,
    deliveries: Deliveries,
    logs: Logs,
    audit: AuditLog,
}

impl Stores {
    fn open(config: &Config, data_dir: &DataDir, clock: &Clock) -> anyhow::Result<Self> {
        let ledger = Ledger::open(data_dir, ledger_settings(config, clock))?;
        let queue_changed = Arc::new(Notify::new());
        let settings = queue_settings(config, clock, &queue_changed);
        let audit = Audit::open(data_dir, audit_settings(config))?;
        Ok(Self {
            queue: Queue::open(data_dir, settings, ledger.clone())?,
            queue_changed,
            deliveries: Deliveries::open(data_dir.path(), &config.destinations)?,
            logs: Logs::open(data_dir, log_settings(config))?,
            audit: AuditLog::new(audit, config.audit.invoke),
            ledger,
        })
    }
}

/// Opens the data directory and all that is in it, and makes the rest.
pub(super) fn build(
    config: Config,
    system: System,
    runtimes: &Runtimes,
    sockets: &Sockets,
) -> anyhow::Result<(Arc<App>, DataDir)> {
    let clock = Clock::system();
    let random = Random::default();
    let data_dir = DataDir::open(&config.data_dir)?;
    let sandboxes = sandboxes(&config, system, &data_dir, (runtimes, &clock))?;
    let stores = Stores::open(&config, &data_dir, &clock)?;
    let metrics = Arc::new(Metrics::default());
    let budgets = Arc::new(Budgets::open(clock.clone(), config.budget, &stores.ledger)?);
    let registry = Registry::open(Parts {
        records: Records::open(&data_dir)?,
        artifacts: Artifacts::open(&data_dir)?,
        sandboxes: sandboxes.clone(),
        metrics: Arc::clone(&metrics),
        budgets: Arc::clone(&budgets),
        clock: clock.clone(),
        region: config.region.clone(),
        concurrency_max: config.sandbox.concurrency_max,
        destinations: config.destinations.allow.clone(),
        log_stream_suffix: random.hex(),
    })?;
    let (authentication, identities) = callers(&config, &data_dir, sockets, &clock)?;
    let memory_budget_bytes = config.sandbox.memory_budget_mb << 20;
    let app = App {
        listen: sockets.triggers.local_addr()?,
        control: sockets.control.local_addr()?,
        concurrency: Concurrency::new(config.sandbox.concurrency_max, memory_budget_bytes),
        budgets,
        key_sets: KeySets::new(config.functions_dir.clone(), clock.clone()),
        schedules: Schedules::open(stores.queue.clone(), clock.clone(), &config.region)?,
        config,
        clock,
        identities,
        authentication,
        random,
        tokens: Tokens::new().map_err(|error| anyhow::anyhow!("no random bytes: {error}"))?,
        registry: Arc::new(registry),
        refusals: Arc::default(),
        sandboxes,
        ledger: stores.ledger,
        queue: stores.queue,
        queue_changed: stores.queue_changed,
        deliveries: stores.deliveries,
        logs: stores.logs,
        metrics,
        faults: Faults::default(),
        records_left_out: Faults::once_a_minute(),
        room: Room::default(),
        audit: stores.audit,
        backups: Arc::new(Semaphore::new(1)),
        exports: Arc::new(Semaphore::new(EXPORTS_MAX)),
        data_dir: data_dir.clone(),
        live_tails: LiveTails::default(),
        uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
        draining: watch::Sender::new(false),
        workers: runtimes.workers.handle().clone(),
    };
    Ok((Arc::new(app), data_dir))
}

/// Makes what functions run in, as far as the machine lets us.
fn sandboxes(
    config: &Config,
    system: System,
    data_dir: &DataDir,
    (runtimes, clock): (&Runtimes, &Clock),
) -> anyhow::Result<Sandboxes> {
    let program = std::env::current_exe().context("finding this program's own file failed")?;
    let sandboxes_max = config.sandbox.concurrency_max + SPARE_SANDBOXES;
    let capacity = system.capacity(Wanted {
        connections_max: config.http.connections_max,
        sandboxes_max,
        loaded_max: config.sandbox.loaded_max,
    });
    for warning in &capacity.warnings {
        tracing::warn!("{warning}");
    }
    let sandboxes = Sandboxes::new(EngineSettings {
        sandboxes_max,
        loaded_max: capacity.loaded_max,
        cache_dir: data_dir.cache_dir(),
        compile: Compile::Child {
            program,
            args: vec!["compile-worker".into()],
        },
        background: runtimes.background.handle().clone(),
        clock: clock.clone(),
    })?;
    Ok(sandboxes)
}

/// Opens the keys, or makes them at the first start, and whoever may use some.
fn callers(
    config: &Config,
    data_dir: &DataDir,
    sockets: &Sockets,
    clock: &Clock,
) -> anyhow::Result<(Authentication, Arc<Identities>)> {
    let control = sockets.control.local_addr()?;
    let places = KeyPlaces {
        data_dir: data_dir.path(),
        key_file: &config.key_file,
        credentials: &config.credentials,
    };
    let root = RootKey::open(&places, &Endpoint::of(config, control))?;
    let store = IdentityStore::open(data_dir)?;
    let identities = Identities::open(store, root.sealer().clone(), clock.clone())?;
    let identities = Arc::new(identities);
    let known = Arc::clone(&identities);
    let authentication = Authentication::new(root, known, &config.auth, clock.clone());
    Ok((authentication, identities))
}

fn ledger_settings(config: &Config, clock: &Clock) -> LedgerSettings {
    let ledger = &config.ledger;
    LedgerSettings {
        retention_age: ledger
            .retention_days
            .map(|days| Duration::from_secs(u64::from(days) * SECONDS_PER_DAY)),
        retention_bytes: ledger.retention_mb.map(|mb| mb << 20),
        minutes_kept: Duration::from_secs(u64::from(ledger.minutes_days) * SECONDS_PER_DAY),
        is_strict: ledger.is_strict,
        clock: clock.clone(),
        ..LedgerSettings::default()
    }
}

fn queue_settings(config: &Config, clock: &Clock, changed: &Arc<Notify>) -> QueueSettings {
    let changed = Arc::clone(changed);
    let delays = &config.queue.delays;
    let retry_max = delays.retries.iter().max().copied().unwrap_or_default();
    QueueSettings {
        quota: config.queue.quota,
        wait_max: retry_max.max(delays.refused_max),
        keep: config.queue.keep,
        keep_given_up: config.queue.keep_given_up,
        clock: clock.clone(),
        on_change: Box::new(move || changed.notify_one()),
    }
}

fn audit_settings(config: &Config) -> AuditSettings {
    AuditSettings {
        keep: Duration::from_secs(u64::from(config.audit.retention_days) * SECONDS_PER_DAY),
        ..AuditSettings::default()
    }
}

fn log_settings(config: &Config) -> LogSettings {
    LogSettings {
        segment_bytes: u64::from(config.logs.segment_kb) << 10,
        segments_per_function: config.logs.segments_per_function,
        ..LogSettings::default()
    }
}
