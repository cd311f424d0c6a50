//! A quick function beside guests that spin until their time limit: what does a neighbour cost?
//!
//! Rounds alternate: alone, then beside the neighbours. Latency counts from when a request was due.

use std::time::Duration;

use super::Given;
use super::figures::{Figures, ms};
use super::neighbours::{Neighbour, SPINNERS, put_spinner};
use super::percentiles::Percentiles;
use super::site::Site;
use crate::load::{Load, Measured};

/// Requests a second: what two cores answer with ease.
const RATE: f64 = 3_500.0;

/// Connections of the quick function.
const CONNECTIONS: usize = 32;

/// Of one round, quiet or noisy.
const ROUND: Duration = Duration::from_secs(5);

/// Pairs of rounds.
const ROUNDS: usize = 5;

/// Time limits of the function that spins, in ms: the default, and a shorter one, with which new
/// guests start more often.
const SPIN_MS: [u32; 2] = [3_000, 1_000];

/// Most that a neighbour may cost: noisy p99 to quiet p99.
const GOAL_RATIO: f64 = 2.0;

pub(super) fn run(given: &Given, figures: &mut Figures) -> anyhow::Result<()> {
    for spin_ms in SPIN_MS {
        let site = Site::new(&given.mayfly, "")?;
        site.put("hello", &given.sdk.wasm)?;
        put_spinner(&site, spin_ms)?;
        let host = site.start()?;
        let mut load = Load::connect(host.http(), CONNECTIONS, super::hello("hello"))?;
        let _warm = load.paced(Duration::from_secs(1), RATE)?;

        let (mut quiet, mut noisy) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            quiet.push(load.paced(ROUND, RATE)?);
            let neighbours = Neighbour::spinning(&host, spin_ms)?;
            noisy.push(load.paced(ROUND, RATE)?);
            neighbours.stop()?;
        }
        host.stop()?;
        report(figures, spin_ms, (&quiet, &noisy))?;
    }
    Ok(())
}

fn report(
    figures: &mut Figures,
    spin_ms: u32,
    (quiet, noisy): (&[Measured], &[Measured]),
) -> anyhow::Result<()> {
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        for (which, rounds) in [("quiet", quiet), ("noisy", noisy)] {
            let latencies = rounds.iter().map(|round| ms(round.latency(quantile)));
            let median = Percentiles::of(latencies.collect())?.median();
            let what = format!("hello {name}, {which}, guests spin {spin_ms} ms");
            figures.note(what, median, "ms");
        }
    }
    let ratios = quiet.iter().zip(noisy).map(|(quiet, noisy)| {
        noisy.latency(0.99).as_secs_f64() / quiet.latency(0.99).as_secs_f64()
    });
    let ratios = Percentiles::of(ratios.collect())?;
    let what = format!("hello p99 beside {SPINNERS} guests that spin {spin_ms} ms, to quiet p99");
    figures.judge(what, (ratios.median(), "x"), GOAL_RATIO);
    figures.note("… of the round with the least", ratios.percentile(0), "x");
    figures.note("… of the round with the most", ratios.most(), "x");
    Ok(())
}
