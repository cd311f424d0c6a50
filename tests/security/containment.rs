//! Guests that never end, ask for too much, or call the host too often.

use support::guests::{guest, guest_with};

use crate::zoo::{Expected, Zoo, trap};

const SHORT: &str = "timeout = 0.2\n";

#[test]
fn guests_that_never_end_are_ended_at_their_deadline() {
    let zoo = Zoo::open();
    for (name, wat) in [
        ("loop", guest("loop")),
        ("loop-at-start", guest("loop-at-start")),
        ("sleep", guest_with("sleep", &[("MS", "600000")])),
        ("sleep-absolute", guest("sleep-absolute")),
        ("poll-storm", guest("poll-storm")),
        ("clock-storm", guest("clock-storm")),
        ("fill-on", guest("fill-on")),
        (
            "random-on",
            guest_with("random-hoard", &[("BYTES", "262144")]),
        ),
    ] {
        zoo.check(name, SHORT, &wat, Expected::Timeout);
    }
    zoo.close();
}

#[test]
fn floods_are_bounded_and_the_log_says_what_is_missing() {
    let zoo = Zoo::open();
    let flood = |fd: &str, bytes: &str| guest_with("write-flood", &[("FD", fd), ("BYTES", bytes)]);
    let too_large = Expected::Fails("error", "Function.ResponseSizeTooLarge", "6291556");
    zoo.check(
        "answer-flood",
        "timeout = 5\n",
        &flood("1", "1048576"),
        too_large,
    );
    let either = Expected::OneOf(&["timeout", "error"]);
    zoo.check("answer-drip", SHORT, &flood("1", "1"), either);
    zoo.check("nothing-flood", SHORT, &flood("1", "0"), Expected::Timeout);
    zoo.check("log-nothing", SHORT, &flood("2", "0"), Expected::Timeout);

    for (name, bytes) in [("log-flood", "1048576"), ("log-drip", "1")] {
        let host = &zoo.host;
        host.deploy_with(name, SHORT, &flood("2", bytes));
        let response = host.get(&format!("/{name}"));
        zoo.check_answer(name, &response, Expected::Timeout);
        let log = host.log_of(name, &response.request_id());
        let kept: usize = log.iter().map(String::len).sum();
        assert!(kept < (256 << 10) + 4_096, "{name}: {kept} bytes");
        assert!(log.len() < 1_100, "{name}: {} lines", log.len());
        if name == "log-flood" {
            let truncated = log.iter().any(|line| line.contains("Log truncated: "));
            assert!(truncated, "{:?}", log.last());
        }
        zoo.check_after(name);
    }
    zoo.close();
}

#[test]
fn a_chatty_guest_is_cut_and_not_stopped() {
    let zoo = Zoo::open();
    zoo.check("chatty", "", &guest("chatty"), Expected::Answers("done"));
    zoo.host.deploy("chatty", &guest("chatty"));
    let id = zoo.host.get("/chatty").request_id();
    let log = zoo.host.log_of("chatty", &id);
    let lines = log.iter().filter(|line| line.starts_with("xxx")).count();
    assert!((200..300).contains(&lines), "{lines} lines kept");
    assert!(log.iter().any(|line| line.contains("Log truncated: ")));
    zoo.close();
}

#[test]
fn guests_that_ask_the_host_for_too_much_at_once_are_refused_it() {
    let zoo = Zoo::open();
    let random = guest_with("random-hoard", &[("BYTES", "67108864")]);
    zoo.check(
        "random-hoard",
        "timeout = 5\n",
        &random,
        trap("host call failed"),
    );
    let crowd = Expected::OneOf(&["success", "error"]);
    zoo.check("poll-crowd", "timeout = 5\n", &guest("poll-crowd"), crowd);
    zoo.close();
}

#[test]
fn there_is_nothing_to_reach_and_nothing_to_leak() {
    let zoo = Zoo::open();
    zoo.check(
        "no-authority",
        "",
        &guest("no-authority"),
        Expected::Answers("0"),
    );
    zoo.check("read-on", "", &guest("read-on"), Expected::Answers("0"));
    zoo.check("clocks", "", &guest("clocks"), Expected::Answers("0"));
    let storm = Expected::OneOf(&["success", "error"]);
    zoo.check(
        "close-storm",
        "timeout = 10\n",
        &guest("close-storm"),
        storm,
    );
    zoo.close();
}

#[test]
fn random_bytes_never_repeat() {
    let zoo = Zoo::open();
    zoo.host.deploy("random", &guest("random"));
    let count = support::count(300, 100_000);
    let seen: std::collections::HashSet<String> =
        (0..count).map(|_| zoo.host.get("/random").text()).collect();
    assert_eq!(seen.len(), count);
    assert!(
        seen.iter().all(|text| text.len() == 32),
        "{:?}",
        seen.iter().next()
    );
    zoo.close();
}
