//! Many sandboxes that wait at once: what each one takes, with its connection and without.
//!
//! The guest waits in a host call; all of them are answered in the end. Twice, since what was used once
//! is used again.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::guests::{assemble, guest_with};

use super::Given;
use super::figures::Figures;
use super::memory::{Held, each};
use super::site::{Host, Site};
use crate::load::answer::Expected;
use crate::load::{Exchange, Load, count};

/// Sandboxes at once.
const SANDBOXES: u32 = 10_000;

/// How long each waits; shorter than the patience of the load generator, and long enough for all to be
/// started.
const WAIT_MS: &str = "25000";

/// Descriptors beside those of the connections.
const DESCRIPTORS_SPARE: u64 = 200;

/// Most memory of a sandbox that is wanted, in KiB.
const GOAL_KIB: f64 = 48.0;

/// All that has to be raised for so many: invocations, their memory, connections.
const SETTINGS: &str = "\
[sandbox]
concurrency_max = 10000
memory_budget_mb = 100000
[http]
connections_max = 11000
";

const MANIFEST: &str = "timeout = 60\nmemory_mb = 1\n";

pub(super) fn run(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    raise_descriptor_limit(u64::from(SANDBOXES) + DESCRIPTORS_SPARE)?;
    let site = Site::new(&given.mayfly, SETTINGS)?;
    let wait = |ms| assemble(&guest_with("sleep", &[("MS", ms)]));
    site.put_with("wait", MANIFEST, &wait(WAIT_MS))?;
    site.put_with("brief", MANIFEST, &wait("1"))?;
    let host = site.start()?;
    // All that is loaded and set up once.
    for name in ["brief", "wait"] {
        Load::connect(host.http(), 1, exchange(name))?.closed(Duration::ZERO)?;
    }

    let idle = Held::by(host.pid())?;
    let first = wave(&host, &idle)?;
    let between = Held::by(host.pid())?;
    let second = wave(&host, &idle)?;
    Load::connect(host.http(), 1, exchange("brief"))?.closed(Duration::ZERO)?;
    host.stop()?;

    let since_idle = |held: &Held| {
        let sandboxes = u64::from(SANDBOXES);
        let resident = each(idle.resident_kib, held.resident_kib, sandboxes);
        let private = each(idle.private_kib(), held.private_kib(), sandboxes);
        (resident, private)
    };
    for (which, wave) in [("first", &first), ("second", &second)] {
        let (resident, private) = since_idle(&wave.waiting);
        let what = format!("resident memory of each, its connection included, {which} time");
        figures.judge(what, (resident, "KiB"), GOAL_KIB);
        figures.note(format!("… of that private, {which} time"), private, "KiB");
    }
    let (_, connection) = since_idle(&first.connected);
    figures.note(
        "private memory of an idle connection, each",
        connection,
        "KiB",
    );
    let (_, kept) = since_idle(&between);
    figures.note(
        "private memory still held between the two times, each",
        kept,
        "KiB",
    );
    let waiting = &second.waiting;
    figures.note("maps, while they wait", count(waiting.maps), "");
    figures.note(
        "descriptors, while they wait",
        count(waiting.descriptors),
        "",
    );
    Ok(())
}

/// What the server held when all had connected, and while all waited.
struct Wave {
    connected: Held,
    waiting: Held,
}

/// Connects, calls, and waits for all answers.
fn wave(host: &Host, idle: &Held) -> anyhow::Result<Wave> {
    let load = Load::connect(host.http(), usize::try_from(SANDBOXES)?, exchange("wait"))?;
    wait_accepted(host, idle)?;
    let connected = Held::by(host.pid())?;
    let (waiting, answered) = while_waiting(host, load)?;
    ensure!(answered == u64::from(SANDBOXES), "{answered} were answered");
    host.wait_running(0)?;
    Ok(Wave { connected, waiting })
}

/// An empty answer, when the wait is over.
fn exchange(name: &str) -> Exchange {
    Exchange {
        request: format!("GET /{name} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes(),
        expected: Expected {
            status: 200,
            body: Some(Vec::new()),
        },
    }
}

/// What the server holds while all of them wait, and how many were answered in the end.
fn while_waiting(host: &Host, mut load: Load) -> anyhow::Result<(Held, u64)> {
    std::thread::scope(|scope| {
        let look = || {
            host.wait_running(u64::from(SANDBOXES))?;
            Held::by(host.pid())
        };
        let waiting = scope.spawn(look);
        // What went wrong for a client says more than that not all of them ran.
        let answered = load.closed(Duration::ZERO)?.requests;
        let waiting = super::join(waiting.join())?;
        Ok((waiting, answered))
    })
}

/// Waits until the server has taken all connections.
fn wait_accepted(host: &Host, idle: &Held) -> anyhow::Result<()> {
    let wanted = idle.descriptors + u64::from(SANDBOXES);
    for _ in 0..1_000 {
        if Held::by(host.pid())?.descriptors >= wanted {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    anyhow::bail!("the server did not take {SANDBOXES} connections")
}

/// Lets this program, and the server that it starts, open so many files.
fn raise_descriptor_limit(wanted: u64) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum.map(|maximum| maximum.max(wanted)),
    };
    setrlimit(Resource::Nofile, raised)
        .with_context(|| format!("this scenario needs `ulimit -Hn {wanted}` at least"))
}
