//! Versions and aliases through the Lambda API.

use serde_json::{Value, json};
use support::bodies::to_base64;
use support::guests::{assemble, printing};
use support::lambda::{FUNCTIONS, arn, creation};
use support::{Request, TestHost};

const NOT_FOUND: (u16, &str) = (404, "ResourceNotFoundException");
const CONFLICT: (u16, &str) = (409, "ResourceConflictException");
const INVALID: (u16, &str) = (400, "InvalidParameterValueException");
const CONSTRAINT: (u16, &str) = (400, "ValidationException");

const VERSIONS: &str = "/2015-03-31/functions/f/versions";
const ALIASES: &str = "/2015-03-31/functions/f/aliases";

/// A server with the function `f`, whose versions 1 and 2 print their numbers.
fn with_two_versions() -> TestHost {
    let host = TestHost::start();
    let mut request = creation("f", &printing("1"));
    request["Publish"] = json!(true);
    let first = host.lambda_ok("POST", FUNCTIONS, &request, 201);
    assert_eq!(
        (&first["Version"], &first["FunctionArn"]),
        (&json!("1"), &json!(arn("f")))
    );
    let code = json!({ "ZipFile": to_base64(&assemble(&printing("2"))), "Publish": true });
    let second = host.lambda_ok("PUT", "/2015-03-31/functions/f/code", &code, 200);
    assert_eq!(second["Version"], "2");
    host
}

fn executed(host: &TestHost, name: &str) -> (String, String) {
    let response = host.invoke(name, "{}");
    assert_eq!(response.status, 200, "{}", response.text());
    let version = response.header("x-amz-executed-version").unwrap();
    (version.to_owned(), response.text())
}

#[test]
fn versions_stay_what_they_were() {
    let host = with_two_versions();
    for (name, version, text) in [("f:1", "1", "1"), ("f:2", "2", "2"), ("f", "$LATEST", "2")] {
        assert_eq!(executed(&host, name), (version.to_owned(), text.to_owned()));
    }
    let listed = host.lambda_ok("GET", VERSIONS, &Value::Null, 200);
    let arns: Vec<_> = listed["Versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["FunctionArn"].clone())
        .collect();
    assert_eq!(arns, [arn("f:$LATEST"), arn("f:1"), arn("f:2")]);
    // Nothing changed, so it is the same version again.
    let again = host.lambda_ok("POST", VERSIONS, &json!({}), 201);
    assert_eq!(again["Version"], "2");
    let sha256 = again["CodeSha256"].clone();
    let message = host.lambda_error(("POST", VERSIONS), &json!({"CodeSha256": "nope"}), INVALID);
    let expected = format!(
        "CodeSHA256 (nope) is different from current CodeSHA256 in $LATEST ({}). Please try again with the CodeSHA256 in $LATEST.",
        sha256.as_str().unwrap()
    );
    assert_eq!(message, expected);

    let message = host.lambda_error(
        ("DELETE", "/2015-03-31/functions/f?Qualifier=$LATEST"),
        &Value::Null,
        INVALID,
    );
    assert_eq!(
        message,
        "$LATEST version cannot be deleted without deleting the function."
    );
    let _gone = host.lambda_ok(
        "DELETE",
        "/2015-03-31/functions/f?Qualifier=1",
        &Value::Null,
        204,
    );
    assert_eq!(host.invoke("f:1", "{}").status, 404);
    let read = ("GET", "/2015-03-31/functions/f?Qualifier=1");
    let message = host.lambda_error(read, &Value::Null, NOT_FOUND);
    assert_eq!(message, format!("Function not found: {}", arn("f:1")));
}

#[test]
fn an_alias_leads_where_it_points() {
    let host = with_two_versions();
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    let created = host.lambda_ok("POST", ALIASES, &alias, 201);
    assert_eq!(created["AliasArn"], json!(arn("f:live")));
    assert_eq!(
        (&created["Description"], &created["FunctionVersion"]),
        (&json!(""), &json!("1"))
    );
    assert!(created.get("RoutingConfig").is_none());
    assert_eq!(executed(&host, "f:live"), ("1".to_owned(), "1".to_owned()));
    let message = host.lambda_error(("POST", ALIASES), &alias, CONFLICT);
    assert_eq!(message, format!("Alias already exists: {}", arn("f:live")));

    let live = format!("{ALIASES}/live");
    assert_eq!(host.lambda_ok("GET", &live, &Value::Null, 200), created);
    let change = json!({ "FunctionVersion": "2", "RevisionId": created["RevisionId"] });
    let changed = host.lambda_ok("PUT", &live, &change, 200);
    assert_eq!(changed["FunctionVersion"], "2");
    assert_eq!(executed(&host, "f:live"), ("2".to_owned(), "2".to_owned()));
    host.lambda_error(
        ("PUT", &live),
        &change,
        (412, "PreconditionFailedException"),
    );
    // Whoever asks for an alias reads about the version, under the alias's name.
    let target = "/2015-03-31/functions/f/configuration?Qualifier=live";
    let read = host.lambda_ok("GET", target, &Value::Null, 200);
    assert_eq!(
        (&read["FunctionArn"], &read["Version"]),
        (&json!(arn("f:live")), &json!("2"))
    );

    let in_use = ("DELETE", "/2015-03-31/functions/f?Qualifier=2");
    host.lambda_error(in_use, &Value::Null, CONFLICT);
    for _ in 0..2 {
        let _gone = host.lambda_ok("DELETE", &live, &Value::Null, 204);
    }
    let message = host.lambda_error(("GET", &live), &Value::Null, NOT_FOUND);
    assert_eq!(message, format!("Cannot find alias arn: {}", arn("f:live")));
    let message = host.lambda_error(("PUT", &live), &json!({}), NOT_FOUND);
    assert_eq!(message, format!("Alias not found: {}", arn("f:live")));
}

#[test]
fn an_alias_may_share_its_events_between_two_versions() {
    let host = with_two_versions();
    let weights = |weight: f64| json!({ "AdditionalVersionWeights": { "2": weight } });
    let alias = json!({ "Name": "live", "FunctionVersion": "1", "RoutingConfig": weights(1.0) });
    let created = host.lambda_ok("POST", ALIASES, &alias, 201);
    assert_eq!(created["RoutingConfig"], weights(1.0));
    assert_eq!(executed(&host, "f:live").0, "2");
    let live = format!("{ALIASES}/live");
    let half = json!({ "RoutingConfig": weights(0.5) });
    let _half = host.lambda_ok("PUT", &live, &half, 200);
    // One in 2^60 would be all the same.
    let versions: std::collections::BTreeSet<_> =
        (0..60).map(|_| executed(&host, "f:live").0).collect();
    assert_eq!(versions.len(), 2);
    for query in ["?FunctionVersion=1", "?FunctionVersion=2", ""] {
        let listed = host.lambda_ok("GET", &format!("{ALIASES}{query}"), &Value::Null, 200);
        assert_eq!(listed["Aliases"][0]["Name"], "live", "{query}");
    }
    let kept = host.lambda_ok("PUT", &live, &json!({ "Description": "d" }), 200);
    assert_eq!(kept["RoutingConfig"], weights(0.5));
    let cleared = host.lambda_ok("PUT", &live, &json!({ "RoutingConfig": {} }), 200);
    assert!(cleared.get("RoutingConfig").is_none());
    assert_eq!(executed(&host, "f:live").0, "1");
}

#[test]
fn an_alias_that_leads_nowhere_is_refused() {
    let host = with_two_versions();
    let alias = |name: &str, version: &str, weights: Value| {
        json!({ "Name": name, "FunctionVersion": version,
                "RoutingConfig": { "AdditionalVersionWeights": weights } })
    };
    for (request, error, part) in [
        (
            alias("a", "3", json!({})),
            NOT_FOUND,
            "Function not found: ",
        ),
        (
            alias("a", "1", json!({"3": 0.1})),
            NOT_FOUND,
            "Function not found: ",
        ),
        (
            alias("a", "1", json!({"1": 0.1})),
            INVALID,
            "Invalid function version 1. Function version 1 is already included in routing configuration.",
        ),
        (
            alias("a", "$LATEST", json!({"1": 0.1})),
            INVALID,
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
        (
            alias("a", "1", json!({"1": 0.1, "2": 0.1})),
            INVALID,
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ),
        (
            alias("a", "1", json!({"2": 1.1})),
            CONSTRAINT,
            "less than or equal to 1",
        ),
        (
            alias("a", "1", json!({"2": -0.1})),
            CONSTRAINT,
            "greater than or equal to 0",
        ),
        (
            alias("a", "live", json!({})),
            CONSTRAINT,
            "'functionVersion'",
        ),
        (alias("1", "1", json!({})), CONSTRAINT, "'name'"),
        (alias("$LATEST", "1", json!({})), CONSTRAINT, "'name'"),
        (
            alias(&"x".repeat(129), "1", json!({})),
            CONSTRAINT,
            "less than or equal to 128",
        ),
    ] {
        let message = host.lambda_error(("POST", ALIASES), &request, error);
        assert!(message.contains(part), "{request}: {message}");
    }
    let mismatch = Request::post("/2015-03-31/functions/f:1/invocations?Qualifier=2", "{}");
    let mismatch = host.control_send(&mismatch);
    assert_eq!(mismatch.status, 400);
    assert_eq!(
        mismatch.json()["message"],
        "The derived qualifier from the function name does not match the specified qualifier."
    );
}

#[test]
fn of_two_changes_under_one_revision_one_is_made() {
    const ROUNDS: usize = 1_000;
    let host = TestHost::start();
    let created = host.create("f", &printing("1"));
    let mut revision = created["RevisionId"].clone();
    let target = "/2015-03-31/functions/f/configuration";
    for round in 0..ROUNDS {
        let change = |side: &str| json!({ "RevisionId": revision, "Description": format!("{side} {round}") });
        let (left, right) = std::thread::scope(|scope| {
            let left = scope.spawn(|| host.lambda("PUT", target, &change("left")));
            let right = scope.spawn(|| host.lambda("PUT", target, &change("right")));
            (left.join().unwrap(), right.join().unwrap())
        });
        let (winner, loser) = if left.status == 200 {
            (left, right)
        } else {
            (right, left)
        };
        assert_eq!((winner.status, loser.status), (200, 412), "round {round}");
        let now = host.lambda_ok("GET", target, &Value::Null, 200);
        assert_eq!(now, winner.json(), "round {round}");
        revision = now["RevisionId"].clone();
    }
}
