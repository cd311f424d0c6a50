//! Many functions: deploying them, starting with them, and what each one takes.
//!
//! Each is a small `sdk` module that answers with its own name, so that an answer of another one would
//! be seen.

use std::time::Duration;

use anyhow::ensure;
use support::Request;
use support::guests::{assemble, sdk_answering};

use super::Given;
use super::figures::{Figures, ms};
use super::memory::{Held, each};
use super::percentiles::Percentiles;
use super::site::{Host, Site};

/// Functions of the large server; the small one has one.
const FUNCTIONS: u32 = 10_000;

/// Starts that are measured, after the one that compiles.
const RESTARTS: usize = 5;

/// Longest start that is wanted, until a function answers, in s.
const GOAL_READY_S: f64 = 3.0;

/// Most private memory of a function that is wanted, in KiB.
const GOAL_PRIVATE_KIB: f64 = 40.0;

pub(super) fn run(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    let small = Deployed::new(given, 1)?;
    let (small_started, small_called) = small.memory()?;

    let large = Deployed::new(given, FUNCTIONS)?;
    figures.note(
        "first start, which compiles all",
        large.first.as_secs_f64(),
        "s",
    );
    let ready = (0..RESTARTS).map(|_| {
        let host = large.site.start()?;
        let ready = large.time_to_answer(&host)?;
        host.stop()?;
        Ok(ready.as_secs_f64())
    });
    let ready = Percentiles::of(ready.collect::<anyhow::Result<_>>()?)?;
    let what = "start until ready and answering, median of 5";
    figures.judge(what, (ready.median(), "s"), GOAL_READY_S);
    figures.note("start until ready and answering, most", ready.most(), "s");

    let (started, called) = large.memory()?;
    for (when, one, all) in [
        ("after the start", small_started, started),
        ("after each was called", small_called, called),
    ] {
        let count = u64::from(FUNCTIONS - 1);
        let private = each(one.private_kib(), all.private_kib(), count);
        let what = format!("private memory of each, {when}");
        figures.judge(what, (private, "KiB"), GOAL_PRIVATE_KIB);
        let written = each(one.private_dirty_kib, all.private_dirty_kib, count);
        figures.note(format!("… of that written, {when}"), written, "KiB");
        let count = crate::load::count;
        figures.note(format!("maps, {when}"), count(all.maps), "");
        figures.note(format!("descriptors, {when}"), count(all.descriptors), "");
    }
    let calls = large.calls()?;
    for (which, percentiles) in [("first", calls.0), ("second", calls.1)] {
        figures.note(
            format!("{which} request of each, in turn, p50"),
            percentiles.median(),
            "ms",
        );
        let p99 = percentiles.percentile(99);
        figures.note(format!("{which} request of each, in turn, p99"), p99, "ms");
    }
    Ok(())
}

/// A site with functions that were compiled.
struct Deployed {
    site: Site,
    count: u32,
    /// How long its first start took until it was ready.
    first: Duration,
}

impl Deployed {
    fn new(given: &Given, count: u32) -> anyhow::Result<Self> {
        let site = Site::new(&given.mayfly, "")?;
        for number in 0..count {
            let name = name(number);
            let answer = format!("\0{{\"statusCode\":200,\"body\":\"I am {name}\"}}");
            site.put(&name, &assemble(&sdk_answering(answer)))?;
        }
        let host = site.start()?;
        let first = host.ready_after();
        host.stop()?;
        Ok(Self { site, count, first })
    }

    /// From the start of the process until it said `ready`, was healthy, and the last function
    /// answered.
    fn time_to_answer(&self, host: &Host) -> anyhow::Result<Duration> {
        let health = host.control("/health")?;
        let (status, functions) = (&health["status"], &health["functions"]);
        ensure!(*status == "ok" && *functions == self.count, "{health}");
        call(host, self.count - 1..self.count)?;
        Ok(host.started().elapsed())
    }

    /// What a server holds after its start, and after each function was called once.
    fn memory(&self) -> anyhow::Result<(Held, Held)> {
        let host = self.site.start()?;
        let started = Held::by(host.pid())?;
        call(&host, 0..self.count)?;
        let called = Held::by(host.pid())?;
        host.stop()?;
        Ok((started, called))
    }

    /// How long the first and the second request of each function take, in ms.
    fn calls(&self) -> anyhow::Result<(Percentiles, Percentiles)> {
        let host = self.site.start()?;
        let first = Percentiles::of(call(&host, 0..self.count)?)?;
        let second = Percentiles::of(call(&host, 0..self.count)?)?;
        host.stop()?;
        Ok((first, second))
    }
}

fn name(number: u32) -> String {
    format!("many-{number:05}")
}

/// Calls functions one after the other on one connection; how long each answer took, in ms.
fn call(host: &Host, numbers: std::ops::Range<u32>) -> anyhow::Result<Vec<f64>> {
    let mut client = host.connect()?;
    let took = numbers.map(|number| {
        let name = name(number);
        let request = Request::get(&format!("/{name}"));
        let (_, took) = client.expect(&request, (200, &format!("I am {name}")))?;
        Ok(ms(took))
    });
    took.collect()
}
