//! Nothing that a guest wrote is there for the next one.

use support::guests::guest;
use support::load::Load;
use support::{Request, count, report};

use crate::zoo::Zoo;

#[test]
fn a_guest_that_looks_for_what_others_left_finds_nothing() {
    let zoo = Zoo::open();
    let host = &zoo.host;
    host.deploy_with("fill", "timeout = 20\n", &guest("fill"));
    host.deploy_with("scan", "timeout = 20\n", &guest("scan"));
    host.deploy_with("fill-on", "timeout = 0.05\n", &guest("fill-on"));
    let alternations = count(300, 100_000);
    let requests = [Request::get("/fill"), Request::get("/scan")];
    let load = Load::start(host.http(), &requests, 2, None);
    // Now and then one is ended in the middle of its writing.
    while load.answered() < 2 * alternations {
        assert_eq!(host.get("/fill-on").status, 504);
    }
    let shots = load.stop();
    let mut scans = 0;
    for shot in &shots {
        let response = shot.answer.as_ref().unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        scans += usize::from(response.text() == "0");
    }
    assert!(scans * 2 + 4 >= shots.len(), "{scans} of {}", shots.len());
    let failed = host
        .ledger()
        .entries
        .iter()
        .filter(|e| e["function"] == "scan" && e["status"] != "success")
        .count();
    assert_eq!(failed, 0);
    report(
        "alternations through HTTP, stale bytes found",
        format!("{scans}, 0"),
    );
    zoo.close();
}
