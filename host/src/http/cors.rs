//! Cross-origin requests: preflights answered for functions, and headers on their answers.
//!
//! As API Gateway does it: where rules are set, what a function says about origins is taken off its
//! answers, and an origin that is not allowed gets an answer without any of these headers, which is
//! how a browser learns that it is not. Knows nothing of routes or of functions.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::manifest::route_rules::Cors;

/// What only the rules may say about origins.
const OWNED: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The method that a browser asks about before it sends a request, if that is what this is.
pub(crate) fn preflight_method(parts: &Parts) -> Option<&str> {
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(ORIGIN) {
        return None;
    }
    parts
        .headers
        .get(ACCESS_CONTROL_REQUEST_METHOD)?
        .to_str()
        .ok()
}

/// What a browser is told that asks first.
pub(crate) fn preflight_headers(cors: &Cors, asked: &HeaderMap) -> HeaderMap {
    let mut told = HeaderMap::new();
    if !allow_origin(cors, asked, &mut told) {
        return told;
    }
    // With credentials, browsers take a star for the name of a method or header.
    let list = |names: &[String], wanted: HeaderName| {
        let is_any = names.iter().any(|name| name == "*");
        match asked.get(wanted) {
            Some(wanted) if is_any && cors.allow_credentials => Some(wanted.clone()),
            _ if is_any => Some(HeaderValue::from_static("*")),
            _ => joined(names),
        }
    };
    let methods = list(&cors.allow_methods, ACCESS_CONTROL_REQUEST_METHOD);
    let headers = list(&cors.allow_headers, ACCESS_CONTROL_REQUEST_HEADERS);
    told.extend(
        [
            (ACCESS_CONTROL_ALLOW_METHODS, methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, headers),
            (
                ACCESS_CONTROL_MAX_AGE,
                cors.max_age_s.map(HeaderValue::from),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?))),
    );
    told
}

/// Puts the rules' headers on an answer to a request with the headers `asked`, in place of those that
/// the function set.
pub(crate) fn apply(cors: &Cors, asked: &HeaderMap, answer: &mut HeaderMap) {
    for name in &OWNED {
        answer.remove(name);
    }
    if allow_origin(cors, asked, answer)
        && let Some(exposed) = joined(&cors.expose_headers)
    {
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
}

/// Allows the origin that asks, if the rules do; whether they do.
fn allow_origin(cors: &Cors, asked: &HeaderMap, answer: &mut HeaderMap) -> bool {
    let is_any = cors.allow_origins.iter().any(|origin| origin == "*");
    let is_credible = cors.allow_credentials && !is_any;
    if !is_any {
        // Caches must not give one origin's answer to another.
        vary_by_origin(answer);
    }
    let mut origins = asked.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return false;
    };
    if is_any {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return true;
    }
    let is_allowed = origin
        .to_str()
        .is_ok_and(|origin| cors.allow_origins.iter().any(|rule| matches(rule, origin)));
    if !is_allowed {
        return false;
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    if is_credible {
        answer.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
    }
    true
}

/// Schemes and hosts have no case. `https://*` is every origin of a scheme.
fn matches(rule: &str, origin: &str) -> bool {
    match rule.strip_suffix("://*") {
        Some(scheme) => origin
            .split_once("://")
            .is_some_and(|(of_origin, _)| of_origin.eq_ignore_ascii_case(scheme)),
        None => rule.eq_ignore_ascii_case(origin),
    }
}

fn vary_by_origin(answer: &mut HeaderMap) {
    let says_so = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or("");
        text.split(',')
            .any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("origin"))
    };
    if !answer.get_all(VARY).iter().any(says_so) {
        answer.append(VARY, HeaderValue::from_static("Origin"));
    }
}

fn joined(names: &[String]) -> Option<HeaderValue> {
    if names.is_empty() {
        return None;
    }
    HeaderValue::from_str(&names.join(",")).ok()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn rules(origins: &[&str]) -> Cors {
        Cors {
            allow_origins: texts(origins),
            allow_methods: texts(&["GET", "POST"]),
            allow_headers: texts(&["content-type", "x-a"]),
            expose_headers: texts(&["x-b"]),
            max_age_s: Some(60),
            allow_credentials: false,
        }
    }

    fn asked(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        headers.insert(ACCESS_CONTROL_REQUEST_METHOD, "PUT".parse().unwrap());
        headers.insert(ACCESS_CONTROL_REQUEST_HEADERS, "x-c".parse().unwrap());
        headers
    }

    #[track_caller]
    fn check(headers: &HeaderMap, expected: &[(&str, &str)]) {
        let mut found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_preflight_tells_an_allowed_origin_the_rules_and_others_nothing() {
        let cors = rules(&["https://a.example", "http://*"]);
        for origin in ["https://a.example", "HTTPS://A.example", "http://b:8080"] {
            let told = preflight_headers(&cors, &asked(origin));
            check(
                &told,
                &[
                    ("access-control-allow-headers", "content-type,x-a"),
                    ("access-control-allow-methods", "GET,POST"),
                    ("access-control-allow-origin", origin),
                    ("access-control-max-age", "60"),
                    ("vary", "Origin"),
                ],
            );
        }
        for origin in ["https://b.example", "null", "https://a.example.evil", ""] {
            let told = preflight_headers(&cors, &asked(origin));
            check(&told, &[("vary", "Origin")]);
        }
    }

    #[test]
    fn every_origin_gets_a_star_and_no_credentials() {
        let mut cors = rules(&["*"]);
        cors.allow_credentials = true;
        let mut answer = HeaderMap::new();
        apply(&cors, &asked("https://any"), &mut answer);
        check(
            &answer,
            &[
                ("access-control-allow-origin", "*"),
                ("access-control-expose-headers", "x-b"),
            ],
        );
    }

    #[test]
    fn with_credentials_a_star_of_methods_or_headers_is_what_was_asked_for() {
        let mut cors = rules(&["https://a.example"]);
        cors.allow_credentials = true;
        cors.allow_methods = texts(&["*"]);
        cors.allow_headers = texts(&["*"]);
        let told = preflight_headers(&cors, &asked("https://a.example"));
        assert_eq!(told[ACCESS_CONTROL_ALLOW_METHODS], "PUT");
        assert_eq!(told[ACCESS_CONTROL_ALLOW_HEADERS], "x-c");
        assert_eq!(told[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        cors.allow_credentials = false;
        let told = preflight_headers(&cors, &asked("https://a.example"));
        assert_eq!(told[ACCESS_CONTROL_ALLOW_METHODS], "*");
    }

    #[test]
    fn what_a_function_says_of_origins_is_taken_off() {
        let mut answer = HeaderMap::new();
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, "*".parse().unwrap());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, "true".parse().unwrap());
        answer.insert(VARY, "accept, origin".parse().unwrap());
        let mut without = answer.clone();
        apply(
            &rules(&["https://a.example"]),
            &HeaderMap::new(),
            &mut without,
        );
        check(&without, &[("vary", "accept, origin")]);
        apply(
            &rules(&["https://a.example"]),
            &asked("https://a.example"),
            &mut answer,
        );
        check(
            &answer,
            &[
                ("access-control-allow-origin", "https://a.example"),
                ("access-control-expose-headers", "x-b"),
                ("vary", "accept, origin"),
            ],
        );
    }

    #[test]
    fn only_options_with_an_origin_and_a_method_asks_first() {
        let request = |method: &str, headers: &[&str]| {
            let mut request = Request::builder().method(method).uri("/");
            for name in headers {
                request = request.header(*name, "PUT");
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            preflight_method(&parts).map(str::to_owned)
        };
        let both = ["origin", "access-control-request-method"];
        assert_eq!(request("OPTIONS", &both).as_deref(), Some("PUT"));
        assert_eq!(request("OPTIONS", &both[..1]), None);
        assert_eq!(request("OPTIONS", &both[1..]), None);
        assert_eq!(request("GET", &both), None);
    }
}
