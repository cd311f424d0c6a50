//! From nothing to a function that answers: `new`, its own tests, `build`, a call.

use support::binary::{cargo, target_dir};
use support::site::Finished;
use support::{Site, TestHost};

/// Builds of this test and of the next run share what they can.
fn with_target(command: &mut std::process::Command) -> &mut std::process::Command {
    command.env("CARGO_TARGET_DIR", target_dir().join("e2e-new"))
}

#[test]
fn a_new_function_is_tested_built_and_called() {
    let site = Site::new();
    let mut new = site.command();
    new.env("MAYFLY_FUNCTIONS", site.functions());
    let said = Finished::of(new.args(["new", "greeter"])).ok();
    let folder = [
        site.functions().join("greeter"),
        site.root().join("greeter"),
    ]
    .into_iter()
    .find(|folder| folder.join("function.toml").is_file());
    let Some(folder) = folder else {
        panic!("there is no function.toml; it said: {said}")
    };
    assert!(folder.join("Cargo.toml").is_file());
    // Nothing of this checkout is needed: the SDK came along.
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let checkout = support::binary::checkout();
    assert!(!manifest.contains(checkout.to_str().unwrap()), "{manifest}");

    let mut tests = cargo();
    tests.current_dir(&folder).arg("test");
    let tested = Finished::of(with_target(&mut tests));
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
    assert!(
        tested.stdout.contains("test result: ok. 1 passed") || tested.stdout.contains("passed")
    );

    let host: TestHost = site.start();
    let mut build = host.cli_command();
    build.args(["build", "greeter"]);
    if folder.parent() == Some(site.root()) {
        build.env("MAYFLY_FUNCTIONS", site.root());
    }
    let _said = Finished::of(with_target(&mut build)).ok();
    let wasm = folder.join("build/greeter.wasm");
    assert!(wasm.is_file(), "{}", wasm.display());
    if folder.parent() == Some(site.root()) {
        host.drop_wasm("greeter", &std::fs::read(&wasm).unwrap());
    }
    host.wait_function("greeter", |f| f["kind"] == "sdk");
    assert_eq!(host.get("/greeter").status, 200);
    assert_eq!(host.cli(&["invoke", "greeter", "-d", "{}"]).code, Some(0));

    let mut again = site.command();
    again.env("MAYFLY_FUNCTIONS", site.functions());
    let said = Finished::of(again.args(["new", "greeter"])).failed();
    assert!(said.contains("greeter"), "{said}");
    let mut bad = site.command();
    bad.env("MAYFLY_FUNCTIONS", site.functions());
    let said = Finished::of(bad.args(["new", "no good"])).failed();
    assert!(said.contains("no good"), "{said}");
}
