//! What is a destination, what is none, and what a list of them allows.

use super::*;
use crate::outgoing::Reach;

#[test]
fn each_kind_is_read_as_it_is_written() {
    for (text, queue) in [
        ("archive", "archive"),
        ("archive:live", "archive"),
        (
            "arn:aws:lambda:eu-west-1:000000000000:function:archive:3",
            "archive",
        ),
        (
            "https://hooks.example.com/a?b=c",
            "https://hooks.example.com/a?b=c",
        ),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080/"),
        ("file:failures-1.x", "file:failures-1.x"),
    ] {
        assert_eq!(parse(text).unwrap().queue(), queue, "{text}");
    }
    let with_alias = parse("archive:live").unwrap();
    assert!(matches!(
        with_alias,
        Target::Function {
            qualifier: Some(_),
            ..
        }
    ));
}

#[test]
fn what_is_none_is_refused_with_what_there_is() {
    for (text, part) in [
        (
            "arn:aws:sqs:local:000000000000:q",
            "a resource of `sqs`, which Mayfly does not have",
        ),
        ("arn:aws:sns:local:000000000000:t", "of `sns`"),
        ("arn:aws:s3:::bucket", "of `s3`"),
        (
            "arn:aws:events:local:000000000000:event-bus/default",
            "of `events`",
        ),
        (
            "arn:aws:lambda:local:111111111111:function:f",
            "account `111111111111` is another one",
        ),
        ("arn:aws:lambda:local:000000000000:layer:f", "ARN"),
        (
            "ftp://example.com/a",
            "must begin with `https://` or `http://`",
        ),
        ("https://", "is no URL"),
        ("https://user:secret@example.com/", "no user name"),
        ("https://example.com:0/", "port"),
        ("https://example.com:/", "port"),
        ("https://example.com/a/../b", "no `..`"),
        ("https://example.com/a/%2E%2e/b", "no `..`"),
        ("https://example.com/a#b", "no `#`"),
        ("https://example.com/a%2fb", "percent-encoded"),
        ("https://example.com/a/..%2Fb", "percent-encoded"),
        ("https://example.com/a%5cb", "percent-encoded"),
        ("https://example.com/a%5C..%5Cb", "percent-encoded"),
        ("https://example.com/a/..%3b/b", "percent-encoded"),
        ("https://example.com/a/..;/b", "no `;`"),
        ("https://example.com/a\\b", "no `\\`"),
        ("https://example.com/a%00", "no control character"),
        ("https://example.com/a%0D%0Ab", "no control character"),
        ("https://example.com/a%1fb", "no control character"),
        ("https://example.com/a/%2e/b", "no `.`"),
        ("https://example.com/a/.%2E", "no `..`"),
        ("https://example.com/%/%2E%2E", "no `..`"),
        ("file:", "1 to 64"),
        ("file:../x", "1 to 64"),
        ("file:.x", "not a dot first"),
        ("file:a b", "1 to 64"),
        ("a b", "character"),
        ("", "a destination is"),
    ] {
        let message = parse(text).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert!(message.contains("or `file:NAME`"), "{text}: {message}");
    }
    let long = format!("https://example.com/{}", "x".repeat(400));
    let message = parse(&long).unwrap_err().to_string();
    assert!(message.contains("at most 350 characters"), "{message}");
}

#[track_caller]
fn check_allowed(allowed: &str, text: &str, expected: bool) {
    let list = AllowList::new(vec![Allowed::parse(allowed).unwrap()]);
    let target = parse(text).unwrap();
    assert_eq!(list.check(&target).is_ok(), expected, "{allowed} {text}");
}

#[test]
fn a_list_allows_an_origin_a_path_of_it_or_a_file() {
    let origin = "https://hooks.example.com";
    check_allowed(origin, "https://hooks.example.com", true);
    check_allowed(origin, "https://HOOKS.example.com:443/a?b", true);
    check_allowed(origin, "http://hooks.example.com/a", false);
    check_allowed(origin, "https://hooks.example.com:8443/a", false);
    check_allowed(origin, "https://hooks.example.com.evil.example/a", false);
    check_allowed(origin, "https://evil.example/hooks.example.com", false);
    check_allowed(origin, "file:hooks", false);
    let path = "https://hooks.example.com/team";
    check_allowed(path, "https://hooks.example.com/team", true);
    check_allowed(path, "https://hooks.example.com/team/a?b", true);
    check_allowed(path, "https://hooks.example.com/teams", false);
    check_allowed(path, "https://hooks.example.com/", false);
    check_allowed(
        "https://hooks.example.com/team/",
        "https://hooks.example.com/team",
        false,
    );
    check_allowed("file:failures", "file:failures", true);
    check_allowed("file:failures", "file:failures2", false);
    check_allowed("file:failures", "archive", true);
    for bad in ["hooks.example.com", "https://a/?b", "file:/etc/passwd", "*"] {
        Allowed::parse(bad).unwrap_err();
    }
}

#[test]
fn a_path_that_a_server_reads_otherwise_is_never_below_what_is_allowed() {
    let list = AllowList::new(vec![Allowed::parse("https://a.example/team").unwrap()]);
    // As a server may have stored it before there was this rule.
    for path in [
        "/team/..%2fx",
        "/team/%2e%2E/x",
        "/team/..;/x",
        "/team/..%5cx",
    ] {
        let url = format!("https://a.example{path}");
        list.check(&Target::Http { url }).unwrap_err();
    }
}

#[test]
fn an_address_is_shown_without_what_may_be_secret() {
    let shown_of = |text: &str| {
        shown(&Target::Http {
            url: text.to_owned(),
        })
    };
    let hook = shown_of("https://example.com/hook?token=hunter2");
    let other = shown_of("https://example.com/hook?token=hunter3");
    for text in [&hook, &other] {
        let (origin, hash) = text.split_once("/…#").unwrap();
        assert_eq!((origin, hash.len()), ("https://example.com", 6), "{text}");
    }
    assert_ne!(hook, other);
    assert_eq!(hook, shown_of("https://example.com/hook?token=hunter2"));
    assert_eq!(
        shown_of("https://example.com:8443/"),
        "https://example.com:8443/"
    );
    assert_eq!(shown_of("http://[::1]:80"), "http://[::1]:80");
    assert_eq!(shown(&parse("file:x").unwrap()), "file:x");
    assert_eq!(shown(&parse("f:live").unwrap()), "f");

    let target = parse("https://example.com/hook?token=hunter2").unwrap();
    let message = AllowList::default().check(&target).unwrap_err().to_string();
    assert!(message.contains(&format!("`{hook}`")), "{message}");
    assert!(message.contains("[destinations] allow"), "{message}");
    // Neither does what is no address say more.
    let long = format!("https://example.com/hunter2{}", "x".repeat(400));
    for bad in [
        "https://me:hunter2@example.com/",
        "https://example.com/..;/hunter2",
        "https://example.com/a b?hunter2",
        "ftp://example.com/hunter2",
        &long,
    ] {
        let message = parse(bad).unwrap_err().to_string();
        assert!(message.contains("example.com"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    let entry = Allowed::parse("https://example.com/a?hunter2").unwrap_err();
    assert!(!entry.to_string().contains("hunter2"), "{entry}");
}

#[test]
fn only_who_names_an_address_reaches_what_not_everybody_can() {
    for (text, reach) in [
        ("http://127.0.0.1:80/", Reach::Any),
        ("http://[::1]/", Reach::Any),
        ("http://LOCALHOST:8080/", Reach::Any),
        ("http://10.0.0.1/", Reach::Any),
        ("https://hooks.example.com/", Reach::Public),
        ("http://localhost.example.com/", Reach::Public),
        // Resolved to 127.0.0.1, and no address as it is written.
        ("http://127.1/", Reach::Public),
        ("http://2130706433/", Reach::Public),
        ("http://0x7f000001/", Reach::Public),
    ] {
        assert_eq!(Origin::parse(text).unwrap().reach(), reach, "{text}");
    }
}

#[test]
fn a_function_is_not_its_own_destination() {
    let name = domain::FunctionName::parse("f").unwrap();
    let list = AllowList::default();
    let itself = list.check_for(&name, &parse("f:live").unwrap());
    assert!(matches!(itself, Err(DestinationError::Itself { .. })));
    list.check_for(&name, &parse("g").unwrap()).unwrap();
}
