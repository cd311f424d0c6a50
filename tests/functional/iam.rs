//! Users, keys and policies: who is let in, to what, and from when on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use support::guests::printing;
use support::identity::element;
use support::{Request, Signer, TestHost};

#[test]
fn a_user_may_do_what_a_policy_allows_and_a_key_ends_at_once() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let bob = host.user("bob");
    let denied = host.invoke_as(&bob, "f");
    assert_eq!(denied.status, 403);
    assert_eq!(
        denied.header("x-amzn-errortype"),
        Some("AccessDeniedException")
    );
    assert_eq!(
        denied.json()["Message"],
        "User: arn:aws:iam::000000000000:user/bob is not authorized to perform: lambda:InvokeFunction on resource: arn:aws:lambda:local:000000000000:function:f because no identity-based policy allows the lambda:InvokeFunction action"
    );
    assert!(host.ledger().entries.is_empty(), "nothing ran");

    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    let allow = json!({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn});
    host.put_policy("bob", &json!([allow]));
    assert_eq!(host.invoke_as(&bob, "f").status, 200);
    // The region that a request is signed for changes nothing.
    let elsewhere = Signer {
        region: "eu-west-1".to_owned(),
        ..bob.clone()
    };
    assert_eq!(host.invoke_as(&elsewhere, "f").status, 200);
    for other in ["f:$LATEST", "f:live", "g", "F", "f*"] {
        assert_ne!(host.invoke_as(&bob, other).status, 200, "{other}");
    }
    let deny = json!({"Effect": "Deny", "Action": "*", "Resource": "*",
        "Condition": {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}});
    host.put_policy("bob", &json!([allow, deny]));
    let denied = host.invoke_as(&bob, "f");
    assert_eq!(denied.status, 403);
    let message = denied.json()["Message"].to_string();
    assert!(
        message.contains("with an explicit deny in an identity-based policy"),
        "{message}"
    );
    host.put_policy("bob", &json!([allow]));

    // Disabled, enabled, deleted: the next request knows.
    let id = &bob.access_key_id;
    let status = |status: &str| {
        host.iam(&format!(
            "Action=UpdateAccessKey&UserName=bob&AccessKeyId={id}&Status={status}"
        ));
    };
    status("Inactive");
    let refused = host.invoke_as(&bob, "f");
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.header("x-amzn-errortype"),
        Some("UnrecognizedClientException")
    );
    status("Active");
    assert_eq!(host.invoke_as(&bob, "f").status, 200);
    let used = host.iam(&format!("Action=GetAccessKeyLastUsed&AccessKeyId={id}"));
    assert_eq!(element(&used, "ServiceName"), "lambda");
    host.iam(&format!(
        "Action=DeleteAccessKey&UserName=bob&AccessKeyId={id}"
    ));
    assert_eq!(host.invoke_as(&bob, "f").status, 403);
}

#[test]
fn users_and_their_keys_survive_a_kill() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let bob = host.user("bob");
    let allow = json!({"Effect": "Allow", "Action": "lambda:*", "Resource": "*"});
    host.put_policy("bob", &json!(allow));
    let site = host.site().clone();
    host.kill();
    for file in fs::read_dir(site.data()).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap_or_default();
        let secret = bob.secret.as_bytes();
        assert!(
            !bytes.windows(secret.len()).any(|window| window == secret),
            "{path:?}"
        );
    }
    let host = site.start();
    host.wait_live("f");
    assert_eq!(host.invoke_as(&bob, "f").status, 200);
}

#[test]
fn identity_is_told_to_anybody_and_nothing_else_is() {
    let host = TestHost::start();
    let bob = host.user("bob");
    host.put_policy(
        "bob",
        &json!([{"Effect": "Deny", "Action": "*", "Resource": "*"}]),
    );
    let who = host.ask_as(&bob, "sts", "Action=GetCallerIdentity&Version=2011-06-15");
    assert_eq!(who.status, 200);
    let text = who.text();
    assert_eq!(element(&text, "Arn"), "arn:aws:iam::000000000000:user/bob");
    assert_eq!(element(&text, "Account"), "000000000000");
    assert!(element(&text, "UserId").starts_with("AIDA"), "{text}");
    let root = host.ask_as(
        &host.root_signer(),
        "sts",
        "Action=GetCallerIdentity&Version=2011-06-15",
    );
    assert_eq!(
        element(&root.text(), "Arn"),
        "arn:aws:iam::000000000000:root"
    );

    // As presigned addresses have it.
    let asking = |signer: Signer, query: &str| {
        let request = Request::get(&format!("/?{query}"));
        let signed = signer.for_service("sts").sign(&request, host.control());
        support::http::send(host.control(), &signed).unwrap()
    };
    let told = asking(bob.clone(), "Action=GetCallerIdentity&Version=2011-06-15");
    assert_eq!(told.status, 200);
    let told = told.text();
    assert_eq!(element(&told, "Arn"), "arn:aws:iam::000000000000:user/bob");
    let other = asking(bob.clone(), "Action=CreateUser&UserName=eve");
    assert_eq!(
        (other.status, other.header("content-type")),
        (400, Some("text/xml"))
    );
    assert_eq!(element(&other.text(), "Code"), "InvalidAction");
    let mut wrong = bob.clone();
    wrong.secret.push('x');
    let refused = asking(wrong, "Action=GetCallerIdentity");
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (403, Some("text/xml"))
    );

    for form in [
        "Action=ListUsers",
        "Action=GetUser",
        "Action=CreateAccessKey",
        "Action=CreateUser&UserName=eve",
        "Action=AttachUserPolicy&UserName=bob&PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess",
    ] {
        let denied = host.ask_as(&bob, "iam", &format!("{form}&Version=2010-05-08"));
        assert_eq!(denied.status, 403, "{form}");
        assert_eq!(element(&denied.text(), "Code"), "AccessDenied", "{form}");
    }
    for path in [
        "/mayfly/functions",
        "/mayfly/api-keys",
        "/mayfly/billing",
        "/metrics",
    ] {
        let request = bob.sign(&Request::get(path), host.control());
        assert_eq!(host.control_send(&request).status, 403, "{path}");
    }
}

#[test]
fn what_iam_does_not_take_is_a_clear_error_in_xml() {
    let host = TestHost::start();
    for (service, form, status, code) in [
        ("iam", "", 400, "ValidationError"),
        (
            "iam",
            "Action=Nothing&Version=2010-05-08",
            400,
            "InvalidAction",
        ),
        (
            "iam",
            "Action=GetUser&Version=1999-01-01",
            400,
            "InvalidAction",
        ),
        (
            "iam",
            "Action=GetUser&Action=GetUser",
            400,
            "MalformedQueryString",
        ),
        ("iam", "Action=CreateUser", 400, "ValidationError"),
        (
            "iam",
            "Action=CreateUser&UserName=%00",
            400,
            "ValidationError",
        ),
        ("iam", "Action=GetUser&UserName=nobody", 404, "NoSuchEntity"),
        (
            "iam",
            "Action=PutUserPolicy&UserName=nobody&PolicyName=p&PolicyDocument=x",
            400,
            "MalformedPolicyDocument",
        ),
        ("sts", "Action=GetUser", 400, "InvalidAction"),
        (
            "sts",
            "Action=AssumeRole&RoleArn=x&RoleSessionName=y",
            400,
            "UnsupportedOperation",
        ),
    ] {
        let response = host.ask_as(&host.root_signer(), service, form);
        assert_eq!(response.status, status, "{form}: {}", response.text());
        let text = response.text();
        assert_eq!(element(&text, "Code"), code, "{form}");
        assert!(!element(&text, "Message").is_empty());
        let id = response.header("x-amzn-requestid");
        assert_eq!(Some(&*element(&text, "RequestId")), id, "{form}");
    }
    let twisted = host.ask_as(
        &host.root_signer(),
        "iam",
        "Action=%3Cb%3E%26&Version=2010-05-08",
    );
    assert!(
        twisted.text().contains("&lt;b&gt;&amp;"),
        "{}",
        twisted.text()
    );
}

#[test]
fn the_command_line_manages_users_keys_and_policies() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let cli = |arguments: &[&str]| host.cli(arguments);
    let root = host.site().root().to_owned();
    let file = root.join("ci.credentials");
    let file_text = file.display().to_string();
    assert_eq!(cli(&["users", "create", "ci"]).ok(), "");
    assert_eq!(
        cli(&["keys", "create", "ci", "--write", &file_text]).ok(),
        ""
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let ci = Signer::read(&file).unwrap();
    assert_eq!(host.invoke_as(&ci, "f").status, 403);
    let listed = cli(&["keys", "list"]).ok();
    assert!(
        listed.contains(&ci.access_key_id) && !listed.contains(&ci.secret),
        "{listed}"
    );
    // A file that has a key of this name keeps it, and no key is made that nobody has.
    let taken = cli(&["keys", "create", "ci", "--write", &file_text]).failed();
    assert!(taken.contains("has a profile [mayfly] already"), "{taken}");
    assert_eq!(cli(&["keys", "list", "ci"]).ok().lines().count(), 2);

    let policy = root.join("policy.json");
    let arn = "arn:aws:lambda:*:*:function:f";
    let document = json!({"Version": "2012-10-17", "Statement": [
        {"Sid": "CallF", "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}]});
    fs::write(&policy, document.to_string()).unwrap();
    let policy = policy.display().to_string();
    let simulate = ["policy", "simulate", "ci", "lambda:InvokeFunction", "f"];
    assert_eq!(cli(&simulate).code, Some(1));
    assert_eq!(cli(&["policy", "put", "ci", "call-f", &policy]).ok(), "");
    assert_eq!(
        cli(&simulate).ok(),
        "allowed: lambda:InvokeFunction on arn:aws:lambda:local:000000000000:function:f: CallF of policy call-f\n"
    );
    let got: Value = serde_json::from_str(&cli(&["policy", "get", "ci", "call-f"]).ok()).unwrap();
    assert_eq!(got, document);
    assert_eq!(cli(&["policy", "list", "ci"]).ok(), "call-f\n");
    assert_eq!(host.invoke_as(&ci, "f").status, 200);

    // The new key is the only one after a rotation.
    let rotated = cli(&["keys", "rotate", &ci.access_key_id]).ok();
    assert!(
        rotated.starts_with("[mayfly]\naws_access_key_id = AKIA"),
        "{rotated}"
    );
    fs::write(&file, rotated).unwrap();
    let new = Signer::read(&file).unwrap();
    assert_eq!(host.invoke_as(&ci, "f").status, 403);
    assert_eq!(host.invoke_as(&new, "f").status, 200);
    assert_eq!(cli(&["keys", "disable", &new.access_key_id]).ok(), "");
    assert_eq!(host.invoke_as(&new, "f").status, 403);

    let conflict = cli(&["users", "delete", "ci"]).failed();
    assert!(conflict.contains("access keys"), "{conflict}");
    assert_eq!(cli(&["keys", "delete", &new.access_key_id]).ok(), "");
    assert_eq!(cli(&["policy", "delete", "ci", "call-f"]).ok(), "");
    assert_eq!(cli(&["users", "delete", "ci"]).ok(), "");
    assert!(cli(&["users", "list"]).ok().starts_with("no users yet"));
}

#[test]
fn an_api_key_is_shown_once_and_kept_as_its_hash() {
    let host = TestHost::start();
    let key = host.cli(&["api-keys", "create", "partner"]).ok();
    let key = key.trim();
    assert_eq!(key.len(), 40);
    let listed = host.cli(&["api-keys", "list"]).ok();
    assert!(
        listed.contains("partner") && listed.contains("enabled"),
        "{listed}"
    );
    assert!(
        !listed.contains(key)
            && !host
                .control_json("/mayfly/api-keys")
                .to_string()
                .contains(key)
    );
    let again = host.cli(&["api-keys", "create", "partner"]).failed();
    assert!(again.contains("already exists"), "{again}");
    assert_eq!(host.cli(&["api-keys", "disable", "partner"]).ok(), "");
    let listed = host.control_json("/mayfly/api-keys");
    assert_eq!(listed["api_keys"][0]["enabled"], false);
    let wrong = host.cli(&["api-keys", "create", "a b"]).failed();
    assert!(wrong.contains("must be 1 to 64 letters"), "{wrong}");
    assert_eq!(host.cli(&["api-keys", "delete", "partner"]).ok(), "");
    let gone = host.cli(&["api-keys", "delete", "partner"]).failed();
    assert!(gone.contains("cannot be found"), "{gone}");
    let site = host.site().clone();
    host.stop();
    for file in fs::read_dir(site.data()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(
            !bytes
                .windows(key.len())
                .any(|window| window == key.as_bytes())
        );
    }
}

#[test]
fn the_policy_of_a_function_lets_a_user_in_for_what_it_names() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let (bob, eve) = (host.user("bob"), host.user("eve"));
    let permission = json!({"StatementId": "bob", "Action": "lambda:InvokeFunction",
        "Principal": "arn:aws:iam::000000000000:user/bob"});
    let add = Request::post("/2015-03-31/functions/f/policy", permission.to_string());
    let added = host.control_send(&add);
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(host.invoke_as(&bob, "f").status, 200);
    assert_eq!(host.invoke_as(&bob, "f:$LATEST").status, 403);
    assert_eq!(host.invoke_as(&eve, "f").status, 403);
    let read = bob.sign(&Request::get("/2015-03-31/functions/f"), host.control());
    assert_eq!(host.control_send(&read).status, 403);
    let simulate = ["policy", "simulate", "bob", "lambda:InvokeFunction", "f"];
    let said = host.cli(&simulate).ok();
    assert!(
        said.contains(": bob of the policy of arn:aws:lambda:"),
        "{said}"
    );
    // A Deny of the user's own outranks it.
    host.put_policy(
        "bob",
        &json!({"Effect": "Deny", "Action": "*", "Resource": "*"}),
    );
    assert_eq!(host.invoke_as(&bob, "f").status, 403);
}

#[test]
fn a_route_with_api_keys_answers_those_that_are_enabled() {
    let host = TestHost::start();
    let manifest = "[[http]]\npath = \"/f\"\nauth = \"api-key\"\n";
    host.deploy_with("f", manifest, &printing("1"));
    let key = host.cli(&["api-keys", "create", "partner"]).ok();
    let with = |key: &str| {
        host.send(&Request::get("/f").header("x-api-key", key))
            .status
    };
    assert_eq!(with(key.trim()), 200);
    assert_eq!(with("x"), 403);
    assert_eq!(host.get("/f").status, 403);
    assert_eq!(host.cli(&["api-keys", "disable", "partner"]).ok(), "");
    assert_eq!(with(key.trim()), 403);
    assert_eq!(host.cli(&["api-keys", "enable", "partner"]).ok(), "");
    assert_eq!(with(key.trim()), 200);
    assert_eq!(host.cli(&["api-keys", "delete", "partner"]).ok(), "");
    assert_eq!(with(key.trim()), 403);
}
