//! Every operation of every service against who has no key, no permission, the permission for something
//! else, the permission, and the permission and a prohibition.
//!
//! The operations are those of `operations.tsv`, which a test of the server keeps in step with what it
//! offers: a new one is tested here, or fails there.

mod table;

use std::collections::HashMap;

use serde_json::{Value, json};
use support::guests::printing;
use support::identity::{error_code, statement, try_element};
use support::lambda::FUNCTIONS;
use support::sign::Signer;
use support::{Connection, Request, Response, Site, TestHost};

use self::table::{Row, rows};

const DENIED: &str = "AccessDeniedException";

/// A server that does not ask who fails often to wait.
fn start() -> TestHost {
    Site::builder()
        .env("MAYFLY_AUTH_FAILURES_PER_SECOND", "1000000")
        .start()
}

/// Makes everything that the requests name, in a way that no request of the table can take away from
/// the others: the user has a key and the role a policy, so that neither can be deleted.
fn make_things(host: &TestHost) {
    host.create("f", &printing("1"));
    let post = |target: &str, body: &Value| {
        let _made = host.lambda_ok("POST", &format!("{FUNCTIONS}/f/{target}"), body, 201);
    };
    post("versions", &json!({}));
    post("aliases", &json!({"Name": "live", "FunctionVersion": "1"}));
    host.iam("Action=CreateUser&UserName=bob&Path=/team/");
    let _key = host.new_key("bob");
    let document = support::lambda::encode(&support::identity::document(&statement(
        "Allow",
        "logs:GetLogEvents",
        "*",
    )));
    let trust = support::lambda::encode(
        &json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}})
        .to_string(),
    );
    for form in [
        format!("Action=CreateRole&RoleName=r&Path=/team/&AssumeRolePolicyDocument={trust}"),
        format!("Action=PutRolePolicy&RoleName=r&PolicyName=keep&PolicyDocument={document}"),
        format!("Action=CreatePolicy&PolicyName=p&PolicyDocument={document}"),
    ] {
        host.iam(&form);
    }
    let _key = host.cli(&["api-keys", "create", "k"]).ok();
}

fn send(host: &TestHost, signer: &Signer, row: &Row) -> Response {
    host.send_as(&signer.clone().for_service(row.service), &row.request)
}

#[test]
fn nobody_gets_in_without_a_key() {
    let host = start();
    make_things(&host);
    let root = host.root_signer();
    let unknown = Signer {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        ..root.clone()
    };
    let forged = Signer {
        secret: format!("{}x", root.secret),
        ..root
    };
    let rows = rows();
    assert!(rows.len() > 100);
    for row in &rows {
        let unsigned = host.control_send(&row.request.clone().unsigned());
        if row.name == "GetMetrics" {
            // What names no function is for anybody.
            assert_eq!(unsigned.status, 200);
            assert!(!unsigned.text().contains("function=\""));
        } else {
            row.check_error(&unsigned, "MissingAuthenticationTokenException");
        }
        for (signer, code) in [
            (&unknown, "UnrecognizedClientException"),
            (&forged, "InvalidSignatureException"),
        ] {
            row.check_error(&send(&host, signer, row), code);
        }
    }
    // Nothing of it was done.
    assert_eq!(host.invoke("f", "{}").text(), "1");
}

/// What is said, without the id of the request.
fn said(response: &Response) -> String {
    let text = response.text();
    match try_element(&text, "RequestId") {
        Some(id) => text.replace(&id, ""),
        None => text,
    }
}

#[test]
fn who_may_nothing_is_told_the_same_of_what_is_there_and_of_what_is_not() {
    let host = start();
    let nobody = host.user("nobody");
    let rows: Vec<Row> = rows().into_iter().filter(|row| !row.is_free()).collect();
    let mut denied = HashMap::new();
    let mut ask = |row: &Row, resource: Option<String>| {
        let answer = send(&host, &nobody, row);
        row.check_error(&answer, DENIED);
        let text = said(&answer);
        for part in ["user/nobody", row.action] {
            assert!(text.contains(part), "{}: {text}", row.name);
        }
        denied.insert(answer.request_id(), (row.action, resource));
        text
    };
    let before: Vec<String> = rows.iter().map(|row| ask(row, None)).collect();
    make_things(&host);
    for (row, before) in rows.iter().zip(&before) {
        let (resource, _) = row.resources();
        assert_eq!(&ask(row, Some(resource)), before, "{}", row.name);
    }
    assert_eq!(host.invoke("f", "{}").text(), "1");

    // Each of them is in the audit log, with what was asked for.
    let text = host
        .cli(&["audit", "--denied", "--json", "-n", "10000"])
        .ok();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["decision"], "denied");
        assert_eq!(entry["caller"], "arn:aws:iam::000000000000:user/nobody");
        assert_eq!(entry["accessKeyId"], *nobody.access_key_id);
        let id = entry["requestId"].as_str().unwrap();
        let (action, resource) = denied.remove(id).unwrap();
        assert_eq!(entry["action"], action);
        if let Some(resource) = resource {
            assert_eq!(entry["resource"], resource, "{action}");
        }
    }
    assert_eq!(denied.into_values().collect::<Vec<_>>(), []);
}

/// Sends a request whose answer may go on for hours; status and code.
fn begin(host: &TestHost, signer: &Signer, row: &Row) -> (u16, Option<String>) {
    if row.name != "StartLiveTail" {
        let answer = send(host, signer, row);
        return (answer.status, error_code(&answer));
    }
    let signer = signer.clone().for_service(row.service);
    let mut connection = Connection::open(host.control()).unwrap();
    connection
        .start(&signer.sign(&row.request, host.control()))
        .unwrap();
    let head = connection.read_until("\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&head);
    (head.split(' ').nth(1).unwrap().parse().unwrap(), None)
}

#[test]
fn a_permission_is_for_one_action_on_one_thing() {
    let host = start();
    make_things(&host);
    let carol = host.user("carol");
    for row in rows().iter().filter(|row| !row.is_free()) {
        let (resource, other) = row.resources();
        // What takes a function or an alias away would leave nothing for the rows behind it.
        let _there = host.lambda(
            "POST",
            FUNCTIONS,
            &support::lambda::creation("f", &printing("1")),
        );
        let alias = json!({"Name": "live", "FunctionVersion": "$LATEST"});
        let _leads = host.lambda("POST", &format!("{FUNCTIONS}/f/aliases"), &alias);

        // Everything but this; an ARN is no name for what is about everything.
        let all_else = json!({"Effect": "Allow", "NotAction": row.action, "Resource": "*"});
        let elsewhere = statement("Allow", row.action, &other);
        host.put_policy("carol", &json!([all_else, elsewhere]));
        let name = row.name;
        row.check_error(&send(&host, &carol, row), DENIED);

        // This and a prohibition.
        let allow = statement("Allow", row.action, &resource);
        let deny = statement("Deny", row.action, &resource);
        host.put_policy("carol", &json!([allow, deny]));
        let answer = send(&host, &carol, row);
        row.check_error(&answer, DENIED);
        let because = "with an explicit deny in an identity-based policy";
        assert!(answer.text().contains(because), "{name}: {}", answer.text());

        // This and nothing else.
        host.put_policy("carol", &json!([allow]));
        let (status, code) = begin(&host, &carol, row);
        assert!(
            status < 500 && status != 403 && code.as_deref() != Some(DENIED),
            "{} {name}: {status} {code:?}",
            row.service
        );
    }
}

#[test]
fn who_one_is_nobody_is_denied() {
    let host = start();
    let nobody = host.user("nobody");
    host.put_policy("nobody", &statement("Deny", "*", "*"));
    let rows: Vec<Row> = rows().into_iter().filter(Row::is_free).collect();
    let names: Vec<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(
        names,
        ["GetCallerIdentity", "AssumeRole", "GetSessionToken"]
    );
    let answers: Vec<_> = rows.iter().map(|row| send(&host, &nobody, row)).collect();
    let text = answers[0].text();
    assert_eq!(answers[0].status, 200, "{text}");
    assert!(
        text.contains("<Arn>arn:aws:iam::000000000000:user/nobody</Arn>"),
        "{text}"
    );
    for answer in &answers[1..] {
        assert_eq!(error_code(answer).as_deref(), Some("UnsupportedOperation"));
    }
    let metrics = Request::get("/metrics");
    assert_eq!(host.send_as(&nobody, &metrics).status, 403);
}
