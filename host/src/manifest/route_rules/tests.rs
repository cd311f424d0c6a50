//! Rules that manifests may set, how they are inherited, and the exact words for what is wrong.

use super::*;
use crate::manifest::Manifest;

fn entries(text: &str) -> Vec<RouteRules> {
    let manifest = Manifest::parse(text).unwrap();
    let routes = manifest.routes.into_iter().flatten();
    routes.map(|http| http.rules).collect()
}

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    assert_eq!(Manifest::parse(text).unwrap_err().to_string(), expected);
}

fn rate(per_second: u32, burst: u32) -> Rate {
    Rate {
        per_second: NonZeroU32::new(per_second).unwrap(),
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

const JWT: &str =
    "jwks = \"keys.json\"\nissuer = \"i\"\naudience = [\"a\", \"b\"]\nscopes = [\"s:read\"]\n";

#[test]
fn a_route_has_rules_of_every_kind() {
    let text = format!(
        "[[http]]\npath = \"/a\"\nauth = \"jwt\"\nqualifier = \"live\"\nrate = 10\nburst = 20\n\
         rate_per_key = 3\n[http.jwt]\n{JWT}[http.cors]\nallow_origins = [\"https://a.example\"]\n\
         allow_methods = [\"*\"]\nallow_headers = [\"x-a\"]\nexpose_headers = [\"x-b\"]\n\
         max_age = 60\nallow_credentials = true\n[[http]]\npath = \"/b\"\n"
    );
    let [first, second] = &entries(&text)[..] else {
        panic!("two entries");
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let expected = RouteRules {
        qualifier: Some(Qualifier::parse("live").unwrap()),
        auth: RouteAuth::Jwt(JwtRules {
            issuer: "i".to_owned(),
            audience: texts(&["a", "b"]),
            jwks: Some("keys.json".to_owned()),
            scopes: texts(&["s:read"]),
        }),
        cors: Some(Cors {
            allow_credentials: true,
            allow_headers: texts(&["x-a"]),
            allow_methods: texts(&["*"]),
            allow_origins: texts(&["https://a.example"]),
            expose_headers: texts(&["x-b"]),
            max_age_s: Some(60),
        }),
        rate: Some(rate(10, 20)),
        rate_per_key: Some(rate(3, 3)),
    };
    assert_eq!(first, &expected);
    assert_eq!(second, &RouteRules::default());
}

#[test]
fn what_stands_at_the_top_holds_for_every_route_that_says_nothing_else() {
    let text = format!(
        "auth = \"iam\"\nqualifier = \"live\"\nrate = 5\n[jwt]\n{JWT}[cors]\nallow_origins = [\"*\"]\n\
         [[http]]\npath = \"/same\"\n\
         [[http]]\npath = \"/open\"\nauth = \"none\"\nqualifier = \"$LATEST\"\nrate = 6\n\
         [[http]]\npath = \"/token\"\nauth = \"jwt\"\n"
    );
    let manifest = Manifest::parse(&text).unwrap();
    let [same, open, token] = &entries(&text)[..] else {
        panic!("three entries");
    };
    assert_eq!(same, &manifest.rules);
    assert_eq!(same.auth, RouteAuth::Iam);
    assert_eq!((&open.auth, &open.qualifier), (&RouteAuth::Open, &None));
    assert_eq!((open.rate, &open.cors), (Some(rate(6, 6)), &same.cors));
    assert!(matches!(token.auth, RouteAuth::Jwt(_)));
}

#[test]
fn a_route_of_before_there_were_rules_is_read_from_the_registry() {
    let bare: HttpRoute = serde_json::from_str("\"GET /a\"").unwrap();
    assert_eq!(bare.rules, RouteRules::default());
    let again = serde_json::to_string(&bare).unwrap();
    assert_eq!(serde_json::from_str::<HttpRoute>(&again).unwrap(), bare);
    let text = format!("[[http]]\npath = \"/a\"\nauth = \"jwt\"\nrate = 1\n[http.jwt]\n{JWT}");
    let full = Manifest::parse(&text).unwrap().routes.unwrap();
    let stored = serde_json::to_string(&full).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<HttpRoute>>(&stored).unwrap(),
        full
    );
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, expected) in [
        (
            "auth = \"basic\"\n",
            "1:8: `auth` must be \"none\", \"iam\", \"api-key\" or \"jwt\", not \"basic\"",
        ),
        (
            "auth = \"jwt\"\n",
            "1:8: `auth` is \"jwt\", which needs a table `jwt` with `issuer` and `audience`",
        ),
        (
            "auth = \"jwt\"\n[jwt]\naudience = [\"a\"]\n",
            "2:1: `jwt` needs an `issuer`: what tokens say as `iss`",
        ),
        (
            "auth = \"jwt\"\n[jwt]\nissuer = \"https://i.example\"\n",
            "2:1: `jwt` needs an `audience`: a list of what tokens may say as `aud`",
        ),
        (
            "[jwt]\nissuer = \"http://i.example\"\naudience = [\"a\"]\n",
            "2:10: `jwt.issuer` is where the keys are asked for, so it must be an https URL; or set `jwks`",
        ),
        (
            "[jwt]\nissuer = \"i\"\naudience = [\"a\"]\njwks = \"http://i.example/k\"\n",
            "4:8: `jwt.jwks` must be an https URL or the path of a file below the functions folder, not \"http://i.example/k\"; http is for this machine alone",
        ),
        (
            "[jwt]\nissuer = \"https://i\"\naudience = [\"a\", 1]\n",
            "3:12: `jwt.audience` must be a list of texts in quotes, not an array",
        ),
        (
            "[[http]]\npath = \"/a\"\n[http.jwt]\njwks = \"k\"\nissuer = \"i\"\naudience = [\"a\"]\n",
            "1:1: `jwt` says which tokens are good, and `auth` is not \"jwt\"",
        ),
        (
            "burst = 5\n",
            "1:1: `burst` needs `rate`, the requests per second",
        ),
        (
            "rate = 0\n",
            "1:8: `rate` must be a whole number from 1 to 1000000, not 0",
        ),
        (
            "qualifier = \"a b\"\n",
            "1:13: `qualifier` names no version or alias: `a b` has the character ' '; a version is `$LATEST` or a number, and an alias has letters, digits, `-` and `_`",
        ),
        (
            "[cors]\nallow_origins = [\"https://a.example/\"]\n",
            "2:18: `cors.allow_origins` can't hold \"https://a.example/\"",
        ),
        (
            "[cors]\nallow_origins = [\"*\"]\nallow_credentials = true\n",
            "1:1: `cors` can't allow credentials to every origin; name the origins instead of \"*\"",
        ),
        (
            "[cors]\nallow_headers = [\"x a\"]\n",
            "1:1: `cors` needs `allow_origins`, such as [\"https://example.com\"]; 2:18: `cors.allow_headers` can't hold \"x a\"",
        ),
        (
            "[[http]]\npath = \"/_url/x\"\n",
            "2:8: `http[1].path` can't begin with \"/_url\": function URLs do",
        ),
    ] {
        check_refused(text, expected);
    }
}

#[test]
fn keys_come_over_tls_or_from_this_machine() {
    for good in [
        "https://a.example/k",
        "http://127.0.0.1:8080/k",
        "http://localhost/k",
        "http://[::1]:1/k",
    ] {
        assert!(is_fetchable(good), "{good}");
    }
    for bad in [
        "http://a.example/k",
        "http://localhost.a.example/",
        "ftp://a/",
        "https://",
        "https://user:secret@a.example/",
        "/k",
        "",
    ] {
        assert!(!is_fetchable(bad), "{bad}");
    }
}
