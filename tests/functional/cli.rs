//! The command line as people use it.

use std::process::Stdio;

use serde_json::Value;
use support::guests::{guest, printing, speaking};
use support::process::Process;
use support::site::Finished;
use support::{Request, Site, TestHost};

#[test]
fn help_names_every_command_and_shows_how() {
    let site = Site::new();
    let help = site.run(&["--help"]).ok();
    for command in [
        "new", "serve", "dev", "build", "list", "invoke", "logs", "rollback", "billing", "create",
        "update", "publish", "alias", "delete",
    ] {
        assert!(help.contains(command), "{command}: {help}");
        let help = site.run(&[command, "--help"]).ok();
        assert!(
            help.contains("mayfly ") && help.contains("xample"),
            "{command}: {help}"
        );
    }
    assert!(site.run(&["--version"]).ok().starts_with("mayfly "));
    assert!(site.run(&["invok"]).failed().contains("invoke"));
}

#[test]
fn list_shows_functions_urls_and_refused_files() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    host.drop_file("bad.wasm", b"nothing");
    let reason = host.wait_refused("bad.wasm");
    let list = host.cli(&["list"]).ok();
    for part in ["f", "128", "bad.wasm", reason.as_str()] {
        assert!(list.contains(part), "{part}: {list}");
    }
    let json: Value = serde_json::from_str(&host.cli(&["list", "--json"]).ok()).unwrap();
    assert!(json.to_string().contains("\"name\":\"f\""), "{json}");
}

#[test]
fn rollback_says_what_can_not_be_rolled_back() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    for (arguments, expected) in [
        (&["rollback", "f"][..], "function `f` has no alias"),
        (&["rollback", "g"], "there is no function `g`"),
        (
            &["rollback", "f", "--alias", "live"],
            "function `f` has no alias `live`",
        ),
        (
            &["rollback", "f", "--alias", "7"],
            "`7` is a version number; an alias needs a letter",
        ),
    ] {
        let said = host.cli(arguments).failed();
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    for (path, status) in [
        ("/mayfly/functions/f/rollback?alias=a%20b", 400),
        ("/mayfly/functions/f/rollback?name=live", 400),
        ("/mayfly/functions/a%2Fb/rollback", 400),
        ("/mayfly/functions/f/rollback/x", 404),
        ("/mayfly/functions/g/rollback", 404),
    ] {
        let response = host.control_send(&Request::post(path, ""));
        assert_eq!(response.status, status, "{path}: {}", response.text());
    }
    let response = host.control_send(&Request::get("/mayfly/functions/f/rollback"));
    assert_eq!(response.status, 405);
}

#[test]
fn invoke_takes_the_event_from_an_argument_a_file_or_standard_input() {
    let host = TestHost::start();
    host.deploy("echo", &guest("echo"));
    let trimmed = |finished: Finished| finished.ok().trim_end().to_owned();
    assert_eq!(
        trimmed(host.cli(&["invoke", "echo", "-d", "{\"a\":1}"])),
        "{\"a\":1}"
    );
    let file = host.root().join("event.json");
    std::fs::write(&file, "{\"from\":\"file\"}").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        trimmed(host.cli(&["invoke", "echo", "-p", file])),
        "{\"from\":\"file\"}"
    );

    let mut command = host.cli_command();
    command
        .args(["invoke", "echo"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"{\"from\":\"stdin\"}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        "{\"from\":\"stdin\"}"
    );
}

#[test]
fn invoke_shows_the_log_when_it_is_asked_to_and_fails_when_the_function_does() {
    let host = TestHost::start();
    host.deploy("f", &speaking("{\"ok\":true}", "a line of log\n", 0));
    host.deploy("bad", &speaking("{\"errorMessage\":\"no luck\"}", "", 1));
    let finished = host.cli(&["invoke", "f", "-d", "{}", "--tail"]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stdout.trim_end(), "{\"ok\":true}");
    assert!(finished.stderr.contains("a line of log"), "{finished:?}");
    assert!(
        finished.stderr.contains("REPORT RequestId: "),
        "{finished:?}"
    );

    let bad = host.cli(&["invoke", "bad", "-d", "{}"]);
    assert_ne!(bad.code, Some(0), "{bad:?}");
    assert!(
        format!("{}{}", bad.stdout, bad.stderr).contains("no luck"),
        "{bad:?}"
    );
    let nobody = host.cli(&["invoke", "nobody", "-d", "{}"]);
    assert!(nobody.failed().contains("nobody"));
    let broken = host.cli(&["invoke", "f", "-d", "{broken"]);
    assert!(broken.failed().contains("JSON"));
}

#[test]
fn invoke_local_needs_no_server_and_leaves_no_record() {
    let site = Site::new();
    site.drop_wat("f", &speaking("{\"local\":true}", "a line of log\n", 0));
    let functions = site.functions();
    let mut command = site.command();
    command
        .env("MAYFLY_FUNCTIONS", &functions)
        .env("MAYFLY_DATA", site.data());
    let finished = Finished::of(command.args(["invoke", "--local", "f", "-d", "{}"]));
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(finished.stdout.trim_end(), "{\"local\":true}");
    assert!(finished.stderr.contains("a line of log"), "{finished:?}");
    assert!(
        finished.stderr.contains("REPORT RequestId: "),
        "{finished:?}"
    );
    let host = site.start();
    assert!(host.ledger().entries.is_empty());
}

#[test]
fn a_client_without_a_server_says_where_it_looked() {
    let site = Site::new();
    let mut command = site.command();
    command.env("MAYFLY_CONTROL", "127.0.0.1:1");
    let said = Finished::of(command.args(["list"])).failed();
    assert!(said.contains("127.0.0.1:1"), "{said}");
}

#[test]
fn logs_can_be_followed() {
    let host = TestHost::start();
    host.deploy("f", &speaking("1", "before\n", 0));
    let first = host.get("/f").request_id();
    let _log = host.log_of("f", &first);
    let mut command = host.cli_command();
    let follower = Process::start(command.args(["logs", "f", "--follow"]));
    let _line = follower
        .stdout
        .wait_for(&format!("REPORT RequestId: {first}"));
    host.deploy("f", &speaking("1", "after\n", 0));
    let second = host.get("/f").request_id();
    let _line = follower
        .stdout
        .wait_for(&format!("REPORT RequestId: {second}"));
    let lines = follower.stdout.all();
    for line in ["before", "after"] {
        let count = lines.iter().filter(|l| l.ends_with(line)).count();
        assert_eq!(count, 1, "{line} is shown once: {lines:?}");
    }
    drop(follower);
}

#[test]
fn logs_of_a_function_that_is_gone_can_still_be_read() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let id = host.get("/f").request_id();
    let _log = host.log_of("f", &id);
    host.delete("f.wasm");
    host.wait_gone("f");
    assert!(host.cli(&["logs", "f"]).ok().contains(&id));
    assert!(host.cli(&["logs", "nobody"]).failed().contains("nobody"));
}
