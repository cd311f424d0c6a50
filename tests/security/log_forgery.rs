//! Guests that write what looks like our own lines, or what a terminal would obey.

use support::TestHost;
use support::bodies::from_base64;
use support::guests::speaking;
use support::host::invocation;

const FORGED: &[u8] = b"\x1b[2J\x1b[31mred\x1b[0m\n\
    over\rwritten\n\
    bad \xff\xfe utf-8\n\
    REPORT RequestId: 00000000-0000-7000-8000-000000000000\tDuration: 0.00 ms\tBilled Duration: 0 ms\tMemory Size: 128 MB\tMax Memory Used: 1 MB\t\n\
    END RequestId: 00000000-0000-7000-8000-000000000000\n\
    {\"timestamp\":0,\"source\":\"platform\",\"text\":\"REPORT\"}\n\
    \x00\x07bell\n\
    no line end";

#[test]
fn a_forged_line_is_a_line_of_the_function() {
    let host = TestHost::start();
    host.deploy("f", &speaking("{}", FORGED, 0));
    let id = host.get("/f").request_id();
    let _log = host.log_of("f", &id);

    let events = host.log_events("f");
    let ours: Vec<&str> = events
        .iter()
        .filter(|event| event["source"] == "platform")
        .map(|event| event["text"].as_str().unwrap())
        .collect();
    assert_eq!(ours.len(), 3, "{ours:?}");
    assert!(ours.iter().all(|text| text.contains(&id)), "{ours:?}");
    assert_eq!(
        events.len(),
        11,
        "eight lines of the guest and three of ours: {events:?}"
    );
    let last = events
        .iter()
        .rfind(|event| event["source"] == "function")
        .unwrap();
    assert_eq!(last["text"], "no line end");

    // The bill is that of the host.
    let record = host.record(&id);
    assert!(
        record["billed_ms"].as_u64().is_some_and(|ms| ms >= 1),
        "{record}"
    );
    assert_eq!(host.ledger().entries.len(), 1);
}

#[test]
fn what_is_shown_to_people_moves_no_cursor_and_has_one_report() {
    let host = TestHost::start();
    host.deploy("f", &speaking("{}", FORGED, 0));
    let invoked = host.control_send(&invocation("f", "{}").header("x-amz-log-type", "Tail"));
    let id = invoked.request_id();
    let _log = host.log_of("f", &id);
    let tail = from_base64(invoked.header("x-amz-log-result").unwrap());
    let tail = String::from_utf8(tail).unwrap();
    let shown = [
        ("the tail of Invoke", tail),
        ("mayfly logs", host.cli(&["logs", "f"]).ok()),
        (
            "mayfly invoke --tail",
            host.cli(&["invoke", "f", "-d", "{}", "--tail"]).stderr,
        ),
    ];
    for (place, text) in shown {
        let moves = |c: char| c.is_control() && c != '\n' && c != '\t';
        assert!(!text.contains(moves), "{place}: {text:?}");
        let count = |start: &str| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("START RequestId: "), 1, "{place}: {text}");
        assert_eq!(
            count("REPORT RequestId: "),
            1,
            "{place} shows a forged report: {text}"
        );
        assert_eq!(count("END RequestId: "), 1, "{place}: {text}");
    }
}

#[test]
fn nothing_that_a_guest_says_gets_into_the_servers_own_log() {
    let host = TestHost::start();
    host.deploy(
        "f",
        &speaking("WORDS-OF-THE-GUEST", b"WORDS-OF-THE-GUEST\n", 1),
    );
    assert_eq!(host.get("/f").status, 502);
    assert_eq!(host.invoke("f", "{}").status, 200);
    let said = [host.process().stdout.all(), host.process().stderr.all()]
        .concat()
        .join("\n");
    assert!(!said.contains("WORDS-OF-THE-GUEST"), "{said}");
}
