//! Functions that are changed through the API while they are invoked, and while the server is killed:
//! what answers is a function that somebody made, never a mix of two, and what was acknowledged stays.
//!
//! The function says which code it is and which environment it sees. Both are numbers below [`STATES`],
//! so that few modules are compiled.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use support::bodies::to_base64;
use support::guests::assemble;
use support::host::invocation;
use support::http::send;
use support::lambda::{FUNCTIONS, creation};
use support::load::Load;
use support::wait::pass;
use support::{Request, Response, Signer, Site, TestHost, count, report};

/// Codes and environments that differ; at most ten.
const STATES: usize = 8;

/// Code `code` and environment `environment`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    code: usize,
    environment: usize,
}

impl State {
    fn both(number: usize) -> Self {
        Self {
            code: number % STATES,
            environment: number % STATES,
        }
    }

    /// What a function says of itself.
    #[track_caller]
    fn said(answer: &Response) -> Self {
        let said: Value = answer.json();
        let number = |member: &str| {
            let number = said[member]
                .as_u64()
                .and_then(|number| usize::try_from(number).ok());
            assert!(number.is_some(), "{}: {said}", answer.status);
            number.unwrap()
        };
        Self {
            code: number("code"),
            environment: number("state"),
        }
    }
}

/// A `command` that says its number, and the digit of `STATE` in its environment.
fn telling(code: usize) -> String {
    let answer = format!("{{\"code\":{code},\"state\":_}}");
    let length = answer.len();
    let (digit_at, answer) = (4096 + length - 2, answer.replace('"', "\\\""));
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 4096) "{answer}")
  (func (export "_start") (local $at i32)
    (if (call $sizes (i32.const 16) (i32.const 20)) (then (unreachable)))
    (if (call $get (i32.const 64) (i32.const 8192)) (then (unreachable)))
    (local.set $at (i32.const 8191))
    ;; "STAT" and "E=", and an end when there is none.
    (loop $next
      (if (i32.gt_u (local.get $at) (i32.const 65536)) (then (unreachable)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.ne (i32.load (local.get $at)) (i32.const 0x54415453)))
      (br_if $next (i32.ne (i32.load16_u offset=4 (local.get $at)) (i32.const 0x3d45))))
    (i32.store8 (i32.const {digit_at}) (i32.load8_u offset=6 (local.get $at)))
    (i32.store (i32.const 32) (i32.const 4096))
    (i32.store (i32.const 36) (i32.const {length}))
    (drop (call $write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 8)))))"#
    )
}

fn environment(state: State) -> Value {
    json!({"Variables": {"STATE": state.environment.to_string()}})
}

fn create(name: &str, state: State) -> Request {
    let mut body = creation(name, &telling(state.code));
    body["Environment"] = environment(state);
    Request::post(FUNCTIONS, body.to_string())
}

fn put(target: &str, body: &Value) -> Request {
    let target = format!("{FUNCTIONS}/{target}");
    Request::new("PUT", &target).with_body(body.to_string())
}

fn new_code(state: State) -> Request {
    let code = to_base64(&assemble(&telling(state.code)));
    put("f/code", &json!({ "ZipFile": code }))
}

fn new_environment(state: State) -> Request {
    put(
        "f/configuration",
        &json!({"Environment": environment(state)}),
    )
}

fn publish() -> Request {
    Request::post(&format!("{FUNCTIONS}/f/versions"), "{}")
}

#[track_caller]
fn done(host: &TestHost, request: &Request, status: u16) -> Response {
    let answer = host.control_send(request);
    assert_eq!(answer.status, status, "{}", answer.text());
    answer
}

/// Invokes `f` over and over.
fn invoking(host: &TestHost) -> Load {
    let request = host
        .root_signer()
        .sign(&invocation("f", "{}"), host.control());
    Load::start(host.control(), &[request], 2, None)
}

#[test]
fn a_function_that_comes_and_goes_is_there_whole_or_not_at_all() {
    let host = TestHost::start();
    let load = invoking(&host);
    let rounds = count(200, 1_000);
    for round in 0..rounds {
        let _made = done(&host, &create("f", State::both(round)), 201);
        // Sometimes long enough for somebody to be in the middle of it.
        if round % 4 == 0 {
            load.wait_answers(2);
        }
        let delete = Request::new("DELETE", &format!("{FUNCTIONS}/f"));
        let _gone = done(&host, &delete, 204);
    }
    let (mut there, mut gone) = (0, 0);
    for shot in load.stop() {
        let answer = shot.answer.unwrap();
        match answer.status {
            200 => {
                let state = State::said(&answer);
                assert_eq!(state.code, state.environment, "a mix");
                there += 1;
            }
            404 => gone += 1,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(there > 0 && gone > 0);
    report(
        "functions made and deleted, invocations meanwhile, those that found none",
        format!("{rounds}, {there}, {gone}"),
    );
}

#[test]
fn a_version_that_is_published_during_changes_is_a_state_that_was() {
    let host = TestHost::start();
    let _made = done(&host, &create("f", State::both(0)), 201);
    let load = invoking(&host);
    let (signer, control) = (host.root_signer(), host.control());
    let rounds = count(100, 1_000);
    let is_over = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let mut answers = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let answer = send(control, &signer.sign(&publish(), control)).unwrap();
                assert_eq!(answer.status, 201, "{}", answer.text());
                answers.push(answer.json());
            }
            answers
        });
        for round in 1..=rounds {
            // Code first: what is live has the code of its environment, or the next one.
            let next = State::both(round);
            let _changed = done(&host, &new_code(next), 200);
            let _changed = done(&host, &new_environment(next), 200);
        }
        is_over.store(true, Ordering::Relaxed);
        publishing.join().unwrap()
    });
    let is_a_state = |state: State| {
        state.code == state.environment || state.code == (state.environment + 1) % STATES
    };
    for shot in load.stop() {
        let state = State::said(&shot.answer.unwrap());
        assert!(is_a_state(state), "{state:?} never was");
    }
    let mut versions = BTreeMap::new();
    for answer in published {
        let version = answer["Version"].as_str().unwrap().to_owned();
        // Nothing changed in between: the same version, said in the same words.
        let said = (answer["CodeSha256"].clone(), answer["Environment"].clone());
        let known = versions.entry(version).or_insert_with(|| said.clone());
        assert_eq!(*known, said);
    }
    let mut codes = BTreeMap::new();
    for (version, (sha256, said)) in &versions {
        let state = State::said(&host.invoke(&format!("f:{version}"), "{}"));
        assert!(is_a_state(state), "version {version}: {state:?} never was");
        assert_eq!(*said, environment(state), "version {version}");
        let known = codes.entry(state.code).or_insert(sha256);
        assert_eq!(*known, sha256, "version {version}");
    }
    report(
        "changes of code and environment, versions published meanwhile",
        format!("{rounds}, {}", versions.len()),
    );
}

/// What somebody who talks to the server knows of it.
#[derive(Debug, Clone)]
struct Known {
    latest: State,
    versions: BTreeMap<u64, State>,
    /// The version that the alias `live` leads to.
    live: u64,
}

/// Sends a request as the owner; whether it was acknowledged.
fn try_send(signer: &Signer, control: SocketAddr, request: &Request) -> io::Result<Response> {
    let answer = send(control, &signer.sign(request, control))?;
    assert!(answer.status < 300, "{}", answer.text());
    Ok(answer)
}

/// Changes `f` in every way, and makes functions, until the server is gone; what was acknowledged
/// last, what it would be with the change that was not, and the functions that were made.
fn change_until_killed(
    (signer, control): (&Signer, SocketAddr),
    mut known: Known,
    mut number: usize,
) -> (Known, Known, Vec<(String, State, bool)>) {
    let mut made = Vec::new();
    loop {
        let state = State::both(number);
        let name = format!("g{number}");
        made.push((name.clone(), state, false));
        let mut next = known.clone();
        let mut step = |request: &Request, next: &Known| {
            let answer = try_send(signer, control, request)?;
            known = next.clone();
            io::Result::Ok(answer)
        };
        let result = (|| {
            step(&create(&name, state), &next.clone())?;
            made.last_mut().unwrap().2 = true;
            next.latest.code = state.code;
            step(&new_code(next.latest), &next)?;
            next.latest.environment = state.environment;
            step(&new_environment(next.latest), &next)?;
            let version = next.versions.keys().last().copied().unwrap_or(0) + 1;
            next.versions.insert(version, next.latest);
            let published = step(&publish(), &next)?;
            assert_eq!(published.json()["Version"], version.to_string());
            next.live = version;
            let alias = json!({"FunctionVersion": version.to_string()});
            step(&put("f/aliases/live", &alias), &next)
        })();
        if result.is_err() {
            return (known, next, made);
        }
        number += 1;
    }
}

#[test]
fn a_server_that_is_killed_during_changes_has_each_of_them_whole_or_not() {
    let site = Site::new();
    let mut host = site.start();
    let _made = done(&host, &create("f", State::both(0)), 201);
    let _one = done(&host, &publish(), 201);
    let alias = json!({"Name": "live", "FunctionVersion": "1"}).to_string();
    let target = format!("{FUNCTIONS}/f/aliases");
    let _live = done(&host, &Request::post(&target, alias), 201);
    let first = State::both(0);
    let mut known = Known {
        latest: first,
        versions: BTreeMap::from([(1, first)]),
        live: 1,
    };
    let (mut number, mut with, mut without) = (1, 0, 0);
    for round in 0..count(10, 200) {
        let (signer, control) = (host.root_signer(), host.control());
        let before = known.clone();
        let changing =
            std::thread::spawn(move || change_until_killed((&signer, control), before, number));
        // From the first change to the middle of a later one.
        pass(Duration::from_millis(
            u64::try_from(round * 41 % 331).unwrap(),
        ));
        host.kill();
        let (acknowledged, next, made) = changing.join().unwrap();
        number += made.len();

        host = site.start();
        let latest = State::said(&host.invoke("f", "{}"));
        let live = State::said(&host.invoke("f:live", "{}"));
        let versions = host.function("f").unwrap()["versions"].as_u64().unwrap();
        let is = |state: &Known| {
            let alias = state.versions[&state.live];
            (latest, live, versions) == (state.latest, alias, state.versions.len() as u64)
        };
        if is(&acknowledged) {
            known = acknowledged;
            without += 1;
        } else {
            let found = (latest, live, versions);
            assert!(
                is(&next),
                "round {round}: {found:?} of {acknowledged:?} {next:?}"
            );
            known = next;
            with += 1;
        }
        for (version, state) in known.versions.iter().rev().take(5) {
            let said = State::said(&host.invoke(&format!("f:{version}"), "{}"));
            assert_eq!(said, *state, "version {version}");
        }
        for (name, state, is_acknowledged) in &made {
            let answer = host.invoke(name, "{}");
            if answer.status == 404 && !is_acknowledged {
                continue;
            }
            assert_eq!(State::said(&answer), *state, "{name}");
        }
    }
    report(
        "kills during changes, last change there after it, not there after it",
        format!("{}, {with}, {without}", with + without),
    );
}
