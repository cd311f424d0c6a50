//! Memory: the limit holds inside the guest, and what is reported is what was used.

use support::guests::{guest, guest_with};

use crate::zoo::{Expected, OUT_OF_MEMORY, Zoo};

#[test]
fn memory_ends_at_the_limit_and_a_guest_that_lives_with_it_answers() {
    let zoo = Zoo::open();
    let manifest = "memory_mb = 16\ntimeout = 10\n";
    zoo.check("grow", manifest, &guest("grow"), Expected::Answers("256"));
    zoo.check(
        "grow-or-die",
        manifest,
        &guest("grow-or-die"),
        OUT_OF_MEMORY,
    );
    zoo.check(
        "grow-and-fail",
        manifest,
        &guest("grow-and-fail"),
        Expected::Answers("1"),
    );
    zoo.check(
        "grow-table",
        manifest,
        &guest("grow-table"),
        Expected::Answers("1"),
    );
    zoo.close();
}

#[test]
fn max_memory_used_is_what_was_grown_and_never_more_than_the_limit() {
    let zoo = Zoo::open();
    let host = &zoo.host;
    for (name, pages, memory_mb, expected_mb) in [
        ("nothing", 0, 128, 1),
        ("one", 15, 128, 1),
        ("two", 16, 128, 2),
        ("twenty", 319, 128, 20),
        ("all", 2_047, 128, 128),
        ("little", 15, 1, 1),
    ] {
        let wat = guest_with("grow-by", &[("PAGES", &pages.to_string())]);
        host.deploy_with(name, &format!("memory_mb = {memory_mb}\n"), &wat);
        let response = host.get(&format!("/{name}"));
        assert_eq!(response.status, 200, "{name}");
        let record = host.record(&response.request_id());
        assert_eq!(
            record["max_memory_used_mb"], expected_mb,
            "{name}: {record}"
        );
        let report = host.log_of(name, &response.request_id()).pop().unwrap();
        assert!(
            report.contains(&format!("\tMax Memory Used: {expected_mb} MB\t")),
            "{report}"
        );
    }
    host.deploy_with("die", "memory_mb = 32\n", &guest("grow-or-die"));
    let record = host.record(&host.get("/die").request_id());
    assert_eq!(
        (&record["max_memory_used_mb"], &record["memory_mb"]),
        (&32.into(), &32.into())
    );
    let report = host
        .log_of("die", record["request_id"].as_str().unwrap())
        .pop()
        .unwrap();
    assert!(
        report.ends_with("\tStatus: error\tError Type: Runtime.OutOfMemory"),
        "{report}"
    );
    zoo.check_after("die");
    zoo.close();
}

#[test]
fn the_largest_limit_can_be_used_up() {
    let zoo = Zoo::open();
    // Grown and not touched: it costs address space only.
    let wat = guest_with("grow-by", &[("PAGES", "65534")]);
    zoo.check(
        "huge",
        "memory_mb = 4096\ntimeout = 20\n",
        &wat,
        Expected::Answers(""),
    );
    zoo.close();
}
