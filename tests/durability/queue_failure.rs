//! A disk that fails under the queue: nothing is accepted that is not kept, the server says so and ends,
//! and the next start goes on.

use std::process::Command;

use serde_json::Value;
use support::Site;
use support::guests::printing;
use support::host::invocation;
use support::http::{Request, send};
use support::process::Process;
use support::sign::Signer;
use support::{skip, until};

/// The command, run so that a file that may not grow is an error to it and no signal.
fn without_signal(command: &Command) -> Command {
    let mut wrapped = Command::new("sh");
    wrapped.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]);
    wrapped.arg(command.get_program()).args(command.get_args());
    wrapped.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            wrapped.env(name, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

#[test]
fn a_queue_that_cannot_be_written_ends_the_server_and_loses_nothing() {
    let site = Site::builder().build();
    site.drop_wat("f", &printing("1"));
    let mut server = Process::start(&mut without_signal(&site.serve_command(&[])));
    let line = server.stdout.wait_for("listening ");
    let _ready = server.stdout.wait_for("ready");
    let (_, control) = line.split_once("control=http://").unwrap();
    let control = control.trim().parse().unwrap();
    let accept = || {
        let event = invocation("f", "{}").header("x-amz-invocation-type", "Event");
        let signer = Signer::read(&site.credentials()).unwrap();
        send(control, &signer.sign(&event, control))
    };
    let accepted = accept().unwrap();
    assert_eq!(accepted.status, 202, "{}", accepted.text());

    // From now on no file of it may grow, not even by a byte.
    let pid = server.pid().to_string();
    let limited = Command::new("prlimit")
        .args(["--pid", &pid, "--fsize=1"])
        .status();
    if !limited.is_ok_and(|status| status.success()) {
        skip(
            "a queue that can't be written",
            "prlimit is not for us here",
        );
        return;
    }
    let mut more = Vec::new();
    let status = until("the server to give up", || {
        // What is answered with 202 after all is kept, as everything that is.
        if let Ok(answer) = accept() {
            match answer.status {
                202 => more.push(answer.request_id()),
                status => assert_eq!(status, 503, "{}", answer.text()),
            }
        }
        server.wait_within(std::time::Duration::ZERO)
    });
    let said = server.stderr.all().join("\n");
    assert!(
        status.code().is_some_and(|code| code != 0),
        "{status}\n{said}"
    );
    assert!(said.contains("the queue of events failed: "), "{said}");
    assert!(!said.contains("panicked"), "{said}");

    let host = site.start();
    more.push(accepted.request_id());
    for id in more {
        let record: Value = host.record(&id);
        assert_eq!(record["status"], "success", "{record}");
    }
    let again = host.control_send(&Request::get("/health"));
    assert_eq!(again.json()["queue"], "ok");
}
