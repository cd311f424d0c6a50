//! What policies decide, rule by rule.

use serde_json::{Value, json};

use super::*;

pub(super) const ARN: &str = "arn:aws:lambda:local:000000000000:function:f";
const BOB: Principal<'_> = Principal::User {
    id: "AIDA2222222222222222B",
};

fn context() -> Context {
    let mut context = Context::default();
    context.set("aws:username", "bob");
    context.set("aws:SourceIp", "10.1.2.3");
    context.set("aws:CurrentTime", "2026-11-22T12:00:00Z");
    context.set("aws:EpochTime", "1795348800");
    context.set("aws:SecureTransport", "false");
    context.set("aws:UserAgent", "Boto3/1.44*");
    context.set("lambda:FunctionArn", ARN);
    context.set_all("aws:TagKeys", vec!["a".to_owned(), "b".to_owned()]);
    context
}

pub(super) fn request<'a>(action: &'a str, resource: &'a str) -> Request<'a> {
    Request {
        principal: BOB,
        action,
        resource,
        region: "local",
        context: context(),
    }
}

pub(super) fn identity(statement: &Value) -> PolicyDocument {
    let text = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    PolicyDocument::parse_identity(&text).unwrap()
}

pub(super) fn resource(statement: &Value) -> PolicyDocument {
    let text = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    PolicyDocument::parse_resource(&text).unwrap()
}

fn decide(statement: &Value, action: &str, resource: &str) -> Decision {
    evaluate(&[&identity(statement)], &[], &request(action, resource))
}

#[track_caller]
fn check_refused(statement: &Value, expected: &str) {
    let text = json!({"Version": "2012-10-17", "Statement": statement}).to_string();
    let message = PolicyDocument::parse_identity(&text)
        .unwrap_err()
        .to_string();
    assert_eq!(message, expected);
}

/// Whether a statement that hangs on `condition` applies, as an Allow and as a Deny.
fn condition(condition: &Value) -> (bool, bool) {
    let statement = |effect: &str| {
        identity(&json!({"Effect": effect, "Action": "*", "Resource": "*", "Condition": condition}))
    };
    let request = request("lambda:InvokeFunction", ARN);
    let allows = evaluate(&[&statement("Allow")], &[], &request).is_allowed();
    let decision = evaluate(&[&statement("Deny")], &[], &request);
    (allows, matches!(decision, Decision::Denied(_)))
}

#[test]
fn a_grant_covers_what_it_says_and_nothing_beside() {
    let only_f = json!({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": ARN});
    let arn = |name: &str| format!("arn:aws:lambda:local:000000000000:function:{name}");
    for (action, resource, expected) in [
        ("lambda:InvokeFunction", ARN.to_owned(), true),
        ("LAMBDA:invokefunction", ARN.to_owned(), true),
        (
            "lambda:InvokeFunction",
            ARN.replace("local", "us-east-1"),
            true,
        ),
        ("lambda:GetFunction", ARN.to_owned(), false),
        // As on AWS, the unqualified name does not cover the qualified ones.
        ("lambda:InvokeFunction", arn("f:live"), false),
        ("lambda:InvokeFunction", arn("f:1"), false),
        ("lambda:InvokeFunction", arn("f:$LATEST"), false),
        ("lambda:InvokeFunction", arn("foo"), false),
        ("lambda:InvokeFunction", arn("F"), false),
        ("lambda:InvokeFunction", "*".to_owned(), false),
        (
            "lambda:InvokeFunction",
            ARN.replace("000000000000", "111111111111"),
            false,
        ),
    ] {
        let decision = decide(&only_f, action, &resource);
        assert_eq!(decision.is_allowed(), expected, "{action} {resource}");
    }
}

#[test]
fn a_deny_decides_wherever_it_stands() {
    let allow = identity(&json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
    let deny_own = identity(&json!({"Effect": "Deny", "Action": "lambda:*", "Resource": "*"}));
    let deny_theirs = resource(
        &json!({"Effect": "Deny", "Principal": "*", "Action": "lambda:*", "Resource": "*"}),
    );
    let request = request("lambda:InvokeFunction", ARN);
    let denied = |kind, policy| {
        Decision::Denied(Place {
            kind,
            policy,
            statement: 0,
        })
    };
    assert_eq!(
        evaluate(&[&allow, &deny_own], &[], &request),
        denied(PolicyKind::Identity, 1)
    );
    assert_eq!(
        evaluate(&[&allow], &[&deny_theirs], &request),
        denied(PolicyKind::Resource, 0)
    );
    assert!(evaluate(&[&allow], &[], &request).is_allowed());
    assert_eq!(evaluate(&[], &[], &request), Decision::NotAllowed);
}

#[test]
fn a_policy_that_denies_all_leaves_nothing() {
    let allow = identity(&json!({"Effect": "Allow", "Action": "*", "Resource": "*"}));
    for resource in [ARN, "*", ""] {
        let request = request("lambda:InvokeFunction", resource);
        let decision = evaluate(&[&allow], &[&PolicyDocument::deny_all()], &request);
        assert!(matches!(decision, Decision::Denied(_)), "{resource}");
    }
}

#[test]
fn not_action_and_not_resource_are_all_others() {
    let statement = json!({"Effect": "Allow", "NotAction": "iam:*", "NotResource": [ARN]});
    assert!(!decide(&statement, "iam:CreateUser", "*").is_allowed());
    assert!(!decide(&statement, "lambda:GetFunction", ARN).is_allowed());
    assert!(decide(&statement, "lambda:GetFunction", &format!("{ARN}2")).is_allowed());
}

#[test]
fn principals_are_matched_whole() {
    let session = Principal::Role {
        id: "AROA2222222222222222D",
        session: "arn:aws:sts::000000000000:assumed-role/deploy/ci",
    };
    let cases = [
        (json!("*"), [true, true, true]),
        (json!({"AWS": "*"}), [true, true, true]),
        (json!({"AWS": "000000000000"}), [true, true, false]),
        (
            json!({"AWS": ["arn:aws:iam::000000000000:root"]}),
            [true, true, false],
        ),
        (
            json!({"AWS": "AIDA2222222222222222B"}),
            [true, false, false],
        ),
        (
            json!({"AWS": "AROA2222222222222222D"}),
            [false, true, false],
        ),
        (
            json!({"AWS": "AIDA2222222222222222C"}),
            [false, false, false],
        ),
        // A name may be somebody else's tomorrow.
        (
            json!({"AWS": ["arn:aws:iam::000000000000:user/bob", "arn:aws:iam::000000000000:role/deploy"]}),
            [false, false, false],
        ),
        (
            json!({"AWS": "arn:aws:sts::000000000000:assumed-role/deploy/ci"}),
            [false, true, false],
        ),
        (json!({"AWS": "111111111111"}), [false, false, false]),
        (
            json!({"Service": "s3.amazonaws.com"}),
            [false, false, false],
        ),
    ];
    for (principal, expected) in cases {
        let policy = resource(
            &json!({"Effect": "Allow", "Principal": principal, "Action": "lambda:*", "Resource": ARN}),
        );
        for (who, expected) in [BOB, session, Principal::Anonymous]
            .into_iter()
            .zip(expected)
        {
            let request = Request {
                principal: who,
                ..request("lambda:InvokeFunction", ARN)
            };
            let decision = evaluate(&[], &[&policy], &request);
            assert_eq!(decision.is_allowed(), expected, "{principal} {who:?}");
        }
    }
}

#[test]
fn variables_are_what_the_request_says_and_never_wildcards() {
    let own = "arn:aws:lambda:*:*:function:${aws:username}-*";
    let statement = json!({"Effect": "Allow", "Action": "lambda:*", "Resource": own});
    let arn = |name: &str| format!("arn:aws:lambda:local:000000000000:function:{name}");
    assert!(decide(&statement, "lambda:GetFunction", &arn("bob-1")).is_allowed());
    assert!(!decide(&statement, "lambda:GetFunction", &arn("eve-1")).is_allowed());

    // A star in what a client says of itself stands for a star.
    let agent = "arn:aws:lambda:*:*:function:${aws:UserAgent}";
    let statement = json!({"Effect": "Allow", "Action": "lambda:*", "Resource": agent});
    assert!(!decide(&statement, "lambda:GetFunction", &arn("Boto3/1.44xyz")).is_allowed());
    assert!(decide(&statement, "lambda:GetFunction", &arn("Boto3/1.44*")).is_allowed());

    let literal = "arn:aws:lambda:*:*:function:${*}${aws:PrincipalTag/team, 'none'}";
    let statement = json!({"Effect": "Allow", "Action": "lambda:*", "Resource": literal});
    assert!(decide(&statement, "lambda:GetFunction", &arn("*none")).is_allowed());

    // What is not known is not allowed, and excludes nothing.
    let absent = "arn:aws:lambda:*:*:function:${aws:SourceVpc}";
    for name in ["Resource", "NotResource"] {
        let statement = json!({"Effect": "Allow", "Action": "*", name: absent});
        assert!(
            !decide(&statement, "lambda:GetFunction", ARN).is_allowed(),
            "{name}"
        );
    }

    let old = json!({"Statement": {"Effect": "Allow", "Action": "*", "Resource": own}}).to_string();
    let old = PolicyDocument::parse_identity(&old).unwrap();
    let request = request(
        "lambda:GetFunction",
        "arn:aws:lambda:local:1:function:${aws:username}-1",
    );
    assert!(evaluate(&[&old], &[], &request).is_allowed());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn conditions_hold_or_not() {
    let yes = (true, true);
    let no = (false, false);
    let unknown = (false, true);
    let cases = [
        (json!({"StringEquals": {"aws:UserName": "bob"}}), yes),
        (
            json!({"StringEquals": {"aws:username": ["eve", "bob"]}}),
            yes,
        ),
        (json!({"StringEquals": {"aws:username": "b*"}}), no),
        (
            json!({"StringEquals": {"aws:username": "${aws:username}"}}),
            yes,
        ),
        (json!({"StringLike": {"aws:username": "b?b"}}), yes),
        (json!({"StringNotLike": {"aws:username": ["x", "b*"]}}), no),
        (
            json!({"StringNotEquals": {"aws:username": ["x", "y"]}}),
            yes,
        ),
        (
            json!({"StringEqualsIgnoreCase": {"aws:username": "BOB"}}),
            yes,
        ),
        (
            json!({"StringNotEqualsIgnoreCase": {"aws:username": "BOB"}}),
            no,
        ),
        // Nobody looks at it, so nobody knows.
        (json!({"StringEquals": {"aws:Referer": "x"}}), unknown),
        (json!({"Null": {"lambda:VpcIds": true}}), unknown),
        // Absent: fits nothing.
        (json!({"StringEquals": {"aws:SourceVpc": "x"}}), no),
        (json!({"StringNotEquals": {"aws:SourceVpc": "x"}}), yes),
        (json!({"StringEqualsIfExists": {"aws:SourceVpc": "x"}}), yes),
        (json!({"StringEqualsIfExists": {"aws:username": "x"}}), no),
        (
            json!({"BoolIfExists": {"aws:MultiFactorAuthPresent": false}}),
            yes,
        ),
        (json!({"Bool": {"aws:MultiFactorAuthPresent": "false"}}), no),
        (json!({"Null": {"aws:SourceVpc": true}}), yes),
        (json!({"Null": {"aws:username": "true"}}), no),
        (json!({"Null": {"aws:username": "false"}}), yes),
        (json!({"Bool": {"aws:SecureTransport": "False"}}), yes),
        (
            json!({"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "10.0.0.0/8"]}}),
            yes,
        ),
        (json!({"IpAddress": {"aws:SourceIp": "10.1.2.4"}}), no),
        (json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}), yes),
        (json!({"IpAddress": {"aws:SourceIp": "::/0"}}), no),
        (json!({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}), no),
        (
            json!({"DateGreaterThan": {"aws:CurrentTime": "2026-11-22"}}),
            yes,
        ),
        (
            json!({"DateLessThan": {"aws:CurrentTime": "2026-11-22T12:00:00Z"}}),
            no,
        ),
        (
            json!({"DateLessThanEquals": {"aws:EpochTime": "2026-11-22T12:00:00Z"}}),
            yes,
        ),
        (
            json!({"NumericGreaterThanEquals": {"aws:EpochTime": 1_795_348_800}}),
            yes,
        ),
        (
            json!({"NumericNotEquals": {"aws:EpochTime": "1795348800.0"}}),
            no,
        ),
        (json!({"NumericLessThan": {"aws:username": 1}}), unknown),
        (
            json!({"ArnLike": {"lambda:FunctionArn": "arn:aws:lambda:eu-west-1:*:function:*"}}),
            yes,
        ),
        (
            json!({"ArnNotEquals": {"lambda:FunctionArn": "arn:aws:lambda:*:*:function:g"}}),
            yes,
        ),
        (
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b", "c"]}}),
            yes,
        ),
        (
            json!({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}),
            no,
        ),
        (
            json!({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}),
            yes,
        ),
        (
            json!({"ForAnyValue:StringEquals": {"aws:SourceVpc": ["a"]}}),
            no,
        ),
        (
            json!({"ForAllValues:StringEquals": {"aws:SourceVpc": ["a"]}}),
            yes,
        ),
        // All operators and all keys.
        (
            json!({"StringEquals": {"aws:username": "bob"}, "Bool": {"aws:SecureTransport": true}}),
            no,
        ),
        (
            json!({"StringEquals": {"aws:username": "bob", "aws:SourceIp": "x"}}),
            no,
        ),
        // Nobody here knows what an S3 prefix is: it does not allow, and it denies.
        (json!({"StringEquals": {"s3:prefix": "x"}}), unknown),
        (json!({"StringNotEquals": {"s3:prefix": "x"}}), unknown),
        (
            json!({"StringEquals": {"s3:prefix": "x", "aws:username": "eve"}}),
            no,
        ),
        (
            json!({"StringNotEquals": {"aws:username": "${aws:SourceVpc}"}}),
            unknown,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(condition(&text), expected, "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_not_understood_is_refused_by_statement_and_rule() {
    let ok = json!({"Effect": "Allow", "Action": "lambda:*", "Resource": "*"});
    let with = |name: &str, value: Value| {
        let mut statement = ok.clone();
        statement[name] = value;
        statement
    };
    let without = |name: &str| {
        let mut statement = ok.clone();
        statement.as_object_mut().unwrap().remove(name);
        statement
    };
    check_refused(&without("Effect"), "statement 1 has no Effect");
    check_refused(
        &without("Action"),
        "statement 1 has neither Action nor NotAction",
    );
    check_refused(
        &without("Resource"),
        "statement 1 has neither Resource nor NotResource",
    );
    check_refused(
        &json!([ok, {"Sid": "b", "Effect": "allow", "Action": "lambda:*", "Resource": "*"}]),
        "statement 2 (`b`) has an Effect that is neither Allow nor Deny",
    );
    check_refused(
        &with("Action", json!([])),
        "statement 1 has an empty Action",
    );
    check_refused(
        &with("NotAction", json!("a:b")),
        "statement 1 has both Action and NotAction",
    );
    check_refused(
        &with("Action", json!("InvokeFunction")),
        "statement 1 has the Action `InvokeFunction`; it must be `*` or SERVICE:NAME, such as lambda:InvokeFunction",
    );
    check_refused(
        &with("Resource", json!("function:f")),
        "statement 1 has the Resource `function:f`; it must be `*` or an ARN, such as arn:aws:lambda:*:*:function:NAME",
    );
    check_refused(
        &with("Resource", json!("arn:aws:lambda:*:*:function:${aws:user}")),
        "statement 1 has the Resource `arn:aws:lambda:*:*:function:${aws:user}`, which has the unknown policy variable `${aws:user}`",
    );
    check_refused(
        &with("Principal", json!("*")),
        "statement 1 has a Principal, which the policy of a user or role must not have",
    );
    check_refused(
        &with("Efect", json!("Deny")),
        "statement 1 has the unknown member `Efect`",
    );
    check_refused(
        &with("Condition", json!({"StringSame": {"aws:username": "x"}})),
        "statement 1 has the unknown condition operator `StringSame`",
    );
    check_refused(
        &with("Condition", json!({"StringEquals": {"aws:UserNam": "x"}})),
        "statement 1 has the unknown condition key `aws:UserNam`",
    );
    check_refused(
        &with(
            "Condition",
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}),
        ),
        "statement 1 has the value `10.0.0.0/33` for `IpAddress` of `aws:SourceIp`, which is neither an IP address nor a range such as 10.0.0.0/8",
    );
    check_refused(
        &with("Condition", json!({"StringEquals": {"aws:username": []}})),
        "statement 1 has no values for the condition key `aws:username` of `StringEquals`",
    );
    let twice =
        r#"{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}"#;
    let message = PolicyDocument::parse_identity(twice)
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("the policy is not valid JSON: member `Effect` is there twice"),
        "{message}"
    );
    for text in [
        "",
        "[]",
        "{}",
        "{\"Statement\":[]}",
        "{\"Version\":\"2013-01-01\"}",
        "\u{feff}{}",
    ] {
        PolicyDocument::parse_identity(text).unwrap_err();
    }
    PolicyDocument::parse_identity(&"[".repeat(30_000)).unwrap_err();
    let trust = json!({"Statement": {"Effect": "Allow", "Principal": {"AWS": "000000000000"},
        "Action": "sts:AssumeRole"}});
    assert_eq!(
        PolicyDocument::parse_trust(&trust.to_string())
            .unwrap()
            .len(),
        1
    );
    PolicyDocument::parse_resource(&trust.to_string()).unwrap_err();
}
