//! The life of the process: bind, ready, drain, stop. Owns every long-lived task.
//!
//! Three groups of threads that do not share: workers (listener of triggers, and the guests that
//! answer quickly), background (guests that take long, at low priority) and control (the control
//! listener, queries). The drop folder and the ledger bring threads of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use domain::Clock;
use sandbox::{Compile, EngineSettings, Sandboxes};
use storage::{Artifacts, DataDir, Ledger, LedgerSettings, LogSettings, Logs, Records};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::Control;
use crate::app::{App, Random};
use crate::banner;
use crate::concurrency::Concurrency;
use crate::config::Config;
use crate::http::dispatch::{Functions, WRITE_IDLE};
use crate::http::listener::{ConnectionLimits, DrainControl, drain, serve};
use crate::metrics::Metrics;
use crate::registry::drop_folder::DropFolder;
use crate::registry::watcher::DropWatcher;
use crate::registry::{Parts, Refusals, Registry};

/// Nice value of the threads that run long guests.
const BACKGROUND_NICE: i32 = 10;

/// How often to look whether the last invocation has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// Serves until SIGTERM or SIGINT, drains, and returns. A second signal ends the drain.
///
/// # Errors
///
/// What keeps the server from starting: an address in use, a data directory of another server, a
/// broken ledger.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    let runtimes = Runtimes::new()?;
    let sockets = runtimes.workers.block_on(Sockets::bind(&config))?;
    let (app, data_dir) = build(config, &runtimes, &sockets)?;
    banner::listening(&app);

    let (drain_control, drain_token) = drain();
    let limits = connection_limits(&app);
    let functions = Functions::new(Arc::clone(&app));
    let control = Control::new(Arc::clone(&app));
    runtimes.workers.spawn(serve(
        sockets.triggers,
        limits,
        drain_token.clone(),
        functions,
    ));
    // The control listener answers until the very end: `/health` says that we drain.
    let (control_drain, control_token) = crate::http::listener::drain();
    runtimes
        .control
        .spawn(serve(sockets.control, limits, control_token, control));
    drop(drain_token);

    let watcher = start_watcher(&app)?;
    runtimes
        .control
        .block_on(until_stopped(&app, drain_control, control_drain))?;

    drop(watcher);
    app.logs.flush();
    app.ledger.close().context("closing the ledger failed")?;
    runtimes.stop();
    drop(data_dir);
    banner::stopped();
    Ok(())
}

/// The three groups of threads.
struct Runtimes {
    workers: Runtime,
    background: Runtime,
    control: Runtime,
}

impl Runtimes {
    fn new() -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let group = |name: &str, threads: usize| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder
                .worker_threads(threads)
                .thread_name(name)
                .enable_all();
            builder
        };
        let start = "starting threads failed";
        Ok(Self {
            workers: group("worker", cores).build().context(start)?,
            background: group("background", cores)
                .on_thread_start(lower_priority)
                .build()
                .context(start)?,
            control: group("control", 1).build().context(start)?,
        })
    }

    /// Gives up on what still runs.
    fn stop(self) {
        for runtime in [self.workers, self.background, self.control] {
            runtime.shutdown_timeout(Duration::from_millis(100));
        }
    }
}

fn lower_priority() {
    // On Linux a nice value belongs to a thread. Without it fairness suffers, and nothing else.
    if let Err(error) = rustix::process::setpriority_process(None, BACKGROUND_NICE) {
        tracing::warn!(%error, "a background thread keeps its priority");
    }
}

struct Sockets {
    triggers: TcpListener,
    control: TcpListener,
}

impl Sockets {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        let bind = async |address: SocketAddr, flag: &str| {
            TcpListener::bind(address).await.with_context(|| {
                format!("listening on {address} failed; choose another address with {flag}")
            })
        };
        Ok(Self {
            triggers: bind(config.listen, "--listen").await?,
            control: bind(config.control, "--control").await?,
        })
    }
}

fn build(
    config: Config,
    runtimes: &Runtimes,
    sockets: &Sockets,
) -> anyhow::Result<(Arc<App>, DataDir)> {
    let clock = Clock::system();
    let random = Random::default();
    let data_dir = DataDir::open(&config.data_dir)?;
    let program = std::env::current_exe().context("finding this program's own file failed")?;
    let sandboxes = Sandboxes::new(EngineSettings {
        sandboxes_max: config.sandbox.concurrency_max,
        cache_dir: data_dir.cache_dir(),
        compile: Compile::Child {
            program,
            args: vec!["compile-worker".into()],
        },
        background: runtimes.background.handle().clone(),
        clock: clock.clone(),
    })?;
    let ledger = Ledger::open(&data_dir, ledger_settings(&config, &clock))?;
    let logs = Logs::open(&data_dir, log_settings(&config))?;
    let metrics = Arc::new(Metrics::default());
    let registry = Registry::open(Parts {
        records: Records::open(&data_dir)?,
        artifacts: Artifacts::open(&data_dir)?,
        sandboxes: sandboxes.clone(),
        metrics: Arc::clone(&metrics),
        clock: clock.clone(),
        region: config.region.clone(),
        log_stream_suffix: random.hex(),
    })?;
    let memory_budget_bytes = config.sandbox.memory_budget_mb << 20;
    let app = App {
        listen: sockets.triggers.local_addr()?,
        control: sockets.control.local_addr()?,
        tariff: config.billing,
        concurrency: Concurrency::new(config.sandbox.concurrency_max, memory_budget_bytes),
        config,
        clock,
        random,
        registry: Arc::new(registry),
        refusals: Arc::default(),
        sandboxes,
        ledger,
        logs,
        metrics,
        draining: AtomicBool::new(false),
        workers: runtimes.workers.handle().clone(),
    };
    Ok((Arc::new(app), data_dir))
}

fn ledger_settings(config: &Config, clock: &Clock) -> LedgerSettings {
    const SECONDS_PER_DAY: u64 = 86_400;
    let ledger = &config.ledger;
    LedgerSettings {
        retention_age: ledger
            .retention_days
            .map(|days| Duration::from_secs(u64::from(days) * SECONDS_PER_DAY)),
        retention_bytes: ledger.retention_mb.map(|mb| mb << 20),
        clock: clock.clone(),
        ..LedgerSettings::default()
    }
}

fn log_settings(config: &Config) -> LogSettings {
    LogSettings {
        segment_bytes: u64::from(config.logs.segment_kb) << 10,
        segments_per_function: config.logs.segments_per_function,
        ..LogSettings::default()
    }
}

fn connection_limits(app: &App) -> ConnectionLimits {
    let http = &app.config.http;
    ConnectionLimits {
        header_timeout: http.header_timeout,
        write_idle: WRITE_IDLE,
        connections_max: http.connections_max,
        per_ip_max: http.connections_per_ip_max,
    }
}

fn start_watcher(app: &Arc<App>) -> anyhow::Result<DropWatcher> {
    let parts: (Arc<Registry>, Arc<Refusals>) =
        (Arc::clone(&app.registry), Arc::clone(&app.refusals));
    let root = app.config.functions_dir.clone();
    let folder = DropFolder::new(root, app.config.drop.stable, parts, app.clock.clone());
    let first_pass = {
        let app = Arc::clone(app);
        move || {
            match app.registry.sweep_artifacts() {
                Ok(0) => {}
                Ok(swept) => tracing::info!("deleted {swept} artifacts that nothing uses"),
                Err(error) => tracing::warn!(%error, "artifacts could not be swept"),
            }
            banner::ready(&app);
        }
    };
    DropWatcher::start(
        folder,
        app.config.drop.rescan,
        app.clock.clone(),
        first_pass,
    )
    .context("watching the drop folder failed")
}

/// Waits for a signal, then for what runs.
async fn until_stopped(
    app: &App,
    triggers: DrainControl,
    control: DrainControl,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    signals.next().await;
    app.draining.store(true, Ordering::Relaxed);
    let running = app.concurrency.running();
    banner::draining(running, app.config.drain_timeout);

    let all_ended = async {
        triggers.finish().await;
        while app.concurrency.running() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        control.finish().await;
    };
    tokio::select! {
        () = all_ended => {}
        () = tokio::time::sleep(app.config.drain_timeout) => {
            tracing::warn!("the drain took too long; {} invocations are cut", app.concurrency.running());
        }
        () = signals.next() => {
            tracing::warn!("stopping now; {} invocations are cut", app.concurrency.running());
        }
    }
    Ok(())
}

/// Requests to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listening for signals failed");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
