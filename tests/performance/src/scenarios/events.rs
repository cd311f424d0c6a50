//! Events: how many are accepted a second, how soon they run, what they take on disk, and how long a start
//! takes with a million of them.
//!
//! Accepted means synced to disk. Batches arise by themselves: what is asked for while one transaction is on
//! its way goes into the next. The clients sign, so on two cores they take about half of the machine.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use support::{Connection, Request};

use super::Given;
use super::figures::{Figures, ms};
use super::percentiles::Percentiles;
use super::site::{Host, Site};
use super::{join, millis};
use crate::guests;

/// How long events are sent, for each number of clients.
const SENDING: Duration = Duration::from_secs(5);

/// Clients at once, each with one event on its way.
const CLIENTS: [u32; 3] = [1, 8, 64];

/// Events that are sent one after the other, to see how soon they run.
const ALONE: u32 = 300;

/// Events that wait when the server is started again.
const WAITING: u64 = 1_000_000;

/// Events of one request.
const BATCH: u64 = 1_000;

/// Most that a start may take then, in ms.
const START_GOAL_MS: f64 = 2_000.0;

/// How long everything that waits may take to run.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) fn run(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    latency(given, figures)?;
    for clients in CLIENTS {
        throughput(given, figures, clients)?;
    }
    start_with_many(given, figures)
}

/// A `command` that answers whatever it is asked.
fn answering() -> Vec<u8> {
    support::guests::assemble(&support::guests::printing("1"))
}

fn event(host: &Host, function: &str) -> Request {
    let path = format!("/2015-03-31/functions/{function}/invocations");
    let request = Request::post(&path, guests::JSON).header("x-amz-invocation-type", "Event");
    host.signed(&request)
}

/// From sending an event to the start of its attempt, when nothing else happens.
fn latency(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    let site = Site::new(&given.mayfly, "")?;
    site.put("hello", &answering())?;
    let host = site.start()?;
    let mut connection = Connection::open(host.control_address())?;
    let mut sent = Vec::new();
    for _ in 0..ALONE {
        let request = event(&host, "hello");
        let at = SystemTime::now();
        let started = Instant::now();
        let response = connection.send(&request).with_context(|| host.printed())?;
        let took = started.elapsed();
        ensure!(response.status == 202, "{}", response.text());
        sent.push((response.request_id(), at, took));
        wait_done(&host, 0)?;
    }
    let records = host.records("hello")?;
    let mut to_run = Vec::new();
    for (id, at, _) in &sent {
        let record = records.iter().find(|record| record["request_id"] == **id);
        let text = record.and_then(|record| record["started_at"].as_str());
        let started = text.with_context(|| format!("event {id} has no record"))?;
        to_run.push(unix_ms(started)? - ms(at.duration_since(SystemTime::UNIX_EPOCH)?));
    }
    let accepted = Percentiles::of(sent.iter().map(|(_, _, took)| ms(*took)).collect())?;
    let to_run = Percentiles::of(to_run)?;
    for (what, percentiles) in [
        ("event alone: from sending it to the 202", accepted),
        (
            "event alone: from sending it to the start of its attempt",
            to_run,
        ),
    ] {
        figures.note(format!("{what}, p50"), percentiles.median(), "ms");
        figures.note(format!("{what}, p99"), percentiles.percentile(99), "ms");
    }
    host.stop()
}

/// Unix milliseconds of a time such as `2026-11-22T16:56:22.131457Z`; only the time of day counts, since a
/// run does not take a day.
fn unix_ms(text: &str) -> anyhow::Result<f64> {
    let days = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs()
        / 86_400;
    let time = text.get(11..).context("a time")?.trim_end_matches('Z');
    let parts = time.split(':').map(str::parse::<f64>);
    let [hours, minutes, seconds] = parts.collect::<Result<Vec<_>, _>>()?[..] else {
        anyhow::bail!("not a time: {text}");
    };
    #[expect(clippy::cast_precision_loss, reason = "a number of days")]
    let day_ms = days as f64 * 86_400_000.0;
    Ok(day_ms + ((hours * 60.0 + minutes) * 60.0 + seconds) * 1e3)
}

/// As many as can be accepted, while they run too.
fn throughput(given: &Given, figures: &mut Figures, clients: u32) -> anyhow::Result<()> {
    let site = Site::new(&given.mayfly, "")?;
    site.put("hello", &answering())?;
    let host = site.start()?;
    let (accepted, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let started = Instant::now();
    std::thread::scope(|scope| {
        let send = || -> anyhow::Result<()> {
            let mut connection = Connection::open(host.control_address())?;
            while !stop.load(Ordering::Relaxed) {
                let response = connection
                    .send(&event(&host, "hello"))
                    .with_context(|| host.printed())?;
                ensure!(response.status == 202, "{}", response.text());
                accepted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(send)).collect();
        std::thread::sleep(SENDING);
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .try_for_each(|thread| join(thread.join()))
    })?;
    let sending = started.elapsed();
    let count = accepted.load(Ordering::Relaxed);
    wait_done(&host, 0)?;
    let all = started.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let count_f = count as f64;
    let per_second = |time: Duration| count_f / time.as_secs_f64();
    figures.note(
        format!("{clients} clients: events accepted a second, durably, while they run"),
        per_second(sending),
        "/s",
    );
    figures.note(
        format!("{clients} clients: events run to their end a second"),
        per_second(all),
        "/s",
    );
    let commits = host.metric("mayfly_queue_commits_total")?;
    let operations = host.metric("mayfly_queue_operations_total")?;
    figures.note(
        format!("{clients} clients: changes in one transaction, mean"),
        operations / commits.max(1.0),
        "",
    );
    let bytes = |name: &str| fs::metadata(site.beside(".mayfly").join(name)).map_or(0, |m| m.len());
    #[expect(clippy::cast_precision_loss, reason = "a number of bytes")]
    let bytes = bytes("queue.db") as f64;
    let records = host.records("hello")?.len();
    ensure!(
        u64::try_from(records)? == count,
        "{count} events were accepted and {records} records made"
    );
    host.stop()?;
    figures.note(
        format!("{clients} clients: bytes of an event that succeeded, in queue.db"),
        bytes / count_f.max(1.0),
        "B",
    );
    Ok(())
}

/// A start with a million events that wait.
fn start_with_many(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    let site = Site::new(&given.mayfly, "[queue]\nevents_max = 2000000\n")?;
    // One at a time, and the first one takes long: they all wait.
    let wat = support::guests::guest_with("sleep", &[("MS", "800000")]);
    let waiting = support::guests::assemble(&wat);
    site.put_with("slow", "concurrency = 1\ntimeout = 900\n", &waiting)?;
    let host = site.start()?;
    let started = Instant::now();
    let mut connection = Connection::open(host.control_address())?;
    for batch in 0..WAITING / BATCH {
        let events: Vec<String> = (0..BATCH)
            .map(|number| {
                format!("{{\"specversion\":\"1.0\",\"id\":\"{batch}-{number}\",\"source\":\"/b\",\"type\":\"t\",\"data\":1}}")
            })
            .collect();
        let body = format!("[{}]", events.join(","));
        let request = Request::post("/mayfly/events/slow", body.into_bytes())
            .header("content-type", "application/cloudevents-batch+json");
        let response = connection
            .send(&host.signed(&request))
            .with_context(|| format!("batch {batch}: {}", host.printed()))?;
        ensure!(response.status == 202, "{}", response.text());
    }
    let took = started.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let per_second = WAITING as f64 / took.as_secs_f64();
    figures.note(
        format!("events accepted a second in batches of {BATCH}"),
        per_second,
        "/s",
    );
    let size = fs::metadata(site.beside(".mayfly/queue.db"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "a number of bytes")]
    let bytes = size as f64 / WAITING as f64;
    figures.note("bytes of an event that waits, in queue.db", bytes, "B");
    host.kill();
    let mut starts = Vec::new();
    for _ in 0..3 {
        let host = site.start()?;
        starts.push(ms(host.ready_after()));
        let queued = unsettled(&host)?;
        ensure!(
            queued == WAITING,
            "{queued} of {WAITING} events are there after a kill"
        );
        host.kill();
    }
    figures.judge(
        "start after a kill with 1,000,000 events that wait, worst of 3",
        (Percentiles::of(starts)?.percentile(100), "ms"),
        START_GOAL_MS,
    );
    Ok(())
}

/// Waits until no more than `left` events have not ended.
fn wait_done(host: &Host, left: u64) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let unsettled = unsettled(host)?;
        if unsettled <= left {
            return Ok(());
        }
        ensure!(
            started.elapsed() < PATIENCE,
            "{unsettled} events do not end"
        );
        std::thread::sleep(millis(2));
    }
}

fn unsettled(host: &Host) -> anyhow::Result<u64> {
    let queues = host.control("/mayfly/queues")?;
    let queues = queues["queues"].as_array().context("no queues")?;
    let count = |queue: &Value, key: &str| queue[key].as_u64().unwrap_or(0);
    let all = queues
        .iter()
        .map(|queue| count(queue, "queued") + count(queue, "running"));
    Ok(all.sum())
}
