//! Cross-origin requests: what browsers are told, and what functions may not say.

use support::TestHost;
use support::guests::{guest, printing};
use support::http::{Request, Response};

const PAGE: &str = "https://shop.example";

const RULES: &str = "[cors]\nallow_origins = [\"https://shop.example\"]\nallow_methods = [\"GET\", \"PUT\"]\n\
    allow_headers = [\"content-type\"]\nexpose_headers = [\"x-total\"]\nmax_age = 600\nallow_credentials = true\n";

fn preflight(target: &str, origin: &str, method: &str) -> Request {
    Request::new("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", method)
}

/// The headers that are about origins, in order.
fn told(response: &Response) -> Vec<String> {
    let mut told: Vec<_> = response
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("access-control-") || name == "vary")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    told.sort_unstable();
    told
}

#[test]
fn a_preflight_is_answered_without_the_function_and_without_a_route_for_it() {
    let host = TestHost::start();
    let manifest = format!(
        "{RULES}[[http]]\nmethod = \"PUT\"\npath = \"/items/{{id}}\"\n[[http]]\nmethod = \"GET\"\npath = \"/plain\"\nauth = \"jwt\"\n\
         [http.jwt]\nissuer = \"i\"\naudience = [\"a\"]\njwks = \"none.json\"\n"
    );
    host.deploy_with("f", &manifest, &printing("1"));
    let allowed = [
        "access-control-allow-credentials: true",
        "access-control-allow-headers: content-type",
        "access-control-allow-methods: GET,PUT",
        "access-control-allow-origin: https://shop.example",
        "access-control-max-age: 600",
        "vary: Origin",
    ];
    let answer = host.send(&preflight("/items/5", PAGE, "PUT"));
    assert_eq!((answer.status, answer.text()), (204, String::new()));
    assert_eq!(told(&answer), allowed);
    // Who asks first has no token yet.
    let guarded = host.send(&preflight("/plain", PAGE, "GET"));
    assert_eq!(
        (guarded.status, told(&guarded)),
        (204, allowed.map(str::to_owned).to_vec())
    );

    let foreign = host.send(&preflight("/items/5", "https://evil.example", "PUT"));
    assert_eq!(
        (foreign.status, told(&foreign)),
        (204, vec!["vary: Origin".to_owned()])
    );
    // No route has this method; nobody was asked by a browser; no such path.
    assert_eq!(
        host.send(&preflight("/items/5", PAGE, "DELETE")).status,
        405
    );
    assert_eq!(host.send(&Request::new("OPTIONS", "/items/5")).status, 405);
    assert_eq!(host.send(&preflight("/other", PAGE, "PUT")).status, 404);
    assert_eq!(host.ledger().request_ids().len(), 0);
}

#[test]
fn answers_carry_the_rules_and_not_what_the_function_says() {
    let host = TestHost::start();
    let answer = r#"{"statusCode":200,"headers":{"Access-Control-Allow-Origin":"*","Access-Control-Max-Age":"1","x-total":"3"},"body":"x"}"#;
    host.deploy_with("f", RULES, &printing(answer));
    let with_origin = |origin: &str| host.send(&Request::get("/f").header("origin", origin));
    let page = with_origin(PAGE);
    assert_eq!(
        (page.text().as_str(), page.header("x-total")),
        ("x", Some("3"))
    );
    assert_eq!(
        told(&page),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://shop.example",
            "access-control-expose-headers: x-total",
            "vary: Origin",
        ]
    );
    for other in [with_origin("https://evil.example"), host.get("/f")] {
        assert_eq!(
            (other.status, told(&other)),
            (200, vec!["vary: Origin".to_owned()])
        );
    }
}

#[test]
fn a_refusal_can_be_read_by_the_page_too() {
    let host = TestHost::start();
    let manifest = format!(
        "auth = \"jwt\"\n[jwt]\nissuer = \"i\"\naudience = [\"a\"]\njwks = \"none.json\"\n{RULES}"
    );
    host.deploy_with("f", &manifest, &printing("1"));
    let refused = host.send(&Request::get("/f").header("origin", PAGE));
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE));
}

#[test]
fn without_rules_options_is_an_ordinary_request() {
    let host = TestHost::start();
    host.deploy("f", &guest("echo"));
    let answer = host.send(&preflight("/f", PAGE, "GET"));
    assert_eq!(answer.json()["requestContext"]["http"]["method"], "OPTIONS");
    assert_eq!(told(&answer), Vec::<String>::new());
}
