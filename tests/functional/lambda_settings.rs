//! What is set for a function, whatever its versions are: concurrency, URLs, policies, tags, and what
//! becomes of asynchronous events.

use serde_json::{Value, json};
use support::TestHost;
use support::guests::printing;
use support::lambda::{FUNCTIONS, arn, creation, encode};

const NOT_FOUND: (u16, &str) = (404, "ResourceNotFoundException");
const CONFLICT: (u16, &str) = (409, "ResourceConflictException");
const INVALID: (u16, &str) = (400, "InvalidParameterValueException");
const CONSTRAINT: (u16, &str) = (400, "ValidationException");

/// A server with the function `f` and the alias `f:live`.
fn host() -> TestHost {
    let host = TestHost::start();
    let mut request = creation("f", &printing("1"));
    request["Publish"] = json!(true);
    let _created = host.lambda_ok("POST", FUNCTIONS, &request, 201);
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    let _alias = host.lambda_ok("POST", "/2015-03-31/functions/f/aliases", &alias, 201);
    host
}

#[test]
fn reserved_concurrency_bounds_what_runs() {
    let host = host();
    let put = "/2017-10-31/functions/f/concurrency";
    let get = "/2019-09-30/functions/f/concurrency";
    let set = |number: i64| json!({ "ReservedConcurrentExecutions": number });
    assert_eq!(host.lambda_ok("GET", get, &Value::Null, 200), json!({}));
    assert_eq!(host.lambda_ok("PUT", put, &set(0), 200), set(0));
    assert_eq!(host.lambda_ok("GET", get, &Value::Null, 200), set(0));
    let read = host.lambda_ok("GET", "/2015-03-31/functions/f", &Value::Null, 200);
    assert_eq!(read["Concurrency"], set(0));
    let throttled = host.invoke("f", "{}");
    assert_eq!(throttled.status, 429);
    assert_eq!(
        throttled.json()["Reason"],
        "ReservedFunctionConcurrentInvocationLimitExceeded"
    );
    let message = host.lambda_error(("PUT", put), &set(901), INVALID);
    assert_eq!(
        message,
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [100]."
    );
    let _set = host.lambda_ok("PUT", put, &set(900), 200);
    host.lambda_error(("PUT", put), &set(-1), CONSTRAINT);
    host.lambda_error(("PUT", put), &json!({}), CONSTRAINT);
    let qualified = "/2017-10-31/functions/f:live/concurrency";
    let message = host.lambda_error(("PUT", qualified), &set(1), INVALID);
    assert!(message.starts_with("This operation is permitted on Lambda functions only."));
    let _gone = host.lambda_ok("DELETE", put, &Value::Null, 204);
    assert_eq!(host.lambda_ok("GET", get, &Value::Null, 200), json!({}));
    assert_eq!(host.invoke("f", "{}").status, 200);
}

#[test]
fn a_function_url_is_made_changed_and_taken_away() {
    let host = host();
    let target = "/2021-10-31/functions/f/url";
    host.lambda_error(("GET", target), &Value::Null, NOT_FOUND);
    let cors = json!({ "AllowOrigins": ["*"], "AllowMethods": ["GET"], "MaxAge": 60 });
    let request = json!({ "AuthType": "NONE", "Cors": cors });
    let created = host.lambda_ok("POST", target, &request, 201);
    assert_eq!(created["FunctionArn"], json!(arn("f")));
    assert_eq!(
        (&created["AuthType"], &created["Cors"]),
        (&json!("NONE"), &cors)
    );
    assert!(created.get("InvokeMode").is_none() && created.get("LastModifiedTime").is_none());
    let url = created["FunctionUrl"].as_str().unwrap();
    let id = url.trim_end_matches('/').rsplit('/').next().unwrap();
    assert!(url.ends_with('/') && id.len() == 32, "{url}");
    let message = host.lambda_error(("POST", target), &request, CONFLICT);
    assert!(
        message.contains("FunctionUrlConfig exists for this Lambda function"),
        "{message}"
    );

    let changed = host.lambda_ok("PUT", target, &json!({"AuthType": "AWS_IAM"}), 200);
    assert_eq!(
        (&changed["AuthType"], &changed["Cors"]),
        (&json!("AWS_IAM"), &cors)
    );
    assert_eq!(changed["InvokeMode"], "BUFFERED");
    assert_eq!(host.lambda_ok("GET", target, &Value::Null, 200), changed);
    let alias = format!("{target}?Qualifier=live");
    let of_alias = host.lambda_ok("POST", &alias, &json!({"AuthType": "NONE"}), 201);
    assert_eq!(of_alias["FunctionArn"], json!(arn("f:live")));
    let listed = host.lambda_ok("GET", "/2021-10-31/functions/f/urls", &Value::Null, 200);
    assert_eq!(listed["FunctionUrlConfigs"].as_array().unwrap().len(), 2);

    for (query, body, error) in [
        ("?Qualifier=1", json!({"AuthType": "NONE"}), CONSTRAINT),
        (
            "?Qualifier=$LATEST",
            json!({"AuthType": "NONE"}),
            CONSTRAINT,
        ),
        ("", json!({}), CONSTRAINT),
        ("", json!({"AuthType": "SOME"}), CONSTRAINT),
        (
            "",
            json!({"AuthType": "NONE", "Cors": {"MaxAge": 86_401}}),
            CONSTRAINT,
        ),
        (
            "",
            json!({"AuthType": "NONE", "Cors": {"AllowOrigins": ["a\nb"]}}),
            CONSTRAINT,
        ),
    ] {
        host.lambda_error(("POST", &format!("{target}{query}")), &body, error);
    }
    let _gone = host.lambda_ok("DELETE", target, &Value::Null, 204);
    host.lambda_error(("DELETE", target), &Value::Null, NOT_FOUND);
    let nobody = "/2021-10-31/functions/nobody/url";
    let message = host.lambda_error(("POST", nobody), &json!({"AuthType": "NONE"}), NOT_FOUND);
    assert_eq!(message, "Function does not exist");
}

#[test]
fn a_resource_policy_grows_and_shrinks_statement_by_statement() {
    let host = host();
    let policy = "/2015-03-31/functions/f/policy";
    let none = host.lambda_error(("GET", policy), &Value::Null, NOT_FOUND);
    assert_eq!(none, "The resource you requested does not exist.");
    let request = json!({
        "StatementId": "s1", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com",
        "SourceArn": "arn:aws:s3:::bucket", "SourceAccount": "000000000000",
    });
    let added = host.lambda_ok("POST", policy, &request, 201);
    let statement: Value = serde_json::from_str(added["Statement"].as_str().unwrap()).unwrap();
    let expected = json!({
        "Sid": "s1", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction", "Resource": arn("f"),
        "Condition": {"StringEquals": {"AWS:SourceAccount": "000000000000"},
                      "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"}},
    });
    assert_eq!(statement, expected);
    let message = host.lambda_error(("POST", policy), &request, CONFLICT);
    assert!(
        message.starts_with("The statement id (s1) provided already exists."),
        "{message}"
    );
    let read = host.lambda_ok("GET", policy, &Value::Null, 200);
    let document: Value = serde_json::from_str(read["Policy"].as_str().unwrap()).unwrap();
    let whole = json!({ "Version": "2012-10-17", "Id": "default", "Statement": [expected] });
    assert_eq!(document, whole);

    let mut second = request.clone();
    second["StatementId"] = json!("s2");
    let stale = (412, "PreconditionFailedException");
    let ending = "Call the GetPolicy API to retrieve the latest Revision Id";
    for other in ["00000000-0000-0000-0000-000000000000", "none"] {
        second["RevisionId"] = json!(other);
        let message = host.lambda_error(("POST", policy), &second, stale);
        assert!(message.ends_with(ending), "{message}");
        let remove = format!("{policy}/s1?RevisionId={other}");
        let message = host.lambda_error(("DELETE", &remove), &Value::Null, stale);
        assert!(message.ends_with(ending), "{message}");
    }
    second["RevisionId"] = read["RevisionId"].clone();
    let _added = host.lambda_ok("POST", policy, &second, 201);
    let of_alias = format!("{policy}?Qualifier=live");
    let added = host.lambda_ok("POST", &of_alias, &request, 201);
    assert!(
        added["Statement"]
            .as_str()
            .unwrap()
            .contains(&arn("f:live"))
    );

    for (query, member, value, error) in [
        ("?Qualifier=$LATEST", "StatementId", "x", INVALID),
        ("?Qualifier=nope", "StatementId", "x", NOT_FOUND),
        ("", "Principal", "somebody", INVALID),
        ("", "Action", "s3:GetObject", CONSTRAINT),
        ("", "StatementId", "a b", CONSTRAINT),
        ("", "SourceAccount", "12", CONSTRAINT),
    ] {
        let mut bad = request.clone();
        bad[member] = json!(value);
        host.lambda_error(("POST", &format!("{policy}{query}")), &bad, error);
    }
    for sid in ["s1", "s2"] {
        let _gone = host.lambda_ok("DELETE", &format!("{policy}/{sid}"), &Value::Null, 204);
    }
    let message = host.lambda_error(("DELETE", &format!("{policy}/s1")), &Value::Null, NOT_FOUND);
    assert_eq!(message, "No policy is associated with the given resource.");
    let missing = format!("{policy}/s9?Qualifier=live");
    let message = host.lambda_error(("DELETE", &missing), &Value::Null, NOT_FOUND);
    assert_eq!(message, "Statement s9 is not found in resource policy.");
}

#[test]
fn settings_of_asynchronous_invocation_are_replaced_or_merged() {
    let host = host();
    host.create("g", &printing("1"));
    let target = "/2019-09-25/functions/f/event-invoke-config";
    let missing = format!(
        "The function {} doesn't have an EventInvokeConfig",
        arn("f:$LATEST")
    );
    for method in ["GET", "DELETE"] {
        let message = host.lambda_error((method, target), &Value::Null, NOT_FOUND);
        assert_eq!(message, missing);
    }
    host.lambda_error(
        ("POST", target),
        &json!({"MaximumRetryAttempts": 1}),
        NOT_FOUND,
    );
    host.lambda_error(("PUT", target), &json!({}), INVALID);
    host.lambda_error(
        ("PUT", target),
        &json!({"MaximumRetryAttempts": 3}),
        CONSTRAINT,
    );
    host.lambda_error(
        ("PUT", target),
        &json!({"MaximumEventAgeInSeconds": 59}),
        CONSTRAINT,
    );
    let put = json!({ "MaximumRetryAttempts": 0, "DestinationConfig": {"OnFailure": {"Destination": arn("g")}} });
    let set = host.lambda_ok("PUT", target, &put, 200);
    assert_eq!(set["FunctionArn"], json!(arn("f:$LATEST")));
    assert!(set["LastModified"].is_number());
    let expected = json!({ "OnSuccess": {}, "OnFailure": {"Destination": arn("g")} });
    assert_eq!(
        (&set["MaximumRetryAttempts"], &set["DestinationConfig"]),
        (&json!(0), &expected)
    );
    assert!(set.get("MaximumEventAgeInSeconds").is_none());
    let merged = json!({ "MaximumEventAgeInSeconds": 60 });
    let merged = host.lambda_ok("POST", target, &merged, 200);
    assert_eq!(
        (
            &merged["MaximumRetryAttempts"],
            &merged["DestinationConfig"]
        ),
        (&json!(0), &expected)
    );
    assert_eq!(host.lambda_ok("GET", target, &Value::Null, 200), merged);
    let alias = format!("{target}?Qualifier=live");
    let _alias = host.lambda_ok("PUT", &alias, &json!({"MaximumRetryAttempts": 1}), 200);
    let listed = host.lambda_ok("GET", &format!("{target}/list"), &Value::Null, 200);
    assert_eq!(
        listed["FunctionEventInvokeConfigs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let _gone = host.lambda_ok("DELETE", target, &Value::Null, 204);
    let nobody = "/2019-09-25/functions/nobody/event-invoke-config";
    let message = host.lambda_error(
        ("PUT", nobody),
        &json!({"MaximumRetryAttempts": 1}),
        NOT_FOUND,
    );
    assert_eq!(message, "The function doesn't exist.");
}

#[test]
fn tags_belong_to_functions() {
    let host = host();
    let tags = format!("/2017-03-31/tags/{}", encode(&arn("f")));
    let set = json!({ "Tags": {"stage": "prod", "größe": "a b"} });
    let _set = host.lambda_ok("POST", &tags, &set, 204);
    assert_eq!(host.lambda_ok("GET", &tags, &Value::Null, 200), set);
    let read = host.lambda_ok("GET", "/2015-03-31/functions/f", &Value::Null, 200);
    assert_eq!(read["Tags"], set["Tags"]);
    let keys = format!("{tags}?tagKeys=stage&tagKeys={}", encode("größe"));
    let _gone = host.lambda_ok("DELETE", &keys, &Value::Null, 204);
    assert_eq!(
        host.lambda_ok("GET", &tags, &Value::Null, 200),
        json!({"Tags": {}})
    );
    let many: serde_json::Map<_, _> = (0..51).map(|at| (at.to_string(), json!(""))).collect();
    let message = host.lambda_error(("POST", &tags), &json!({ "Tags": many }), INVALID);
    assert_eq!(message, "Number of tags exceeds resource tag limit.");
    let alias = format!("/2017-03-31/tags/{}", encode(&arn("f:live")));
    let message = host.lambda_error(("POST", &alias), &set, INVALID);
    assert!(message.starts_with("Tags on function aliases and versions are not supported."));
    host.lambda_error(("DELETE", &tags), &Value::Null, CONSTRAINT);
    host.lambda_error(("GET", "/2017-03-31/tags/f"), &Value::Null, INVALID);
}
