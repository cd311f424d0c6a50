//! What a guest finds around it: what was configured, and nothing of ours.

use std::collections::BTreeMap;

use support::guests::guest;
use support::{Site, TestHost};

fn environment(host: &TestHost, name: &str) -> (BTreeMap<String, String>, String) {
    let response = host.get(&format!("/{name}"));
    assert_eq!(response.status, 200);
    let text = response.text();
    let pairs = text.split_terminator('\0').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    });
    (pairs.collect(), response.request_id())
}

#[test]
fn the_environment_is_exactly_what_was_configured() {
    let host = Site::builder()
        .env("CANARY_SECRET", "do-not-tell")
        .env("AWS_SECRET_ACCESS_KEY", "do-not-tell")
        .env("MAYFLY_REGION", "test-region-1")
        .start();
    host.deploy_with(
        "env",
        "memory_mb = 64\n[environment]\nTABLE = \"orders\"\nEMPTY = \"\"\nPATH = \"/nowhere\"\n",
        &guest("environment"),
    );
    let (mut found, id) = environment(&host, "env");
    let mut take = |name: &str| found.remove(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(take("TABLE"), "orders");
    assert_eq!(take("EMPTY"), "");
    assert_eq!(take("PATH"), "/nowhere");
    assert_eq!(take("AWS_LAMBDA_FUNCTION_NAME"), "env");
    assert_eq!(take("AWS_LAMBDA_FUNCTION_VERSION"), "$LATEST");
    assert_eq!(take("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), "64");
    assert_eq!(take("AWS_REGION"), "test-region-1");
    assert_eq!(take("AWS_LAMBDA_LOG_GROUP_NAME"), "/aws/lambda/env");
    let stream = take("AWS_LAMBDA_LOG_STREAM_NAME");
    assert!(stream.contains("[$LATEST]"), "{stream}");
    assert_eq!(take("MAYFLY_REQUEST_ID"), id);
    let arn = take("MAYFLY_FUNCTION_ARN");
    assert!(arn.starts_with("arn:aws:lambda:test-region-1:") && arn.ends_with(":function:env"));
    assert!(
        take("MAYFLY_DEADLINE_MS")
            .parse::<u64>()
            .is_ok_and(|ms| ms > 1_700_000_000_000)
    );
    assert!(found.is_empty(), "more than was configured: {found:?}");
}

#[test]
fn nothing_of_the_servers_environment_shows_anywhere() {
    let host = Site::builder().env("CANARY_SECRET", "do-not-tell").start();
    host.deploy_with(
        "env",
        "[environment]\nTOKEN = \"of-the-function\"\n",
        &guest("environment"),
    );
    let (found, _) = environment(&host, "env");
    assert!(!found.values().any(|value| value.contains("do-not-tell")));
    for target in [
        "/metrics",
        "/health",
        "/mayfly/functions",
        "/mayfly/billing",
        "/mayfly/logs/env",
    ] {
        let said = host.control_send(&support::Request::get(target)).text();
        assert!(!said.contains("do-not-tell"), "{target}");
        assert!(!said.contains("of-the-function"), "{target}");
    }
    let said = [host.process().stdout.all(), host.process().stderr.all()]
        .concat()
        .join("\n");
    assert!(!said.contains("do-not-tell") && !said.contains("of-the-function"));
}

#[test]
fn deadlines_are_those_of_each_event() {
    let host = TestHost::start();
    host.deploy_with("env", "timeout = 7\n", &guest("environment"));
    let (first, first_id) = environment(&host, "env");
    let (second, second_id) = environment(&host, "env");
    assert_ne!(first_id, second_id);
    let number =
        |pairs: &BTreeMap<String, String>| pairs["MAYFLY_DEADLINE_MS"].parse::<u64>().unwrap();
    assert!(number(&second) >= number(&first));
    let started = host.record(&first_id);
    assert!(started["started_at"].is_string());
}
