//! Function URLs: who may use one, what the function is told, and how failures look.

use serde_json::{Value, json};
use support::TestHost;
use support::guests::{guest, printing, speaking};
use support::http::{Request, Response};
use support::load::Load;

/// Makes a URL of a function; its id.
#[track_caller]
fn make_url(host: &TestHost, function: &str, configuration: &Value) -> String {
    let target = format!("/2021-10-31/functions/{function}/url");
    let made = host.control_send(&Request::post(&target, configuration.to_string()));
    assert_eq!(made.status, 201, "{}", made.text());
    let url = made.json()["FunctionUrl"].as_str().unwrap().to_owned();
    let base = format!("http://{}/_url/", host.http());
    let id = url
        .strip_prefix(&base)
        .and_then(|rest| rest.strip_suffix('/'));
    id.unwrap().to_owned()
}

/// Lets anybody use a URL of a function.
#[track_caller]
fn open_to_all(host: &TestHost, function: &str, qualifier: &str) {
    let statement = json!({
        "StatementId": "url", "Action": "lambda:InvokeFunctionUrl", "Principal": "*",
        "FunctionUrlAuthType": "NONE",
    });
    let target = format!("/2015-03-31/functions/{function}/policy{qualifier}");
    let added = host.control_send(&Request::post(&target, statement.to_string()));
    assert_eq!(added.status, 201, "{}", added.text());
}

/// A server with the function `f` that has a URL for anybody; its id.
fn start_open(wat: &str) -> (TestHost, String) {
    let host = TestHost::start();
    host.deploy_with("f", "http = []\n", wat);
    let id = make_url(&host, "f", &json!({"AuthType": "NONE"}));
    open_to_all(&host, "f", "");
    (host, id)
}

#[track_caller]
fn check_forbidden(answer: &Response) {
    assert_eq!(answer.status, 403, "{}", answer.text());
    let message = answer.json()["Message"].clone();
    assert!(
        message
            .as_str()
            .unwrap()
            .starts_with("Forbidden. For troubleshooting"),
        "{message}"
    );
    assert_eq!(
        answer.header("x-amzn-errortype"),
        Some("AccessDeniedException")
    );
}

#[test]
fn a_url_answers_while_its_policy_changes() {
    let (host, id) = start_open(&printing("{}"));
    let requests = [Request::get(&format!("/_url/{id}/"))];
    let load = Load::start(host.http(), &requests, 2, Some(200));
    load.wait_answers(10);
    let policy = "/2015-03-31/functions/f/policy";
    for _ in 0..20 {
        let other = json!({
            "StatementId": "other", "Action": "lambda:InvokeFunction", "Principal": "000000000000",
        });
        let _answer = host.lambda_ok("POST", policy, &other, 201);
        let _answer = host.lambda_ok("DELETE", &format!("{policy}/other"), &Value::Null, 204);
    }
    load.wait_answers(10);
    let shots = load.stop();
    let refused = shots.iter().filter(|shot| shot.status() != 200).count();
    assert_eq!(refused, 0, "of {}", shots.len());
}

#[test]
fn anybody_may_use_a_public_url_by_its_path_and_by_its_name() {
    let (host, id) = start_open(&guest("echo"));
    let by_path = host.get(&format!("/_url/{id}/a%20b/?x=1&x=2"));
    let name = format!("{id}.lambda-url.local.example.com");
    let by_name = host.send(&Request::get("/a%20b/?x=1&x=2").header("host", &name));
    for (answer, domain) in [(&by_path, host.http().to_string()), (&by_name, name)] {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let event = answer.json();
        assert_eq!(
            (&event["version"], &event["routeKey"]),
            (&json!("2.0"), &json!("$default"))
        );
        assert_eq!(
            (&event["rawPath"], &event["rawQueryString"]),
            (&json!("/a b/"), &json!("x=1&x=2"))
        );
        assert_eq!(event.get("pathParameters"), None);
        let context = &event["requestContext"];
        assert_eq!(context["accountId"], "anonymous");
        assert_eq!(
            (&context["apiId"], &context["domainPrefix"]),
            (&json!(id), &json!(id))
        );
        assert_eq!(
            (&context["domainName"], &context["stage"]),
            (&json!(domain), &json!("$default"))
        );
        assert_eq!(context["http"]["path"], "/a b/");
        assert_eq!(context["requestId"], answer.request_id());
        assert_eq!(context.get("authorizer"), None);
    }
    assert_eq!(host.get("/f").status, 404, "a URL is no route");
}

#[test]
fn a_public_url_wants_a_policy_that_says_so() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let id = make_url(&host, "f", &json!({"AuthType": "NONE"}));
    let get = || host.get(&format!("/_url/{id}/"));
    check_forbidden(&get());
    open_to_all(&host, "f", "");
    assert_eq!((get().status, get().text().as_str()), (200, "1"));
    // New code changes nothing about who may.
    host.deploy("f", &printing("2"));
    assert_eq!(get().text(), "2");
    let remove = Request::new("DELETE", "/2015-03-31/functions/f/policy/url");
    assert_eq!(host.control_send(&remove).status, 204);
    check_forbidden(&get());
    let runs = host.ledger().request_ids().len();
    assert_eq!(runs, 3, "what is refused runs nothing");
}

#[test]
fn who_signs_may_use_a_url_with_iam_and_others_may_not() {
    let host = TestHost::start();
    host.deploy("f", &guest("echo"));
    let id = make_url(&host, "f", &json!({"AuthType": "AWS_IAM"}));
    let request = Request::post(&format!("/_url/{id}/x"), "body");
    let signed = |service: &str| {
        let signer = host.root_signer().for_service(service);
        host.send(&signer.sign(&request, host.http()))
    };
    let answer = signed("lambda");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let context = &answer.json()["requestContext"];
    assert_eq!(context["accountId"], "000000000000");
    assert_eq!(
        context["authorizer"]["iam"]["userArn"],
        "arn:aws:iam::000000000000:root"
    );
    let signer = host.root_signer().for_service("lambda");
    let twice = Request::get(&format!("/_url/{id}/x//y"));
    let answer = host.send(&signer.sign(&twice, host.http()));
    assert_eq!(answer.status, 400, "{}", answer.text());
    check_forbidden(&signed("execute-api"));
    check_forbidden(&host.send(&request));
    // A policy for anybody is about URLs without signatures.
    open_to_all(&host, "f", "");
    check_forbidden(&host.send(&request));
    let signer = host.root_signer().for_service("lambda");
    let other = signer.sign(&request, host.http()).with_body("bodY");
    check_forbidden(&host.send(&other));
}

#[test]
fn a_signature_for_one_url_opens_no_other() {
    let host = TestHost::start();
    host.deploy("f", &guest("echo"));
    host.deploy("g", &guest("echo"));
    let own = make_url(&host, "f", &json!({"AuthType": "AWS_IAM"}));
    let other = make_url(&host, "g", &json!({"AuthType": "AWS_IAM"}));
    let name = |id: &str| format!("{id}.lambda-url.us-east-1.example.com");
    let signer = host.root_signer().for_service("lambda");
    let request = Request::get("/x").header("host", &name(&own));
    let signed = signer.sign(&request, host.http());
    let absolute = |id: &str| {
        signed
            .clone()
            .with_target(&format!("http://{}/x", name(id)))
    };
    let answer = host.send(&absolute(&own));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["headers"]["authorization"], Value::Null);
    let answer = host.send(&absolute(&other));
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(host.ledger().request_ids().len(), 1);
}

#[test]
fn a_url_that_is_not_there_or_not_any_more_tells_nothing() {
    let (host, id) = start_open(&printing("1"));
    let unknown = |target: &str| {
        let answer = host.get(target);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (403, "{\"Message\":null}"),
            "{target}"
        );
    };
    unknown("/_url/00000000000000000000000000000000/");
    unknown("/_url");
    unknown("/_url//");
    unknown(&format!("/_url/{id}x/"));
    assert_eq!(host.get(&format!("/_url/{id}")).status, 200);
    assert_eq!(host.get(&format!("/_url/{id}/%2e%2e/f")).status, 400);
    let delete = Request::new("DELETE", "/2021-10-31/functions/f/url");
    assert_eq!(host.control_send(&delete).status, 204);
    unknown(&format!("/_url/{id}/"));
}

#[test]
fn what_fails_looks_as_on_lambda() {
    let (host, id) = start_open(&speaking("{\"errorMessage\":\"no\"}", "", 1));
    let get = || host.get(&format!("/_url/{id}/"));
    let failed = get();
    assert_eq!(
        (failed.status, failed.text().as_str()),
        (502, "Internal Server Error")
    );
    host.deploy_with("f", "timeout = 0.05\n", &guest("loop"));
    let late = get();
    assert_eq!(
        (late.status, late.text().as_str()),
        (502, "Internal Server Error")
    );
    host.deploy_with("f", "", &printing("{\"statusCode\":201,\"body\":\"x\"}"));
    let good = get();
    assert_eq!((good.status, good.text().as_str()), (201, "x"));
    assert_eq!(good.header("content-type"), Some("application/json"));
    host.deploy_with("f", "concurrency = 0\n", &printing("2"));
    let throttled = get();
    assert_eq!(
        (throttled.status, &throttled.json()["message"]),
        (429, &json!("Rate Exceeded."))
    );
    assert_eq!(throttled.json()["Type"], "User");
}

#[test]
fn a_url_has_rules_for_web_pages() {
    let host = TestHost::start();
    let answer = r#"{"statusCode":200,"headers":{"access-control-allow-origin":"*"},"body":"x"}"#;
    host.deploy("f", &printing(answer));
    let cors = json!({"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"], "MaxAge": 5});
    let id = make_url(&host, "f", &json!({"AuthType": "NONE", "Cors": cors}));
    open_to_all(&host, "f", "");
    let target = format!("/_url/{id}/");
    let from = |request: Request| host.send(&request.header("origin", "https://a.example"));
    let preflight = Request::new("OPTIONS", &target).header("access-control-request-method", "GET");
    let told = from(preflight);
    assert_eq!((told.status, told.text().as_str()), (200, ""));
    assert_eq!(told.header("access-control-allow-methods"), Some("GET"));
    assert_eq!(told.header("access-control-max-age"), Some("5"));
    let page = from(Request::get(&target));
    assert_eq!(
        page.headers_of("access-control-allow-origin"),
        ["https://a.example"]
    );
    let other = host.get(&target);
    assert_eq!(other.header("access-control-allow-origin"), None);
    assert_eq!(host.ledger().request_ids().len(), 2);
}

#[test]
fn a_url_and_a_route_may_lead_to_an_alias() {
    let host = TestHost::start();
    host.deploy_with("f", "qualifier = \"live\"\n", &printing("1"));
    let post = |target: &str, body: Value| {
        let answer = host.control_send(&Request::post(target, body.to_string()));
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    assert_eq!(host.get("/f").status, 404, "there is no such alias yet");
    post("/2015-03-31/functions/f/versions", json!({}));
    post(
        "/2015-03-31/functions/f/aliases",
        json!({"Name": "live", "FunctionVersion": "1"}),
    );
    let id = make_url(&host, "f", &json!({"AuthType": "NONE"}));
    let target = "/2021-10-31/functions/f/url?Qualifier=live";
    let made = host.control_send(&Request::post(
        target,
        json!({"AuthType": "NONE"}).to_string(),
    ));
    let url = made.json()["FunctionUrl"].as_str().unwrap().to_owned();
    let of_alias = url
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap()
        .to_owned();
    open_to_all(&host, "f", "");
    open_to_all(&host, "f", "?Qualifier=live");
    host.deploy_with("f", "qualifier = \"live\"\n", &printing("2"));
    assert_eq!(host.get("/f").text(), "1");
    assert_eq!(host.get(&format!("/_url/{of_alias}/")).text(), "1");
    assert_eq!(host.get(&format!("/_url/{id}/")).text(), "2");
}
