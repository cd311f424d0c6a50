//! From copying a module into the functions folder to the first answer of its function.
//!
//! A client asks every millisecond; each copy is another artifact, which is compiled from scratch.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use support::Request;

use super::figures::{Figures, ms};
use super::percentiles::Percentiles;
use super::site::{Host, Site};
use super::{Given, Hello};
use crate::guests;

/// Copies of each module: enough that the p99 is not just the slowest one.
const ROUNDS: u32 = 100;

/// Between two questions.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// How long the first answer may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest wait for the first answer that is wanted, p99, in ms.
const GOAL_MS: f64 = 300.0;

pub(super) fn run(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    let site = Site::new(&given.mayfly, "")?;
    let host = site.start()?;
    for (kind, hello) in [("sdk", &given.sdk), ("command", &given.command)] {
        let rounds = (0..ROUNDS).map(|round| drop_one(&site, &host, (kind, round), hello));
        let waits = Percentiles::of(rounds.collect::<anyhow::Result<_>>()?)?;
        let kib = hello.wasm.len() >> 10;
        figures.note(
            format!("first answer, {kind} of {kib} KiB, p50"),
            waits.median(),
            "ms",
        );
        let what = format!("first answer, {kind} of {kib} KiB, p99");
        figures.judge(what, (waits.percentile(99), "ms"), GOAL_MS);
    }
    host.stop()?;
    Ok(())
}

/// Copies a module, and waits for the first answer; how long that took, in ms.
fn drop_one(
    site: &Site,
    host: &Host,
    (kind, round): (&str, u32),
    hello: &Hello,
) -> anyhow::Result<f64> {
    let name = format!("{kind}-{round:03}");
    let beside = site.beside("module");
    fs::write(&beside, hello.tagged(&name))?;
    let mut client = host.connect()?;
    let request = Request::post(&format!("/{name}"), guests::JSON);
    let start = Instant::now();
    fs::copy(&beside, site.place(&name))?;
    let mut asked = 0;
    loop {
        let (response, _) = client.ask(&request)?;
        match response.status {
            200 => {
                let text = response.text();
                ensure!(text == guests::ANSWER, "a wrong answer: {text}");
                return Ok(ms(start.elapsed()));
            }
            404 if start.elapsed() < PATIENCE => {}
            status => bail!("{name} answers with {status}: {}", response.text()),
        }
        asked += 1;
        sleep((ASK_EVERY * asked).saturating_sub(start.elapsed()));
    }
}
