//! The rounds: everyone in turn, one server at a time, on the same core.
//!
//! Knows nothing of who takes part, and nothing of how figures are shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Serialize;

use crate::builds;
use crate::contestants::{Contestant, Program, Programs};
use crate::cores;
use crate::guests::{self, Guests, Places};
use crate::load::{Load, Measured, count};
use crate::machine::Machine;
use crate::server::{Server, free_address};
use crate::table;

/// Before anything is counted: caches, branch predictors, pools.
const WARM_UP: Duration = Duration::from_secs(1);

/// Compares Mayfly with its ceiling and its peers.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Compare {
    /// How often everyone has a turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Seconds of each of the two phases of a turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,

    /// Connections, all kept alive
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,

    /// Requests per second while latency is measured
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,

    /// Core of the server [default: the last that may be used]
    #[arg(long, value_name = "CORE")]
    server_core: Option<usize>,

    /// Core of the load generator [default: the first that may be used]
    #[arg(long, value_name = "CORE")]
    load_core: Option<usize>,

    /// Only those whose names contain one of these
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,

    /// Write every figure of every round to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    #[command(flatten)]
    programs: Programs,
}

/// What was chosen; the same for everyone.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Settings {
    pub(crate) rounds: u32,
    pub(crate) seconds: u64,
    pub(crate) connections: u32,
    pub(crate) rate_per_second: u32,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
}

/// One turn of one contestant. Times in µs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Turn {
    /// From its start to its first right answer, compiling included.
    pub(crate) ready_ms: f64,
    /// Requests of the closed loop.
    pub(crate) requests: u64,
    /// Requests per second of the closed loop.
    pub(crate) throughput: f64,
    /// CPU time of the server and its children for each request of the closed loop.
    pub(crate) cpu_us: f64,
    /// The part of the closed loop that the server was busy, 0 to 1.
    pub(crate) server_busy: f64,
    /// The same of the load generator.
    pub(crate) load_busy: f64,
    /// Latencies at the fixed rate.
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
    /// CPU time of the server for each request at the fixed rate.
    pub(crate) paced_cpu_us: f64,
    /// Most memory that was resident in both phases, in KiB.
    pub(crate) memory_peak_kib: u64,
}

/// A contestant and its turns, one for each round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    #[serde(serialize_with = "name")]
    pub(crate) contestant: Contestant,
    pub(crate) version: String,
    pub(crate) turns: Vec<Turn>,
}

/// One that does not take part, and how to change that.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Missing {
    #[serde(serialize_with = "name")]
    pub(crate) contestant: Contestant,
    pub(crate) how_to_get_it: &'static str,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) machine: Machine,
    pub(crate) settings: Settings,
    pub(crate) entries: Vec<Entry>,
    pub(crate) missing: Vec<Missing>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn name<S: serde::Serializer>(contestant: &Contestant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(contestant.name())
}

/// Runs the rounds and prints the table.
///
/// # Errors
///
/// A guest that can't be built, a server that does not start, a wrong answer.
pub(crate) fn run(compare: &Compare) -> anyhow::Result<()> {
    let places = Places::find()?;
    let available = cores::available()?;
    let (first, last) = (available.first().copied(), available.last().copied());
    let settings = Settings {
        rounds: compare.rounds,
        seconds: compare.seconds,
        connections: compare.connections,
        rate_per_second: compare.rate,
        server_core: compare.server_core.or(last).context("no cores")?,
        load_core: compare.load_core.or(first).context("no cores")?,
    };
    ensure!(
        settings.server_core != settings.load_core,
        "server and load generator need a core each; choose with --server-core and --load-core"
    );
    builds::release(&places)?;
    if compare.programs.dist {
        builds::dist(&places)?;
    }
    let (takes_part, missing) = find_all(compare, &places)?;
    let mayfly = places.target.join("release/mayfly");
    eprintln!("building the guests");
    let guests = Guests::build(&places, &mayfly)?;
    let machine = Machine::look(&places.checkout, available.len());
    let setting = Setting {
        places,
        guests,
        settings,
    };
    let entries = setting.rounds(takes_part)?;
    let run = Run {
        machine,
        settings: setting.settings,
        entries,
        missing,
    };
    println!("{}", table::render(&run));
    if let Some(path) = &compare.json {
        crate::write_json(path, &run)?;
    }
    Ok(())
}

type TakesPart = Vec<(Contestant, Program)>;

fn find_all(compare: &Compare, places: &Places) -> anyhow::Result<(TakesPart, Vec<Missing>)> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    let wanted = |contestant: &Contestant| {
        let name = contestant.name();
        compare.only.is_empty() || compare.only.iter().any(|part| name.contains(part))
    };
    for contestant in Contestant::ALL.into_iter().filter(wanted) {
        match contestant.find(&compare.programs, places) {
            Ok(program) => found.push((contestant, program)),
            Err(how_to_get_it) => missing.push(Missing {
                contestant,
                how_to_get_it,
            }),
        }
    }
    for Missing {
        contestant,
        how_to_get_it,
    } in &missing
    {
        eprintln!("{} does not take part: {how_to_get_it}", contestant.name());
    }
    ensure!(!found.is_empty(), "nobody takes part");
    Ok((found, missing))
}

/// What every turn needs.
struct Setting {
    places: Places,
    guests: Guests,
    settings: Settings,
}

impl Setting {
    fn rounds(&self, takes_part: TakesPart) -> anyhow::Result<Vec<Entry>> {
        let mut entries: Vec<(Entry, PathBuf)> = takes_part
            .into_iter()
            .map(|(contestant, Program { path, version })| {
                (
                    Entry {
                        contestant,
                        version,
                        turns: Vec::new(),
                    },
                    path,
                )
            })
            .collect();
        for round in 1..=self.settings.rounds {
            // There and back, so that nobody always follows the same one.
            let order: Vec<&mut (Entry, PathBuf)> = if round % 2 == 1 {
                entries.iter_mut().collect()
            } else {
                entries.iter_mut().rev().collect()
            };
            for (entry, program) in order {
                let name = entry.contestant.name();
                let turn = self
                    .turn(entry.contestant, program)
                    .with_context(|| format!("{name}, round {round}"))?;
                eprintln!(
                    "round {round} of {}: {name}: {:.0} requests/s, {:.1} µs of CPU each, p99 {:.0} µs",
                    self.settings.rounds, turn.throughput, turn.cpu_us, turn.p99_us
                );
                entry.turns.push(turn);
            }
        }
        Ok(entries.into_iter().map(|(entry, _)| entry).collect())
    }

    fn turn(&self, contestant: Contestant, program: &Path) -> anyhow::Result<Turn> {
        let scratch = self.places.scratch();
        std::fs::create_dir_all(&scratch)?;
        let folder = tempfile::tempdir_in(&scratch).context("making a folder failed")?;
        let address = free_address()?;
        let command = contestant.command(program, &self.guests, address, folder.path());
        let cores = [self.settings.server_core];
        let mut server = Server::start(command, address, &cores, folder.path())?;
        let ready = server.wait_until_answering(&guests::exchange())?;
        let turn = cores::on(&[self.settings.load_core], || self.measure(&server, ready));
        let turn = turn.with_context(|| server.printed())?;
        server.stop()?;
        Ok(turn)
    }

    fn measure(&self, server: &Server, ready: Duration) -> anyhow::Result<Turn> {
        let settings = &self.settings;
        let connections = usize::try_from(settings.connections)?;
        let duration = Duration::from_secs(settings.seconds);
        let mut load = Load::connect(server.address(), connections, guests::exchange())?;

        load.closed(WARM_UP)?;
        server.forget_memory_peak()?;
        let (closed, closed_cpu) = with_cpu(server, || load.closed(duration))?;
        let rate = f64::from(settings.rate_per_second);
        let (paced, paced_cpu) = with_cpu(server, || load.paced(duration, rate))?;

        let us = |time: Duration| time.as_secs_f64() * 1e6;
        let latency = |quantile| us(paced.latency(quantile));
        Ok(Turn {
            ready_ms: ready.as_secs_f64() * 1e3,
            requests: closed.requests,
            throughput: closed.throughput(),
            cpu_us: us(closed_cpu) / count(closed.requests),
            server_busy: closed_cpu.as_secs_f64() / closed.elapsed.as_secs_f64(),
            load_busy: closed.busy_part(),
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            p999_us: latency(0.999),
            max_us: latency(1.0),
            paced_cpu_us: us(paced_cpu) / count(paced.requests),
            memory_peak_kib: server.memory()?.peak_kib,
        })
    }
}

/// What a phase measured, and the server's CPU time meanwhile.
fn with_cpu(
    server: &Server,
    phase: impl FnOnce() -> anyhow::Result<Measured>,
) -> anyhow::Result<(Measured, Duration)> {
    let before = server.cpu()?;
    let measured = phase()?;
    Ok((measured, server.cpu()?.since(&before)))
}
