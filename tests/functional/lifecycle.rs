//! Starting, stopping, starting again: what is kept, and what keeps a server from starting.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use support::guests::{guest, guest_with, printing};
use support::http::{Connection, send};
use support::process::Process;
use support::wait::within;
use support::{Request, Site, TestHost, until};

#[test]
fn a_drain_lets_a_running_request_answer_and_refuses_the_next() {
    let host = TestHost::start();
    host.deploy_with(
        "slow",
        "timeout = 20\n",
        &guest_with("sleep", &[("MS", "2000")]),
    );
    let mut kept = Connection::open(host.http()).unwrap();
    let (http, control) = (host.http(), host.control());
    let running = thread::spawn(move || send(http, &Request::get("/slow")).unwrap());
    until("it to run", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });

    host.terminate();
    let health = until("a health of 503", || {
        let health = send(control, &Request::get("/health")).unwrap();
        (health.status == 503).then_some(health)
    });
    assert_eq!(health.json()["status"], "draining");
    assert_eq!(health.json()["running"], 1);
    until("no more connections", || {
        Connection::open(http).is_err().then_some(())
    });
    assert!(
        kept.send(&Request::get("/slow")).is_err(),
        "an idle connection was left open"
    );

    let answer = running.join().unwrap();
    assert_eq!(answer.status, 200);
    host.wait_end();
}

#[test]
fn what_was_answered_while_draining_is_recorded() {
    let site = Site::new();
    let host = site.start();
    host.deploy_with(
        "slow",
        "timeout = 20\n",
        &guest_with("sleep", &[("MS", "1000")]),
    );
    let http = host.http();
    let running = thread::spawn(move || send(http, &Request::get("/slow")).unwrap());
    until("it to run", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });
    host.terminate();
    let id = running.join().unwrap().request_id();
    host.wait_end();

    let host = site.start();
    assert_eq!(host.record(&id)["status"], "success");
    assert_eq!(host.log_of("slow", &id).len(), 3);
}

#[test]
fn a_drain_that_takes_too_long_is_cut_and_so_is_one_that_is_asked_twice() {
    for twice in [false, true] {
        let timeout_ms = if twice { "60000" } else { "300" };
        let site = Site::builder()
            .env("MAYFLY_DRAIN_TIMEOUT_MS", timeout_ms)
            .build();
        let host = site.start();
        host.deploy_with("stuck", "timeout = 600\n", &guest("loop"));
        let mut connection = Connection::open(host.http()).unwrap();
        connection.start(&Request::get("/stuck")).unwrap();
        until("it to run", || {
            (host.metric("mayfly_running", &[]) == 1).then_some(())
        });
        host.terminate();
        if twice {
            let _line = host.process().stdout.wait_for("draining");
            host.process().signal(Signal::INT);
        }
        host.wait_end();
        drop(connection);
        let host = site.start();
        let entries = host.ledger().entries;
        assert_eq!(entries.len(), 1, "{entries:?}");
        assert_eq!(entries[0]["status"], "cancelled");
    }
}

#[test]
fn a_second_server_on_the_same_data_is_refused_and_the_first_is_unharmed() {
    let site = Site::new();
    let host = site.start();
    host.deploy("f", &printing("1"));
    let refused = site.try_start().unwrap_err();
    assert!(refused.contains("is in use"), "{refused}");
    assert!(
        refused.contains(&host.process().pid().to_string()),
        "{refused}"
    );
    assert!(refused.contains("data"), "{refused}");
    assert!(!refused.contains("panicked"), "{refused}");
    assert_eq!(host.get("/f").status, 200);
}

#[test]
fn functions_records_and_logs_outlive_a_restart() {
    let site = Site::new();
    let host = site.start();
    host.deploy_with("f", "memory_mb = 64\n", &printing("{\"kept\":true}"));
    let before = host.get("/f").request_id();
    host.stop();

    let host = site.start();
    let banner = host.process().stdout.all();
    assert!(
        banner
            .iter()
            .any(|line| line.contains("/f") && line.contains("64 MB")),
        "{banner:?}"
    );
    let first = host.get("/f");
    assert_eq!(first.json()["kept"], true);
    // The first invocation after a start loads the code; the next one has it.
    assert!(host.record(&first.request_id())["init_ms"].is_number());
    let report = host.log_of("f", &first.request_id()).pop().unwrap();
    assert!(
        report.contains("\tInit Duration: ") && report.ends_with(" ms\t"),
        "{report}"
    );
    assert!(host.record(&host.get("/f").request_id())["init_ms"].is_null());
    assert_eq!(host.record(&before)["status"], "success");
    assert_eq!(host.ledger().entries.len(), 3);
    assert_eq!(host.log_of("f", &before).len(), 3);
    assert_eq!(host.function("f").unwrap()["memory_mb"], 64);
    host.check_ledger();
}

#[test]
fn what_changed_while_nobody_served_is_noticed() {
    let site = Site::new();
    let host = site.start();
    host.deploy("stays", &printing("1"));
    host.deploy("changes", &printing("1"));
    host.deploy("goes", &printing("1"));
    host.stop();
    site.delete("goes.wasm");
    site.drop_wat("changes", &printing("2"));
    site.drop_wat("comes", &printing("3"));
    site.drop_file("broken.wasm", b"nothing");

    let host = site.start();
    assert_eq!(host.get("/stays").text(), "1");
    assert_eq!(host.get("/changes").text(), "2");
    assert_eq!(host.get("/comes").text(), "3");
    host.wait_gone("goes");
    assert_eq!(host.get("/goes").status, 404);
    let banner = host.process().stdout.all().join("\n");
    assert!(banner.contains("refused broken.wasm: "), "{banner}");
}

#[test]
fn a_bad_file_that_comes_while_nobody_serves_keeps_the_last_good_version() {
    let site = Site::new();
    let host = site.start();
    host.deploy("f", &printing("1"));
    host.stop();
    site.drop_file("f.wasm", b"nothing");
    let host = site.start();
    let _reason = host.wait_refused("f.wasm");
    assert_eq!(host.get("/f").text(), "1");
}

#[test]
fn the_first_line_says_where_it_listens_and_the_banner_what_there_is() {
    let site = Site::new();
    site.manifest("f", "memory_mb = 64\ntimeout = 2.5\n");
    site.drop_wat("f", &printing("1"));
    let host = site.start();
    let lines = host.process().stdout.all();
    let expected = format!(
        "listening http=http://{} control=http://{}",
        host.http(),
        host.control()
    );
    assert_eq!(lines[0], expected);
    let line = lines
        .iter()
        .find(|line| line.trim_start().starts_with("f "))
        .unwrap();
    for part in [
        "command",
        "64 MB",
        "2.5 s",
        &format!("http://{}/f", host.http()),
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(lines.iter().any(|line| line == "ready"), "{lines:?}");
}

#[test]
fn what_keeps_a_server_from_starting_is_said_in_one_go() {
    let site = Site::new();
    let serve = |more: &[&str]| {
        let mut process = Process::start(&mut site.serve_command(more));
        let status = process.wait();
        assert_ne!(status.code(), Some(0), "{more:?}");
        let said = process.stderr.all().join("\n");
        assert!(!said.contains("panicked"), "{said}");
        said
    };
    let said = serve(&["--lissten", "127.0.0.1:0"]);
    assert!(
        said.contains("--lissten") && said.contains("--listen"),
        "{said}"
    );
    let mut command = site.command();
    command.args(["serve", "--listen", "nonsense", "--control", "nowhere"]);
    command.env("MAYFLY_DRAIN_TIMEOUT_MS", "soon");
    let said = support::site::Finished::of(&mut command).failed();
    for part in [
        "--listen",
        "nonsense",
        "--control",
        "MAYFLY_DRAIN_TIMEOUT_MS",
        "soon",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let host = site.start();
    let taken = host.http().to_string();
    let other = Site::new();
    let mut command = other.command();
    command.args(["serve", "--listen", &taken, "--control", "127.0.0.1:0"]);
    let said = support::site::Finished::of(&mut command).failed();
    assert!(said.contains(&taken) && said.contains("--listen"), "{said}");
}

#[test]
fn a_configuration_file_sets_what_flags_and_environment_leave_open() {
    let site = Site::new();
    std::fs::write(
        site.root().join("mayfly.toml"),
        "functions = \"functions\"\ndata = \"data\"\nlisten = \"127.0.0.1:1\"\ncontrol = \"127.0.0.1:0\"\n\
         [billing]\nrequest_picousd = 7\n",
    )
    .unwrap();
    let host = site.start();
    host.deploy("f", &printing("1"));
    assert_ne!(host.http().port(), 1, "flags win");
    let charge = host.record(&host.get("/f").request_id());
    assert!(
        charge["charge_picousd"].as_u64().unwrap() < 200_000,
        "{charge}"
    );
    // The sums are right by the file's price, not by the usual one.
    host.terminate();
    host.wait_end();

    std::fs::write(
        site.root().join("mayfly.toml"),
        "[billing]\nrequst_picousd = 7\n",
    )
    .unwrap();
    let said = site.try_start().unwrap_err();
    assert!(said.contains("mayfly.toml:2:1"), "{said}");
    assert!(said.contains("did you mean `request_picousd`?"), "{said}");
}

#[test]
fn a_server_whose_output_nobody_reads_any_more_goes_on_serving() {
    let site = Site::new();
    let mut command = site.serve_command(&[]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    // As a script does that wants to know the port.
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let address = |key: &str| -> std::net::SocketAddr {
        let (_, rest) = line.split_once(&format!("{key}=http://")).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    let (http, control) = (address("http"), address("control"));
    site.drop_wat("f", &printing("1"));
    let answer = within(Duration::from_secs(15), || {
        let response = send(http, &Request::get("/f")).ok()?;
        (response.status == 200).then_some(())
    });
    let health = send(control, &Request::get("/health")).map(|response| response.status);
    let pid = Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let ended = server.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!((answer, health.ok()), (Some(()), Some(200)), "{said}");
    assert_eq!(ended.status.code(), Some(0), "{said}");
}
