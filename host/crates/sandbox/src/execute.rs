//! One event in one fresh instance: store, instance, call.
//!
//! Everything the guest touched is in the store, and the store is dropped before the answer leaves
//! this module. Knows nothing of threads and timers; see [`crate::run`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::{Clock, Outcome, RequestId};
use parking_lot::Mutex;
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::p1::WasiP1Ctx;

use crate::budget::{Budget, Totals};
use crate::failure::{self, Phase};
use crate::guest::{Entry, Guest, GuestKind, Loaded};
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
    /// What a `command` wrote to stdout; made with `wasi`.
    pub(crate) answer: Option<Arc<Mutex<Answer>>>,
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
            wasi: None,
        }
    }

    /// The guest's WASI context, made on first use.
    pub(crate) fn wasi(&mut self) -> &mut WasiP1Ctx {
        if self.wasi.is_none() {
            self.wasi = Some(Box::new(self.make_wasi()));
        }
        self.wasi.as_mut().expect("it was made above")
    }

    fn make_wasi(&mut self) -> WasiP1Ctx {
        let log = |stream| Sink::Log {
            observed: Arc::clone(&self.observed),
            clock: self.clock.clone(),
            stream,
        };
        let streams = match self.guest.spec.kind {
            GuestKind::Command => {
                let answer = Arc::clone(self.answer.get_or_insert_default());
                Streams {
                    stdin: Some(self.event.payload.clone()),
                    stdout: Sink::Answer(answer),
                    stderr: log(LogStream::Stderr),
                }
            }
            GuestKind::Sdk => Streams {
                stdin: None,
                stdout: log(LogStream::Stdout),
                stderr: log(LogStream::Stderr),
            },
        };
        let id = self.event.id.to_string();
        let deadline = self.event.deadline_unix_ms.to_string();
        let per_event = [
            ("MAYFLY_REQUEST_ID", &*id),
            ("MAYFLY_DEADLINE_MS", &*deadline),
        ];
        let constant = self
            .guest
            .environment
            .iter()
            .map(|(name, value)| (&**name, &**value));
        wasi::context(streams, constant.chain(per_event), &self.clock)
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
    let cap_bytes = guest.spec.limits.memory.bytes();
    let Surroundings {
        clock,
        observed,
        totals,
    } = surroundings;
    let budget = Budget::new(cap_bytes, Arc::clone(&observed), totals);
    let state = State::new(Arc::clone(&guest), event, clock, budget, observed);
    let mut store = Store::new(&engine, state);
    store.limiter(|state| &mut state.budget);
    store.set_epoch_deadline(FIRST_SLICE_TICKS);
    store.epoch_deadline_callback(on_epoch);
    store.set_hostcall_fuel(wasi::HOSTCALL_BYTES_MAX);
    enter(&mut store, &loaded).await
}

/// What a run needs besides the guest and the event.
pub(crate) struct Surroundings {
    pub(crate) clock: Clock,
    pub(crate) observed: Arc<Observed>,
    pub(crate) totals: Arc<Totals>,
}

async fn enter(store: &mut Store<State>, loaded: &Loaded) -> Result<Outcome, SandboxError> {
    let instance = match loaded.linked.instantiate_async(&mut *store).await {
        Ok(instance) => instance,
        Err(error) => return failure::outcome(store.data(), &error, Phase::Start),
    };
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
