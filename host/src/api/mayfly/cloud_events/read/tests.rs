//! CloudEvents in their three modes, right and wrong.

use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

const JSON: (&str, &str) = ("content-type", "application/json");

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

/// The headers of an event in binary mode, and more.
fn event_headers(more: &[(&str, &str)]) -> HeaderMap {
    let base = [
        ("ce-specversion", "1.0"),
        ("ce-id", "a-1"),
        ("ce-source", "/orders"),
        ("ce-type", "order.created"),
    ];
    let changed = |name: &str| more.iter().any(|(other, _)| *other == name);
    let base = base.iter().filter(|(name, _)| !changed(name));
    headers(&base.chain(more).copied().collect::<Vec<_>>())
}

fn one(headers: &HeaderMap, body: &[u8]) -> Result<serde_json::Value, NotTaken> {
    match read(headers, &Bytes::copy_from_slice(body))? {
        Read::One(incoming) => Ok(serde_json::from_slice(&incoming.event).unwrap()),
        Read::Batch(batch) => panic!("{batch:?}"),
    }
}

#[track_caller]
fn check_wrong(headers: &HeaderMap, body: &[u8], parts: &[&str]) {
    match one(headers, body) {
        Err(NotTaken::Wrong(reason)) => {
            for part in parts {
                assert!(reason.contains(part), "{part}: {reason}");
            }
        }
        other => panic!("{parts:?}: {other:?}"),
    }
}

fn structured_headers() -> HeaderMap {
    headers(&[(
        "content-type",
        "application/cloudevents+json; charset=UTF-8",
    )])
}

#[test]
fn both_modes_give_the_function_the_same() {
    let whole = json!({
        "specversion": "1.0", "id": "a-1", "source": "/orders", "type": "order.created",
        "datacontenttype": "application/json", "subject": "7", "data": {"n": 1},
    });
    let in_headers = one(&event_headers(&[JSON, ("ce-subject", "7")]), br#"{"n": 1}"#);
    assert_eq!(in_headers, Ok(whole.clone()));
    let in_body = one(&structured_headers(), whole.to_string().as_bytes());
    assert_eq!(in_body, Ok(whole));
}

#[test]
fn what_came_as_json_is_passed_on_to_the_letter() {
    let text = r#" { "type":"t","n":1,"id":"1","source":"s", "specversion":"1.0","data":1.0000000000000000001 } "#;
    let read = read(&structured_headers(), &Bytes::from_static(text.as_bytes())).unwrap();
    let expected = Incoming {
        source: "s".to_owned(),
        event: Bytes::from_static(text.trim().as_bytes()),
    };
    assert_eq!(read, Read::One(expected));
}

#[test]
fn data_is_json_text_or_base64_by_its_media_type() {
    let data = |content_type: &[(&str, &str)], body: &[u8]| {
        let event = one(&event_headers(content_type), body).unwrap();
        (
            event.get("data").cloned(),
            event.get("data_base64").cloned(),
        )
    };
    let kind = |value| [("content-type", value)];
    assert_eq!(
        data(&kind("application/x+JSON"), b"[1]"),
        (Some(json!([1])), None)
    );
    assert_eq!(data(&kind("text/json"), b"null"), (Some(json!(null)), None));
    assert_eq!(data(&[], b"[1]"), (Some(json!([1])), None));
    assert_eq!(data(&[], b"a"), (None, Some(json!("YQ=="))));
    assert_eq!(
        data(&kind("text/plain"), "ü\"".as_bytes()),
        (Some(json!("ü\"")), None)
    );
    assert_eq!(
        data(&kind("application/xml"), b"<a/>"),
        (Some(json!("<a/>")), None)
    );
    assert_eq!(
        data(&kind("text/plain"), b"\xff"),
        (None, Some(json!("/w==")))
    );
    assert_eq!(data(&kind("image/png"), b"a"), (None, Some(json!("YQ=="))));
    assert_eq!(data(&kind("application/json"), b""), (None, None));
    check_wrong(
        &event_headers(&[JSON]),
        b"{",
        &["not JSON, as content-type says", "line 1"],
    );
}

#[test]
fn headers_are_unquoted_and_decoded_once() {
    for (written, meant) in [
        ("a%20b", "a b"),
        ("%C3%BC", "ü"),
        ("%c3%bc", "ü"),
        ("%2525", "%25"),
        ("\"a b\"", "a b"),
        ("\"a\\\"b%20c\"", "a\"b c"),
        ("€", "€"),
        ("\"", "\""),
    ] {
        let event = one(&event_headers(&[("ce-id", written)]), b"").unwrap();
        assert_eq!(event["id"], meant, "{written}");
    }
    for written in ["%zz", "%", "%C3", "%ff", "\"a\\\""] {
        let headers = event_headers(&[("ce-id", written)]);
        check_wrong(&headers, b"", &["header ce-id: ", "UTF-8"]);
    }
    check_wrong(
        &event_headers(&[("ce-id", "a%0Ab")]),
        b"",
        &["`id` is `a\\nb`", "control"],
    );
}

#[test]
fn headers_that_are_no_attributes_are_told() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (
            &[("ce-datacontenttype", "text/plain")],
            "header ce-datacontenttype: content-type says that",
        ),
        (&[("ce-data", "x")], "header ce-data: the data is the body"),
        (
            &[("ce-my-ext", "x")],
            "header ce-my-ext: `my-ext` is no name",
        ),
        (
            &[("ce-id", "1"), ("ce-id", "2")],
            "header ce-id stands twice",
        ),
        (
            &[("ce-specversion", "0.3")],
            "`specversion` is `0.3`; it must be 1.0",
        ),
        (&[("ce-id", "")], "`id` is ``"),
    ];
    for (more, expected) in cases {
        check_wrong(&event_headers(more), b"", &[expected]);
    }
    let mut without = event_headers(&[]);
    without.remove("ce-type");
    check_wrong(&without, b"", &["the attribute `type` is missing"]);
    without.remove("ce-specversion");
    check_wrong(&without, b"", &["ce-specversion is missing"]);
}

#[test]
fn an_event_in_json_that_is_none_is_told_with_its_place() {
    let base = r#""specversion":"1.0","id":"1","source":"s","type":"t""#;
    for (text, parts) in [
        ("".to_owned(), &["no event in JSON", "line 1"][..]),
        ("[1]".to_owned(), &["expected an object"]),
        ("\"secret\"".to_owned(), &["expected an object"]),
        (format!("{{{base},}}"), &["line 1 column"]),
        (
            format!("{{{base},\"id\":\"2\"}}"),
            &["`id` stands twice", "line 1"],
        ),
        (format!("{{{base},\"Ext\":\"2\"}}"), &["`Ext` is no name"]),
        (
            format!("{{{base},\"ext\":{{}}}}"),
            &["`ext` must be text, true, false or an integer"],
        ),
        (format!("{{{base},\"ext\":1.5}}"), &["`ext` must be text"]),
        (
            format!("{{{base},\"ext\":2147483648}}"),
            &["`ext` must be text"],
        ),
        (
            format!("{{{base},\"subject\":1}}"),
            &["`subject` is `1`; it must be text"],
        ),
        (format!("{{{base},\"time\":\"now\"}}"), &["`time` is `now`"]),
        (
            format!("{{{base},\"data\":1,\"data_base64\":\"\"}}"),
            &["`data` and `data_base64`"],
        ),
        (
            format!("{{{base},\"data_base64\":\"?\"}}"),
            &["`data_base64` must be text in Base64"],
        ),
        (
            format!("{{{base},\"data_base64\":1}}"),
            &["`data_base64` must be text in Base64"],
        ),
        ("{}".to_owned(), &["`specversion` is missing"]),
        (
            base.replace("\"id\":\"1\"", "\"id\":null")
                .replace("\"spec", "{\"spec")
                + "}",
            &["`id` is missing"],
        ),
    ] {
        check_wrong(&structured_headers(), text.as_bytes(), parts);
    }
    check_wrong(&structured_headers(), b"\xff", &["not JSON"]);
    let many: String = (0..300).map(|n| format!(",\"x{n}\":1")).collect();
    check_wrong(
        &structured_headers(),
        format!("{{{base}{many}}}").as_bytes(),
        &["more than 200 attributes"],
    );
}

#[test]
fn a_batch_is_read_whole_or_not_at_all() {
    let headers = headers(&[("content-type", "application/cloudevents-batch+json")]);
    let read = |text: String| read(&headers, &Bytes::from(text));
    let event =
        |id: u32| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/{id}","type":"t"}}"#);
    let two = read(format!("[{}, {}]", event(1), event(2))).unwrap();
    let incoming = |id: u32| Incoming {
        source: format!("/{id}"),
        event: event(id).into(),
    };
    assert_eq!(two, Read::Batch(vec![incoming(1), incoming(2)]));
    assert_eq!(read("[]".to_owned()), Ok(Read::Batch(Vec::new())));
    for (text, expected) in [
        (
            format!("[{}, {{}}]", event(1)),
            "event 2 of the batch: the attribute",
        ),
        (event(1), "the body is no list of events: expected"),
        ("[".to_owned(), "the body is no list of events: "),
    ] {
        let Err(NotTaken::Wrong(reason)) = read(text) else {
            panic!("{expected}");
        };
        assert!(reason.starts_with(expected), "{reason}");
    }
    let many = format!("[{}]", vec![event(1); 1_001].join(","));
    let Err(NotTaken::TooMany(reason)) = read(many) else {
        panic!("a batch of 1,001");
    };
    assert!(reason.contains("more than 1000 events"), "{reason}");
    // What comes after is not even looked at.
    let endless = format!(
        "[{},{}",
        vec![event(1); 1_001].join(","),
        "{".repeat(100_000)
    );
    assert!(matches!(read(endless), Err(NotTaken::TooMany(_))));
    let Ok(Read::Batch(most)) = read(format!("[{}]", vec![event(1); 1_000].join(","))) else {
        panic!("a batch of 1,000");
    };
    assert_eq!(most.len(), 1_000);
}

#[test]
fn what_is_something_else_is_told_what_is_taken() {
    for kind in [
        "application/json",
        "text/plain",
        "application/cloudevents+avro",
        "application/cloudevents",
        "application/cloudevents-batch+xml",
        "application/cloudevents+json; charset=latin1",
    ] {
        let Err(NotTaken::MediaType(hint)) = one(&headers(&[("content-type", kind)]), b"{}") else {
            panic!("{kind}");
        };
        assert!(
            hint.contains(kind) && hint.contains("ce-specversion"),
            "{hint}"
        );
    }
    let Err(NotTaken::MediaType(hint)) = one(&HeaderMap::new(), b"{}") else {
        panic!("no content-type");
    };
    assert!(hint.starts_with("there is no content-type; send"), "{hint}");
}
