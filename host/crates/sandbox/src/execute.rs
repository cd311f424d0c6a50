//! One event in one fresh instance: store, instance, call.
//!
//! Everything the guest touched is in the store, and the store is dropped before the answer leaves
//! this module. Knows nothing of threads and timers; see [`crate::run`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{Clock, Outcome, RequestId};
use parking_lot::Mutex;
use wasmtime::{Engine, Instance, Memory, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::budget::{Budget, Totals};
use crate::failure::{self, Phase};
use crate::guest::{ARN_VARIABLE, Entry, Guest, GuestKind, Loaded};
use crate::log::LogStream;
use crate::observed::Observed;
use crate::run::SandboxError;
use crate::stdio::{Answer, Sink};
use crate::wasi::{self, Streams};
use crate::{command, sdk};

/// Ticks a guest may run before it is looked at for the first time: its inline slice.
const FIRST_SLICE_TICKS: u64 = 2;

/// Ticks between two looks after that.
const SLICE_TICKS: u64 = 1;

/// What a guest that came back from a wait may run before it makes room for others.
const SLICE: Duration = Duration::from_millis(1);

/// What a guest may run in all, in slices shorter than [`SLICE`], before it counts as long.
const SHORT_SLICES_SUM_MAX: Duration = Duration::from_millis(10);

/// One event.
pub(crate) struct Event {
    pub(crate) id: RequestId,
    pub(crate) payload: Bytes,
    /// Instead of the resource name in the guest's spec.
    pub(crate) arn: Option<String>,
    /// The text of a JSON object.
    pub(crate) client_context: Option<Arc<str>>,
    pub(crate) deadline: Instant,
    pub(crate) deadline_unix_ms: u64,
}

/// What the host holds for one guest while it runs.
pub(crate) struct State {
    pub(crate) guest: Arc<Guest>,
    pub(crate) event: Event,
    pub(crate) clock: Clock,
    pub(crate) budget: Budget,
    pub(crate) observed: Arc<Observed>,
    /// What a `command` wrote to stdout.
    pub(crate) answer: Option<Arc<Mutex<Answer>>>,
    /// The guest's memory, looked up by its first host call.
    pub(crate) memory: Option<Memory>,
    /// When the guest's monotonic clock began.
    started: Option<Instant>,
    no_stdin: Bytes,
    wasi: Option<Box<WasiP1Ctx>>,
}

impl State {
    pub(crate) fn new(
        guest: Arc<Guest>,
        event: Event,
        clock: Clock,
        budget: Budget,
        observed: Arc<Observed>,
    ) -> Self {
        Self {
            guest,
            event,
            clock,
            budget,
            observed,
            answer: None,
            memory: None,
            started: None,
            no_stdin: Bytes::new(),
            wasi: None,
        }
    }

    /// Whether the guest has a WASI context, and with it descriptors of its own.
    pub(crate) fn has_wasi(&self) -> bool {
        self.wasi.is_some()
    }

    /// The guest's WASI context, made on first use.
    pub(crate) fn wasi(&mut self) -> &mut WasiP1Ctx {
        if self.wasi.is_none() {
            self.wasi = Some(Box::new(self.make_wasi()));
        }
        self.wasi.as_mut().expect("it was made above")
    }

    fn make_wasi(&mut self) -> WasiP1Ctx {
        let streams = Streams {
            stdin: self.stdin().clone(),
            stdout: self.sink(true),
            stderr: self.sink(false),
        };
        let mut environment = Vec::new();
        self.each_variable(|name, value| environment.push((name.to_owned(), value.to_owned())));
        let started = self.started();
        wasi::context(streams, &environment, self.clock.clone(), started)
    }

    /// What the guest has not read yet, before it has a WASI context. The event of an `sdk` guest is
    /// not there.
    pub(crate) fn stdin(&mut self) -> &mut Bytes {
        match self.guest.spec.kind {
            GuestKind::Command => &mut self.event.payload,
            GuestKind::Sdk => &mut self.no_stdin,
        }
    }

    /// Where stdout, or else stderr, goes.
    pub(crate) fn sink(&mut self, stdout: bool) -> Sink {
        let stream = match (self.guest.spec.kind, stdout) {
            (GuestKind::Command, true) => {
                return Sink::Answer(Arc::clone(self.answer.get_or_insert_default()));
            }
            (GuestKind::Sdk, true) => LogStream::Stdout,
            (_, false) => LogStream::Stderr,
        };
        Sink::Log {
            observed: Arc::clone(&self.observed),
            clock: self.clock.clone(),
            stream,
        }
    }

    /// Calls `visit` with name and value of each variable of the environment.
    pub(crate) fn each_variable(&self, mut visit: impl FnMut(&str, &str)) {
        for (name, value) in &self.guest.environment {
            match &self.event.arn {
                Some(arn) if name == ARN_VARIABLE => visit(name, arn),
                _ => visit(name, value),
            }
        }
        visit("MAYFLY_REQUEST_ID", &self.event.id.to_string());
        visit(
            "MAYFLY_DEADLINE_MS",
            &self.event.deadline_unix_ms.to_string(),
        );
    }

    /// Unix time; the epoch itself before 1970.
    pub(crate) fn wall_clock(&self) -> Duration {
        wasi::unix_time(&self.clock)
    }

    /// Time since the guest first asked for it.
    pub(crate) fn monotonic_clock(&mut self) -> Duration {
        let started = self.started();
        self.clock.now().saturating_duration_since(started)
    }

    fn started(&mut self) -> Instant {
        let clock = &self.clock;
        *self.started.get_or_insert_with(|| clock.now())
    }
}

/// Runs one event to its end. The time limit inside wasm is part of this; the one for waits is not.
pub(crate) async fn execute(
    engine: Engine,
    guest: Arc<Guest>,
    loaded: Arc<Loaded>,
    event: Event,
    surroundings: Surroundings,
) -> Result<Outcome, SandboxError> {
    let mut store = store(&engine, guest, event, surroundings);
    match loaded.linked.instantiate_async(&mut store).await {
        Ok(instance) => call(&mut store, instance, &loaded).await,
        Err(error) => failure::outcome(store.data(), &error, Phase::Start),
    }
}

/// A new store for one event, with all its limits.
pub(crate) fn store(
    engine: &Engine,
    guest: Arc<Guest>,
    event: Event,
    surroundings: Surroundings,
) -> Store<State> {
    let cap_bytes = guest.spec.limits.memory.bytes();
    let Surroundings {
        clock,
        observed,
        totals,
    } = surroundings;
    let budget = Budget::new(cap_bytes, Arc::clone(&observed), totals);
    let state = State::new(guest, event, clock, budget, observed);
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.budget);
    store.set_epoch_deadline(FIRST_SLICE_TICKS);
    store.epoch_deadline_callback(on_epoch);
    store.set_hostcall_fuel(wasi::HOSTCALL_BYTES_MAX);
    store
}

/// What a run needs besides the guest and the event.
pub(crate) struct Surroundings {
    pub(crate) clock: Clock,
    pub(crate) observed: Arc<Observed>,
    pub(crate) totals: Arc<Totals>,
}

/// Gives the event to an instance and takes its answer.
pub(crate) async fn call(
    store: &mut Store<State>,
    instance: Instance,
    loaded: &Loaded,
) -> Result<Outcome, SandboxError> {
    match &loaded.entry {
        Entry::Command { start } => command::call(store, instance, start).await,
        Entry::Sdk(exports) => sdk::call(store, instance, exports).await,
    }
}

/// Called in wasm when a slice is used up.
///
/// The deadline is compared with the clock; ticks are not counted, since they may come late.
#[expect(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "the engine's signature"
)]
fn on_epoch(store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data();
    let now = state.clock.now();
    if now >= state.event.deadline {
        return Ok(UpdateDeadline::Interrupt);
    }
    // Ticks pass while a guest waits; that alone does not make it a long one.
    let slice = state.observed.slice(now);
    if slice < SLICE && state.observed.cpu() + slice < SHORT_SLICES_SUM_MAX {
        return Ok(UpdateDeadline::Continue(SLICE_TICKS));
    }
    state.observed.set_ran_long();
    // The engine's own yield would put the same guest first in line again.
    Ok(UpdateDeadline::YieldCustom(
        SLICE_TICKS,
        Box::pin(tokio::task::yield_now()),
    ))
}
