//! The logs of functions as clients of CloudWatch Logs read them.

use std::collections::HashSet;

use serde_json::{Value, json};
use support::guests::speaking;
use support::http::Connection;
use support::identity::statement;
use support::{Request, Response, Site, TestHost};

/// An operation of CloudWatch Logs.
fn operation(name: &str, members: &Value) -> Request {
    Request::post("/", members.to_string())
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", &format!("Logs_20140328.{name}"))
}

#[track_caller]
fn ask(host: &TestHost, name: &str, members: &Value) -> Response {
    host.control_send(&operation(name, members))
}

#[track_caller]
fn ok(host: &TestHost, name: &str, members: &Value) -> Value {
    let response = ask(host, name, members);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        response.header("content-type"),
        Some("application/x-amz-json-1.1")
    );
    response.json()
}

/// The error's name and message.
#[track_caller]
fn refused(host: &TestHost, name: &str, members: &Value) -> (String, String) {
    let response = ask(host, name, members);
    assert_eq!(response.status, 400, "{}", response.text());
    let body = response.json();
    let text = |member: &str| body[member].as_str().unwrap().to_owned();
    (text("__type"), text("message"))
}

/// A server with function `f`, which was called so many times; and the ids of the requests.
fn called(times: usize) -> (TestHost, Vec<String>) {
    let host = Site::builder().env("MAYFLY_LOGS_SEGMENT_KB", "16").start();
    host.deploy("f", &speaking("1", "an ERROR here\nall is fine\n", 0));
    let ids: Vec<String> = (0..times).map(|_| host.get("/f").request_id()).collect();
    for id in &ids {
        let _log = host.log_of("f", id);
    }
    (host, ids)
}

fn messages(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["message"].as_str().unwrap())
        .collect()
}

#[test]
fn a_group_is_there_as_soon_as_its_function_is() {
    let host = TestHost::start();
    let missing = json!({ "logGroupName": "/aws/lambda/f" });
    let (code, message) = refused(&host, "FilterLogEvents", &missing);
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(message, "The specified log group does not exist.");
    host.deploy("f", &speaking("1", "x\n", 0));
    let none = ok(&host, "FilterLogEvents", &missing);
    assert_eq!(none, json!({ "events": [], "searchedLogStreams": [] }));
    let streams = ok(&host, "DescribeLogStreams", &missing);
    assert_eq!(streams, json!({ "logStreams": [] }));

    for name in ["a", "b", "c"] {
        host.deploy(name, &speaking("1", "x\n", 0));
    }
    let (mut names, mut token) = (Vec::new(), Value::Null);
    loop {
        let page = ok(
            &host,
            "DescribeLogGroups",
            &json!({ "limit": 3, "nextToken": token }),
        );
        for group in page["logGroups"].as_array().unwrap() {
            let name = group["logGroupName"].as_str().unwrap().to_owned();
            let arn = group["logGroupArn"].as_str().unwrap();
            assert!(arn.ends_with(&format!(":log-group:{name}")), "{arn}");
            assert_eq!(group["arn"], format!("{arn}:*"));
            names.push(name);
        }
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    let expected = ["a", "b", "c", "f"].map(|name| format!("/aws/lambda/{name}"));
    assert_eq!(names, expected);
    let by_pattern = json!({ "logGroupNamePattern": "LAMBDA/B" });
    let found = ok(&host, "DescribeLogGroups", &by_pattern);
    assert_eq!(found["logGroups"].as_array().unwrap().len(), 1);
}

#[test]
fn events_are_filtered_by_text_time_and_stream_and_paged_without_a_gap() {
    let (host, ids) = called(60);
    let group = "/aws/lambda/f";
    let all = ok(&host, "FilterLogEvents", &json!({ "logGroupName": group }));
    let all = all["events"].as_array().unwrap();
    assert_eq!(all.len(), ids.len() * 5);
    let start = format!("START RequestId: {} Version: $LATEST\n", ids[0]);
    let texts = messages(all);
    assert_eq!(
        &texts[..3],
        [start.as_str(), "an ERROR here", "all is fine"]
    );
    assert!(texts[4].ends_with("\t\n"), "{}", texts[4]);
    let event_ids: HashSet<&str> = all
        .iter()
        .map(|event| event["eventId"].as_str().unwrap())
        .collect();
    assert_eq!(event_ids.len(), all.len());
    assert!(event_ids.iter().all(|id| id.len() == 56));

    let (mut paged, mut token) = (Vec::new(), Value::Null);
    loop {
        let members = json!({ "logGroupName": group, "limit": 7, "nextToken": token });
        let page = ok(&host, "FilterLogEvents", &members);
        paged.extend(page["events"].as_array().unwrap().clone());
        token = page["nextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(&paged, all);

    let pattern = |pattern: &str| {
        let members = json!({ "logGroupName": group, "filterPattern": pattern });
        let found = ok(&host, "FilterLogEvents", &members);
        found["events"].as_array().unwrap().len()
    };
    assert_eq!(pattern("ERROR"), ids.len());
    assert_eq!(pattern("?ERROR ?fine"), 2 * ids.len());
    assert_eq!(pattern(&format!("\"{}\"", ids[3])), 3);
    assert_eq!(pattern("ERRO"), 0);
    assert_eq!(pattern("%ERR[A-Z]{2}%"), ids.len());
    assert_eq!(pattern("%(ERROR|fine)% -ERROR"), ids.len());

    let stamp = all[150]["timestamp"].as_u64().unwrap();
    let expected: Vec<&Value> = all
        .iter()
        .filter(|event| event["timestamp"].as_u64().unwrap() >= stamp)
        .collect();
    let since = json!({ "logGroupName": group, "startTime": stamp });
    let found = ok(&host, "FilterLogEvents", &since);
    assert_eq!(found["events"].as_array().unwrap().len(), expected.len());

    let stream = all[0]["logStreamName"].as_str().unwrap();
    let this = json!({ "logGroupName": group, "logStreamNames": [stream] });
    let found = ok(&host, "FilterLogEvents", &this);
    assert_eq!(found["events"].as_array().unwrap(), all);
    let other = json!({ "logGroupName": group, "logStreamNames": ["other"] });
    assert_eq!(ok(&host, "FilterLogEvents", &other)["events"], json!([]));
}

#[test]
fn a_stream_is_read_from_both_ends_and_its_last_token_comes_back() {
    let (host, ids) = called(20);
    let group = json!({ "logGroupName": "/aws/lambda/f" });
    let streams = ok(&host, "DescribeLogStreams", &group);
    let [stream] = streams["logStreams"].as_array().unwrap().as_slice() else {
        panic!("{streams}");
    };
    let name = stream["logStreamName"].as_str().unwrap();
    let (day, rest) = name.split_once("/[$LATEST]").unwrap();
    assert!(day.len() == 10 && rest.len() == 32, "{name}");
    let about = |more: Value| {
        let mut members = json!({ "logGroupName": "/aws/lambda/f", "logStreamName": name });
        let more = more.as_object().unwrap().clone();
        members.as_object_mut().unwrap().extend(more);
        members
    };
    let mut page = ok(
        &host,
        "GetLogEvents",
        &about(json!({ "startFromHead": true, "limit": 7 })),
    );
    let mut forward = Vec::new();
    loop {
        forward.extend(page["events"].as_array().unwrap().clone());
        let token = page["nextForwardToken"].clone();
        let next = about(json!({ "limit": 7, "nextToken": token }));
        page = ok(&host, "GetLogEvents", &next);
        if page["nextForwardToken"] == token {
            assert_eq!(page["events"], json!([]));
            break;
        }
    }
    assert_eq!(forward.len(), ids.len() * 5);
    let token = page["nextForwardToken"].clone();

    let (mut back, mut page) = (
        Vec::new(),
        ok(&host, "GetLogEvents", &about(json!({ "limit": 9 }))),
    );
    while !page["events"].as_array().unwrap().is_empty() {
        back.splice(0..0, page["events"].as_array().unwrap().clone());
        let earlier = page["nextBackwardToken"].clone();
        page = ok(
            &host,
            "GetLogEvents",
            &about(json!({ "limit": 9, "nextToken": earlier })),
        );
    }
    assert_eq!(messages(&back), messages(&forward));

    let id = host.get("/f").request_id();
    let _log = host.log_of("f", &id);
    let more = ok(&host, "GetLogEvents", &about(json!({ "nextToken": token })));
    assert_eq!(more["events"].as_array().unwrap().len(), 5);

    let forged = token.as_str().unwrap().replace("f/0", "f/1");
    let (code, message) = refused(
        &host,
        "GetLogEvents",
        &about(json!({ "nextToken": forged })),
    );
    assert_eq!(code, "InvalidParameterException");
    assert_eq!(message, "The specified nextToken is invalid.");
    let other = json!({ "logGroupName": "/aws/lambda/f", "logStreamName": "other" });
    let (code, message) = refused(&host, "GetLogEvents", &other);
    assert_eq!(code, "ResourceNotFoundException");
    assert_eq!(message, "The specified log stream does not exist.");
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "a table of requests and their refusals"
)]
fn bad_input_is_refused_in_the_words_of_aws() {
    let host = TestHost::start();
    host.deploy("f", &speaking("1", "x\n", 0));
    let group = "/aws/lambda/f";
    for (name, members, code, part) in [
        (
            "FilterLogEvents",
            json!({ "logGroupName": group, "limit": 10_001 }),
            "InvalidParameterException",
            "Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000",
        ),
        (
            "FilterLogEvents",
            json!({ "logGroupName": group, "logGroupIdentifier": group }),
            "ValidationException",
            "mutually exclusive",
        ),
        (
            "FilterLogEvents",
            json!({ "logGroupName": group, "filterPattern": "{ $.a = 1 }" }),
            "InvalidParameterException",
            "Invalid filter pattern",
        ),
        (
            "FilterLogEvents",
            json!({ "logGroupName": group, "nextToken": "x" }),
            "InvalidParameterException",
            "The specified nextToken is invalid.",
        ),
        (
            "FilterLogEvents",
            json!({ "logGroupName": group, "startTime": -1 }),
            "InvalidParameterException",
            "startTime",
        ),
        (
            "FilterLogEvents",
            json!({ "logGroupName": 3 }),
            "SerializationException",
            "expected a string at line 1",
        ),
        (
            "FilterLogEvents",
            json!({ "logGroupIdentifier": "arn:aws:logs:elsewhere-1:000000000000:log-group:/aws/lambda/f" }),
            "InvalidParameterException",
            "region",
        ),
        (
            "DescribeLogGroups",
            json!({ "logGroupNamePrefix": "a", "logGroupNamePattern": "b" }),
            "InvalidParameterException",
            "mutually exclusive",
        ),
        (
            "DescribeLogStreams",
            json!({ "logGroupName": group, "logStreamNamePrefix": "a", "orderBy": "LastEventTime" }),
            "InvalidParameterException",
            "LastEventTime",
        ),
        (
            "CreateLogGroup",
            json!({ "logGroupName": group }),
            "ResourceAlreadyExistsException",
            "The specified log group already exists",
        ),
        (
            "CreateLogGroup",
            json!({ "logGroupName": "/mine" }),
            "InvalidParameterException",
            "belong to functions",
        ),
        (
            "PutRetentionPolicy",
            json!({ "logGroupName": group, "retentionInDays": 7 }),
            "InvalidParameterException",
            "kept by size",
        ),
        (
            "DeleteLogGroup",
            json!({ "logGroupName": "/aws/lambda/none" }),
            "ResourceNotFoundException",
            "does not exist",
        ),
        (
            "StartLiveTail",
            json!({ "logGroupIdentifiers": [] }),
            "InvalidParameterException",
            "1 to 10",
        ),
        (
            "Nonsense",
            json!({}),
            "UnknownOperationException",
            "Nonsense",
        ),
    ] {
        let (found, message) = refused(&host, name, &members);
        assert_eq!(found, code, "{name} {members}: {message}");
        assert!(message.contains(part), "{name} {members}: {message}");
    }
    let tags = json!({ "resourceArn": "arn:aws:logs:local:000000000000:log-group:/aws/lambda/f" });
    assert_eq!(
        ok(&host, "ListTagsForResource", &tags),
        json!({ "tags": {} })
    );
}

#[test]
fn a_live_tail_shows_what_is_said_and_ends_when_the_server_drains() {
    let (host, _) = called(1);
    let mut connection = Connection::open(host.control()).unwrap();
    let members =
        json!({ "logGroupIdentifiers": ["/aws/lambda/f"], "logEventFilterPattern": "ERROR" });
    let tail = operation("StartLiveTail", &members);
    let tail = host.root_signer().sign(&tail, host.control());
    connection.start(&tail).unwrap();
    let start = connection.read_until("sessionStart").unwrap();
    let start = String::from_utf8_lossy(&start).into_owned();
    assert!(start.starts_with("HTTP/1.1 200 "), "{start}");
    assert!(start.contains("application/vnd.amazon.eventstream"));
    assert!(start.find("initial-response") < start.find("sessionStart"));
    let _answer = host.get("/f");
    let _line = connection.read_until("an ERROR here").unwrap();
    host.terminate();
    let rest = connection.read_to_end();
    let rest = String::from_utf8_lossy(&rest).into_owned();
    assert!(rest.contains("SessionStreamingException"), "{rest}");
    assert!(!rest.contains("all is fine"), "{rest}");
    host.wait_end();
}

#[test]
fn a_live_tail_ends_when_its_caller_may_no_longer_read() {
    let (host, _) = called(1);
    let bob = host.user("bob");
    let members = json!({ "logGroupIdentifiers": ["/aws/lambda/f"] });
    let tail = operation("StartLiveTail", &members);
    let ends: [&dyn Fn(); 2] = [
        &|| {
            host.iam("Action=DeleteUserPolicy&UserName=bob&PolicyName=p");
        },
        &|| {
            let key = &bob.access_key_id;
            host.iam(&format!(
                "Action=UpdateAccessKey&UserName=bob&AccessKeyId={key}&Status=Inactive"
            ));
        },
    ];
    for end in ends {
        host.put_policy("bob", &statement("Allow", "logs:StartLiveTail", "*"));
        let mut connection = Connection::open(host.control()).unwrap();
        let signer = bob.clone().for_service("logs");
        connection
            .start(&signer.sign(&tail, host.control()))
            .unwrap();
        let _started = connection.read_until("sessionUpdate").unwrap();
        end();
        let last = connection
            .read_until("may not read these log groups any more")
            .unwrap();
        let last = String::from_utf8_lossy(&last).into_owned();
        assert!(last.contains("SessionStreamingException"), "{last}");
    }
}
