//! More functions than may be loaded, and fewer descriptors than were promised.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use support::guests::printing;
use support::http::Connection;
use support::{Request, Site, TestHost};

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
