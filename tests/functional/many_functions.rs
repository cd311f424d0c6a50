//! More functions than may be loaded, fewer descriptors than were promised, and thousands of functions.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use support::guests::printing;
use support::http::Connection;
use support::lambda::{FUNCTIONS as PATH, creation};
use support::wait::{PATIENCE, Stopwatch, within};
use support::{Request, Site, TestHost, count, report};

const FUNCTIONS: usize = 20;

/// Mappings of a function's code, and of its data in the slot where it ran.
const MAPS_PER_FUNCTION: usize = 4;

fn site(loaded_max: &str) -> Site {
    let site = Site::builder()
        .env("MAYFLY_SANDBOX_LOADED_MAX", loaded_max)
        .build();
    for number in 0..FUNCTIONS {
        let wasm = support::guests::assemble(&printing(format!("n{number}")));
        fs::write(site.functions().join(format!("f{number}.wasm")), wasm).unwrap();
    }
    site
}

fn check_answers(connection: &mut Connection) {
    for number in 0..FUNCTIONS {
        let answer = connection
            .send(&Request::get(&format!("/f{number}")))
            .unwrap();
        assert_eq!(answer.status, 200, "f{number}: {answer:?}");
        assert_eq!(answer.body, format!("n{number}").as_bytes());
    }
}

/// Descriptors and mappings of compiled code.
fn held(host: &TestHost) -> (usize, usize) {
    let process = format!("/proc/{}", host.process().pid());
    let files = fs::read_dir(format!("{process}/fd")).unwrap();
    let is_code = |path: &std::path::Path| path.extension().is_some_and(|end| end == "cwasm");
    let files = files.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let maps = fs::read_to_string(format!("{process}/maps")).unwrap();
    let maps = maps.lines().filter(|line| line.ends_with(".cwasm")).count();
    (files.filter(|path| is_code(path)).count(), maps)
}

#[test]
fn more_functions_than_may_be_loaded_all_answer() {
    let site = site("4");
    for start in ["first", "second"] {
        let host = site.start();
        let mut connection = Connection::open(host.http()).unwrap();
        for _ in 0..3 {
            check_answers(&mut connection);
            assert_eq!(host.metric("mayfly_functions_loaded", &[]), 4, "{start}");
            let (files, maps) = held(&host);
            assert_eq!(files, 4, "{start}");
            assert!(maps <= 4 * MAPS_PER_FUNCTION, "{start}: {maps}");
        }
        assert!(
            host.metric("mayfly_functions_evicted", &[]) >= 56,
            "{start}"
        );
        // Each of them was loaded again, and says so.
        let cold = host.metric("mayfly_cold_starts_total", &["function=\"f7\""]);
        assert_eq!(cold, 3, "{start}");
        drop(connection);
        host.stop();
    }
}

#[test]
fn functions_make_room_for_each_other_when_descriptors_run_out() {
    let site = site("1000");
    // So that nothing is loaded yet.
    site.start().stop();
    let host = site.start();
    let mut connection = Connection::open(host.http()).unwrap();
    let answer = connection.send(&Request::get("/f0")).unwrap();
    assert_eq!(answer.status, 200);
    let pid = Pid::from_raw(i32::try_from(host.process().pid()).unwrap());
    // The server inherited this test's hard limit, and raised its soft one to that.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let allow = |current| {
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).unwrap();
    };
    allow(Some(u64::try_from(host.descriptors() + 5).unwrap()));
    for _ in 0..3 {
        check_answers(&mut connection);
    }
    let (files, _) = held(&host);
    assert!(files < FUNCTIONS, "{files}");
    allow(maximum);
    assert!(host.metric("mayfly_functions_evicted", &[]) > 0);
}

/// A client of the control API over one connection; it signs before it measures.
struct Client<'a> {
    host: &'a TestHost,
    signer: support::Signer,
    connection: Connection,
    took: Vec<Duration>,
}

impl<'a> Client<'a> {
    fn new(host: &'a TestHost) -> Self {
        Self {
            host,
            signer: host.root_signer(),
            connection: Connection::open(host.control()).unwrap(),
            took: Vec::new(),
        }
    }

    #[track_caller]
    fn ask(&mut self, request: &Request, status: u16) -> support::Response {
        let signed = self.signer.sign(request, self.host.control());
        let watch = Stopwatch::start();
        let answer = self.connection.send(&signed).unwrap();
        self.took.push(watch.elapsed());
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
        answer
    }

    /// All names, page by page.
    fn names(&mut self) -> Vec<String> {
        let (mut names, mut query) = (Vec::new(), String::new());
        loop {
            let page = self.ask(&Request::get(&format!("{PATH}{query}")), 200);
            let page = page.json();
            let functions = page["Functions"].as_array().unwrap();
            names.extend(
                functions
                    .iter()
                    .map(|f| f["FunctionName"].as_str().unwrap().to_owned()),
            );
            match page["NextMarker"].as_str() {
                Some(marker) => query = format!("?Marker={}", support::lambda::encode(marker)),
                None => return names,
            }
        }
    }

    /// Says how long the requests since the last report took.
    fn report(&mut self, what: &str) {
        let mut took = std::mem::take(&mut self.took);
        took.sort_unstable();
        let at = |percent: usize| took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        report(
            what,
            format!(
                "{:.2} ms at p50, {:.2} ms at p99, of {}",
                at(50),
                at(99),
                took.len()
            ),
        );
    }
}

/// What function `name` prints.
fn printed(name: &str) -> String {
    // A few different modules, so that it is not compiling what takes the time.
    let number: usize = name[1..].parse().unwrap();
    format!("{}", number % 10)
}

/// `count` of the names, from all over the list.
fn some(names: &[String], count: usize) -> impl Iterator<Item = &String> {
    names.iter().step_by((names.len() / count).max(1))
}

/// Lists, reads and invokes; every answer must be the right one.
fn visit(host: &TestHost, names: &[String], when: &str) {
    let mut client = Client::new(host);
    assert_eq!(client.names(), names, "{when}");
    client.report(&format!("a page of {} functions, {when}", names.len()));
    for name in some(names, 500) {
        let read = client.ask(&Request::get(&format!("{PATH}/{name}")), 200);
        assert_eq!(
            read.json()["Configuration"]["FunctionName"],
            **name,
            "{when}"
        );
    }
    client.report(&format!("GetFunction, {when}"));
    for round in ["first", "second"] {
        for name in some(names, 500) {
            let target = format!("{PATH}/{name}/invocations");
            let answer = client.ask(&Request::post(&target, "{}"), 200);
            assert_eq!(answer.text(), printed(name), "{name}, {when}");
        }
        client.report(&format!("Invoke, {round} of each, {when}"));
    }
}

#[test]
fn thousands_of_functions_are_all_there_before_and_after_a_restart() {
    let (dropped, created) = (count(200, 8_000), count(100, 2_000));
    let site = Site::new();
    let host = site.start();
    let watch = Stopwatch::start();
    for number in 0..dropped {
        let name = format!("d{number:05}");
        site.drop_wat(&name, &printing(printed(&name)));
    }
    let are_live = || (host.metric("mayfly_functions", &[]) == dropped as u64).then_some(());
    within(PATIENCE * 15, are_live).unwrap();
    report(
        &format!("{dropped} files dropped until all are live, s"),
        format!("{:.1}", watch.elapsed().as_secs_f64()),
    );
    let mut client = Client::new(&host);
    for number in 0..created {
        let name = format!("c{number:05}");
        let body = creation(&name, &printing(printed(&name))).to_string();
        let made = client.ask(&Request::post(PATH, body), 201);
        assert_eq!(made.json()["FunctionName"], *name);
    }
    client.report("CreateFunction");
    let mut names: Vec<String> = (0..created).map(|number| format!("c{number:05}")).collect();
    names.extend((0..dropped).map(|number| format!("d{number:05}")));
    visit(&host, &names, "as they were made");
    host.stop();

    let watch = Stopwatch::start();
    let host = site.start();
    report(
        &format!("start with {} functions until it is ready, ms", names.len()),
        watch.elapsed().as_millis(),
    );
    visit(&host, &names, "after a restart");
}
