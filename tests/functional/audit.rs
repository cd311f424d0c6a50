//! The audit log: who asked for what, and what came of it.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use support::guests::printing;
use support::http::Connection;
use support::lambda::{FUNCTIONS, arn, creation};
use support::wait::pass;
use support::{Request, Site, TestHost, until};

/// The entries of an answer of `mayfly audit --json`.
fn entries(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn of_action<'a>(entries: &'a [Value], action: &str) -> Vec<&'a Value> {
    let found = entries.iter().filter(|entry| entry["action"] == action);
    found.collect()
}

#[test]
fn every_request_leaves_a_line_that_says_who_what_and_how_it_ended() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let listed = host.control_send(&Request::get("/mayfly/functions"));
    let missing = host.control_send(&Request::get("/mayfly/logs/nobody"));
    assert_eq!(missing.status, 404);
    let stranger = host.control_send(&Request::get("/mayfly/functions").unsigned());
    assert_eq!(stranger.status, 403);
    let invoked = host.invoke("f", "{}");
    assert_eq!(invoked.status, 200);

    let text = host.cli(&["audit", "--json"]).ok();
    let entries = entries(&text);
    let by_id = |id: String| {
        let found = entries.iter().find(|entry| entry["requestId"] == *id);
        found.cloned()
    };
    let entry = by_id(listed.request_id()).unwrap();
    let signer = host.root_signer();
    assert_eq!(entry["action"], "mayfly:ListFunctions");
    assert_eq!(entry["decision"], "allowed");
    assert_eq!(entry["caller"], "arn:aws:iam::000000000000:root");
    assert_eq!(entry["accessKeyId"], *signer.access_key_id);
    assert_eq!(entry["sourceIp"], "127.0.0.1");
    assert_eq!(entry["status"], 200);
    let entry = by_id(missing.request_id()).unwrap();
    assert_eq!(
        (&entry["status"], &entry["decision"]),
        (&404.into(), &"allowed".into())
    );
    assert_eq!(entry["error"], "ResourceNotFoundException");
    let entry = by_id(stranger.request_id()).unwrap();
    assert_eq!(
        (&entry["status"], &entry["decision"]),
        (&403.into(), &"none".into())
    );
    assert_eq!(entry["caller"], Value::Null);
    assert_eq!(by_id(invoked.request_id()), None, "the ledger has it");
    assert!(!text.contains(&signer.secret));

    // A look at the log is in the log, and a look without a server at what is stored is not.
    let again = host.cli(&["audit", "--action", "mayfly:ReadAudit"]).ok();
    assert_eq!(again.lines().count(), 1, "{again}");
    let site = host.site().clone();
    host.stop();
    let data = site.data();
    let stored = site.run(&["audit", "--data", data.to_str().unwrap(), "--user", "root"]);
    let stored = stored.ok();
    assert!(stored.contains(" mayfly:ListFunctions "), "{stored}");
    for file in fs::read_dir(data.join("audit")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains(&signer.secret));
    }
}

#[test]
fn invocations_are_written_when_that_is_configured() {
    let host = Site::builder().env("MAYFLY_AUDIT_INVOKE", "true").start();
    host.deploy("f", &printing("1"));
    let invoked = host.invoke("f", "{}");
    let text = host
        .cli(&["audit", "--json", "--action", "lambda:Invoke*"])
        .ok();
    let entries = entries(&text);
    let [entry] = of_action(&entries, "lambda:InvokeFunction")[..] else {
        panic!("{text}");
    };
    assert_eq!(entry["requestId"], *invoked.request_id());
}

#[test]
fn strangers_can_not_fill_the_log_and_are_counted() {
    let host = TestHost::start();
    let strange = Request::get("/mayfly/functions").unsigned();
    for _ in 0..100 {
        let _refused = host.control_send(&strange);
    }
    // The count comes with the first stranger of a later second.
    let (lines, left_out) = until("a line with a count", || {
        let _refused = host.control_send(&strange);
        let entries = entries(&host.cli(&["audit", "--json"]).ok());
        let strangers = entries.iter().filter(|entry| entry["caller"].is_null());
        let left_out: u64 = strangers
            .clone()
            .map(|entry| entry["leftOut"].as_u64().unwrap_or(0))
            .sum();
        (left_out > 0).then(|| (strangers.count() as u64, left_out))
    });
    assert!(lines + left_out <= 200, "{lines} {left_out}");
}

/// The names of the functions that there are.
fn functions(host: &TestHost) -> BTreeSet<String> {
    let listed = host.control_json("/mayfly/functions");
    let functions = listed["functions"].as_array().unwrap().iter();
    functions
        .map(|function| function["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Those that the log says were created.
fn created(host: &TestHost) -> BTreeSet<String> {
    let action = ["audit", "--json", "--action", "lambda:CreateFunction"];
    let entries = entries(&host.cli(&action).ok());
    let created = entries.iter().filter(|entry| entry["status"] == 201);
    created
        .map(|entry| entry["resource"].as_str().unwrap().to_owned())
        .map(|arn| arn.rsplit(':').next().unwrap().to_owned())
        .collect()
}

#[test]
fn what_a_client_asked_for_before_it_hung_up_is_in_the_log_as_it_ended() {
    let host = TestHost::start();
    let signer = host.root_signer();
    for round in 0..40_u64 {
        let name = format!("f{round}");
        let body = creation(&name, &printing(round.to_string())).to_string();
        let request = Request::post(FUNCTIONS, body);
        let request = signer.sign(&request, host.control());
        let mut connection = Connection::open(host.control()).unwrap();
        connection.start(&request).unwrap();
        // From before it is read to after it is answered.
        pass(Duration::from_millis(round * 7 % 31));
    }
    until("a line for each function", || {
        let (functions, created) = (functions(&host), created(&host));
        (!functions.is_empty() && functions == created).then_some(())
    });
    // A stop waits for what is left, and nothing comes afterwards.
    let site = host.site().clone();
    host.stop();
    let host = site.start();
    let functions = functions(&host);
    assert!(functions.len() > 5, "{functions:?}");
    assert_eq!(created(&host), functions);
}

#[test]
fn a_download_of_code_is_in_the_log_and_what_is_open_to_all_is_not() {
    let host = TestHost::start();
    let _created = host.create("f", &printing("1"));
    let read = host.lambda_ok("GET", &format!("{FUNCTIONS}/f"), &json!(null), 200);
    let location = read["Code"]["Location"].as_str().unwrap();
    let base = format!("http://{}", host.control());
    let target = location.strip_prefix(&base).unwrap();
    let downloaded = host.control_send(&Request::get(target).unsigned());
    let forged = host.control_send(&Request::get(&format!("{target}A")).unsigned());
    assert_eq!((downloaded.status, forged.status), (200, 403));
    for open in ["/health", "/metrics"] {
        let answer = host.control_send(&Request::get(open).unsigned());
        assert_eq!(answer.status, 200);
    }
    let text = host.cli(&["audit", "--json"]).ok();
    let entries = entries(&text);
    let unknown: Vec<_> = entries.iter().filter(|e| e["caller"].is_null()).collect();
    let [good, bad] = unknown[..] else {
        panic!("{text}");
    };
    assert_eq!(good["requestId"], *downloaded.request_id());
    assert_eq!(
        (&good["action"], &good["decision"], &good["status"]),
        (
            &json!("mayfly:DownloadCode"),
            &json!("allowed"),
            &json!(200)
        )
    );
    let resource = good["resource"].as_str().unwrap();
    assert!(resource.starts_with("arn:aws:mayfly:::code/"), "{resource}");
    assert_eq!(bad["requestId"], *forged.request_id());
    let token = target.rsplit('/').next().unwrap();
    assert!(!text.contains(token), "{text}");
    assert!(text.contains(&arn("f")));
}
