//! The life of the process: bind, ready, drain, stop. Owns every long-lived task.
//!
//! Four groups of threads that do not share: workers (listener of triggers, and the guests that
//! answer quickly), queue (the same for events that waited), background (guests that take long, at low
//! priority) and control (the control listener, queries). The drop folder, the queue's writer and the
//! ledger bring threads of their own.

mod build;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::Clock;
use sandbox::Sandboxes;
use storage::QueueHealth;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::Control;
use crate::app::App;
use crate::banner;
use crate::capacity::System;
use crate::config::{CertificateFiles, Config};
use crate::http::dispatch::{Functions, WRITE_IDLE};
use crate::http::listener::{ConnectionLimits, DrainControl, drain, prepare_thread, serve};
use crate::http::tls::{Look, Tls};
use crate::registry::drop_folder::DropFolder;
use crate::registry::watcher::DropWatcher;
use crate::registry::{Refusals, Registry};
use crate::trigger::queue::dispatch::Dispatch;
use crate::trigger::schedule;

/// Nice value of the threads that run long guests.
const BACKGROUND_NICE: i32 = 10;

/// How long to wait for each group of threads to end; a poll of a guest takes milliseconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How long attempts at events that are cut may take to be closed; those that take longer are closed by
/// the next start.
const CUT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to look whether queue and ledger still take what they are given.
const HEALTH_LOOK: Duration = Duration::from_millis(200);

/// How often to look whether the last invocation has ended.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// Serves until SIGTERM or SIGINT, drains, and returns. A second signal ends the drain.
///
/// # Errors
///
/// What keeps the server from starting: an address in use, a data directory of another server, a
/// broken ledger.
pub(crate) fn run(config: Config) -> anyhow::Result<()> {
    // More than one provider could be compiled in; this one is meant. An error means that it is
    // installed already.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    if Clock::system().unix_us() < 0 {
        anyhow::bail!("the clock of this machine is before 1970; set it, and start again");
    }
    let system = System::prepare();
    let runtimes = Runtimes::new()?;
    // Before anybody is told that we are here: a signal that comes early must drain too.
    let signals = runtimes.control.block_on(async { Signals::new() })?;
    let certificates = Certificates::load(&config)?;
    let sockets = runtimes.workers.block_on(Sockets::bind(&config))?;
    let (app, data_dir) = build::build(config, system, &runtimes, &sockets)?;
    make_functions_dir(&app)?;
    banner::listening(&app);

    let (trigger_drain, trigger_token) = drain();
    // The control listener answers until the very end: `/health` says that we drain.
    let (control_drain, control_token) = drain();
    let limits = connection_limits(&app);
    let functions = Functions::new(Arc::clone(&app));
    let control = Control::new(Arc::clone(&app), control_token.clone());
    warn_of_plain_listeners(&app, &certificates);
    let triggers = (sockets.triggers, certificates.triggers.clone());
    runtimes
        .workers
        .spawn(serve(triggers, limits, trigger_token, functions));
    let control_socket = (sockets.control, certificates.control.clone());
    runtimes
        .control
        .spawn(serve(control_socket, limits, control_token, control));
    runtimes
        .control
        .spawn(certificates.watch(app.config.tls.rescan));
    runtimes.control.spawn(schedule::run(Arc::clone(&app)));
    let watcher = start_watcher(&app)?;
    let dispatch = Dispatch::start(&app, runtimes.queue.handle());

    let drains = (trigger_drain, control_drain, dispatch);
    let draining = until_stopped(&app, signals, &watcher, drains);
    let failed = runtimes.control.block_on(draining);

    // What still runs is dropped with its threads, and records that it was cut; so the ledger closes
    // after them.
    runtimes.stop(&app.sandboxes);
    drop(watcher);
    app.logs.flush();
    app.audit.flush();
    app.queue.close();
    let closed = app.ledger.close().context("closing the ledger failed");
    drop(data_dir);
    if let Some(reason) = failed {
        anyhow::bail!(
            "{reason}; start again once the disk is well, nothing that was accepted is lost"
        );
    }
    closed?;
    banner::stopped();
    Ok(())
}

/// Makes the functions folder for a first start. Where functions were published before, a missing
/// folder is a mistake or a late mount, and they go on answering.
fn make_functions_dir(app: &App) -> anyhow::Result<()> {
    if app.registry.len() > 0 {
        return Ok(());
    }
    let folder = &app.config.functions_dir;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("making the functions folder {} failed", folder.display()))
}

/// The four groups of threads.
struct Runtimes {
    workers: Runtime,
    queue: Runtime,
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
            workers: group("worker", cores)
                .on_thread_start(prepare_thread)
                .build()
                .context(start)?,
            queue: group("queue", cores).build().context(start)?,
            background: group("background", cores)
                .on_thread_start(lower_priority)
                .build()
                .context(start)?,
            control: group("control", 1)
                .on_thread_start(prepare_thread)
                .build()
                .context(start)?,
        })
    }

    /// Gives up on what still runs: its tasks are dropped.
    fn stop(self, sandboxes: &Sandboxes) {
        self.workers.shutdown_timeout(STOP_TIMEOUT);
        self.queue.shutdown_timeout(STOP_TIMEOUT);
        // The guests that those had handed over end at their next slice; threads that went before
        // them would leave them without timers.
        let all_ended = async {
            while sandboxes.live() > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        let ended = async { tokio::time::timeout(STOP_TIMEOUT, all_ended).await };
        if self.control.block_on(ended).is_err() {
            tracing::warn!("{} sandboxes did not end", sandboxes.live());
        }
        self.background.shutdown_timeout(STOP_TIMEOUT);
        self.control.shutdown_timeout(STOP_TIMEOUT);
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

/// What the listeners need to speak TLS, where they do.
struct Certificates {
    triggers: Option<Arc<Tls>>,
    control: Option<Arc<Tls>>,
}

impl Certificates {
    fn load(config: &Config) -> anyhow::Result<Self> {
        let load = |files: &Option<CertificateFiles>| -> anyhow::Result<Option<Arc<Tls>>> {
            let Some(files) = files else { return Ok(None) };
            let tls = Tls::load(files.clone()).context("TLS can't be offered")?;
            if tls.is_key_open_to_others() {
                let key = files.key.display();
                tracing::warn!("everybody on this machine may read the key {key}; chmod 600 {key}");
            }
            Ok(Some(Arc::new(tls)))
        };
        Ok(Self {
            triggers: load(&config.tls.triggers)?,
            control: load(&config.tls.control)?,
        })
    }

    /// Takes new certificates into use, for ever.
    async fn watch(self, rescan: Duration) {
        let all: Vec<Arc<Tls>> = [self.triggers, self.control]
            .into_iter()
            .flatten()
            .collect();
        while !all.is_empty() {
            tokio::time::sleep(rescan).await;
            for tls in &all {
                let looking = Arc::clone(tls);
                let look = tokio::task::spawn_blocking(move || looking.reload_if_changed()).await;
                let file = tls.files().certificate.display();
                match look {
                    Ok(Look::Unchanged) | Err(_) => {}
                    Ok(Look::Reloaded) => tracing::info!("the certificate {file} was read again"),
                    Ok(Look::Kept(error)) => {
                        tracing::warn!("the certificate in use is kept: {error}");
                    }
                }
            }
        }
    }
}

fn warn_of_plain_listeners(app: &App, certificates: &Certificates) {
    for (what, address, tls) in [
        ("triggers answer", app.listen, &certificates.triggers),
        (
            "the control API answers",
            app.control,
            &certificates.control,
        ),
    ] {
        if tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(
                "{what} other machines at {address} without TLS; whoever is on the way can read and change everything. Set `tls.certificate` and `tls.key` (or the control_ ones), or put a proxy in front"
            );
        }
    }
}

fn connection_limits(app: &App) -> ConnectionLimits {
    let http = &app.config.http;
    ConnectionLimits {
        handshake_timeout: app.config.tls.handshake_timeout,
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
    let ready = {
        let app = Arc::clone(app);
        move || banner::ready(&app)
    };
    DropWatcher::start(folder, app.config.drop.rescan, app.clock.clone(), ready)
        .context("watching the drop folder failed")
}

/// Waits for a signal, then for what runs. Returns why the process can't go on, if that is what stopped
/// it.
async fn until_stopped(
    app: &App,
    mut signals: Signals,
    watcher: &DropWatcher,
    (triggers, control, mut dispatch): (DrainControl, DrainControl, Dispatch),
) -> Option<String> {
    let failed = tokio::select! {
        () = signals.next() => None,
        reason = failed(app) => Some(reason),
    };
    if let Some(reason) = &failed {
        tracing::error!("{reason}; no new work is taken and the server stops");
    }
    app.draining.send_replace(true);
    watcher.stop();
    banner::draining(app.concurrency.running(), app.config.drain_timeout);

    let all_ended = async {
        triggers.finish().await;
        while app.concurrency.running() > 0 {
            tokio::time::sleep(DRAIN_LOOK).await;
        }
        dispatch.drained().await;
        control.finish().await;
    };
    let was_cut = tokio::select! {
        () = all_ended => false,
        () = tokio::time::sleep(app.config.drain_timeout) => {
            tracing::warn!("the drain took too long; invocations that are cut: {}", app.concurrency.running());
            true
        }
        () = signals.next() => {
            tracing::warn!("stopping now; invocations that are cut: {}", app.concurrency.running());
            true
        }
    };
    if was_cut && !dispatch.is_drained() {
        dispatch.cut();
        if tokio::time::timeout(CUT_TIMEOUT, dispatch.drained())
            .await
            .is_err()
        {
            tracing::warn!("attempts at events could not be closed; the next start does it");
        }
    }
    failed
}

/// Completes when queue or ledger take nothing any more until a restart, and says why.
async fn failed(app: &App) -> String {
    loop {
        if let QueueHealth::Failed { reason } = app.queue.health() {
            return format!("the queue of events failed: {reason}");
        }
        if let Some(reason) = app.ledger.failure() {
            return format!("the ledger failed: {reason}");
        }
        tokio::time::sleep(HEALTH_LOOK).await;
    }
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
