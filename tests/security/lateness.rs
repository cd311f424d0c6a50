//! How long after its deadline a guest is answered for. Reported, and not asserted: other tests run
//! beside this one.

use std::time::Duration;

use support::guests::{guest, guest_with};
use support::wait::Stopwatch;
use support::{TestHost, count, report};

const TIMEOUT: Duration = Duration::from_millis(200);

#[test]
fn timeouts_are_answered_close_to_the_deadline() {
    let host = TestHost::start();
    let manifest = "timeout = 0.2\n";
    host.deploy_with("loop", manifest, &guest("loop"));
    host.deploy_with("sleep", manifest, &guest_with("sleep", &[("MS", "600000")]));
    host.deploy_with("loop-at-start", manifest, &guest("loop-at-start"));
    host.deploy_with("fill-on", manifest, &guest("fill-on"));
    for name in ["loop", "sleep", "loop-at-start", "fill-on"] {
        let path = format!("/{name}");
        // The first one also loads the code.
        assert_eq!(host.get(&path).status, 504);
        let mut late: Vec<Duration> = (0..count(5, 100))
            .map(|_| {
                let watch = Stopwatch::start();
                let response = host.get(&path);
                let took = watch.elapsed();
                assert_eq!(response.status, 504);
                let record = host.record(&response.request_id());
                assert_eq!(
                    record["duration_ms"], 200.0,
                    "lateness is not billed: {record}"
                );
                took.saturating_sub(TIMEOUT)
            })
            .collect();
        late.sort_unstable();
        let (median, most) = (late[late.len() / 2], late[late.len() - 1]);
        let text = format!(
            "median {} µs, most {} µs",
            median.as_micros(),
            most.as_micros()
        );
        report(&format!("lateness of {name}"), text);
    }
}
