//! What one event costs here, step by step. Prints; asserts nothing about time.
//!
//! Set `MAYFLY_COST` to a number of events and build with `--release` for figures that mean
//! something; `MAYFLY_COST_ONLY` to a part of a line's beginning for that line alone. Guests that `mayfly build` makes are measured if they are there: run `cargo build
//! --release --target wasm32-wasip1` in `functions/` first.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::smoke::SDK_ECHO;
use super::support::{Host, limits, multi_thread};
use crate::execute::{self, Event, Surroundings};
use crate::settings::{Compile, Profile};
use crate::{Guest, snapshot};

/// Events whose time is taken together: about a millisecond. Each figure is the lower quartile of all
/// batches, so that what else the machine does is in few of them.
const BATCH: u32 = 100;

const EVENT: &str = r#"{"name":"world","text":"world"}"#;

/// Copies stdin to stdout.
const COMMAND_ECHO: &str =
    "(i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1000))
     (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
     (call $write (i32.const 1) (i32.const 64) (i32.load (i32.const 8)))";

/// Nanoseconds of store, instantiate, call and drop.
type Steps = [u128; 4];

#[test]
fn one_event_of_each_kind() {
    let Some(count) = std::env::var("MAYFLY_COST")
        .ok()
        .and_then(|count| count.parse().ok())
    else {
        return;
    };
    let only = std::env::var("MAYFLY_COST_ONLY").unwrap_or_default();
    println!(
        "{:6} {:24} {:>6} {:>11} {:>6} {:>6} {:>6} {:>9} {:>7}",
        "reset", "guest", "store", "instantiate", "call", "drop", "run", "memory", "faults"
    );
    for profile in Profile::ALL {
        let host = Host::with(profile, Compile::InProcess);
        for (name, guest) in guests(&host) {
            if !format!("{} {name}", profile.as_str()).contains(&only) {
                continue;
            }
            measure(&host, profile, name, &guest, count);
        }
    }
}

fn guests(host: &Host) -> Vec<(&'static str, Arc<Guest>)> {
    let limits = limits(128, 60_000);
    let mut guests = vec![
        ("sdk echo in WAT", host.guest(SDK_ECHO, limits)),
        ("command echo in WAT", host.command(COMMAND_ECHO, limits)),
        ("command without calls", host.command("", limits)),
    ];
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../target/functions/wasm32-wasip1/release");
    for (name, is_sdk) in [("hello", true), ("shout-rust", false)] {
        let path = built.join(format!("{name}.wasm"));
        let Ok(wasm) = std::fs::read(&path) else {
            println!("{} is not there", path.display());
            continue;
        };
        if is_sdk {
            guests.push(("hello", host.guest_of(&snapshot(&wasm).unwrap(), limits)));
            guests.push(("hello, no snapshot", host.guest_of(&wasm, limits)));
        } else {
            guests.push((name, host.guest_of(&wasm, limits)));
        }
    }
    guests
}

fn measure(host: &Host, profile: Profile, name: &str, guest: &Arc<Guest>, count: u32) {
    let peak = host.run(guest, EVENT).usage.memory_peak_bytes;
    let runtime = multi_thread(1);
    let (mut whole, mut apart, mut faults) = (Vec::new(), Vec::new(), 0);
    for _ in 0..count.div_ceil(BATCH) {
        let faults_before = minor_faults();
        let run = runtime.block_on(run_many(host, guest));
        faults += minor_faults() - faults_before;
        whole.push((run / BATCH).as_nanos());
        apart.push(runtime.block_on(take_apart(host, guest)));
    }
    let each = |step: usize| quartile(apart.iter().map(|steps| steps[step]).collect());
    println!(
        "{:6} {name:24} {:>6} {:>11} {:>6} {:>6} {:>6} {:>6} KB {:>7.2}",
        profile.as_str(),
        each(0),
        each(1),
        each(2),
        each(3),
        quartile(whole),
        peak >> 10,
        f64::from(u32::try_from(faults).unwrap()) / f64::from(count),
    );
}

fn quartile(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values[values.len() / 4]
}

/// Events as the server runs them.
async fn run_many(host: &Host, guest: &Arc<Guest>) -> Duration {
    let before = host.clock.now();
    for _ in 0..BATCH {
        let request = host.request(EVENT, guest.spec().limits);
        let ran = host.sandboxes.run(Arc::clone(guest), request).await;
        assert!(matches!(ran, Ok(domain::Outcome::Payload(_))), "{ran:?}");
    }
    host.clock.now() - before
}

/// The same steps with a look at the clock between them, which is part of each.
async fn take_apart(host: &Host, guest: &Arc<Guest>) -> Steps {
    let clock = &host.clock;
    let (engine, totals) = host.sandboxes.parts();
    let loaded = guest.code.get().unwrap();
    let mut sums = [Duration::ZERO; 4];
    for _ in 0..BATCH {
        let request = host.request(EVENT, guest.spec().limits);
        let event = Event {
            id: request.id,
            payload: request.event,
            arn: None,
            client_context: None,
            deadline: request.deadline,
            deadline_unix_ms: request.deadline_unix_ms,
        };
        let surroundings = Surroundings {
            clock: clock.clone(),
            observed: request.observed,
            totals: Arc::clone(totals),
        };
        let begin = clock.now();
        let mut store = execute::store(engine, Arc::clone(guest), event, surroundings);
        let stored = clock.now();
        let instance = loaded.linked.instantiate_async(&mut store).await.unwrap();
        let instantiated = clock.now();
        let outcome = execute::call(&mut store, instance, &loaded).await;
        let called = clock.now();
        drop(store);
        let dropped = clock.now();
        assert!(matches!(outcome, Ok(domain::Outcome::Payload(_))));
        let ends = [stored, instantiated, called, dropped];
        let begins = [begin, stored, instantiated, called];
        for (sum, (end, begin)) in sums.iter_mut().zip(ends.into_iter().zip(begins)) {
            *sum += end - begin;
        }
    }
    sums.map(|sum| (sum / BATCH).as_nanos())
}

/// Page faults of this thread that needed no disk.
fn minor_faults() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    // The second field, the name, may hold spaces and is the last in parentheses.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    rest.split_whitespace().nth(7).unwrap().parse().unwrap()
}
