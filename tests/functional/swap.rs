//! Swaps: a new file answers, the old one until then, and nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use support::guests::{guest_with, printing};
use support::http::{Connection, send};
use support::load::Load;
use support::wait::{Stopwatch, pass};
use support::{Request, TestHost, count, is_long, report, until};

fn numbered(number: usize) -> String {
    printing(format!("{{\"number\":{number}}}"))
}

#[test]
fn a_replaced_file_answers_and_what_runs_finishes_on_the_old_one() {
    let host = TestHost::start();
    host.deploy("f", &guest_with("sleep", &[("MS", "1500")]));
    let address = host.http();
    let running = thread::spawn(move || send(address, &Request::get("/f")).unwrap());
    until("the first one to run", || {
        (host.metric("mayfly_running", &[]) == 1).then_some(())
    });

    host.deploy("f", &numbered(2));
    assert_eq!(host.get("/f").json()["number"], 2);
    let old = running.join().unwrap();
    assert_eq!((old.status, old.text().as_str()), (200, ""));
}

#[test]
fn a_file_that_is_renamed_into_place_is_live() {
    let host = TestHost::start();
    host.deploy("f", &numbered(1));
    host.rename_wat("f", &numbered(2));
    host.wait_live("f");
    assert_eq!(host.get("/f").json()["number"], 2);
}

#[test]
fn a_deleted_file_takes_its_function_away() {
    let host = TestHost::start();
    host.deploy("f", &numbered(1));
    host.delete("f.wasm");
    host.wait_gone("f");
    assert_eq!(host.get("/f").status, 404);
    assert_eq!(host.invoke("f", "{}").status, 404);
    host.deploy("f", &numbered(2));
    assert_eq!(host.get("/f").json()["number"], 2);
}

#[test]
fn a_deleted_file_leaves_what_it_does_not_hold() {
    let host = TestHost::start();
    let wait_absent = || {
        until("the function to be absent", || {
            (host.function("f")?["origin"] == "absent").then_some(())
        });
    };
    host.deploy("f", &numbered(1));
    let function = "/2015-03-31/functions/f";
    let _answer = host.lambda_ok("POST", &format!("{function}/versions"), &json!({}), 201);
    let alias = json!({ "Name": "live", "FunctionVersion": "1" });
    let _answer = host.lambda_ok("POST", &format!("{function}/aliases"), &alias, 201);
    host.delete("f.wasm");
    wait_absent();
    assert_eq!(host.get("/f").status, 404);
    assert_eq!(host.invoke("f", "{}").status, 404);
    assert_eq!(host.invoke("f:live", "{}").json()["number"], 1);
    host.deploy("f", &numbered(2));
    assert_eq!(host.get("/f").json()["number"], 2);
    assert_eq!(host.invoke("f:live", "{}").json()["number"], 1);

    let dropped = (409, "ResourceConflictException");
    host.lambda_error(("DELETE", function), &Value::Null, dropped);
    host.delete("f.wasm");
    wait_absent();
    let _answer = host.lambda_ok("DELETE", function, &Value::Null, 204);
    assert!(host.function("f").is_none());
    assert_eq!(host.invoke("f:live", "{}").status, 404);
}

#[test]
fn a_file_that_is_deleted_and_made_again_never_stops_answering() {
    let host = TestHost::start();
    host.deploy("f", &numbered(1));
    let load = Load::start(host.http(), &[Request::get("/f")], 2, Some(200));
    load.wait_answers(10);
    // Editors save like this.
    host.delete("f.wasm");
    host.drop_wat("f", &numbered(2));
    host.wait_live("f");
    load.wait_answers(10);
    let shots = load.stop();
    let failed: Vec<_> = shots.iter().filter(|shot| shot.status() != 200).collect();
    assert!(
        failed.is_empty(),
        "{} of {} failed: {:?}",
        failed.len(),
        shots.len(),
        failed.first()
    );
}

#[test]
fn swaps_under_load_fail_no_request_and_no_older_answer_follows_a_swap_that_is_reported() {
    let swaps = count(40, 1_000);
    let rate = if is_long() { 200 } else { 100 };
    let host = TestHost::start();
    host.deploy("f", &numbered(0));

    // A request must not be answered by a version older than the newest one that was reported live
    // before it was sent.
    let reported = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (reported, stop, address) = (Arc::clone(&reported), Arc::clone(&stop), host.http());
            thread::spawn(move || {
                let (mut sent, mut failures, mut older) = (0_usize, Vec::new(), Vec::new());
                let mut connection = None;
                while !stop.load(Ordering::Acquire) {
                    let watch = Stopwatch::start();
                    let newest = reported.load(Ordering::Acquire);
                    let open = connection
                        .take()
                        .map_or_else(|| Connection::open(address), Ok);
                    let answered = open.and_then(|mut open| {
                        let response = open.send(&Request::get("/f"))?;
                        Ok((open, response))
                    });
                    sent += 1;
                    match answered {
                        Ok((open, response)) if response.status == 200 => {
                            let number = response.json()["number"].as_u64().unwrap();
                            let number = usize::try_from(number).unwrap();
                            if number < newest {
                                older.push((number, newest));
                            }
                            connection = Some(open);
                        }
                        Ok((_, response)) => failures.push(format!("{response:?}")),
                        Err(error) => failures.push(error.to_string()),
                    }
                    pass(Duration::from_millis(4_000 / rate).saturating_sub(watch.elapsed()));
                }
                (sent, failures, older)
            })
        })
        .collect();

    let watch = Stopwatch::start();
    for number in 1..=swaps {
        if number % 2 == 0 {
            host.rename_wat("f", &numbered(number));
        } else {
            host.drop_wat("f", &numbered(number));
        }
        host.wait_live("f");
        reported.store(number, Ordering::Release);
    }
    stop.store(true, Ordering::Release);
    let mut all = 0;
    for client in clients {
        let (sent, failures, older) = client.join().unwrap();
        assert!(
            failures.is_empty(),
            "{} of {sent} failed: {}",
            failures.len(),
            failures[0]
        );
        assert!(older.is_empty(), "(answered, reported) {:?}", older.first());
        all += sent;
    }
    report(
        "swaps, requests, failed, seconds",
        format!("{swaps}, {all}, 0, {:.1}", watch.elapsed().as_secs_f32()),
    );
    assert_eq!(host.get("/f").json()["number"], swaps);
}
