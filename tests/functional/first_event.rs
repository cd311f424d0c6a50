//! The main job, from the file to the bill.

use serde_json::Value;
use support::guests::{guest, printing, speaking};
use support::wait::{PATIENCE, Stopwatch};
use support::{Request, TestHost, report, until};

#[test]
fn a_dropped_file_answers_and_leaves_a_report_and_a_record_of_the_same_request() {
    let host = TestHost::start();
    host.deploy("echo", &guest("echo"));

    let response = host.get("/echo?a=1");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let id = response.request_id();
    let event = response.json();
    assert_eq!(event["requestContext"]["requestId"], id.as_str());

    let log = host.log_of("echo", &id);
    assert_eq!(log[0], format!("START RequestId: {id} Version: $LATEST"));
    assert_eq!(log[1], format!("END RequestId: {id}"));
    let fields: Vec<&str> = log[2].split('\t').collect();
    assert_eq!(fields[0], format!("REPORT RequestId: {id}"));
    assert!(
        fields[1].starts_with("Duration: ") && fields[1].ends_with(" ms"),
        "{fields:?}"
    );
    assert!(fields[2].starts_with("Billed Duration: "), "{fields:?}");
    assert_eq!(fields[3], "Memory Size: 128 MB");
    assert_eq!(fields[4], "Max Memory Used: 7 MB");
    assert_eq!(fields[5..], [""], "a success ends with a tab: {fields:?}");

    let record = host.record(&id);
    for (key, expected) in [
        ("attempt", Value::from(1)),
        ("function", "echo".into()),
        ("version", "$LATEST".into()),
        ("trigger", "http".into()),
        ("status", "success".into()),
        ("error_type", Value::Null),
        ("memory_mb", 128.into()),
        ("max_memory_used_mb", 7.into()),
    ] {
        assert_eq!(record[key], expected, "{key} of {record}");
    }
    assert_eq!(
        record["init_ms"],
        Value::Null,
        "publishing loaded the code: {record}"
    );

    let again = host.get("/echo").request_id();
    let logs = host.cli(&["logs", "echo"]).ok();
    assert!(
        logs.contains(&format!("REPORT RequestId: {id}\t")),
        "{logs}"
    );
    assert!(
        logs.contains(&format!("START RequestId: {again} Version: $LATEST")),
        "{logs}"
    );
}

#[test]
fn what_a_guest_logs_stands_between_start_and_end() {
    let host = TestHost::start();
    host.deploy("talk", &speaking("{}", "one\ntwo\n\nlast", 0));
    let id = host.get("/talk").request_id();
    let log = host.log_of("talk", &id);
    assert_eq!(log[1..5], ["one", "two", "", "last"]);
    assert_eq!(log[5], format!("END RequestId: {id}"));
    let sources: Vec<Value> = host
        .log_events("talk")
        .iter()
        .map(|event| event["source"].clone())
        .collect();
    assert_eq!(sources[0], sources[5]);
    assert_ne!(
        sources[0], sources[1],
        "a guest's line is told from ours: {sources:?}"
    );
}

#[test]
fn a_copied_file_is_live_soon_and_without_a_restart() {
    let host = TestHost::start();
    assert_eq!(host.get("/quick").status, 404);
    let wasm = support::guests::assemble(&printing("{\"quick\":true}"));
    let source = host.root().join("built.wasm");
    std::fs::write(&source, wasm).unwrap();

    let watch = Stopwatch::start();
    let target = host.functions().join("quick.wasm");
    let copied = std::process::Command::new("cp")
        .arg(&source)
        .arg(&target)
        .status()
        .unwrap();
    assert!(copied.success());
    until("an answer of /quick", || {
        (host.get("/quick").status == 200).then_some(())
    });
    report(
        "from `cp` to the first answer, ms",
        watch.elapsed().as_millis(),
    );
    assert!(watch.elapsed() < PATIENCE);
}

#[test]
fn no_configuration_means_128_mb_and_3_s_and_any_method_on_the_name_and_below() {
    let host = TestHost::start();
    host.deploy("plain", &guest("echo"));
    let function = host.function("plain").unwrap();
    assert_eq!(function["memory_mb"], 128);
    assert_eq!(function["timeout_ms"], 3_000);
    assert_eq!(function["kind"], "command");
    assert_eq!(
        function["routes"],
        serde_json::json!(["ANY /plain", "ANY /plain/{proxy+}"])
    );
    for request in [
        Request::get("/plain"),
        Request::new("DELETE", "/plain/a/b"),
        Request::post("/plain/a", "x"),
        Request::new("PROPFIND", "/plain"),
    ] {
        assert_eq!(host.send(&request).status, 200, "{request:?}");
    }
    assert_eq!(
        host.get("/plain/a/b").json()["pathParameters"]["proxy"],
        "a/b"
    );
    assert_eq!(host.get("/").status, 404);
}

#[test]
fn both_kinds_of_guest_answer_the_same_event() {
    let host = TestHost::start();
    host.deploy("command", &printing("{\"kind\":\"either\"}"));
    host.deploy(
        "sdk",
        &support::guests::sdk_answering(b"\0{\"kind\":\"either\"}"),
    );
    assert_eq!(host.function("sdk").unwrap()["kind"], "sdk");
    let (command, sdk) = (host.get("/command"), host.get("/sdk"));
    assert_eq!((command.status, sdk.status), (200, 200));
    assert_eq!(command.json(), sdk.json());
    assert_eq!(
        host.invoke("command", "{}").body,
        host.invoke("sdk", "{}").body
    );
}
