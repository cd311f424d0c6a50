//! What is a destination, what is none, and what a list of them allows.

use super::*;

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
fn what_is_not_allowed_is_told_without_what_may_be_secret() {
    let target = parse("https://example.com/hook?token=hunter2").unwrap();
    let message = AllowList::default().check(&target).unwrap_err().to_string();
    assert!(message.contains("`https://example.com/hook`"), "{message}");
    assert!(message.contains("[destinations] allow"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn a_function_is_not_its_own_destination() {
    let name = domain::FunctionName::parse("f").unwrap();
    let list = AllowList::default();
    let itself = list.check_for(&name, &parse("f:live").unwrap());
    assert!(matches!(itself, Err(DestinationError::Itself { .. })));
    list.check_for(&name, &parse("g").unwrap()).unwrap();
}
