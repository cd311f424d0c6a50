//! Nanoseconds of each step of an event's path, measured in one process.
//!
//! A plain test run goes round a few times, to know that it works. `cargo xtask steps` sets
//! `MAYFLY_STEPS` to the number of rounds, builds with optimisation and prints the table. `cargo xtask
//! instructions` runs one step at a time, named by `MAYFLY_STEP`, under valgrind. Nothing is asserted
//! of the times.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::report::{Ending, Ran, Report};
use domain::routing::{Match, RequestPath, RouteMethod};
use domain::{Clock, FunctionName, Invocation, Outcome, Trigger};
use http::Request;
use http::request::Parts;
use sandbox::{Compile, EngineSettings, Observed, RunRequest, Sandboxes};
use storage::{
    Artifacts, DataDir, IdentityStore, Ledger, LedgerSettings, LogEvent, LogSettings, LogSource,
    Logs, Records,
};

use crate::app::{App, Random};
use crate::auth::authentication::Authentication;
use crate::auth::identities::Identities;
use crate::auth::key_sets::KeySets;
use crate::auth::root_key::{Endpoint, KeyPlaces, RootKey};
use crate::budgets::Budgets;
use crate::concurrency::Concurrency;
use crate::config::{Config, Flags};
use crate::faults::Faults;
use crate::http::body::Room;
use crate::http::dispatch::response_from;
use crate::invoke::invoke;
use crate::manifest::Manifest;
use crate::metrics::Metrics;
use crate::registry::{Draft, Parts as RegistryParts, Registry, Version};
use crate::trigger::http::authorizer::Authorizer;
use crate::trigger::http::event::{Entrance, Source, event_from};

/// Answers every event with the same object, through the SDK's exports.
const GUEST: &str = r#"(module
    (memory (export "memory") 3)
    (global (export "mayfly_v1_input") i32 (i32.const 65536))
    (data (i32.const 1024) "\00{\"message\":\"hello world\"}")
    (func (export "mayfly_v1_alloc") (param i32) (result i32) (i32.const 0))
    (func (export "mayfly_v1_handle") (param i32 i32) (result i64)
        (i64.or (i64.shl (i64.const 1024) (i64.const 32)) (i64.const 26))))"#;

const ROUNDS_SHORT: u32 = 50;

fn rounds() -> u32 {
    std::env::var("MAYFLY_STEPS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ROUNDS_SHORT)
}

/// The one step to go through, when its instructions are counted.
fn only_step() -> Option<String> {
    std::env::var("MAYFLY_STEP").ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "this measures the machine, not our clock"
)]
fn measure<T>(name: &str, mut step: impl FnMut() -> T) {
    if only_step().is_some_and(|only| only != name) {
        return;
    }
    let rounds = rounds();
    for _ in 0..rounds / 10 {
        black_box(step());
    }
    let start = Instant::now();
    for _ in 0..rounds {
        black_box(step());
    }
    let nanos = start.elapsed().as_nanos() / u128::from(rounds);
    println!("{name:<44} {nanos:>8} ns");
}

#[expect(
    clippy::too_many_lines,
    reason = "all that a process owns, part by part"
)]
pub(crate) fn app(
    root: &std::path::Path,
    background: &tokio::runtime::Runtime,
    clock: Clock,
) -> App {
    let data_dir = DataDir::open(&root.join("data")).unwrap();
    let sandboxes = Sandboxes::new(EngineSettings {
        // As little address space as can be: valgrind has to map it.
        sandboxes_max: 2,
        loaded_max: 1_000,
        cache_dir: data_dir.cache_dir(),
        compile: Compile::InProcess,
        background: background.handle().clone(),
        clock: clock.clone(),
    })
    .unwrap();
    let metrics = Arc::new(Metrics::default());
    let budgets = Budgets::new(clock.clone(), None, &std::collections::HashMap::new());
    let budgets = Arc::new(budgets);
    let registry = Registry::open(RegistryParts {
        records: Records::open(&data_dir).unwrap(),
        artifacts: Artifacts::open(&data_dir).unwrap(),
        sandboxes: sandboxes.clone(),
        metrics: Arc::clone(&metrics),
        budgets: Arc::clone(&budgets),
        clock: clock.clone(),
        region: "local".to_owned(),
        concurrency_max: 1_000,
        destinations: crate::trigger::queue::destination::AllowList::default(),
        log_stream_suffix: String::new(),
    })
    .unwrap();
    let wasm = wat::parse_str(GUEST).unwrap();
    let name = FunctionName::parse("hello").unwrap();
    registry
        .publish(&Draft {
            name,
            wasm,
            manifest: Manifest::default(),
        })
        .unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 3000));
    let config = Config::resolve(None, |_| None, Flags::default()).unwrap();
    let root_key = RootKey::open(
        &KeyPlaces {
            data_dir: data_dir.path(),
            key_file: &root.join("key"),
            credentials: &root.join("credentials"),
        },
        &Endpoint::of(&config, address),
    );
    let root_key = root_key.unwrap();
    let store = IdentityStore::open(&data_dir).unwrap();
    let identities = Identities::open(store, root_key.sealer().clone(), clock.clone()).unwrap();
    let identities = Arc::new(identities);
    let known = Arc::clone(&identities);
    let ledger = Ledger::open(
        &data_dir,
        LedgerSettings {
            clock: clock.clone(),
            ..LedgerSettings::default()
        },
    )
    .unwrap();
    let queue = storage::Queue::open(
        &data_dir,
        storage::QueueSettings {
            quota: storage::Quota::default(),
            wait_max: Duration::from_secs(300),
            keep: Duration::from_secs(86_400),
            keep_given_up: Duration::from_secs(86_400),
            clock: clock.clone(),
            on_change: Box::new(|| {}),
        },
        ledger.clone(),
    )
    .unwrap();
    App {
        budgets,
        schedules: crate::trigger::schedule::Schedules::open(queue.clone(), clock.clone(), "local")
            .unwrap(),
        queue,
        queue_changed: Arc::default(),
        deliveries: crate::trigger::queue::deliver::Deliveries::open(
            data_dir.path(),
            &config.destinations,
        )
        .unwrap(),
        authentication: Authentication::new(root_key, known, &config.auth, clock.clone()),
        identities,
        config,
        listen: address,
        control: address,
        random: Random::default(),
        tokens: crate::tokens::Tokens::new().unwrap(),
        registry: Arc::new(registry),
        refusals: Arc::default(),
        concurrency: Concurrency::new(100, u64::MAX),
        sandboxes,
        ledger,
        logs: Logs::open(&data_dir, log_settings()).unwrap(),
        metrics,
        faults: Faults::default(),
        records_left_out: Faults::once_a_minute(),
        key_sets: KeySets::new(std::path::PathBuf::new(), Clock::system()),
        room: Room::default(),
        audit: crate::audit::AuditLog::new(
            storage::Audit::open(&data_dir, storage::AuditSettings::default()).unwrap(),
            false,
        ),
        backups: Arc::new(tokio::sync::Semaphore::new(1)),
        exports: Arc::new(tokio::sync::Semaphore::new(crate::app::EXPORTS_MAX)),
        data_dir: data_dir.clone(),
        live_tails: crate::live_tails::LiveTails::default(),
        uploads: Arc::new(tokio::sync::Semaphore::new(1)),
        clock,
        draining: tokio::sync::watch::Sender::new(false),
        workers: background.handle().clone(),
    }
}

/// While instructions are counted nothing is written by the clock: who frees a line would depend on
/// it.
fn log_settings() -> LogSettings {
    let mut settings = LogSettings::default();
    if only_step().is_some() {
        settings.flush_every = Duration::from_secs(3_600);
    }
    settings
}

fn request() -> Parts {
    let request = Request::get("/hello?name=world")
        .header("host", "127.0.0.1:3000")
        .header("user-agent", "steps")
        .header("accept", "*/*")
        .body(())
        .unwrap();
    request.into_parts().0
}

#[test]
fn each_step_of_the_path_is_measured() {
    let root = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let app = app(root.path(), &runtime, Clock::system());
    let event = before_the_sandbox(&app);
    let name = FunctionName::parse("hello").unwrap();
    let version = app.registry.resolve(&name, None, 0).unwrap();
    let id = app.request_id();
    let run = || {
        let request = RunRequest {
            id,
            event: event.clone(),
            arn: None,
            client_context: None,
            deadline: app.clock.now() + version.configuration.limits.timeout.duration(),
            deadline_unix_ms: 0,
            observed: Observed::new(),
        };
        runtime
            .block_on(app.sandboxes.run(Arc::clone(&version.guest), request))
            .unwrap()
    };
    measure("sandbox: store, instantiate, call, drop", run);
    let outcome = run();
    let invocation = Invocation {
        id,
        attempt: 1,
        function: name,
        qualifier: None,
        trigger: Trigger::Http,
        event,
        client_context: None,
        keep_log: false,
    };
    after_the_sandbox(&app, &version, &invocation, &outcome);
    measure("the whole spine: invoke()", || {
        runtime.block_on(invoke(&app, invocation.clone())).unwrap()
    });
    measure("the spine and its response", || {
        let completed = runtime.block_on(invoke(&app, invocation.clone())).unwrap();
        response_from(completed, id)
    });
}

/// Request id, route, event, resolve and admit; the event.
fn before_the_sandbox(app: &App) -> Bytes {
    let parts = request();
    let name = FunctionName::parse("hello").unwrap();
    let version = app.registry.resolve(&name, None, 0).unwrap();
    let id = app.request_id();
    let route = || {
        let path = RequestPath::parse(parts.uri.path()).unwrap();
        app.registry
            .route(Some(RouteMethod::Get), &path, |found| match found {
                Match::Found { route, .. } => Arc::clone(route),
                Match::WrongMethod { .. } | Match::NotFound => panic!("the route is there"),
            })
    };
    measure("request id", || app.request_id());
    measure("route", route);
    let route = route();
    let event = || {
        event_from(&Source {
            parts: &parts,
            body: &Bytes::new(),
            entrance: Entrance::Route {
                route: &route,
                values: &[],
            },
            authorizer: &Authorizer::Open,
            path: "/hello",
            peer: app.listen,
            local_port: 3000,
            is_secure: false,
            id,
            received_us: app.clock.unix_us(),
        })
        .unwrap()
    };
    measure("event JSON", event);
    measure("resolve", || app.registry.resolve(&name, None, 0));
    measure("admit", || crate::invoke::admit(app, &version).unwrap());
    event()
}

/// Report, ledger, metrics and log.
fn after_the_sandbox(app: &App, version: &Version, invocation: &Invocation, outcome: &Outcome) {
    let observed = Observed::new();
    let ran = Ran {
        version: version.id,
        limits: version.configuration.limits,
    };
    let report = || {
        let usage = observed.usage(&app.clock);
        Report::new(
            invocation,
            ran,
            0,
            (&usage, Ending::Outcome(outcome)),
            &app.config.billing,
        )
    };
    measure("report", report);
    let report = report();
    measure("ledger", || app.ledger.append(&report).unwrap());
    measure("metrics", || version.metrics.observe(&report));
    measure("log", || {
        let line = |text| LogEvent {
            at_unix_ms: 0,
            source: LogSource::Platform,
            text,
        };
        let start = Report::start_line(invocation.id, version.id);
        let events = [line(start), line(report.end_line()), line(report.line())];
        app.logs
            .append(&version.name, &version.guest.spec().log_stream, events);
    });
}
