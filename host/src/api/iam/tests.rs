//! The operations, without HTTP: what they answer, what they refuse, and whom.

use std::collections::HashSet;
use std::sync::LazyLock;

use domain::policy::PolicyDocument;
use serde_json::{Value, json};

use super::*;
use crate::api::error::ApiError;
use crate::auth::decide::{Question, Who, of_request};
use crate::auth::identities::tests::{ALLOW_ALL, Home, TRUST};

/// One server's.
static TOKENS: LazyLock<Tokens> = LazyLock::new(|| Tokens::new().unwrap());

const REGION: &str = "local";

fn caller(identity: Identity) -> Caller {
    Caller {
        identity,
        access_key_id: "AKIA".into(),
        source: [127, 0, 0, 1].into(),
        region: "us-east-1".into(),
        user_agent: None,
        is_secure: false,
        trail: crate::auth::trail::Trail::default(),
    }
}

fn form(parameters: &Value) -> Form {
    Form::parse(parameters.to_string().as_bytes(), Encoding::Json).unwrap()
}

/// What the owner of the account is answered.
fn ask(home: &Home, name: &str, parameters: Value) -> Result<Value, ApiError> {
    ask_as(home, &caller(Identity::Root), name, parameters)
}

fn ask_as(
    home: &Home,
    caller: &Caller,
    name: &str,
    mut parameters: Value,
) -> Result<Value, ApiError> {
    parameters["Action"] = json!(name);
    let form = form(&parameters);
    let operation = operation(&form)?;
    let state = home.identities.now();
    resources(operation.target(), &state, caller, &form)?;
    let call = Call {
        identities: &home.identities,
        caller,
        form: &form,
        tokens: &TOKENS,
        region: REGION,
        now_us: home.clock.unix_us(),
        resource_side: &|_| ResourceSide::default(),
    };
    Ok(act(operation, &call)?.map_or(Value::Null, |node| node.to_json()))
}

#[track_caller]
fn refused(result: Result<Value, ApiError>, status: u16, code: &str) -> String {
    let error = result.unwrap_err();
    let text = format!("{error:?}");
    assert!(text.contains(&format!("status: {status},")), "{text}");
    assert!(text.contains(&format!("code: {code:?}")), "{text}");
    text
}

#[test]
fn every_operation_has_its_own_name_and_is_found_by_it() {
    let names: HashSet<_> = Operation::ALL.iter().map(|known| known.name()).collect();
    assert_eq!(names.len(), Operation::ALL.len());
    for known in Operation::ALL {
        assert_eq!(known.action(), format!("iam:{}", known.name()));
        let found = operation(&form(&json!({"Action": known.name()}))).unwrap();
        assert_eq!(found, *known);
    }
    for wrong in [
        json!({"Action": "createuser"}),
        json!({"Action": "GetUser", "Version": "2011-06-15"}),
    ] {
        let error = operation(&form(&wrong)).unwrap_err();
        assert!(format!("{error:?}").contains("InvalidAction"), "{error:?}");
    }
    operation(&form(&json!({}))).unwrap_err();
}

/// Who holds nothing may do nothing, and who holds one action may do that one alone.
#[test]
fn each_operation_needs_its_own_action_on_its_own_resource() {
    let home = Home::new();
    home.identities.create_user("bob", "/", Vec::new()).unwrap();
    home.identities.create_user("eve", "/", Vec::new()).unwrap();
    let caller = caller(Identity::user("/", "bob"));
    let parameters = form(&json!({
        "UserName": "eve", "RoleName": "deploy", "PolicyName": "p", "NewUserName": "eva",
        "PolicyArn": "arn:aws:iam::000000000000:policy/p",
    }));
    let may = |operation: Operation| {
        let state = home.identities.now();
        let bob = state.user("bob").unwrap();
        let targets = resources(operation.target(), &state, &caller, &parameters).unwrap();
        targets.iter().all(|resource| {
            let question = Question {
                region: REGION,
                action: operation.action(),
                resource,
                own: ResourceSide::default(),
                context: of_request(&caller, 0),
            };
            question.ask(&state, Who::User(bob)).decision.is_allowed()
        })
    };
    assert!(Operation::ALL.iter().all(|operation| !may(*operation)));
    for allowed in Operation::ALL {
        let only =
            json!({"Statement": {"Effect": "Allow", "Action": allowed.action(), "Resource": "*"}});
        let put = |text: &str| {
            home.identities
                .put_inline_policy(Owner::User("bob"), "p", text)
                .unwrap();
        };
        put(&only.to_string());
        for operation in Operation::ALL {
            assert_eq!(
                may(*operation),
                operation == allowed,
                "{allowed:?} {operation:?}"
            );
        }
        // On somebody else's resource it is worth nothing.
        let other = json!({"Statement": {"Effect": "Allow", "Action": allowed.action(),
            "Resource": "arn:aws:iam::000000000000:user/bob"}});
        put(&other.to_string());
        assert!(!may(*allowed), "{allowed:?}");
    }
}

#[test]
fn a_rename_needs_a_right_to_both_names() {
    let home = Home::new();
    home.identities
        .create_user("temp-1", "/t/", Vec::new())
        .unwrap();
    let state = home.identities.now();
    let of = |parameters: Value| {
        resources(
            Target::Rename,
            &state,
            &caller(Identity::Root),
            &form(&parameters),
        )
    };
    let renamed = of(json!({"UserName": "temp-1", "NewUserName": "admin", "NewPath": "/a/"}));
    assert_eq!(
        renamed.unwrap(),
        [
            "arn:aws:iam::000000000000:user/t/temp-1",
            "arn:aws:iam::000000000000:user/a/admin"
        ]
    );
    of(json!({"UserName": "temp-1", "NewUserName": "*"})).unwrap_err();
}

#[test]
fn users_are_made_renamed_and_deleted() {
    let home = Home::new();
    let tags = json!({"UserName": "bob", "Path": "/dev/", "Tags.member.1.Key": "team", "Tags.member.1.Value": "a"});
    let user = ask(&home, "CreateUser", tags).unwrap();
    assert_eq!(
        user["User"]["Arn"],
        "arn:aws:iam::000000000000:user/dev/bob"
    );
    assert_eq!(user["User"]["CreateDate"], "2026-11-22T16:28:17Z");
    assert_eq!(user["User"]["Tags"], json!([{"Key": "team", "Value": "a"}]));
    let id = user["User"]["UserId"].as_str().unwrap();
    assert!(id.starts_with("AIDA") && id.len() == 21, "{id}");
    refused(
        ask(&home, "CreateUser", json!({"UserName": "bob"})),
        409,
        "EntityAlreadyExists",
    );
    assert_eq!(
        ask(&home, "GetUser", json!({"UserName": "bob"})).unwrap(),
        user
    );

    ask(
        &home,
        "UpdateUser",
        json!({"UserName": "bob", "NewUserName": "rob"}),
    )
    .unwrap();
    refused(
        ask(&home, "DeleteUser", json!({"UserName": "bob"})),
        404,
        "NoSuchEntity",
    );
    let deleted = ask(&home, "DeleteUser", json!({"UserName": "rob"}));
    assert_eq!(deleted.unwrap(), Value::Null);
}

#[test]
fn keys_are_made_listed_disabled_and_deleted() {
    let home = Home::new();
    ask(
        &home,
        "CreateUser",
        json!({"UserName": "bob", "Path": "/dev/"}),
    )
    .unwrap();
    let key = ask(&home, "CreateAccessKey", json!({"UserName": "bob"})).unwrap();
    let id = key["AccessKey"]["AccessKeyId"].as_str().unwrap();
    assert_eq!(
        key["AccessKey"]["SecretAccessKey"].as_str().unwrap().len(),
        40
    );
    // Who asks for nobody asks for himself.
    let bob = caller(Identity::user("/dev/", "bob"));
    let listed = ask_as(&home, &bob, "ListAccessKeys", json!({})).unwrap();
    assert_eq!(listed["AccessKeyMetadata"][0]["AccessKeyId"], id);
    assert!(!listed.to_string().contains("Secret"));
    assert_eq!(
        ask_as(&home, &bob, "GetUser", json!({})).unwrap()["User"]["UserName"],
        "bob"
    );
    assert_eq!(
        ask(&home, "GetUser", json!({})).unwrap()["User"]["UserId"],
        ACCOUNT_ID
    );
    refused(
        ask(&home, "CreateAccessKey", json!({})),
        400,
        "ValidationError",
    );

    let status = |status: &str| json!({"UserName": "bob", "AccessKeyId": id, "Status": status});
    ask(&home, "UpdateAccessKey", status("Inactive")).unwrap();
    assert!(!home.identities.key(id).unwrap().active);
    refused(
        ask(&home, "UpdateAccessKey", status("inactive")),
        400,
        "ValidationError",
    );
    home.identities.note_use(id, "lambda", "eu-west-1");
    let used = ask(&home, "GetAccessKeyLastUsed", json!({"AccessKeyId": id})).unwrap();
    assert_eq!(used["UserName"], "bob");
    assert_eq!(used["AccessKeyLastUsed"]["Region"], "eu-west-1");
    refused(
        ask(&home, "DeleteUser", json!({"UserName": "bob"})),
        409,
        "DeleteConflict",
    );
    ask(
        &home,
        "DeleteAccessKey",
        json!({"UserName": "bob", "AccessKeyId": id}),
    )
    .unwrap();
}

#[test]
fn lists_come_in_pages() {
    let home = Home::new();
    for name in ["c", "a", "b", "d", "e"] {
        ask(&home, "CreateUser", json!({"UserName": name})).unwrap();
    }
    let mut seen = Vec::new();
    let mut parameters = json!({"MaxItems": "2"});
    let marker = ask(&home, "ListUsers", parameters.clone()).unwrap()["Marker"].clone();
    for other in [
        ("ListUsers", json!({"Marker": "b"})),
        (
            "ListUsers",
            json!({"Marker": marker, "PathPrefix": "/other/"}),
        ),
        ("ListRoles", json!({"Marker": marker})),
    ] {
        refused(ask(&home, other.0, other.1), 400, "ValidationError");
    }
    loop {
        let page = ask(&home, "ListUsers", parameters.clone()).unwrap();
        seen.extend(
            page["Users"]
                .as_array()
                .unwrap()
                .iter()
                .map(|user| user["UserName"].clone()),
        );
        if page["IsTruncated"] == "false" {
            assert!(page["Marker"].is_null());
            break;
        }
        parameters["Marker"] = page["Marker"].clone();
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    for wrong in ["0", "1001", "x", ""] {
        refused(
            ask(&home, "ListUsers", json!({"MaxItems": wrong})),
            400,
            "ValidationError",
        );
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one life of a policy, from being put to being gone"
)]
fn policies_are_kept_as_they_were_written_and_come_back_encoded() {
    let home = Home::new();
    ask(&home, "CreateUser", json!({"UserName": "bob"})).unwrap();
    let role = json!({"RoleName": "deploy", "AssumeRolePolicyDocument": TRUST, "Description": "d"});
    let role = ask(&home, "CreateRole", role).unwrap();
    assert_eq!(role["Role"]["Arn"], "arn:aws:iam::000000000000:role/deploy");
    assert_eq!(role["Role"]["MaxSessionDuration"], "3600");
    for (owner, name, kind) in [("UserName", "bob", "User"), ("RoleName", "deploy", "Role")] {
        let of = |more: Value| {
            let mut parameters = json!({owner: name});
            parameters
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            parameters
        };
        let put = format!("Put{kind}Policy");
        ask(
            &home,
            &put,
            of(json!({"PolicyName": "p", "PolicyDocument": ALLOW_ALL})),
        )
        .unwrap();
        let text = refused(
            ask(
                &home,
                &put,
                of(json!({"PolicyName": "p", "PolicyDocument": "{"})),
            ),
            400,
            "MalformedPolicyDocument",
        );
        assert!(text.contains("not valid JSON"), "{text}");
        let got = ask(
            &home,
            &format!("Get{kind}Policy"),
            of(json!({"PolicyName": "p"})),
        )
        .unwrap();
        assert_eq!(got["PolicyDocument"], encode_all(ALLOW_ALL));
        let list = ask(&home, &format!("List{kind}Policies"), of(json!({}))).unwrap();
        assert_eq!(list["PolicyNames"], json!(["p"]));
        ask(
            &home,
            &format!("Delete{kind}Policy"),
            of(json!({"PolicyName": "p"})),
        )
        .unwrap();
        refused(
            ask(
                &home,
                &format!("Get{kind}Policy"),
                of(json!({"PolicyName": "p"})),
            ),
            404,
            "NoSuchEntity",
        );
        let arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
        ask(
            &home,
            &format!("Attach{kind}Policy"),
            of(json!({"PolicyArn": arn})),
        )
        .unwrap();
        let attached = ask(&home, &format!("ListAttached{kind}Policies"), of(json!({}))).unwrap();
        assert_eq!(
            attached["AttachedPolicies"],
            json!([{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": arn}])
        );
        ask(
            &home,
            &format!("Detach{kind}Policy"),
            of(json!({"PolicyArn": arn})),
        )
        .unwrap();
    }
    let made = json!({"PolicyName": "ops", "PolicyDocument": ALLOW_ALL, "Description": "all"});
    let made = ask(&home, "CreatePolicy", made).unwrap();
    let arn = made["Policy"]["Arn"].clone();
    let version = json!({"PolicyArn": arn, "VersionId": "v1"});
    let version = ask(&home, "GetPolicyVersion", version).unwrap();
    assert_eq!(version["PolicyVersion"]["Document"], encode_all(ALLOW_ALL));
    let own = ask(&home, "ListPolicies", json!({"Scope": "Local"})).unwrap();
    assert_eq!(own["Policies"].as_array().unwrap().len(), 1);
    let aws = ask(&home, "ListPolicies", json!({"Scope": "AWS"})).unwrap();
    assert_eq!(aws["Policies"].as_array().unwrap().len(), 6);
    ask(&home, "DeletePolicy", json!({"PolicyArn": arn})).unwrap();
    refused(
        ask(&home, "GetPolicy", json!({"PolicyArn": arn})),
        404,
        "NoSuchEntity",
    );
    ask(&home, "DeleteRole", json!({"RoleName": "deploy"})).unwrap();
}

fn encode_all(text: &str) -> String {
    crate::client::encode(text)
}

#[test]
fn names_and_paths_follow_the_rules_of_iam() {
    let home = Home::new();
    let long = "x".repeat(65);
    for name in ["", "a b", "a/b", "ä", "*", "a:b", &long] {
        refused(
            ask(&home, "CreateUser", json!({"UserName": name})),
            400,
            "ValidationError",
        );
    }
    for path in ["", "x", "/x", "x/", "/*/", "/a b/"] {
        let wrong = json!({"UserName": "bob", "Path": path});
        refused(ask(&home, "CreateUser", wrong), 400, "ValidationError");
    }
    for arn in [
        "",
        "x",
        "arn:aws:iam::000000000000:user/x",
        "arn:aws:iam::0:policy/*",
    ] {
        refused(
            ask(&home, "GetPolicy", json!({"PolicyArn": arn})),
            400,
            "ValidationError",
        );
    }
    assert!(home.identities.now().users.is_empty());
}

#[test]
fn a_simulation_says_what_is_decided_and_which_statement_decides() {
    let home = Home::new();
    ask(&home, "CreateUser", json!({"UserName": "bob"})).unwrap();
    let document = json!({"Statement": [
        {"Sid": "Own", "Effect": "Allow", "Action": "lambda:*",
         "Resource": "arn:aws:lambda:*:*:function:${aws:username}-*"},
        {"Effect": "Deny", "Action": "lambda:DeleteFunction", "Resource": "*"},
    ]});
    // Without the later version of the language, a variable is but text.
    let later = {
        let mut later = document.clone();
        later["Version"] = json!("2012-10-17");
        later
    };
    for (document, expected) in [(document, "implicitDeny"), (later, "allowed")] {
        let put =
            json!({"UserName": "bob", "PolicyName": "p", "PolicyDocument": document.to_string()});
        ask(&home, "PutUserPolicy", put).unwrap();
        let asked = json!({
            "PolicySourceArn": "arn:aws:iam::000000000000:user/bob",
            "ActionNames": ["lambda:GetFunction", "lambda:DeleteFunction"],
            "ResourceArns": ["arn:aws:lambda:eu-west-1:000000000000:function:bob-1"],
        });
        let answer = ask(&home, "SimulatePrincipalPolicy", asked).unwrap();
        let results = &answer["EvaluationResults"];
        assert_eq!(results[0]["EvalDecision"], expected);
        assert_eq!(results[1]["EvalDecision"], "explicitDeny");
        assert_eq!(
            results[1]["MatchedStatements"],
            json!([{"SourcePolicyId": "p", "SourcePolicyType": "IAM Policy", "Statement": "statement 2"}])
        );
        if expected == "allowed" {
            assert_eq!(results[0]["MatchedStatements"][0]["Statement"], "Own");
        }
    }
    let wrong = json!({"PolicySourceArn": "bob", "ActionNames": ["a:b"]});
    refused(
        ask(&home, "SimulatePrincipalPolicy", wrong),
        400,
        "ValidationError",
    );
    PolicyDocument::parse_identity(ALLOW_ALL).unwrap();
}

#[test]
fn a_form_is_read_strictly() {
    let parse = |text: &str| Form::parse(text.as_bytes(), Encoding::Form);
    let form =
        parse("Action=GetUser&UserName=a%2Bb+c&L.member.1=x&L.member.2=y&L.member.4=z").unwrap();
    assert_eq!(form.text("UserName"), Some("a+b c"));
    assert_eq!(form.list("L"), ["x", "y"]);
    for wrong in ["a=1&a=2", "a=%zz", "a=%ff"] {
        parse(wrong).unwrap_err();
    }
    for wrong in ["", "[]", "{\"a\":1}", "{\"a\":[1]}", "{\"a\":{}}"] {
        Form::parse(wrong.as_bytes(), Encoding::Json).unwrap_err();
    }
}

#[test]
fn what_is_not_there_has_no_path_of_its_own() {
    let home = Home::new();
    let bob = caller(Identity::Root);
    let of = |target, name: &str| {
        let parameters = form(&json!({name: "eve", "Path": "/mine/"}));
        resources(target, &home.identities.now(), &bob, &parameters).unwrap()
    };
    let user = |path: &str| vec![format!("arn:aws:iam::000000000000:user{path}eve")];
    let role = |path: &str| vec![format!("arn:aws:iam::000000000000:role{path}eve")];
    assert_eq!(of(Target::NewUser, "UserName"), user("/mine/"));
    assert_eq!(of(Target::NewRole, "RoleName"), role("/mine/"));
    for operation in Operation::ALL {
        match operation.target() {
            Target::User => assert_eq!(of(Target::User, "UserName"), user("/"), "{operation:?}"),
            Target::Role => assert_eq!(of(Target::Role, "RoleName"), role("/"), "{operation:?}"),
            _ => {}
        }
    }
    // Who is there is where they are, whatever is said of them.
    let there = json!({"UserName": "eve", "Path": "/theirs/"});
    ask(&home, "CreateUser", there).unwrap();
    assert_eq!(of(Target::User, "UserName"), user("/theirs/"));
}

#[test]
fn parameters_that_are_not_understood_are_refused() {
    let home = Home::new();
    let boundary = "arn:aws:iam::aws:policy/IAMFullAccess";
    let bounded = json!({"UserName": "bob", "PermissionsBoundary": boundary});
    let text = refused(ask(&home, "CreateUser", bounded), 400, "ValidationError");
    assert!(
        text.contains("`PermissionsBoundary` of CreateUser"),
        "{text}"
    );
    let bounded = json!({"RoleName": "r", "AssumeRolePolicyDocument": TRUST, "PermissionsBoundary": boundary});
    refused(ask(&home, "CreateRole", bounded), 400, "ValidationError");
    assert!(home.identities.now().users.is_empty());
    assert!(home.identities.now().roles.is_empty());
    for operation in Operation::ALL {
        let text = refused(
            ask(
                &home,
                operation.name(),
                json!({"Colour": "red", "UserName": "bob", "RoleName": "r",
                "PolicyName": "p", "PolicyArn": "arn:aws:iam::000000000000:policy/p"}),
            ),
            400,
            "ValidationError",
        );
        assert!(text.contains("is not offered"), "{text}");
    }
}

#[test]
fn conditions_may_ask_for_tags_and_policies() {
    let parameters = form(&json!({
        "UserName": "eve", "Tags.member.1.Key": "owner", "Tags.member.1.Value": "eve",
        "PolicyArn": "arn:aws:iam::000000000000:policy/p",
    }));
    let all = |operation| -> HashSet<String> {
        let keys = keys(operation, &parameters).unwrap();
        keys.into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    };
    let arn = "iam:PolicyARN=arn:aws:iam::000000000000:policy/p".to_owned();
    let tags = [
        "aws:RequestTag/owner=eve".to_owned(),
        "aws:TagKeys=owner".to_owned(),
    ];
    let mut expected = HashSet::from(tags);
    expected.insert(arn.clone());
    assert_eq!(all(Operation::CreateUser), expected);
    assert_eq!(all(Operation::CreateRole), expected);
    assert_eq!(all(Operation::AttachUserPolicy), HashSet::from([arn]));
}
