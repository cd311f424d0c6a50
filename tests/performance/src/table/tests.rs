//! Tables of a run that is made up.

use super::*;
use crate::compare::{Missing, Settings};
use crate::machine::Machine;

fn turn(throughput: f64, cpu_us: f64) -> Turn {
    Turn {
        ready_ms: 100.0,
        requests: 3_000,
        throughput,
        cpu_us,
        server_busy: 1.0,
        load_busy: 0.5,
        p50_us: 100.0,
        p99_us: 200.0,
        p999_us: 300.0,
        max_us: 400.0,
        paced_cpu_us: cpu_us,
        memory_peak_kib: 10_240,
    }
}

fn entry(contestant: Contestant, figures: [(f64, f64); 3]) -> Entry {
    Entry {
        contestant,
        version: "1.0".to_owned(),
        turns: figures
            .map(|(throughput, cpu_us)| turn(throughput, cpu_us))
            .to_vec(),
    }
}

fn run() -> Run {
    let machine = Machine {
        processor: "Abacus".to_owned(),
        cores: 2,
        memory_mib: 1_024,
        swap: false,
        kernel: "6.1".to_owned(),
        load_before: "0.10".to_owned(),
        rustc: "rustc 1".to_owned(),
        commit: "abc".to_owned(),
    };
    let settings = Settings {
        rounds: 3,
        seconds: 3,
        connections: 64,
        rate_per_second: 2_000,
        server_core: 1,
        load_core: 0,
    };
    let sdk = Contestant::Mayfly(Guest::Sdk, Profile::Release);
    let reused = Contestant::Wasmtime(Instances::Reused);
    let hyper = Contestant::Hyper(Profile::Release);
    Run {
        machine,
        settings,
        entries: vec![
            entry(
                hyper,
                [(100_000.0, 10.0), (50_000.0, 20.0), (100_000.0, 10.0)],
            ),
            entry(sdk, [(50_000.0, 20.0), (25_000.0, 40.0), (40_000.0, 25.0)]),
            entry(
                reused,
                [(45_000.0, 22.0), (25_000.0, 40.0), (40_000.0, 20.0)],
            ),
        ],
        missing: vec![Missing {
            contestant: Contestant::Workerd,
            how_to_get_it: "install it",
        }],
    }
}

#[test]
fn a_row_has_the_medians_of_its_rounds() {
    let text = render(&run());
    let row = "| mayfly-sdk      |      40000 |   25.0 |    100 |    200 |      300 |       10.0 |";
    assert!(text.contains(row), "{text}");
}

#[test]
fn goals_are_ratios_of_rounds_and_a_missed_one_says_so() {
    let text = render(&run());
    let goal = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    let cpu = goal("| CPU per request, mayfly-sdk to wasmtime-reused ");
    assert!(
        cpu.contains("| <= 1 ") && cpu.contains("0.91 to 1.25"),
        "{cpu}"
    );
    assert!(cpu.contains(" 1.00 ") && cpu.contains("| met "), "{cpu}");
    let throughput = goal("| throughput, mayfly-sdk to hyper ");
    assert!(
        throughput.contains(" 0.50 ") && throughput.contains("| met "),
        "{throughput}"
    );

    let mut slow = run();
    for turn in &mut slow.entries[1].turns {
        turn.throughput /= 2.0;
    }
    let text = render(&slow);
    let missed = text
        .lines()
        .filter(|line| line.ends_with("| missed |"))
        .count();
    assert_eq!(missed, 1, "{text}");
}

#[test]
fn throughput_of_a_server_that_was_not_busy_decides_nothing() {
    for starved in [0, 1] {
        let mut run = run();
        // One good round does not make it clear.
        for turn in &mut run.entries[starved].turns[..2] {
            turn.server_busy = 0.79;
        }
        let text = render(&run);
        let verdict = |start: &str| {
            let goal = text.lines().find(|line| line.starts_with(start)).unwrap();
            goal.split('|').rev().nth(1).unwrap().trim().to_owned()
        };
        let throughput = verdict("| throughput, mayfly-sdk to hyper ");
        assert_eq!(throughput, "unclear", "{text}");
        let cpu = verdict("| CPU per request, mayfly-sdk to wasmtime-reused ");
        assert_eq!(cpu, "met", "{text}");
    }
}

#[test]
fn who_did_not_take_part_is_named_and_has_no_goals() {
    let text = render(&run());
    assert!(
        text.ends_with("workerd did not take part: install it"),
        "{text}"
    );
    assert!(!text.contains("wasmtime-tuned"), "{text}");
}
