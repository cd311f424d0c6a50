//! The control API against signatures that are wrong, late, used, forged or too many.

use std::time::{Duration, SystemTime};

use support::guests::printing;
use support::host::invocation;
use support::load::Load;
use support::{Connection, Request, Response, Signer, Site, TestHost};

fn with_function() -> TestHost {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    host
}

/// Sends a request that `signer` signs.
#[track_caller]
fn send_as(host: &TestHost, signer: &Signer, request: &Request) -> Response {
    host.control_send(&signer.sign(request, host.control()))
}

#[track_caller]
fn check_refused(response: &Response, code: &str, part: &str) {
    let said = response.text();
    assert_eq!(response.status, 403, "{said}");
    assert_eq!(response.header("x-amzn-errortype"), Some(code), "{said}");
    assert!(said.contains(part), "{said}");
}

#[expect(clippy::disallowed_methods, reason = "the server reads the same clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The `Authorization` header of a signed request, changed.
fn with_authorization(
    host: &TestHost,
    request: &Request,
    change: impl Fn(&str) -> String,
) -> Request {
    let signed = host.root_signer().sign(request, host.control());
    signed.change_header("authorization", change)
}

#[test]
fn a_signature_covers_the_headers_of_aws_and_leaves_others_free() {
    let host = with_function();
    let signed = host
        .root_signer()
        .sign(&invocation("f", "{}"), host.control());
    let free = host.control_send(&signed.clone().header("x-mine", "1"));
    assert_eq!(free.status, 200, "{}", free.text());
    let added = host.control_send(&signed.clone().header("x-amz-log-type", "Tail"));
    check_refused(
        &added,
        "InvalidSignatureException",
        "'x-amz-log-type' must be a 'SignedHeader'",
    );
    let listed = |from: &str, to: &str| {
        host.control_send(&with_authorization(&host, &invocation("f", "{}"), |text| {
            text.replacen(from, to, 1)
        }))
    };
    let missing = listed("SignedHeaders=host;", "SignedHeaders=date;host;");
    check_refused(
        &missing,
        "InvalidSignatureException",
        "names 'date', which the request does not have",
    );
    let twice = listed("SignedHeaders=host;", "SignedHeaders=host;host;");
    check_refused(&twice, "IncompleteSignatureException", "each once");
    let date = signed.header("x-amz-date", "20260101T000000Z");
    check_refused(
        &host.control_send(&date),
        "IncompleteSignatureException",
        "'x-amz-date' twice",
    );
    assert_eq!(host.ledger().entries.len(), 1, "only one ran");
}

#[test]
fn a_signature_is_good_for_five_minutes_before_and_after() {
    let host = with_function();
    let at = |off_s: i64| {
        let off = Duration::from_secs(off_s.unsigned_abs());
        let at = if off_s < 0 { now() - off } else { now() + off };
        let signer = Signer {
            at: Some(at),
            ..host.root_signer()
        };
        send_as(&host, &signer, &invocation("f", "{}"))
    };
    // A few seconds of room: this machine may be slow between signing and looking.
    for good_s in [-270, 0, 270] {
        assert_eq!(at(good_s).status, 200, "{good_s}");
    }
    check_refused(
        &at(-301),
        "InvalidSignatureException",
        "Signature expired: ",
    );
    check_refused(
        &at(330),
        "InvalidSignatureException",
        "Signature not yet current: ",
    );
    for (date, part) in [
        ("20261122T000000.000Z", "as YYYYMMDDTHHMMSSZ"),
        ("19690101T000000Z", "!= '19690101'"),
        ("99980101T000000Z", "!= '99980101'"),
        ("now", "as YYYYMMDDTHHMMSSZ"),
    ] {
        let signed = host
            .root_signer()
            .sign(&invocation("f", "{}"), host.control());
        let changed = signed.change_header("x-amz-date", |_| date.to_owned());
        let response = host.control_send(&changed);
        assert_eq!(response.status, 403);
        assert!(response.text().contains(part), "{}", response.text());
    }
}

#[test]
fn a_signature_is_good_for_its_scope() {
    let host = with_function();
    let invoke = invocation("f", "{}");
    for region in ["us-east-1", "local", "anything-9"] {
        let signer = Signer {
            region: region.to_owned(),
            ..host.root_signer()
        };
        assert_eq!(send_as(&host, &signer, &invoke).status, 200, "{region}");
    }
    for (service, request) in [
        ("mayfly", &invoke),
        ("logs", &invoke),
        ("s3", &invoke),
        ("lambda", &Request::get("/mayfly/functions")),
        ("lambda", &Request::post("/", "Action=ListUsers")),
    ] {
        let signer = host.root_signer().for_service(service);
        let response = send_as(&host, &signer, request);
        check_refused(
            &response,
            "InvalidSignatureException",
            "scoped to correct service: '",
        );
    }
    let change = |from: &str, to: &str| {
        host.control_send(&with_authorization(&host, &invoke, |text| {
            text.replacen(from, to, 1)
        }))
    };
    check_refused(
        &change("aws4_request", "aws4_reques"),
        "InvalidSignatureException",
        "valid terminator",
    );
    check_refused(
        &change("/local/", "/other/"),
        "InvalidSignatureException",
        "does not match the signature",
    );
    check_refused(
        &change("/20", "/19"),
        "InvalidSignatureException",
        "Date in Credential scope",
    );
    let mut nobody = host.root_signer();
    nobody.access_key_id = "AKIANOBODY".to_owned();
    let refused = send_as(&host, &nobody, &invoke);
    check_refused(
        &refused,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    );
    let token = invoke.clone().header("x-amz-security-token", "t");
    check_refused(
        &send_as(&host, &host.root_signer(), &token),
        "UnrecognizedClientException",
        "security token",
    );
}

#[test]
fn a_failure_is_spelt_as_the_clients_of_each_service_read_it() {
    let host = TestHost::start();
    let logs = Request::post("/", "{}")
        .header("x-amz-target", "Logs_20140328.DescribeLogGroups")
        .header("content-type", "application/x-amz-json-1.1");
    let iam = Request::post("/", "Action=ListUsers&Version=2010-05-08").header(
        "content-type",
        "application/x-www-form-urlencoded; charset=utf-8",
    );
    let mut wrong = host.root_signer();
    wrong.secret.push('x');
    let said = send_as(&host, &wrong.clone().for_service("logs"), &logs);
    assert_eq!(said.status, 400);
    assert_eq!(said.json()["__type"], "InvalidSignatureException");
    for service in ["iam", "sts"] {
        let said = send_as(&host, &wrong.clone().for_service(service), &iam);
        assert_eq!(said.status, 403);
        assert_eq!(said.header("content-type"), Some("text/xml"));
        let id = said.request_id();
        assert!(
            said.text().contains("<Code>SignatureDoesNotMatch</Code>"),
            "{}",
            said.text()
        );
        assert!(
            said.text()
                .contains(&format!("<RequestId>{id}</RequestId>")),
            "{}",
            said.text()
        );
    }
    let unsigned = host.control_send(&iam.unsigned());
    assert_eq!(unsigned.status, 403);
    assert!(
        unsigned
            .text()
            .contains("<Code>MissingAuthenticationToken</Code>")
    );
    let unsigned = host.control_send(&logs.unsigned());
    assert_eq!(unsigned.status, 400);
    assert_eq!(
        unsigned.json()["__type"],
        "MissingAuthenticationTokenException"
    );
}

#[test]
fn the_body_that_was_signed_is_the_body_that_is_taken() {
    let host = with_function();
    let signed = host
        .root_signer()
        .sign(&invocation("f", "{}"), host.control());
    let other = signed.clone().with_body("{\"a\":1}");
    check_refused(
        &host.control_send(&other),
        "InvalidSignatureException",
        "'x-amz-content-sha256' header does not match",
    );
    check_refused(
        &host.control_send(&signed.clone().with_body("")),
        "InvalidSignatureException",
        "does not match",
    );
    for payload in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "0000",
    ] {
        let changed = signed
            .clone()
            .change_header("x-amz-content-sha256", |_| payload.to_owned());
        check_refused(
            &host.control_send(&changed),
            "InvalidSignatureException",
            "must be the SHA-256 of the body",
        );
    }
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}

#[test]
fn a_head_without_hope_is_answered_before_its_body() {
    let host = with_function();
    let mut wrong = host.root_signer();
    wrong.access_key_id = "AKIANOBODY".to_owned();
    let upload = wrong.sign(&Request::post("/2015-03-31/functions", ""), host.control());
    let upload = upload
        .header("content-length", "70000000")
        .header("expect", "100-continue");
    let mut connection = Connection::open(host.control()).unwrap();
    connection.start(&upload).unwrap();
    // Not `100 Continue`: not a byte of it is wanted.
    let response = connection.read_response().unwrap();
    check_refused(&response, "UnrecognizedClientException", "security token");
    for (target, bytes) in [
        ("/2015-03-31/functions", "70167212"),
        ("/2015-03-31/functions/f/invocations", "6291557"),
        ("/mayfly/functions", "1048577"),
    ] {
        let huge = host
            .root_signer()
            .sign(&Request::post(target, ""), host.control())
            .header("content-length", bytes)
            .header("expect", "100-continue");
        let mut connection = Connection::open(host.control()).unwrap();
        connection.start(&huge).unwrap();
        let response = connection.read_response().unwrap();
        assert_eq!(response.status, 413, "{target}: {}", response.text());
    }
}

#[test]
fn what_is_garbage_is_refused_and_never_ours_to_answer_for() {
    let site = Site::builder()
        .env("MAYFLY_AUTH_FAILURES_PER_SECOND", "1000000")
        .build();
    let host = site.start();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: [&[u8]; 7] = [
        b"{\"a\":1,\"a\":2",
        deep.as_bytes(),
        b"1e999999999",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe\x00",
        b"{\"FunctionName\":7}",
        b"",
    ];
    for target in [
        "/",
        "/2015-03-31/functions",
        "/2015-03-31/functions/f/invocations",
        "/mayfly/nothing",
        "/%zz",
        "//",
        "/?=&&=",
        "/?%zz",
    ] {
        for body in bodies {
            for signer in [
                host.root_signer(),
                host.root_signer().for_service("iam"),
                host.root_signer().for_service("logs"),
            ] {
                let request = Request::post(target, body);
                let request = if target.contains("%zz") {
                    request.unsigned()
                } else {
                    signer.sign(&request, host.control())
                };
                let status = host.control_send(&request).status;
                assert!((400..500).contains(&status), "{target} {status}");
            }
        }
    }
    for authorization in [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=;;;, Signature=",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=zz",
        "Basic cm9vdDpyb290",
        "Bearer x",
        ",,,,====",
    ] {
        let request = invocation("f", "{}").header("authorization", authorization);
        check_refused(
            &host.control_send(&request),
            "IncompleteSignatureException",
            "",
        );
    }
    let long = invocation("f", "{}").header("authorization", &"A".repeat(30_000));
    check_refused(
        &host.control_send(&long),
        "IncompleteSignatureException",
        "",
    );
}

#[test]
fn whoever_guesses_is_slowed_down_and_the_log_stays_readable() {
    let host = with_function();
    let mut wrong = host.root_signer();
    wrong.secret.push('x');
    let forged = wrong.sign(&invocation("f", "{}"), host.control());
    let load = Load::start(host.control(), &[forged], 4, None);
    load.wait_answers(2_000);
    // What needs no key is answered, and functions are.
    let health = host.control_send(&Request::get("/health").unsigned());
    assert_eq!(health.status, 200);
    assert_eq!(host.get("/f").status, 200);
    let shots = load.stop();
    let with_status = |status: u16| shots.iter().filter(|shot| shot.status() == status).count();
    let (refused, throttled) = (with_status(403), with_status(429));
    assert_eq!(refused + throttled, shots.len());
    assert!(refused >= 50, "{refused} were looked at");
    assert!(throttled > 0, "none was throttled of {}", shots.len());
    let one = shots.iter().find(|shot| shot.status() == 429).unwrap();
    let answer = one.answer.as_ref().unwrap();
    assert_eq!(
        answer.header("x-amzn-errortype"),
        Some("ThrottlingException")
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    let lines = host.process().stderr.all();
    let logged = lines
        .iter()
        .filter(|line| line.contains("a signature was refused"))
        .count();
    assert!(
        logged >= 1 && logged < refused,
        "{logged} lines for {refused} refusals"
    );
    support::until("the owner to be answered again", || {
        (host.invoke("f", "{}").status == 200).then_some(())
    });
}

/// A new user with a key.
fn user(host: &TestHost, name: &str) -> Signer {
    let iam = |form: &str| {
        let request = Request::post("/", format!("{form}&UserName={name}&Version=2010-05-08"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let response = send_as(host, &host.root_signer(), &request);
        assert_eq!(response.status, 200, "{}", response.text());
        response.text()
    };
    iam("Action=CreateUser");
    let key = iam("Action=CreateAccessKey");
    let element = |name: &str| {
        let after = key.split(&format!("<{name}>")).nth(1).unwrap();
        after.split('<').next().unwrap().to_owned()
    };
    Signer {
        access_key_id: element("AccessKeyId"),
        secret: element("SecretAccessKey"),
        ..host.root_signer()
    }
}

#[test]
fn whoever_signs_well_is_served_while_others_guess_behind_the_same_address() {
    let host = with_function();
    host.deploy_with("g", "auth = \"iam\"\n", &printing("1"));
    let ada = user(&host, "ada");
    let who = Request::post("/", "Action=GetCallerIdentity&Version=2011-06-15")
        .header("content-type", "application/x-www-form-urlencoded");
    let root = host.root_signer();
    let mut nobody = root.clone();
    nobody.access_key_id = "AKIANOBODY".to_owned();
    let mut wrong = root.clone();
    wrong.secret.push('x');
    for (guesser, good) in [(nobody, &root), (wrong, &ada)] {
        let forged = guesser.sign(&invocation("f", "{}"), host.control());
        let load = Load::start(host.control(), &[forged], 4, None);
        load.wait_answers(1_000);
        for _ in 0..20 {
            let answer = send_as(&host, good, &who);
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        // Even with the key that is guessed: the other listener counts for itself.
        let signed = root.sign(&Request::get("/g"), host.http());
        assert_eq!(host.send(&signed).status, 200);
        let shots = load.stop();
        assert!(shots.iter().any(|shot| shot.status() == 429));
    }
    support::until("the owner to be answered again", || {
        (host.invoke("f", "{}").status == 200).then_some(())
    });
}

#[test]
fn uploads_of_unproven_senders_leave_room_for_others() {
    let host = with_function();
    let root = host.root_signer();
    let mut wrong = root.clone();
    wrong.secret.push('x');
    let begin = |signer: &Signer| {
        let upload = signer.sign(&Request::post("/2015-03-31/functions", ""), host.control());
        let upload = upload
            .header("content-length", "60000000")
            .header("expect", "100-continue");
        let mut connection = Connection::open(host.control()).unwrap();
        connection.start(&upload).unwrap();
        let answer = connection.read_response().unwrap();
        (connection, answer)
    };
    let (first, answer) = begin(&wrong);
    assert_eq!(answer.status, 100);
    let (second, answer) = begin(&wrong);
    assert_eq!(answer.status, 100);
    let (_, answer) = begin(&wrong);
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(
        answer.header("x-amzn-errortype"),
        Some("TooManyRequestsException")
    );
    assert!(answer.header("retry-after").is_some());
    assert!(answer.text().contains("Two uploads"), "{}", answer.text());
    // Small ones, and the events, are served.
    assert_eq!(host.invoke("f", "{}").status, 200);
    drop((first, second));
    support::until("the places to be given back", || {
        (begin(&root).1.status == 100).then_some(())
    });
}

#[test]
fn a_signature_may_be_used_again_unless_replays_are_refused() {
    let host = with_function();
    let signed = host
        .root_signer()
        .sign(&invocation("f", "{}"), host.control());
    for _ in 0..3 {
        assert_eq!(host.control_send(&signed).status, 200);
    }
    drop(host);

    let site = Site::builder()
        .env("MAYFLY_AUTH_REPLAY_CACHE", "true")
        .build();
    let host = site.start();
    host.deploy("f", &printing("1"));
    // Nothing that was signed before, or in the same second as, the start is taken.
    let deleting = || Request::new("DELETE", "/2015-03-31/functions/nobody");
    support::until("a signature that is younger than the server", || {
        let response = host.control_send(&deleting());
        (response.header("x-amzn-errortype") != Some("SignatureReplayed")).then_some(())
    });
    // By a name of its own: the restarted server has another address.
    let named = deleting().header("host", "mayfly.example");
    let signed = host.root_signer().sign(&named, host.control());
    assert_ne!(
        host.control_send(&signed).header("x-amzn-errortype"),
        Some("SignatureReplayed")
    );
    check_refused(
        &host.control_send(&signed),
        "SignatureReplayed",
        "used before",
    );
    let reading = host
        .root_signer()
        .sign(&Request::get("/mayfly/functions"), host.control());
    let invoking = host
        .root_signer()
        .sign(&invocation("f", "{}"), host.control());
    for _ in 0..3 {
        assert_eq!(host.control_send(&reading).status, 200);
        assert_eq!(host.control_send(&invoking).status, 200);
    }
    host.stop();
    let host = site.start();
    check_refused(
        &host.control_send(&signed),
        "SignatureReplayed",
        "older than this server",
    );
}
