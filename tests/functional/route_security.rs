//! Routes that ask who it is, and how often: tokens, keys and allowances.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};
use support::guests::{guest, printing};
use support::http::{Request, Response};
use support::identity::{element, statement};
use support::issuer::{DocumentServer, Issuer, forged};
use support::{Site, TestHost, until};

const ISSUER: &str = "https://issuer.example/";

#[expect(
    clippy::disallowed_methods,
    reason = "tokens are made for the time that the server reads"
)]
fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "shop", "sub": "ada", "exp": now_s() + 3_600, "iat": now_s()})
}

fn claims_but(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// A manifest whose routes want tokens of an issuer with these keys.
fn manifest(jwks: &str, more: &str) -> String {
    format!(
        "auth = \"jwt\"\n{more}[jwt]\nissuer = \"{ISSUER}\"\naudience = [\"shop\"]\njwks = \"{jwks}\"\n"
    )
}

fn bearer(target: &str, token: &str) -> Request {
    Request::get(target).header("authorization", &format!("Bearer {token}"))
}

/// A server with the function `f`, which shows its event to bearers of the issuer's tokens.
fn start(issuer: &Issuer, more: &str) -> TestHost {
    let host = TestHost::start();
    host.drop_file("keys.json", issuer.key_set().as_bytes());
    host.deploy_with("f", &manifest("keys.json", more), &guest("echo"));
    host
}

#[track_caller]
fn check_unauthorized(answer: &Response, challenge: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(answer.json()["message"], "Unauthorized");
    let said = answer.header("www-authenticate").unwrap();
    assert!(said.contains(challenge), "{said}");
}

#[test]
fn the_bearer_of_a_good_token_is_served_and_the_function_hears_of_the_claims() {
    let issuer = Issuer::new("k1");
    let host = start(&issuer, "");
    let token = issuer.token(&claims_but("groups", json!(["a", "b"])));
    let answer = host.send(&bearer("/f", &token));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let authorizer = answer.json()["requestContext"]["authorizer"].clone();
    assert_eq!(authorizer["jwt"]["scopes"], Value::Null);
    let claims = &authorizer["jwt"]["claims"];
    assert_eq!(
        (&claims["sub"], &claims["groups"]),
        (&json!("ada"), &json!("[a b]"))
    );
    assert!(claims["exp"].is_string());
    assert_eq!(host.send(&bearer("/f/below", &token)).status, 200);
    // Invoke is another door, with locks of its own.
    assert_eq!(host.invoke("f", "{}").status, 200);
}

#[test]
fn hostile_tokens_are_refused_and_run_nothing() {
    let issuer = Issuer::new("k1");
    let host = start(&issuer, "");
    check_unauthorized(&host.get("/f"), "Bearer");
    let public = issuer.jwk().to_string();
    let mut nameless = Header::new(Algorithm::ES256);
    nameless.kid = None;
    let good = issuer.token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other_claims = issuer.token(&claims_but("sub", json!("eve")));
    for (what, token) in [
        ("alg none", forged(None, "k1", &claims(), b"")),
        ("HS256 with the public key", {
            forged(Some(Algorithm::HS256), "k1", &claims(), public.as_bytes())
        }),
        (
            "another key of this name",
            Issuer::new("k1").token(&claims()),
        ),
        ("an unknown key", Issuer::new("k2").token(&claims())),
        ("no key", issuer.token_with(&nameless, &claims())),
        (
            "another issuer",
            issuer.token(&claims_but("iss", json!("https://issuer.example"))),
        ),
        (
            "another audience",
            issuer.token(&claims_but("aud", json!(["bank"]))),
        ),
        ("no audience", issuer.token(&claims_but("aud", Value::Null))),
        (
            "expired",
            issuer.token(&claims_but("exp", json!(now_s() - 1))),
        ),
        (
            "never expires",
            issuer.token(&claims_but("exp", Value::Null)),
        ),
        (
            "not yet",
            issuer.token(&claims_but("nbf", json!(now_s() + 600))),
        ),
        ("no signature", format!("{signed}.")),
        ("a signature of other claims", {
            format!("{}.{signature}", other_claims.rsplit_once('.').unwrap().0)
        }),
        ("huge", format!("{signed}.{}", "A".repeat(20_000))),
        ("garbage", "not.a.token".to_owned()),
        ("dots", "..".to_owned()),
        ("deep", forged(None, &"[".repeat(5_000), &claims(), b"")),
    ] {
        let answer = host.send(&bearer("/f", &token));
        assert_eq!(answer.status, 401, "{what}");
        check_unauthorized(&answer, "error=\"invalid_token\"");
        assert!(
            !answer.text().contains(&token),
            "{what}: the answer repeats the token"
        );
    }
    let twice = bearer("/f", &good).header("authorization", "Bearer x");
    check_unauthorized(&host.send(&twice), "invalid_token");
    assert_eq!(host.ledger().request_ids().len(), 0, "nothing ran");
    assert!(host.metric("mayfly_http_refused_total", &["by=\"auth\""]) >= 19);
    assert_eq!(host.send(&bearer("/f", &good)).status, 200);
}

#[test]
fn a_route_may_want_scopes_and_another_none() {
    let issuer = Issuer::new("k1");
    let host = TestHost::start();
    host.drop_file("keys.json", issuer.key_set().as_bytes());
    let text = format!(
        "[[http]]\npath = \"/orders\"\nauth = \"jwt\"\n[http.jwt]\nissuer = \"{ISSUER}\"\naudience = [\"shop\"]\n\
         jwks = \"keys.json\"\nscopes = [\"orders:read\"]\n[[http]]\npath = \"/open\"\n"
    );
    host.deploy_with("f", &text, &guest("echo"));
    let scoped = issuer.token(&claims_but("scope", json!("profile orders:read")));
    let answer = host.send(&bearer("/orders", &scoped));
    assert_eq!(
        answer.json()["requestContext"]["authorizer"]["jwt"]["scopes"],
        json!(["profile", "orders:read"])
    );
    let refused = host.send(&bearer("/orders", &issuer.token(&claims())));
    assert_eq!(
        (refused.status, &refused.json()["message"]),
        (403, &json!("Forbidden"))
    );
    let said = refused.header("www-authenticate").unwrap();
    assert!(
        said.contains("error=\"insufficient_scope\"") && said.contains("orders:read"),
        "{said}"
    );
    let open = host.get("/open");
    assert_eq!(open.status, 200);
    assert_eq!(open.json()["requestContext"].get("authorizer"), None);
}

#[test]
fn keys_are_found_through_the_issuer_and_fetched_once() {
    let server = DocumentServer::start();
    let issuer = Issuer::new("k1");
    let name = server.url("");
    let host = TestHost::start();
    let text = format!("auth = \"jwt\"\n[jwt]\nissuer = \"{name}\"\naudience = [\"shop\"]\n");
    let configuration = json!({"issuer": name, "jwks_uri": server.url("/keys")});
    server.put(
        "/.well-known/openid-configuration",
        &configuration.to_string(),
    );
    server.put("/keys", &issuer.key_set());
    host.deploy_with("f", &text, &guest("echo"));
    assert_eq!(server.asked(), 0, "nobody brought a token yet");
    let token = issuer.token(&claims_but("iss", json!(name)));
    for _ in 0..5 {
        assert_eq!(host.send(&bearer("/f", &token)).status, 200);
    }
    // A flood of tokens with unknown keys does not become a flood of fetches.
    let unknown = Issuer::new("k9").token(&claims_but("iss", json!(name)));
    for _ in 0..20 {
        assert_eq!(host.send(&bearer("/f", &unknown)).status, 401);
    }
    assert_eq!(server.asked(), 2);
}

#[test]
fn without_keys_nobody_is_let_in_and_the_operator_hears_of_it() {
    let issuer = Issuer::new("k1");
    let host = Site::builder().announce("can't be had").build().start();
    let server = DocumentServer::start();
    let jwks = server.url("/none");
    host.deploy_with("f", &manifest(&jwks, ""), &guest("echo"));
    let answer = host.send(&bearer("/f", &issuer.token(&claims())));
    assert_eq!(
        (answer.status, &answer.json()["message"]),
        (503, &json!("Service Unavailable"))
    );
    assert!(answer.header("retry-after").is_some());
    assert!(
        !answer.text().contains(&jwks),
        "the answer tells nothing of our insides"
    );
    let line = host.process().stderr.wait_for("can't be had");
    assert!(
        line.contains(&jwks) && line.contains("status 404"),
        "{line}"
    );
    // Without a token there is nothing to look up.
    assert_eq!(host.get("/f").status, 401);
    assert_eq!(host.ledger().request_ids().len(), 0);
}

#[test]
fn an_allowance_is_kept_and_what_is_beyond_costs_nothing() {
    let host = TestHost::start();
    host.deploy_with("f", "rate = 1\nburst = 2\n", &printing("1"));
    let mut served = 0;
    let refused = until("a refusal", || {
        let answer = host.get("/f");
        if answer.status == 200 {
            served += 1;
            return None;
        }
        Some(answer)
    });
    assert!(served >= 2, "a burst is allowed");
    assert_eq!(
        (refused.status, &refused.json()["message"]),
        (429, &json!("Too Many Requests"))
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    until("the allowance to be there again", || {
        let status = host.get("/f").status;
        served += usize::from(status == 200);
        (status == 200).then_some(())
    });
    assert_eq!(host.ledger().request_ids().len(), served);
    assert!(host.metric("mayfly_http_refused_total", &["by=\"rate\""]) >= 1);
}

#[test]
fn each_caller_has_an_allowance() {
    let issuer = Issuer::new("k1");
    let host = start(&issuer, "rate_per_key = 1\nburst_per_key = 3\n");
    let of = |sub: &str| bearer("/f", &issuer.token(&claims_but("sub", json!(sub))));
    let ada = of("ada");
    until("the end of Ada's allowance", || {
        (host.send(&ada).status == 429).then_some(())
    });
    assert_eq!(host.send(&of("bob")).status, 200);
}

#[test]
fn an_allowance_outlives_new_code_and_new_rules_begin_with_a_full_one() {
    let host = TestHost::start();
    host.deploy_with("f", "rate = 1\nburst = 1000000\n", &printing("1"));
    assert_eq!(host.get("/f").status, 200);
    host.deploy_with("f", "rate = 1\nburst = 1\n", &printing("2"));
    until("the new code", || {
        (host.get("/f").text() != "1").then_some(())
    });
    until("the end of the new allowance", || {
        (host.get("/f").status == 429).then_some(())
    });
}

/// A server with the function `f`, which shows its event to who signs and may.
fn start_for_signers() -> TestHost {
    let host = TestHost::start();
    host.deploy_with("f", "auth = \"iam\"\n", &guest("echo"));
    host
}

#[test]
fn who_signs_and_may_is_served_and_the_function_hears_who_it_is() {
    let host = start_for_signers();
    for service in ["execute-api", "lambda"] {
        let signer = host.root_signer().for_service(service);
        let request = Request::post("/f/a?b=1", "body");
        let answer = host.send(&signer.sign(&request, host.http()));
        assert_eq!(answer.status, 200, "{service}: {}", answer.text());
        let event = answer.json();
        let iam = &event["requestContext"]["authorizer"]["iam"];
        assert_eq!(iam["userArn"], "arn:aws:iam::000000000000:root");
        assert_eq!(
            (&iam["accountId"], &iam["userId"]),
            (&json!("000000000000"), &json!("000000000000"))
        );
        assert_eq!(iam["cognitoIdentity"], Value::Null);
        assert!(iam["accessKey"].as_str().unwrap().starts_with("AKIA"));
        assert_eq!(event["body"], "body");
        // A function can't sign with what let the request in.
        assert_eq!(event["headers"]["authorization"], Value::Null, "{event}");
        assert!(event["headers"]["x-amz-date"].is_string());
    }
}

#[test]
fn who_does_not_sign_or_signs_something_else_runs_nothing() {
    let host = start_for_signers();
    let signer = host.root_signer().for_service("execute-api");
    let post = |target: &str, body: &str| Request::post(target, body);
    let good = signer.sign(&post("/f", "body"), host.http());
    for (what, request) in [
        ("no signature", post("/f", "body")),
        ("another service", {
            host.root_signer()
                .for_service("s3")
                .sign(&post("/f", "body"), host.http())
        }),
        ("another body", good.clone().with_body("bodY")),
        ("another path", good.clone().with_target("/f/x")),
        ("another query", good.clone().with_target("/f?x=1")),
        (
            "a bearer",
            post("/f", "body").header("authorization", "Bearer x"),
        ),
    ] {
        let answer = host.send(&request);
        assert_eq!(answer.status, 403, "{what}: {}", answer.text());
        assert_eq!(answer.json()["message"], "Forbidden", "{what}");
    }
    assert_eq!(host.ledger().request_ids().len(), 0);
    assert_eq!(host.send(&good).status, 200);
}

#[test]
fn a_user_needs_a_policy_for_method_and_path() {
    let host = start_for_signers();
    let user = host.iam("Action=CreateUser&UserName=bob");
    let bob = host.new_key("bob").for_service("execute-api");
    let get = |target: &str| host.send(&bob.sign(&Request::get(target), host.http()));
    assert_eq!(get("/f/orders").status, 403);
    let resource = "arn:aws:execute-api:us-east-1:000000000000:f/$default/GET/f/orders*";
    host.put_policy("bob", &statement("Allow", "execute-api:Invoke", resource));
    let answer = get("/f/orders/5");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let who = &answer.json()["requestContext"]["authorizer"]["iam"];
    assert_eq!(who["userArn"], "arn:aws:iam::000000000000:user/bob");
    assert_eq!(who["userId"], element(&user, "UserId"));
    assert_eq!(get("/f/other").status, 403);
    // It is the path that counts, not its spelling.
    assert_eq!(get("/f/%6Frders/5").status, 200);
    assert_eq!(get("/f//f/orders").status, 403);
    let post = bob.sign(&Request::post("/f/orders", "x"), host.http());
    assert_eq!(host.send(&post).status, 403);
    let id = &bob.access_key_id;
    host.iam(&format!(
        "Action=DeleteAccessKey&UserName=bob&AccessKeyId={id}"
    ));
    assert_eq!(
        get("/f/orders").status,
        403,
        "a deleted key is refused at once"
    );
}

#[test]
fn the_holder_of_an_api_key_is_served_and_the_function_hears_its_name() {
    let host = TestHost::start();
    host.deploy_with("f", "auth = \"api-key\"\n", &guest("echo"));
    let made = host.cli(&["api-keys", "create", "partner"]).ok();
    let key = made.split_whitespace().last().unwrap().to_owned();
    let with = |key: &str| host.send(&Request::get("/f").header("x-api-key", key));
    let answer = with(&key);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let context = &answer.json()["requestContext"];
    assert_eq!(
        context["authorizer"],
        json!({"apiKey": {"name": "partner"}})
    );
    let twice = Request::get("/f")
        .header("x-api-key", &key)
        .header("x-api-key", &key);
    for refused in [
        host.get("/f"),
        with("x"),
        with(""),
        with("partner"),
        host.send(&twice),
    ] {
        assert_eq!(
            (refused.status, &refused.json()["message"]),
            (403, &json!("Forbidden"))
        );
    }
    let _deleted = host.cli(&["api-keys", "delete", "partner"]).ok();
    assert_eq!(with(&key).status, 403, "a deleted key is refused at once");
}
