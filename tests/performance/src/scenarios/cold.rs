//! The first request of a function whose code is compiled and not loaded, compared to its second.
//!
//! The files of the code lie in the page cache, as they do after a restart of the server; a machine that
//! was just booted reads them from its disk.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use support::Request;

use super::Given;
use super::figures::{Figures, ms};
use super::memory::{Held, each};
use super::percentiles::Percentiles;
use super::site::{Client, Host, Site};
use crate::guests;

/// Functions, each with code of its own.
const FUNCTIONS: u32 = 300;

/// How often the server is started again, and each function called.
const RESTARTS: u32 = 3;

/// Most that loading may add to a request, p99, in ms.
const GOAL_MS: f64 = 1.0;

pub(super) fn run(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    let site = Site::new(&given.mayfly, "")?;
    for number in 0..FUNCTIONS {
        let name = name(number);
        site.put(&name, &given.sdk.tagged(&name))?;
    }
    site.put("other", &given.sdk.wasm)?;
    // Compiles everything.
    site.start()?.stop()?;

    let mut calls = Vec::new();
    let (mut private_kib, mut written_kib) = (Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        let host = site.start()?;
        let mut client = host.connect()?;
        // The connection and the way through the server are as warm as they get.
        for _ in 0..100 {
            ask(&mut client, "other")?;
        }
        let before = Held::by(host.pid())?;
        let found = call_all(&mut client)?;
        let after = Held::by(host.pid())?;
        let each = |before, after| each(before, after, u64::from(FUNCTIONS));
        private_kib.push(each(before.private_kib(), after.private_kib()));
        written_kib.push(each(before.private_dirty_kib, after.private_dirty_kib));
        calls.extend(with_init(&host, found)?);
        host.stop()?;
    }
    report(figures, &calls)?;
    for (what, kib) in [
        ("private memory of a loaded function", private_kib),
        ("… of that written, the rest is mapped code", written_kib),
    ] {
        figures.note(what, Percentiles::of(kib)?.median(), "KiB");
    }
    Ok(())
}

/// Two requests of one function.
#[derive(Debug)]
struct Calls {
    /// Of the first.
    id: String,
    cold: Duration,
    warm: Duration,
    /// What the record of the first says of loading, in ms.
    init_ms: f64,
}

fn report(figures: &mut Figures, calls: &[Calls]) -> anyhow::Result<()> {
    let percentiles = |value: fn(&Calls) -> f64| Percentiles::of(calls.iter().map(value).collect());
    let added = percentiles(|calls| ms(calls.cold) - ms(calls.warm))?;
    for (what, percentiles) in [
        ("first request", percentiles(|calls| ms(calls.cold))?),
        ("second request", percentiles(|calls| ms(calls.warm))?),
        (
            "Init Duration of the record",
            percentiles(|calls| calls.init_ms)?,
        ),
    ] {
        figures.note(format!("{what}, p50"), percentiles.median(), "ms");
        figures.note(format!("{what}, p99"), percentiles.percentile(99), "ms");
    }
    figures.note("added by loading, p50", added.median(), "ms");
    figures.judge(
        "added by loading, p99",
        (added.percentile(99), "ms"),
        GOAL_MS,
    );
    Ok(())
}

fn name(number: u32) -> String {
    format!("cold-{number:04}")
}

fn ask(client: &mut Client, name: &str) -> anyhow::Result<(String, Duration)> {
    let request = Request::post(&format!("/{name}"), guests::JSON);
    let (response, took) = client.expect(&request, (200, guests::ANSWER))?;
    Ok((response.request_id(), took))
}

/// Each function twice, one after the other.
fn call_all(client: &mut Client) -> anyhow::Result<Vec<Calls>> {
    let twice = (0..FUNCTIONS).map(|number| {
        let name = name(number);
        let (id, cold) = ask(client, &name)?;
        let (_, warm) = ask(client, &name)?;
        let init_ms = 0.0;
        Ok(Calls {
            id,
            cold,
            warm,
            init_ms,
        })
    });
    twice.collect()
}

/// With what the records say; every first request must have loaded code.
fn with_init(host: &Host, calls: Vec<Calls>) -> anyhow::Result<Vec<Calls>> {
    let limit = FUNCTIONS * 2;
    let records = host.control(&format!("/mayfly/billing?limit={limit}"))?;
    let records = records.as_array().context("not a list")?;
    let init: HashMap<&str, f64> = records
        .iter()
        .filter_map(|record| Some((record["request_id"].as_str()?, record["init_ms"].as_f64()?)))
        .collect();
    let known = calls.into_iter().map(|mut calls| {
        let init_ms = init.get(calls.id.as_str());
        calls.init_ms = *init_ms.with_context(|| format!("{} loaded nothing", calls.id))?;
        Ok(calls)
    });
    known.collect()
}
