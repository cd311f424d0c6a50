//! Versions and aliases of a function: what answers, and by which name the function knows itself.

use serde_json::{Value, json};
use support::guests::{guest, printing};
use support::{Request, Site, TestHost, until};

fn post(host: &TestHost, path: &str, body: &Value) -> Value {
    let target = format!("/2015-03-31/functions/{path}");
    let response = host.control_send(&Request::post(&target, body.to_string()));
    assert_eq!(response.status, 201, "{target}: {}", response.text());
    response.json()
}

fn update_alias(host: &TestHost, path: &str, body: &Value) {
    let target = format!("/2015-03-31/functions/{path}");
    let request = Request::new("PUT", &target).with_body(body.to_string());
    let response = host.control_send(&request);
    assert_eq!(response.status, 200, "{target}: {}", response.text());
}

/// What answers, and the version that the answer says.
fn answer(host: &TestHost, name: &str) -> (String, String) {
    let response = host.invoke(name, "{}");
    let version = response.header("x-amz-executed-version").unwrap_or("none");
    (response.text(), version.to_owned())
}

fn answers(host: &TestHost, expected: &[(&str, &str, &str)]) {
    for (name, text, version) in expected {
        assert_eq!(
            answer(host, name),
            ((*text).to_owned(), (*version).to_owned()),
            "{name}"
        );
    }
}

#[test]
fn versions_and_aliases_of_a_dropped_function_answer_also_after_a_kill() {
    let site = Site::new();
    let host = site.start();
    host.deploy("f", &printing("1"));
    assert_eq!(post(&host, "f/versions", &json!({}))["Version"], "1");
    host.deploy("f", &printing("2"));
    assert_eq!(post(&host, "f/versions", &json!({}))["Version"], "2");
    assert_eq!(post(&host, "f/versions", &json!({}))["Version"], "2");
    host.deploy("f", &printing("3"));
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    post(&host, "f/aliases", &alias);
    update_alias(&host, "f/aliases/live", &json!({"FunctionVersion": "2"}));
    let expected = [
        ("f", "3", "$LATEST"),
        ("f:$LATEST", "3", "$LATEST"),
        ("f:1", "1", "1"),
        ("f:2", "2", "2"),
        ("f:live", "2", "2"),
        (
            "arn:aws:lambda:local:000000000000:function:f:live",
            "2",
            "2",
        ),
    ];
    answers(&host, &expected);
    assert_eq!(host.get("/f").text(), "3");
    host.kill();

    let host = site.start();
    answers(&host, &expected);
    let said = host.cli(&["rollback", "f"]).ok();
    assert_eq!(said, "f:live is 1 again; it was 2\n");
    let response = host.invoke("f:live", "{}");
    assert_eq!(response.text(), "1");
    assert_eq!(host.record(&response.request_id())["version"], "1");
    let start = host.log_of("f", &response.request_id()).remove(0);
    assert!(start.ends_with("Version: 1"), "{start}");
    let list = host.cli(&["list", "-v"]).ok();
    for line in ["  versions     2 published\n", "  aliases      live is 1\n"] {
        assert!(list.contains(line), "{list}");
    }

    site.delete("f.wasm");
    until("the function to be absent", || {
        (host.function("f")?["origin"] == "absent").then_some(())
    });
    answers(&host, &[("f:1", "1", "1"), ("f:live", "1", "1")]);
    let list = host.cli(&["list", "-v"]).ok();
    assert!(list.contains("  origin       absent: "), "{list}");
    let _said = host.cli(&["delete", "f", "--yes"]).ok();
    for gone in ["f", "f:1", "f:live"] {
        assert_eq!(host.invoke(gone, "{}").status, 404, "{gone}");
    }
}

#[test]
fn a_function_sees_the_name_that_it_was_asked_for_by() {
    let host = TestHost::start();
    host.deploy("f", &guest("sdk-context"));
    post(&host, "f/versions", &json!({}));
    let alias = json!({"Name": "live", "FunctionVersion": "1"});
    post(&host, "f/aliases", &alias);
    for (asked, arn, version) in [
        ("f", ":function:f", "$LATEST"),
        ("f:$LATEST", ":function:f:$LATEST", "$LATEST"),
        ("f:1", ":function:f:1", "1"),
        ("f:live", ":function:f:live", "1"),
    ] {
        let context = host.invoke(asked, "{}").json();
        let seen = context["functionArn"].as_str().unwrap();
        assert!(seen.ends_with(arn), "{asked}: {seen}");
        assert_eq!(context["functionVersion"], version, "{asked}");
    }
}

#[test]
fn weights_divide_events_between_two_versions() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    post(&host, "f/versions", &json!({}));
    host.deploy("f", &printing("2"));
    post(&host, "f/versions", &json!({}));
    let alias = json!({
        "Name": "live", "FunctionVersion": "1",
        "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.5}},
    });
    post(&host, "f/aliases", &alias);
    let mut seconds = 0;
    for _ in 0..100 {
        let (text, version) = answer(&host, "f:live");
        assert_eq!(text, version, "never a mix");
        seconds += u32::from(version == "2");
    }
    // Of a fair coin: outside these bounds once in 10^9 runs.
    assert!((20..=80).contains(&seconds), "{seconds}");
}
