//! Who hears of an event's end: functions, addresses and files; and who does not.

use std::os::unix::fs::PermissionsExt as _;

use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use support::guests::{guest, guest_with, printing, speaking};
use support::identity::statement;
use support::lambda::{FUNCTIONS, arn, creation};
use support::site::SiteBuilder;
use support::webhook::Webhook;
use support::{Request, Site, TestHost, until};

const INVALID: (u16, &str) = (400, "InvalidParameterValueException");
const EVENTS_OF_F: &str = "/2019-09-25/functions/f/event-invoke-config";

/// A server that does not wait long before it tries again.
fn impatient() -> SiteBuilder {
    Site::builder()
        .env("MAYFLY_QUEUE_FIRST_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_SECOND_RETRY_MS", "1")
        .env("MAYFLY_QUEUE_REFUSED_MS", "1")
        .env("MAYFLY_QUEUE_REFUSED_MAX_MS", "20")
}

/// A function that writes its event to its log.
fn telling() -> String {
    let to_stdout = "(call $write (i32.const 1)";
    let text = guest("echo");
    assert!(text.contains(to_stdout));
    text.replace(to_stdout, "(call $write (i32.const 2)")
}

fn failing() -> String {
    guest_with("exit", &[("CODE", "3")])
}

/// The manifest of a function whose records go to these.
fn telling_of(on_success: &str, on_failure: &str) -> String {
    format!("[async]\non_success = \"{on_success}\"\non_failure = \"{on_failure}\"\n")
}

/// Waits for the record of an event in the log of a function; the function's own request, and the record.
#[track_caller]
fn told(host: &TestHost, function: &str, id: &str) -> (String, Value) {
    until(&format!("`{function}` to hear of {id}"), || {
        let lines = host.logs(function);
        let is_record = |text: &String| text.starts_with('{') && text.contains(id);
        let at = lines.iter().position(is_record)?;
        let starts = lines[..at].iter().rev();
        let start = starts
            .filter_map(|text| text.strip_prefix("START RequestId: "))
            .next()?;
        let request = start.split(' ').next()?.to_owned();
        Some((request, serde_json::from_str(&lines[at]).unwrap()))
    })
}

#[test]
fn functions_hear_of_success_and_of_failure() {
    let host = impatient().start();
    host.deploy("archive", &telling());
    host.deploy("alarm", &telling());
    let manifest = telling_of("archive", "alarm:$LATEST");
    host.deploy_with("good", &manifest, &printing(r#"{"answer": 1}"#));
    host.deploy_with("bad", &manifest, &failing());

    let id = host.accepted("good", r#"{"order":  7}"#);
    let (request, record) = told(&host, "archive", &id);
    assert_ne!(request, id, "a record is an event of its own");
    let context = json!({
        "requestId": id,
        "functionArn": arn("good:$LATEST"),
        "condition": "Success",
        "approximateInvokeCount": 1,
    });
    assert_eq!(record["requestContext"], context);
    assert_eq!(record["version"], "1.0");
    assert_eq!(record["requestPayload"], json!({"order": 7}));
    assert_eq!(record["responsePayload"], json!({"answer": 1}));
    let response = json!({"statusCode": 200, "executedVersion": "$LATEST"});
    assert_eq!(record["responseContext"], response);
    let entry = until("the record of the destination", || {
        host.attempts(&request).into_iter().next()
    });
    assert_eq!(
        (&entry["trigger"], &entry["attempt"]),
        (&json!("destination"), &json!(1))
    );

    let id = host.accepted("bad", "[]");
    let (_, record) = told(&host, "alarm", &id);
    assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 3);
    assert_eq!(record["responseContext"]["functionError"], "Unhandled");
    assert_eq!(record["responsePayload"]["errorType"], "Runtime.ExitError");
    assert_eq!(host.attempts(&id).len(), 3);

    // What never ran has no answer.
    let zero = json!({"ReservedConcurrentExecutions": 0});
    let _set = host.lambda_ok("PUT", "/2017-10-31/functions/bad/concurrency", &zero, 200);
    let id = host.accepted("bad", "[]");
    let (_, record) = told(&host, "alarm", &id);
    assert_eq!(
        record["requestContext"]["condition"],
        "ZeroReservedConcurrency"
    );
    assert_eq!(record["requestContext"]["approximateInvokeCount"], 0);
    assert_eq!(record.get("responseContext"), None);
    assert_eq!(record.get("responsePayload"), None);
}

#[test]
fn an_address_gets_a_signed_record_until_it_takes_it() {
    let webhook = Webhook::start();
    let host = impatient()
        .env("MAYFLY_DESTINATIONS_ALLOW", &webhook.url("/hooks"))
        .start();
    let manifest = telling_of(&webhook.url("/hooks/orders?key=k"), &webhook.url("/hooks"));
    host.deploy_with("f", &manifest, &printing("1"));
    // Neither an error nor a redirect takes it.
    for head in [
        "500 Oops",
        "302 Found\r\nlocation: /elsewhere",
        "404 Not Found",
    ] {
        webhook.answer_next(head);
    }
    let id = host.accepted("f", "{}");
    host.wait_ended("succeeded", 2);
    let posts = webhook.posts();
    assert_eq!(
        posts.len(),
        4,
        "one for each attempt, and none after it was taken"
    );
    assert_eq!(host.metric("mayfly_deliveries_failed_total", &[]), 3);

    let path = host.site().data().join("webhook-secret");
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&path).unwrap();
    let secret = secret.trim_end();
    let key = webhook.key(secret);
    let other = Webhook::start().key(secret);
    for post in &posts {
        assert_eq!(post.line, "POST /hooks/orders?key=k HTTP/1.1");
        assert_eq!(post.header("content-type"), "application/json");
        assert_eq!(post.header("x-mayfly-request-id"), id);
        assert_eq!(
            post.header("x-mayfly-event-id"),
            posts[0].header("x-mayfly-event-id")
        );
        assert_eq!(
            post.header("x-mayfly-signature"),
            post.expected_signature(&key)
        );
        assert_eq!(post.body, posts[0].body);
        // Neither what all keys come from nor another receiver's key does it.
        for wrong in [secret, other.as_str()] {
            assert_ne!(
                post.header("x-mayfly-signature"),
                post.expected_signature(wrong)
            );
        }
    }
    let printed = host.cli(&["destinations", "key", &webhook.url("/hooks/x")]);
    assert_eq!(printed.ok(), format!("{key}\n"));
    for (bad, part) in [("hooks.example.com", "must begin with"), ("http://", "URL")] {
        let refused = host.cli(&["destinations", "key", bad]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    assert_ne!(posts[0].header("x-mayfly-event-id"), id);
    assert_eq!(posts[0].json()["requestContext"]["requestId"], json!(id));
    let said = host.process().stderr.all().concat() + &host.process().stdout.all().concat();
    assert!(
        !said.contains(secret) && !said.contains(&key),
        "a secret is in the log"
    );
    // A delivery is no invocation.
    assert_eq!(host.attempts(posts[0].header("x-mayfly-event-id")).len(), 0);
}

#[test]
fn no_list_and_no_error_shows_the_path_of_an_address() {
    let webhook = Webhook::start();
    webhook.answer_always("500 Oops");
    let host = Site::builder()
        .env("MAYFLY_QUEUE_REFUSED_MS", "3600000")
        .env("MAYFLY_QUEUE_REFUSED_MAX_MS", "3600000")
        .env("MAYFLY_DESTINATIONS_ALLOW", &webhook.url(""))
        .start();
    for (name, token) in [("f", "hunter2"), ("g", "hunter3")] {
        let to = webhook.url(&format!("/{token}?key={token}"));
        let manifest = format!("[async]\non_success = \"{to}\"\n");
        host.deploy_with(name, &manifest, &printing("1"));
        let _id = host.accepted(name, "{}");
    }
    let listed = until("both records to have been refused", || {
        let listed = host.control_json("/mayfly/events?state=queued");
        let events = listed["events"].as_array().unwrap();
        let refused = events.iter().filter(|event| event.get("error").is_some());
        (refused.count() == 2).then_some(listed)
    });
    let queues = host.control_json("/mayfly/queues");
    let shown: Vec<&str> = queues["queues"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|queue| queue["queue"].as_str())
        .collect();
    let start = format!("{}/…#", webhook.url(""));
    assert_eq!(shown.len(), 2, "{queues}");
    assert!(
        shown.iter().all(|queue| queue.starts_with(&start)),
        "{queues}"
    );
    assert_ne!(shown[0], shown[1], "two queues can be told apart");
    assert!(shown.contains(&listed["events"][0]["target"].as_str().unwrap()));
    let metrics = host.control_send(&Request::get("/metrics")).text();
    assert!(
        metrics.contains("mayfly_queue_queued{target=\"http://"),
        "{metrics}"
    );
    let said = host.process().stderr.all().concat() + &host.process().stdout.all().concat();
    for text in [listed.to_string(), queues.to_string(), metrics, said] {
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[test]
fn a_name_that_leads_to_this_machine_is_followed_only_where_the_operator_says_so() {
    let webhook = Webhook::start();
    // A name that is resolved to 127.0.0.1, and is not that address.
    let url = webhook.url("/x").replace("127.0.0.1", "127.1");
    let manifest = format!("[async]\non_success = \"{url}\"\n");
    let host = impatient().env("MAYFLY_DESTINATIONS_ALLOW", &url).start();
    host.deploy_with("f", &manifest, &printing("1"));
    let _id = host.accepted("f", "{}");
    let message = until("the record to be refused", || {
        let listed = host.control_json("/mayfly/events?state=queued");
        let message = listed["events"][0]["error"]["message"].as_str();
        message.map(str::to_owned)
    });
    assert!(message.contains("of this machine"), "{message}");
    assert_eq!(webhook.posts().len(), 0);

    let host = impatient()
        .env("MAYFLY_DESTINATIONS_ALLOW", &url)
        .env("MAYFLY_DESTINATIONS_PRIVATE", "true")
        .start();
    host.deploy_with("f", &manifest, &printing("1"));
    let _id = host.accepted("f", "{}");
    host.wait_ended("succeeded", 2);
    assert_eq!(webhook.posts().len(), 1);
}

#[test]
fn a_file_gets_a_line_for_each_record() {
    let site = impatient()
        .env("MAYFLY_DESTINATIONS_ALLOW", "file:failures")
        .build();
    let host = site.start();
    let manifest = "[async]\nretries = 0\non_failure = \"file:failures\"\n";
    host.deploy_with("f", manifest, &failing());
    let mut ids: Vec<String> = (0..3).map(|_| host.accepted("f", "{\n}")).collect();
    host.wait_ended("succeeded", 3);
    host.stop();
    let host = site.start();
    ids.push(host.accepted("f", "{}"));
    host.wait_ended("succeeded", 1);
    let text = std::fs::read_to_string(site.data().join("sinks/failures.jsonl")).unwrap();
    let mut found: Vec<String> = text
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(record["requestContext"]["condition"], "RetriesExhausted");
            assert_eq!(record["requestContext"]["approximateInvokeCount"], 1);
            let id = &record["requestContext"]["requestId"];
            id.as_str().unwrap().to_owned()
        })
        .collect();
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
}

#[test]
fn two_functions_that_feed_each_other_are_stopped() {
    let host = TestHost::start();
    host.deploy_with("a", &telling_of("b", "b"), &printing("1"));
    host.deploy_with("b", &telling_of("a", "a"), &printing("1"));
    let _id = host.accepted("a", "{}");
    host.wait_ended("dead", 1);
    // The first event, and 16 hops.
    assert_eq!(host.ended("succeeded"), 17);
    // Whatever the dead one gave rise to would be counted before this one ends.
    host.deploy("c", &printing("1"));
    let _id = host.accepted("c", "{}");
    host.wait_ended("succeeded", 18);
    assert_eq!(host.metric("mayfly_events_accepted_total", &[]), 19);
}

#[test]
fn a_function_that_comes_later_misses_what_was_sent_before() {
    let host = TestHost::start();
    host.deploy_with("f", &telling_of("later", "later"), &printing("1"));
    let _lost = host.accepted("f", "{}");
    host.wait_ended("dead", 1);
    host.deploy("later", &telling());
    let id = host.accepted("f", "{}");
    let (_, record) = told(&host, "later", &id);
    assert_eq!(record["requestContext"]["condition"], "Success");
}

#[test]
fn a_manifest_names_destinations_that_are_there_and_allowed() {
    let host = Site::builder()
        .env(
            "MAYFLY_DESTINATIONS_ALLOW",
            "https://hooks.example.com/team,file:ok",
        )
        .start();
    for (destination, part) in [
        (
            "arn:aws:sqs:local:000000000000:q",
            "`async.on_failure` is no destination: `arn:aws:sqs:local:000000000000:q` is a resource of `sqs`",
        ),
        (
            "https://hooks.example.com/",
            "bad.toml:2:14: `async.on_failure`: `https://hooks.example.com/` is not among the destinations",
        ),
        ("https://hooks.example.com/team/../x", "no `..`"),
        ("https://hooks.example.com/team/..%2fx", "percent-encoded"),
        (
            "file:other",
            "not among the destinations that the operator of this server allows; they are listed in mayfly.toml",
        ),
        ("bad", "function `bad` can't be its own destination"),
    ] {
        host.site()
            .manifest("bad", &format!("[async]\non_failure = \"{destination}\"\n"));
        host.site().drop_wat("bad", &printing("1"));
        let reason = until(&format!("{destination} to be refused"), || {
            host.refusal("bad.wasm")
                .filter(|reason| reason.contains(part))
        });
        assert_eq!(reason.matches(part).count(), 1, "{reason}");
    }
    for destination in ["https://hooks.example.com/team/a", "file:ok", "nobody:yet"] {
        let manifest = format!("[async]\non_failure = \"{destination}\"\n");
        host.deploy_with("good", &manifest, &printing("1"));
    }
}

#[test]
fn the_control_api_takes_destinations_that_are_there_and_allowed() {
    let host = Site::builder()
        .env("MAYFLY_DESTINATIONS_ALLOW", "file:ok")
        .start();
    host.create("f", &printing("1"));
    host.create("g", &printing("1"));
    for (destination, part) in [
        (
            "arn:aws:sqs:local:000000000000:q",
            "a resource of `sqs`, which Mayfly does not have; a destination is a function (`NAME`, `NAME:QUALIFIER` or its ARN), `https://HOST/PATH` or `http://HOST/PATH`, or `file:NAME`",
        ),
        ("arn:aws:sns:local:000000000000:t", "`sns`"),
        ("arn:aws:s3:::bucket", "`s3`"),
        (
            &arn("nobody"),
            "Function not found: arn:aws:lambda:local:000000000000:function:nobody",
        ),
        (&arn("g:live"), "Function not found"),
        (&arn("f"), "can't be its own destination"),
        ("https://example.com/", "[destinations] allow"),
        ("file:../../etc/passwd", "1 to 64"),
    ] {
        let put = json!({"DestinationConfig": {"OnSuccess": {"Destination": destination}}});
        let message = host.lambda_error(("PUT", EVENTS_OF_F), &put, INVALID);
        let start = format!(
            "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={destination}), onFailure=null) is invalid. "
        );
        assert!(
            message.starts_with(&start) && message.contains(part),
            "{message}"
        );
    }
    host.lambda_error(
        ("GET", EVENTS_OF_F),
        &Value::Null,
        (404, "ResourceNotFoundException"),
    );
    for destination in [
        arn("g"),
        "g".to_owned(),
        "file:ok".to_owned(),
        String::new(),
    ] {
        let put = json!({"DestinationConfig": {"OnFailure": {"Destination": destination}}});
        let set = host.lambda_ok("PUT", EVENTS_OF_F, &put, 200);
        let shown = set["DestinationConfig"]["OnFailure"].get("Destination");
        let expected = Some(json!(destination)).filter(|_| !destination.is_empty());
        assert_eq!(shown, expected.as_ref());
    }

    let mut creation = creation("h", &printing("1"));
    creation["DeadLetterConfig"] = json!({"TargetArn": "arn:aws:sqs:local:000000000000:q"});
    let message = host.lambda_error(("POST", FUNCTIONS), &creation, INVALID);
    assert!(
        message.contains("set an OnFailure destination"),
        "{message}"
    );
    creation["DeadLetterConfig"] = json!({"TargetArn": ""});
    let _created = host.lambda_ok("POST", FUNCTIONS, &creation, 201);
}

#[test]
fn who_may_not_invoke_a_function_can_not_have_records_sent_to_it() {
    let host = TestHost::start();
    host.create("f", &printing("1"));
    host.create("g", &printing("1"));
    let bob = host.user("bob");
    let may_set = statement("Allow", "lambda:PutFunctionEventInvokeConfig", "*");
    host.put_policy("bob", &json!([may_set]));
    let put = json!({"DestinationConfig": {"OnSuccess": {"Destination": arn("g")}}}).to_string();
    let request = Request::new("PUT", EVENTS_OF_F).with_body(put);
    let denied = host.send_as(&bob, &request);
    assert_eq!(denied.status, 403, "{}", denied.text());
    assert!(
        denied.text().contains("lambda:InvokeFunction"),
        "{}",
        denied.text()
    );
    let may_invoke = statement("Allow", "lambda:InvokeFunction", &arn("g"));
    host.put_policy("bob", &json!([may_set, may_invoke]));
    let allowed = host.send_as(&bob, &request);
    assert_eq!(allowed.status, 200, "{}", allowed.text());
}

/// The events that were given up, as the command line lists them.
#[track_caller]
fn dead_letters(host: &TestHost) -> Vec<Value> {
    let printed = host.cli(&["dlq", "list", "--json"]).ok();
    let listed: Value = serde_json::from_str(&printed).unwrap();
    listed.as_array().unwrap().clone()
}

#[test]
fn a_dead_letter_is_the_event_with_code_type_and_message() {
    let host = impatient().start();
    let error = json!({"errorType": "OutOfStock", "errorMessage": "ü".repeat(2_000)});
    host.deploy_with(
        "f",
        "[async]\nretries = 0\n",
        &speaking(error.to_string(), "", 1),
    );
    let id = host.accepted("f", r#"{"order": 7}"#);
    host.wait_ended("dead", 1);
    let shown = host.cli(&["dlq", "show", &id, "--json"]).ok();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let error = json!({"code": 200, "type": "OutOfStock", "message": "ü".repeat(512)});
    assert_eq!(shown["error"], error);
    assert_eq!(shown["condition"], "RetriesExhausted");
    assert_eq!(
        (&shown["payload"], &shown["attempts"]),
        (&json!({"order": 7}), &json!(1))
    );

    let zero = json!({"ReservedConcurrentExecutions": 0});
    let _set = host.lambda_ok("PUT", "/2017-10-31/functions/f/concurrency", &zero, 200);
    let id = host.accepted("f", "{}");
    host.wait_ended("dead", 2);
    let dead = dead_letters(&host);
    let found = dead
        .iter()
        .find(|event| event["request_id"] == json!(id))
        .unwrap();
    assert_eq!(found["condition"], "ZeroReservedConcurrency");
    assert_eq!(found["error"]["code"], 429);
}

#[test]
fn a_record_that_nobody_takes_is_kept_and_can_be_redriven() {
    let webhook = Webhook::start();
    webhook.answer_always("503 Closed");
    let site = impatient().build();
    let allow = |allowed: &str| {
        let text = format!("[destinations]\nallow = [\"{allowed}\"]\n");
        std::fs::write(site.root().join("mayfly.toml"), text).unwrap();
    };
    allow(&webhook.url(""));
    let host = site.start();
    let url = webhook.url("/a?key=hunter2");
    host.deploy_with(
        "f",
        &format!("[async]\non_success = \"{url}\"\n"),
        &printing("1"),
    );
    let id = host.accepted("f", "{}");
    let posts = webhook.wait_posts(3);
    assert_eq!(dead_letters(&host), Vec::<Value>::new());
    host.stop();

    // What the operator does not allow any more is not asked again.
    allow("file:other");
    let host = site.start();
    host.wait_ended("dead", 1);
    let before = webhook.posts().len();
    let dead = dead_letters(&host);
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert_eq!(dead[0]["condition"], "DeliveryFailed");
    assert_eq!(
        (&dead[0]["function"], &dead[0]["source"]),
        (&Value::Null, &json!(id))
    );
    let message = dead[0]["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("is not among the destinations"),
        "{message}"
    );
    assert!(!message.contains("hunter2"), "{message}");
    host.stop();

    allow(&webhook.url(""));
    webhook.answer_always("204 No Content");
    let host = site.start();
    assert_eq!(webhook.posts().len(), before);
    let delivery = dead[0]["request_id"].as_str().unwrap();
    let _said = host.cli(&["dlq", "redrive", delivery]).ok();
    host.wait_ended("succeeded", 1);
    let all = webhook.posts();
    assert_eq!(all.len(), before + 1);
    for post in &all {
        assert_eq!(post.body, posts[0].body);
        assert_eq!(post.header("x-mayfly-event-id"), delivery);
    }
    assert_eq!(dead_letters(&host), Vec::<Value>::new());
}

#[test]
fn an_address_with_tls_is_told_when_its_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = file("cert.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let other = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = file("other.pem", &other.cert.pem());
    let receiver = Site::builder()
        .env("MAYFLY_TLS_CERTIFICATE", &certificate)
        .env("MAYFLY_TLS_KEY", &key)
        .start();
    receiver.deploy("hook", &telling());

    let origin = format!("https://localhost:{}", receiver.http().port());
    let sender = |trusted: &str| {
        let host = impatient()
            .env("MAYFLY_DESTINATIONS_ALLOW", &origin)
            .env("SSL_CERT_FILE", trusted)
            .start();
        let manifest = format!("[async]\non_success = \"{origin}/hook\"\n");
        host.deploy_with("f", &manifest, &printing("1"));
        host
    };
    let distrusting = sender(&other);
    let lost = distrusting.accepted("f", "{}");
    until("a delivery that failed", || {
        (distrusting.metric("mayfly_deliveries_failed_total", &[]) > 0).then_some(())
    });
    let trusting = sender(&certificate);
    let id = trusting.accepted("f", "{}");
    trusting.wait_ended("succeeded", 2);
    let (_, event) = told(&receiver, "hook", &id);
    assert_eq!(event["headers"]["x-mayfly-request-id"], json!(id));
    assert!(
        receiver
            .logs("hook")
            .iter()
            .all(|line| !line.contains(&lost))
    );
}
