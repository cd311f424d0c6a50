//! However a function is spelt, the same thing is decided about the same thing; and what only looks like
//! a name is refused.

use support::guests::{guest, printing};
use support::lambda::{arn, encode};
use support::{Request, TestHost};

fn invoke(host: &TestHost, label: &str, query: &str) -> (u16, String) {
    let target = format!("/2015-03-31/functions/{label}/invocations{query}");
    let response = host.control_send(&Request::post(&target, "17"));
    (response.status, response.text())
}

#[test]
fn every_spelling_of_a_function_is_the_same_function() {
    let host = TestHost::start();
    host.create("f", &guest("echo"));
    host.create("F-2", &printing("\"other\""));
    let spellings = [
        "f".to_owned(),
        "f:$LATEST".to_owned(),
        "function:f".to_owned(),
        "000000000000:function:f".to_owned(),
        "local:000000000000:function:f".to_owned(),
        arn("f"),
        arn("f:$LATEST"),
    ];
    for spelling in &spellings {
        for label in [spelling.clone(), encode(spelling)] {
            for query in ["", "?Qualifier=$LATEST", "?Qualifier=%24LATEST"] {
                let answer = invoke(&host, &label, query);
                assert_eq!(answer, (200, "17".to_owned()), "{label}{query}");
            }
        }
    }
}

#[test]
fn what_is_no_name_is_refused_and_never_something_else() {
    let host = TestHost::start();
    host.create("f", &guest("echo"));
    let refused = [
        "f:",
        ":f",
        "f:$latest",
        "f:$LATEST:1",
        "f:0",
        "f:01",
        "f*",
        "*",
        "F%20",
        "f%00",
        "f%0A",
        "%C3%A4",
        "f%2F..%2Ff",
        "..%2Ff",
        "%2e%2e",
        "f%25",
        "arn:aws:lambda:local:000000000000:function:",
        "arn:aws:lambda:local:000000000000:function:f:1:2",
        "arn:aws:lambda:local:000000000000:layer:f",
        "arn:aws:s3:local:000000000000:function:f",
        "arn:aws-cn:lambda:local:000000000000:function:f",
        "arn:aws:lambda:local%0A:000000000000:function:f",
        "arn:aws:lambda:*:000000000000:function:f",
        "arn:aws:lambda:local:00000000000:function:f",
    ];
    for label in refused {
        let (status, text) = invoke(&host, label, "");
        assert_eq!(status, 400, "{label}: {text}");
    }
    // Escaped twice is not decoded twice.
    assert_eq!(invoke(&host, "%2566", "").0, 400);
    for (label, status) in [
        ("g", 404),
        ("F", 404),
        ("f:1", 404),
        ("f:live", 404),
        ("arn:aws:lambda:eu-west-1:000000000000:function:f", 404),
        ("arn:aws:lambda:local:111111111111:function:f", 403),
    ] {
        let (found, text) = invoke(&host, label, "");
        assert_eq!(found, status, "{label}: {text}");
    }
    let (_, text) = invoke(
        &host,
        "arn:aws:lambda:eu-west-1:000000000000:function:f",
        "",
    );
    let reason = "Functions from 'eu-west-1' are not reachable in this region ('local')";
    assert!(text.contains(reason), "{text}");
    for query in [
        "?Qualifier=",
        "?Qualifier=a%20b",
        "?Qualifier=$latest",
        "?Qualifier=0",
    ] {
        assert_eq!(invoke(&host, "f", query).0, 400, "{query}");
    }
}
