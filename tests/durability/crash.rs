//! A server that is killed again and again under load, judged by a process that is not.
//!
//! The oracle (`tests/oracle`) sends requests and events and remembers every answer; this kills the
//! server at moments that a seed chooses (SIGKILL under load, in the middle of a drain, while it starts,
//! after a pause by SIGSTOP), starts it again on the same data, and asks the oracle whether anything that
//! was promised is broken.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use support::guests::{guest_with, printing, speaking};
use support::process::Process;
use support::wait::{Stopwatch, pass};
use support::{Site, TestHost, is_long, report};

/// Kills when nobody says how many.
const KILLS: u64 = 20;

/// Of each kind, requests and events, a second.
const RATE_SHORT: u32 = 120;
const RATE_LONG: u32 = 500;

/// Mean time until a kill.
const MEAN: Duration = Duration::from_millis(300);

/// The judge, in a process of its own.
struct Oracle {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    collector: String,
}

impl Oracle {
    fn start(site: &Site) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_oracle"))
            .arg(site.root().join("oracle"))
            .arg(site.credentials())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut oracle = Self {
            child,
            commands,
            answers,
            collector: String::new(),
        };
        let first = oracle.read();
        first
            .strip_prefix("collector ")
            .unwrap()
            .clone_into(&mut oracle.collector);
        oracle
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        let _read = self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn tell(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").unwrap();
        self.read()
    }

    fn begin(&mut self, host: &TestHost, rate: u32) {
        let command = format!("start {} {} {rate}", host.http(), host.control());
        assert_eq!(self.tell(&command), "started");
    }

    fn end(&mut self) {
        let stopped = self.tell("stop");
        assert!(stopped.starts_with("stopped "), "{stopped}");
    }

    /// What the oracle found, or its complaint.
    #[track_caller]
    fn judge(&mut self, how: &str, host: &TestHost, round: &str) -> Value {
        let said = self.tell(&format!("{how} {} {}", host.http(), host.control()));
        let figures = said.strip_prefix("ok ");
        assert!(figures.is_some(), "{round}: {said}\n{}", host.diagnosis());
        serde_json::from_str(figures.unwrap()).unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Random numbers that are the same for the same seed (`SplitMix64`).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A time with an exponential distribution around this mean.
    #[expect(clippy::cast_precision_loss, reason = "a random number")]
    fn exponential(&mut self, mean: Duration) -> Duration {
        let unit = ((self.next() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        mean.mul_f64(-unit.ln())
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "any seed will do, and it is printed"
)]
fn any_seed() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |since| u64::from(since.subsec_nanos()))
}

fn deploy(host: &TestHost, collector: &str) {
    let destination = format!(
        "[async]\non_success = \"http://{collector}/\"\non_failure = \"http://{collector}/\"\n"
    );
    let slow = guest_with("sleep", &[("MS", "40")]);
    let late = guest_with("sleep", &[("MS", "60000")]);
    let bad = speaking("{\"errorMessage\":\"no\"}", "a line\n", 1);
    host.deploy_with("good", &destination, &printing("1"));
    host.deploy_with("bad", &destination, &bad);
    host.deploy_with("slow", &destination, &slow);
    host.deploy_with("late", &format!("timeout = 0.02\n{destination}"), &late);
}

/// Ends a server in one of the ways that a crash or an operator does.
fn end(host: TestHost, random: &mut Random) -> &'static str {
    pass(random.exponential(MEAN));
    match random.below(20) {
        0..2 => {
            host.process().signal(Signal::STOP);
            pass(Duration::from_millis(random.below(400)));
            host.process().signal(Signal::CONT);
            pass(Duration::from_millis(random.below(30)));
            host.kill();
            "paused and killed"
        }
        2..5 => {
            host.terminate();
            pass(Duration::from_millis(random.below(60)));
            host.kill();
            "killed in its drain"
        }
        5 => {
            host.terminate();
            host.terminate();
            host.wait_end();
            "stopped twice"
        }
        6 => {
            host.terminate();
            host.wait_end();
            "drained"
        }
        _ => {
            host.kill();
            "killed"
        }
    }
}

#[test]
fn a_server_that_is_killed_again_and_again_keeps_every_promise() {
    let seed = number("MAYFLY_SEED").unwrap_or_else(any_seed);
    let usual = if is_long() { 1_000 } else { KILLS };
    let kills = number("MAYFLY_KILLS").unwrap_or(usual);
    let rate = if kills > 100 { RATE_LONG } else { RATE_SHORT };
    report("seed of the kills (MAYFLY_SEED)", seed);
    let mut random = Random(seed);

    let site = Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "20")
        .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "40")
        .env("MAYFLY_QUEUE_REFUSED_MS", "10")
        .env("MAYFLY_QUEUE_REFUSED_MAX_MS", "100")
        .env("MAYFLY_DRAIN_TIMEOUT_MS", "2000")
        .build();
    let mut oracle = Oracle::start(&site);
    let allow = format!(
        "[destinations]\nallow = [\"http://{}\"]\n",
        oracle.collector
    );
    site.configure(&allow);
    let mut slowest_start = Duration::ZERO;
    let (mut stopping, mut judging) = (Duration::ZERO, Duration::ZERO);
    let mut host = site.start();
    deploy(&host, &oracle.collector);
    let mut crashes = 0;
    for round in 1..=kills {
        oracle.begin(&host, rate);
        let how = end(host, &mut random);
        let watch = Stopwatch::start();
        oracle.end();
        stopping += watch.elapsed();
        crashes += 1;
        while random.below(6) == 0 {
            // Again, while it recovers.
            let mut starting = Process::start(&mut site.serve_command(&[]));
            pass(Duration::from_millis(random.below(120)));
            starting.kill();
            crashes += 1;
        }
        let watch = Stopwatch::start();
        host = site.start();
        slowest_start = slowest_start.max(watch.elapsed());
        let round = format!("seed {seed}, round {round}, {how}");
        // Reading everything takes longer and longer.
        if kills <= 100 || random.below(20) == 0 {
            let watch = Stopwatch::start();
            let _figures = oracle.judge("check", &host, &round);
            judging += watch.elapsed();
        }
    }
    let figures = oracle.judge("settle", &host, &format!("seed {seed}, at the end"));
    report("ends of the server", crashes);
    report("ms of waiting for last answers", stopping.as_millis());
    report("ms of judging", judging.as_millis());
    report("slowest start, ms", slowest_start.as_millis());
    report(
        "0 accepted events lost, 0 records missing, 0 doubled; of",
        &figures,
    );
    let succeeded = figures["events"]["succeeded"].as_u64().unwrap_or(0);
    let dead = figures["events"]["dead"].as_u64().unwrap_or(0);
    assert!(succeeded > 0 && dead > 0, "the load did nothing: {figures}");
}
