//! How long after its deadline a guest that spins is answered for, from its client's side.
//!
//! An answer follows its record, so a record is never later than these figures. The record itself does
//! not show lateness: what lies beyond the time limit is not billed, and that is checked here.
//! What is measured includes the way through HTTP and the client, both ways.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use support::Request;
use support::guests::{assemble, guest};

use super::Given;
use super::figures::Figures;
use super::neighbours::{Neighbour, SPINNERS, Strangers, put_spinner};
use super::percentiles::Percentiles;
use super::site::{Host, Site};

/// The time limit of the guests that are measured, in ms.
const TIMEOUT_MS: u32 = 200;

/// Events that are measured in each situation.
const EVENTS: u32 = 300;

/// Clients at once where the cores are busy anyway; on idle cores it is one.
const CLIENTS: u32 = 4;

/// Connections that call a quick function without a pause.
const CONNECTIONS: usize = 16;

/// The time limit of the neighbours, in ms.
const SPIN_MS: u32 = 3_000;

/// Most lateness that is wanted, p99, in ms.
const GOAL_IDLE_MS: f64 = 3.0;
const GOAL_SATURATED_MS: f64 = 20.0;

pub(super) fn run(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    let site = Site::new(&given.mayfly, "")?;
    let manifest = format!("timeout = {}\n", f64::from(TIMEOUT_MS) / 1e3);
    site.put_with("late", &manifest, &assemble(&guest("loop")))?;
    site.put("hello", &given.sdk.wasm)?;
    put_spinner(&site, SPIN_MS)?;
    let host = site.start()?;

    let late = measure(&host, 1)?;
    report(figures, "on idle cores", &late, GOAL_IDLE_MS)?;

    let spinning = Neighbour::spinning(&host, SPIN_MS)?;
    let asking = Neighbour::asking(&host, CONNECTIONS, super::hello("hello"));
    let late = measure(&host, CLIENTS)?;
    asking.stop()?;
    spinning.stop()?;
    let what =
        format!("beside {SPINNERS} guests that spin and {CONNECTIONS} connections without a pause");
    report(figures, &what, &late, GOAL_SATURATED_MS)?;

    let strangers = Strangers::start()?;
    let late = measure(&host, CLIENTS)?;
    drop(strangers);
    let what = "beside another program on each core";
    report(figures, what, &late, GOAL_SATURATED_MS)?;

    host.stop()?;
    Ok(())
}

fn report(
    figures: &mut Figures,
    situation: &str,
    late: &[Duration],
    goal_ms: f64,
) -> anyhow::Result<()> {
    let late = Percentiles::of_ms(late)?;
    figures.note(format!("p50 {situation}"), late.median(), "ms");
    figures.judge(
        format!("p99 {situation}"),
        (late.percentile(99), "ms"),
        goal_ms,
    );
    figures.note(format!("most {situation}"), late.most(), "ms");
    Ok(())
}

/// How late [`EVENTS`] were, called by `clients` at once.
fn measure(host: &Host, clients: u32) -> anyhow::Result<Vec<Duration>> {
    // The first one also loads the code.
    call(host, 1)?;
    let calls: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|_| scope.spawn(|| call(host, EVENTS.div_ceil(clients))))
            .collect();
        let joined = clients.into_iter().map(|client| super::join(client.join()));
        joined.collect::<anyhow::Result<_>>()
    })?;
    let calls: Vec<(String, Duration)> = calls.concat();
    check_records(host, &calls)?;
    let timeout = super::millis(TIMEOUT_MS);
    let late = calls.iter().map(|(id, took)| {
        took.checked_sub(timeout)
            .with_context(|| format!("{id} was answered before its deadline, after {took:?}"))
    });
    late.collect()
}

/// Calls the function one time after the other; request ids, and how long each answer took.
fn call(host: &Host, events: u32) -> anyhow::Result<Vec<(String, Duration)>> {
    let mut client = host.connect()?;
    let request = Request::get("/late");
    let mut calls = Vec::new();
    for _ in 0..events {
        let (response, took) = client.ask(&request)?;
        let status = response.status;
        ensure!(
            status == 504,
            "a wrong answer: {status} {}",
            response.text()
        );
        calls.push((response.request_id(), took));
    }
    Ok(calls)
}

/// Each event has a record, which says that it timed out and was billed up to its limit.
fn check_records(host: &Host, calls: &[(String, Duration)]) -> anyhow::Result<()> {
    let limit = f64::from(TIMEOUT_MS);
    let records = host.records("late")?;
    let recorded: HashSet<&str> = records
        .iter()
        .filter(|record| record["status"] == "timeout" && record["duration_ms"] == limit)
        .filter_map(|record| record["request_id"].as_str())
        .collect();
    for (id, _) in calls {
        ensure!(
            recorded.contains(id.as_str()),
            "{id} is not recorded as a timeout"
        );
    }
    Ok(())
}
