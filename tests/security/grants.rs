//! What a permission covers and what it does not: names, versions and aliases, regions, edges of
//! policies, policies of functions, and what users may make of the permissions that they have.

use serde_json::{Value, json};
use support::guests::printing;
use support::identity::{document, error_code, policy_form, statement};
use support::lambda::{FUNCTIONS, arn, encode};
use support::{Request, Signer, TestHost};

const INVOKE: &str = "lambda:InvokeFunction";

/// A server with the function `f`, its version 1 and the alias `live` of it.
fn start() -> TestHost {
    let host = TestHost::start();
    host.create("f", &printing("1"));
    let post = |target: &str, body: &Value| {
        let _made = host.lambda_ok("POST", &format!("{FUNCTIONS}/f/{target}"), body, 201);
    };
    post("versions", &json!({}));
    post("aliases", &json!({"Name": "live", "FunctionVersion": "1"}));
    host
}

/// Who may invoke what, by the status of the answer.
#[track_caller]
fn check(host: &TestHost, signer: &Signer, expected: &[(&str, u16)]) {
    for (name, status) in expected {
        let answer = host.invoke_as(signer, name);
        assert_eq!(answer.status, *status, "{name}: {}", answer.text());
        if *status == 403 {
            let code = error_code(&answer);
            assert_eq!(code.as_deref(), Some("AccessDeniedException"), "{name}");
        }
    }
}

#[test]
fn a_permission_on_a_name_covers_that_name_in_each_of_its_spellings_and_no_other() {
    let host = start();
    host.create("foo", &printing("1"));
    let bob = host.user("bob");
    let latest = format!("{}:$LATEST", arn("f"));
    let qualified = [
        "f:live",
        "f:1",
        "f:$LATEST",
        "f:%24LATEST",
        "f%3Alive",
        &format!("{}:live", arn("f")),
        &latest,
        "000000000000:function:f:live",
    ];
    let unqualified = [
        "f",
        "%66",
        &arn("f"),
        &encode(&arn("f")),
        "000000000000:function:f",
    ];
    let with = |names: &[&'static str], status| -> Vec<(&'static str, u16)> {
        names.iter().map(|name| (*name, status)).collect()
    };
    let others = with(&["foo", "F"], 403);
    let all = |names: &[&str], status: u16| {
        for name in names {
            check(&host, &bob, &[(name, status)]);
        }
    };

    host.put_policy("bob", &statement("Allow", INVOKE, &arn("f")));
    all(&unqualified, 200);
    all(&qualified, 403);
    check(&host, &bob, &others);
    check(&host, &bob, &[("f*", 400), ("f:", 400), ("f:live:1", 400)]);
    // The qualifier counts wherever it is written.
    for (target, status) in [
        ("f/invocations?Qualifier=live", 403),
        ("f/invocations?Qualifier=%24LATEST", 403),
        ("f:live/invocations?Qualifier=1", 400),
    ] {
        let request = Request::post(&format!("{FUNCTIONS}/{target}"), "{}");
        let answer = host.send_as(&bob, &request);
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
    }

    host.put_policy("bob", &statement("Allow", INVOKE, &arn("f:*")));
    all(&unqualified, 403);
    all(&qualified, 200);
    check(&host, &bob, &others);

    // A star crosses what it likes, as on AWS; the case of names counts.
    host.put_policy("bob", &statement("Allow", INVOKE, &arn("f*")));
    all(&qualified, 200);
    check(&host, &bob, &[("foo", 200), ("F", 403)]);
}

#[test]
fn an_alias_is_permitted_by_its_own_name_wherever_it_leads() {
    let host = start();
    let _second = host.lambda_ok(
        "PUT",
        &format!("{FUNCTIONS}/f/configuration"),
        &json!({"Description": "2"}),
        200,
    );
    let _two = host.lambda_ok("POST", &format!("{FUNCTIONS}/f/versions"), &json!({}), 201);
    let bob = host.user("bob");
    host.put_policy(
        "bob",
        &json!([
            statement("Allow", INVOKE, &arn("f:1")),
            statement("Allow", "lambda:UpdateAlias", &arn("f:live")),
        ]),
    );
    // It leads to what may be invoked, and is another name.
    check(&host, &bob, &[("f:1", 200), ("f:live", 403)]);
    let update = |alias: &str, version: &str| {
        let target = format!("{FUNCTIONS}/f/aliases/{alias}");
        let body = json!({"FunctionVersion": version}).to_string();
        let request = Request::new("PUT", &target).with_body(body);
        host.send_as(&bob, &request).status
    };
    // Who may move it may move it to any version, as on AWS; only it, and it is no permission to use it.
    assert_eq!(update("live", "2"), 200);
    assert_eq!(update("beta", "2"), 403);
    check(&host, &bob, &[("f:live", 403), ("f:2", 403)]);
    let make = Request::post(
        &format!("{FUNCTIONS}/f/aliases"),
        r#"{"Name": "beta", "FunctionVersion": "1"}"#,
    );
    assert_eq!(host.send_as(&bob, &make).status, 403);
    host.put_policy("bob", &statement("Allow", INVOKE, &arn("f:live")));
    check(&host, &bob, &[("f:live", 200), ("f:1", 403), ("f:2", 403)]);
}

#[test]
fn a_prohibition_for_one_region_holds_whatever_region_is_signed_for() {
    let host = start();
    let bob = host.user("bob");
    let elsewhere = |region: &str| format!("arn:aws:lambda:{region}:000000000000:function:f");
    let regions = ["local", "us-east-1", "eu-west-1", "anything-9"];
    for written in regions {
        let deny = statement("Deny", "lambda:*", &elsewhere(written));
        host.put_policy("bob", &json!([statement("Allow", "*", "*"), deny]));
        for signed in regions {
            let signer = Signer {
                region: signed.to_owned(),
                ..bob.clone()
            };
            let named = elsewhere(signed);
            check(&host, &signer, &[("f", 403), (&named, 403), ("f:1", 200)]);
        }
        // A permission too: the region decides nothing.
        host.put_policy("bob", &statement("Allow", INVOKE, &elsewhere(written)));
        check(&host, &bob, &[("f", 200), ("f:1", 403)]);
    }
    // Elsewhere there are no functions, and none can be spelt.
    check(&host, &bob, &[(&elsewhere("us-east-1"), 404)]);
}

#[test]
fn policies_are_understood_whole_or_refused() {
    let host = start();
    let bob = host.user("bob");
    let allow = statement("Allow", INVOKE, &arn("f"));
    let deny = statement("Deny", INVOKE, &arn("f"));
    // An explicit deny wins, wherever it stands.
    for statements in [json!([allow, deny]), json!([deny, allow])] {
        host.put_policy("bob", &statements);
        check(&host, &bob, &[("f", 403)]);
    }
    host.put_policy("bob", &allow);
    check(&host, &bob, &[("f", 200)]);
    host.iam(&policy_form("bob", "second", &document(&deny)));
    check(&host, &bob, &[("f", 403)]);
    host.iam("Action=DeleteUserPolicy&UserName=bob&PolicyName=second");
    check(&host, &bob, &[("f", 200)]);

    // What nobody here knows never allows, and denies as if it held.
    let unknown = json!({"StringEquals": {"s3:prefix": "x"}});
    let conditional = |effect: &str| {
        let mut statement = statement(effect, INVOKE, &arn("f"));
        statement["Condition"] = unknown.clone();
        statement
    };
    host.put_policy("bob", &conditional("Allow"));
    check(&host, &bob, &[("f", 403)]);
    host.put_policy("bob", &json!([allow, conditional("Deny")]));
    check(&host, &bob, &[("f", 403)]);
    // An action that there is not allows nothing.
    host.put_policy("bob", &statement("Allow", "lambda:Invoke", &arn("f")));
    check(&host, &bob, &[("f", 403)]);

    host.put_policy("bob", &allow);
    for (part, value) in [
        ("Resource", json!([])),
        ("Resource", json!("f")),
        ("Resource", Value::Null),
        ("Action", json!([])),
        ("Action", json!("InvokeFunction")),
        ("Effect", json!("Maybe")),
        ("Effect", json!("allow")),
        ("Principal", json!("*")),
        (
            "Condition",
            json!({"StringLooksLike": {"aws:username": "bob"}}),
        ),
        ("Colour", json!("red")),
    ] {
        let mut broken = statement("Allow", INVOKE, &arn("f"));
        broken[part] = value;
        let form = policy_form("bob", "p", &document(&broken));
        let answer = host.iam_as(&host.root_signer(), &form);
        let found = (answer.status, error_code(&answer));
        let expected = (400, Some("MalformedPolicyDocument".to_owned()));
        assert_eq!(found, expected, "{broken}: {}", answer.text());
    }
    // What was refused changed nothing.
    check(&host, &bob, &[("f", 200), ("f:1", 403)]);
}

/// Lets a principal invoke, by the policy of the function; `at` may end in a qualifier.
#[track_caller]
fn add_permission(host: &TestHost, at: &str, action: &str, principal: &str) {
    let body = json!({"StatementId": "s", "Action": action, "Principal": principal});
    let _added = host.lambda_ok("POST", &format!("{FUNCTIONS}/f/policy{at}"), &body, 201);
}

#[test]
fn the_policy_of_a_function_or_alias_lets_in_whom_it_names_to_what_it_names() {
    let host = start();
    let (bob, eve) = (host.user("bob"), host.user("eve"));
    let user = "arn:aws:iam::000000000000:user/bob";
    add_permission(&host, "", INVOKE, user);
    check(
        &host,
        &bob,
        &[
            ("f", 200),
            ("f:$LATEST", 403),
            ("f:live", 403),
            ("f:1", 403),
        ],
    );
    check(&host, &eve, &[("f", 403)]);
    add_permission(&host, "?Qualifier=live", INVOKE, user);
    check(&host, &bob, &[("f:live", 200), ("f:1", 403)]);
    let remove = |at: &str| {
        let target = format!("{FUNCTIONS}/f/policy/s{at}");
        let _gone = host.lambda_ok("DELETE", &target, &Value::Null, 204);
    };
    remove("");
    check(&host, &bob, &[("f", 403), ("f:live", 200)]);
    // The account means everybody in it.
    add_permission(&host, "", INVOKE, "000000000000");
    check(&host, &bob, &[("f", 200)]);
    check(&host, &eve, &[("f", 200), ("f:live", 403)]);
    // Nothing else than what it says.
    for (method, target) in [("GET", "f"), ("DELETE", "f"), ("GET", "f/policy")] {
        let request = Request::new(method, &format!("{FUNCTIONS}/{target}"));
        assert_eq!(
            host.send_as(&bob, &request).status,
            403,
            "{method} {target}"
        );
    }
    // It goes with the alias and with the function: a new one of the name begins with none.
    let _gone = host.lambda_ok(
        "DELETE",
        &format!("{FUNCTIONS}/f/aliases/live"),
        &Value::Null,
        204,
    );
    let again = json!({"Name": "live", "FunctionVersion": "1"});
    let _made = host.lambda_ok("POST", &format!("{FUNCTIONS}/f/aliases"), &again, 201);
    check(&host, &bob, &[("f:live", 403), ("f", 200)]);
    let _gone = host.lambda_ok("DELETE", &format!("{FUNCTIONS}/f"), &Value::Null, 204);
    host.create("f", &printing("2"));
    check(&host, &bob, &[("f", 403)]);
}

#[test]
fn a_function_url_for_signers_asks_for_its_own_permission() {
    let host = start();
    let bob = host.user("bob");
    let body = json!({"AuthType": "AWS_IAM"});
    let made = host.lambda_ok("POST", "/2021-10-31/functions/f/url", &body, 201);
    let url = made["FunctionUrl"].as_str().unwrap();
    let base = format!("http://{}", host.http());
    let target = url.strip_prefix(&base).unwrap();
    let get = |signer: &Signer| {
        let signer = signer.clone().for_service("lambda");
        host.send(&signer.sign(&Request::get(target), host.http()))
            .status
    };
    assert_eq!(get(&host.root_signer()), 200);
    assert_eq!(get(&bob), 403);
    let of_url = "lambda:InvokeFunctionUrl";
    for (statements, status) in [
        (json!([statement("Allow", INVOKE, &arn("f"))]), 403),
        (json!([statement("Allow", of_url, &arn("f:live"))]), 403),
        (json!([statement("Allow", of_url, &arn("f"))]), 200),
        (
            json!([statement("Allow", "*", "*"), statement("Deny", of_url, "*")]),
            403,
        ),
    ] {
        host.put_policy("bob", &statements);
        assert_eq!(get(&bob), status, "{statements}");
    }
    assert_eq!(
        host.ledger().entries.len(),
        2,
        "who is refused runs nothing"
    );
}

#[test]
fn a_user_makes_no_more_of_permissions_than_they_say() {
    let host = start();
    let (bob, _eve) = (host.user("bob"), host.user("eve"));
    let all = document(&statement("Allow", "*", "*"));
    let admin = "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess";
    let own = [
        policy_form("bob", "q", &all),
        format!("Action=AttachUserPolicy&UserName=bob&{admin}"),
        "Action=CreateAccessKey".to_owned(),
        "Action=CreateAccessKey&UserName=bob".to_owned(),
    ];
    let of_others = [
        policy_form("eve", "q", &all),
        format!("Action=AttachUserPolicy&UserName=eve&{admin}"),
        "Action=CreateAccessKey&UserName=eve".to_owned(),
        "Action=UpdateUser&UserName=eve&NewUserName=mallory".to_owned(),
        "Action=UpdateUser&UserName=bob&NewUserName=mallory".to_owned(),
        "Action=CreateUser&UserName=mallory".to_owned(),
        "Action=DeleteUser&UserName=eve".to_owned(),
    ];
    let denied = |form: &str| {
        let answer = host.iam_as(&bob, form);
        let found = (answer.status, error_code(&answer));
        let expected = (403, Some("AccessDenied".to_owned()));
        assert_eq!(found, expected, "{form}: {}", answer.text());
    };
    // With everything but IAM, nobody gets more than they have.
    host.put_policy("bob", &statement("Allow", "lambda:*", "*"));
    own.iter().chain(&of_others).for_each(|form| denied(form));
    // To attach, but only what is harmless.
    let mut attach = statement("Allow", "iam:AttachUserPolicy", "*");
    let harmless = "arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess";
    attach["Condition"] = json!({"ArnEquals": {"iam:PolicyARN": harmless}});
    host.put_policy("bob", &attach);
    own.iter().chain(&of_others).for_each(|form| denied(form));
    let form = format!("Action=AttachUserPolicy&UserName=bob&PolicyArn={harmless}");
    assert_eq!(host.iam_as(&bob, &form).status, 200);
    check(&host, &bob, &[("f", 403)]);
    // A user who is called root is a user.
    let root = host.user("root");
    check(&host, &root, &[("f", 403)]);

    // All of IAM on oneself: others stay out of reach, and one's own policies are one's own to write.
    let myself = "arn:aws:iam::000000000000:user/${aws:username}";
    host.put_policy("bob", &statement("Allow", "iam:*", myself));
    of_others.iter().for_each(|form| denied(form));
    check(&host, &bob, &[("f", 403)]);
    let form = policy_form("bob", "q", &document(&statement("Allow", INVOKE, "*")));
    assert_eq!(host.iam_as(&bob, &form).status, 200);
    check(&host, &bob, &[("f", 200)]);
    // Unless somebody said no.
    let deny = statement("Deny", "iam:PutUserPolicy", "*");
    host.put_policy("bob", &json!([statement("Allow", "iam:*", myself), deny]));
    denied(&own[0]);
}

/// A Deny that hangs on what the request says of itself holds, wherever the request says it.
#[test]
fn a_prohibition_on_a_parameter_holds_for_every_operation_that_takes_it() {
    let host = start();
    let bob = host.user("bob");
    let forbid = |operator: &str, key: &str, value: &str| {
        let mut deny = statement("Deny", "*", "*");
        deny["Condition"] = json!({operator: {key: value}});
        host.put_policy("bob", &json!([statement("Allow", "*", "*"), deny]));
    };
    let ask = |method: &str, target: &str, body: &Value| {
        let request = Request::new(method, target).with_body(body.to_string());
        host.send_as(&bob, &request).status
    };
    let url = "/2021-10-31/functions/f/url";
    forbid("StringEquals", "lambda:FunctionUrlAuthType", "NONE");
    assert_eq!(ask("POST", url, &json!({"AuthType": "NONE"})), 403);
    assert_eq!(ask("POST", url, &json!({"AuthType": "AWS_IAM"})), 201);
    assert_eq!(ask("PUT", url, &json!({"AuthType": "NONE"})), 403);
    assert_eq!(ask("PUT", url, &json!({})), 200);
    // Without one in the request, the one that is stored counts.
    forbid("StringEquals", "lambda:FunctionUrlAuthType", "AWS_IAM");
    assert_eq!(ask("PUT", url, &json!({})), 403);
    assert_eq!(ask("DELETE", url, &json!({})), 403);
    assert_eq!(ask("GET", url, &json!({})), 403);

    let policy = format!("{FUNCTIONS}/f/policy");
    let everybody = json!({"StatementId": "s", "Action": INVOKE, "Principal": "*"});
    forbid("StringEquals", "lambda:Principal", "*");
    assert_eq!(ask("POST", &policy, &everybody), 403);
    let _added = host.lambda_ok("POST", &policy, &everybody, 201);
    assert_eq!(ask("DELETE", &format!("{policy}/s"), &json!({})), 403);

    let tags = format!("/2017-03-31/tags/{}", encode(&arn("f")));
    let owned = json!({"Tags": {"owner": "bob"}});
    for (operator, key, value) in [
        ("StringEquals", "aws:RequestTag/owner", "bob"),
        ("ForAnyValue:StringEquals", "aws:TagKeys", "owner"),
    ] {
        forbid(operator, key, value);
        assert_eq!(ask("POST", &tags, &owned), 403, "{key}");
        assert_eq!(ask("POST", &tags, &json!({"Tags": {"team": "a"}})), 204);
        let tagged =
            json!({"FunctionName": "g", "Role": "r", "Code": {}, "Tags": {"owner": "bob"}});
        assert_eq!(ask("POST", FUNCTIONS, &tagged), 403, "{key}");
        let form = "Action=CreateUser&UserName=eve&Tags.member.1.Key=owner&Tags.member.1.Value=bob";
        assert_eq!(host.iam_as(&bob, form).status, 403, "{key}");
    }
    assert_eq!(
        ask("DELETE", &format!("{tags}?tagKeys=owner"), &json!({})),
        403
    );
    assert_eq!(
        ask("DELETE", &format!("{tags}?tagKeys=team"), &json!({})),
        204
    );

    host.iam("Action=CreateUser&UserName=eve&Tags.member.1.Key=team&Tags.member.1.Value=a");
    for key in ["aws:ResourceTag/team", "iam:ResourceTag/team"] {
        forbid("StringEquals", key, "a");
        assert_eq!(
            host.iam_as(&bob, "Action=DeleteUser&UserName=eve").status,
            403
        );
    }
    // What nobody looks at is not known, and denies.
    forbid("StringEquals", "aws:Referer", "x");
    check(&host, &bob, &[("f", 403)]);
}

#[test]
fn who_gets_a_name_gets_nothing_that_was_meant_for_another() {
    let host = start();
    let bob = host.user("bob");
    let user = "arn:aws:iam::000000000000:user/bob";
    add_permission(&host, "", INVOKE, user);
    check(&host, &bob, &[("f", 200)]);
    let shown = || {
        let policy = host.lambda_ok("GET", &format!("{FUNCTIONS}/f/policy"), &Value::Null, 200);
        let policy: Value = serde_json::from_str(policy["Policy"].as_str().unwrap()).unwrap();
        policy["Statement"][0]["Principal"]["AWS"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(shown(), user);
    // Renamed, he keeps what he was given, and the next of that name gets none of it.
    host.iam("Action=UpdateUser&UserName=bob&NewUserName=rob");
    let second = host.user("bob");
    check(&host, &second, &[("f", 403)]);
    check(&host, &bob, &[("f", 200)]);
    assert_eq!(shown(), "arn:aws:iam::000000000000:user/rob");
    let key = bob.access_key_id.as_str();
    host.iam(&format!(
        "Action=DeleteAccessKey&UserName=rob&AccessKeyId={key}"
    ));
    host.iam("Action=DeleteUser&UserName=rob");
    let third = host.user("rob");
    check(&host, &third, &[("f", 403)]);
    assert!(shown().starts_with("AIDA"), "{}", shown());
    // Nobody is let in who is not there.
    let body = json!({"StatementId": "t", "Action": INVOKE, "Principal": "arn:aws:iam::000000000000:user/no"});
    let request = Request::post(&format!("{FUNCTIONS}/f/policy"), body.to_string());
    let answer = host.send_as(&host.root_signer(), &request);
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn rolling_back_is_permitted_by_the_name_of_the_alias() {
    let host = start();
    let bob = host.user("bob");
    let roll_back = |query: &str| {
        let target = format!("/mayfly/functions/f/rollback{query}");
        let answer = host.send_as(&bob, &Request::post(&target, ""));
        (answer.status, answer.text())
    };
    let action = "mayfly:RollBack";
    // The alias has led to one version only, so whoever may is told of a conflict.
    for (resource, with_name, without) in
        [("f", 403, 403), ("f:beta", 403, 403), ("f:live", 409, 409)]
    {
        host.put_policy("bob", &statement("Allow", action, &arn(resource)));
        assert_eq!(roll_back("?alias=live").0, with_name, "{resource}");
        let (status, text) = roll_back("");
        assert_eq!(status, without, "{resource}: {text}");
        // Who may not does not learn which alias there is.
        assert!(status != 403 || !text.contains("live"), "{text}");
    }
    let deny = statement("Deny", action, &arn("f:live"));
    host.put_policy("bob", &json!([statement("Allow", "*", "*"), deny]));
    assert_eq!(roll_back("").0, 403);
    assert_eq!(roll_back("?alias=live").0, 403);
}
