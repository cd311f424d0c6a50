//! Functions, versions and aliases from the command line, without any tool of AWS.

use std::fs;

use serde_json::Value;
use support::guests::{assemble, printing};
use support::{Site, TestHost};

/// Writes a module that prints `text`; its path.
fn module(host: &TestHost, text: &str) -> String {
    let file = host.root().join(format!("{text}.wasm"));
    fs::write(&file, assemble(&printing(text))).unwrap();
    file.to_str().unwrap().to_owned()
}

#[track_caller]
fn printed(host: &TestHost, arguments: &[&str]) -> String {
    host.cli(arguments).ok().trim_end().to_owned()
}

#[test]
fn a_function_is_created_updated_published_aliased_and_deleted() {
    let host = TestHost::start();
    let (one, two) = (module(&host, "1"), module(&host, "2"));
    let create = [
        "create",
        "f",
        &one,
        "--memory",
        "64",
        "--timeout",
        "5",
        "--env",
        "GREETING=hi=there",
        "--description",
        "says one",
    ];
    let created = host.cli(&create);
    assert_eq!(created.code, Some(0), "{created:?}");
    for part in ["created f, version $LATEST", "64 MB, 5 s"] {
        assert!(created.stderr.contains(part), "{created:?}");
    }
    let target = "/2015-03-31/functions/f/configuration";
    let configuration = host.lambda_ok("GET", target, &Value::Null, 200);
    assert_eq!(configuration["Description"], "says one");
    let variables = &configuration["Environment"]["Variables"];
    assert_eq!(variables["GREETING"], "hi=there");
    assert_eq!(printed(&host, &["invoke", "f", "-d", "{}"]), "1");

    let published = ["publish", "f", "--description", "first"];
    assert_eq!(printed(&host, &published), "f:1");
    assert_eq!(printed(&host, &["alias", "f", "live", "1"]), "f:live is 1");
    let updated = host.cli(&["update", "f", &two, "--publish"]);
    assert_eq!(updated.code, Some(0), "{updated:?}");
    assert!(
        updated.stderr.contains("updated f, version 2"),
        "{updated:?}"
    );
    for (asked, answer) in [("f", "2"), ("f:1", "1"), ("f:live", "1"), ("f:2", "2")] {
        assert_eq!(printed(&host, &["invoke", asked, "-d", "{}"]), answer);
    }
    let qualified = ["invoke", "f", "--qualifier", "live", "-d", "{}"];
    assert_eq!(printed(&host, &qualified), "1");

    let canary = ["alias", "f", "live", "1", "--canary", "2=0.25"];
    assert_eq!(printed(&host, &canary), "f:live is 1, and 25 % 2");
    assert!(printed(&host, &["list", "-v"]).contains("1 and 25 % 2"));
    assert_eq!(printed(&host, &["alias", "f", "live", "2"]), "f:live is 2");
    assert!(printed(&host, &["list", "-v"]).contains("live"));
    assert_eq!(printed(&host, &["invoke", "f:live", "-d", "{}"]), "2");

    let gone = host.cli(&["delete", "f", "--version", "1", "--yes"]);
    assert_eq!(gone.code, Some(0), "{gone:?}");
    assert_eq!(host.invoke("f:1", "{}").status, 404);
    let asks = host.cli(&["delete", "f"]).failed();
    assert!(asks.contains("say --yes"), "{asks}");
    assert_eq!(host.invoke("f", "{}").status, 200);
    let gone = host.cli(&["delete", "f", "--yes"]);
    assert_eq!(gone.code, Some(0), "{gone:?}");
    assert_eq!(host.invoke("f", "{}").status, 404);
    // What it ran is still in the bill, with the version that ran.
    let bill = printed(&host, &["billing"]);
    assert!(
        bill.contains("VERSION") && bill.contains(" $LATEST "),
        "{bill}"
    );
}

#[test]
fn what_can_not_be_done_says_why_and_what_to_do() {
    let host = TestHost::start();
    host.deploy("dropped", &printing("1"));
    let one = module(&host, "1");
    let text = host.root().join("text.wasm");
    fs::write(&text, "not a module").unwrap();
    let text = text.to_str().unwrap();
    let _made = host.cli(&["create", "f", &one]).ok();
    let long = "x".repeat(300);
    for (arguments, expected) in [
        (&["create", "f", &one][..], "`mayfly update f "),
        (
            &["create", "g", "nowhere.wasm"],
            "reading `nowhere.wasm` failed",
        ),
        (&["create", "g", text], "unzip"),
        (&["create", "g", &one, "--memory", "9000"], "memorySize"),
        (&["create", "g", &one, "--env", "AWS_X=1"], "AWS_X"),
        (
            &["create", "g", &one, "--env", "A1=1", "--env", "A1=2"],
            "twice",
        ),
        (&["create", "g", &one, "--env", "A1"], "NAME=VALUE"),
        (&["create", "a.b", &one], "a.b"),
        (&["update", "g", &one], "Function not found"),
        (&["update", "f", text], "unzip"),
        (&["update", "dropped", &one], "functions folder"),
        (&["publish", "g"], "Function not found"),
        (&["publish", "f", "--description", &long], "description"),
        (&["alias", "g", "live", "1"], "Function not found"),
        (&["alias", "f", "live", "7"], "7"),
        (&["alias", "f", "live", "x"], "functionVersion"),
        (&["alias", "f", "7", "$LATEST"], "version number"),
        (
            &["alias", "f", "live", "1", "--canary", "2"],
            "VERSION=WEIGHT",
        ),
        (
            &["alias", "f", "live", "1", "--canary", "2=2"],
            "from 0 to 1",
        ),
        (&["delete", "g", "--yes"], "Function not found"),
        (&["delete", "dropped", "--yes"], "functions folder"),
        (&["delete", "f", "--version", "0", "--yes"], "version"),
        (&["invoke", "f:7", "-d", "{}"], "Function not found"),
        (
            &["invoke", "f:1", "--qualifier", "2", "-d", "{}"],
            "qualifier",
        ),
        (&["invoke", "f", "--dry-run", "--local"], "--local"),
    ] {
        let said = host.cli(arguments).failed();
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    assert_eq!(host.invoke("f", "{}").text(), "1", "it kept what it had");
    assert_eq!(host.invoke("g", "{}").status, 404);
    let none = Site::new().run(&["publish", "f"]).failed();
    assert!(none.contains("no key to ask the server"), "{none}");
}

#[test]
fn a_dry_run_says_whether_a_function_could_run_and_does_not_run_it() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let dry = host.cli(&["invoke", "f", "--dry-run", "-d", "{}"]);
    assert_eq!((dry.code, dry.stdout.as_str()), (Some(0), ""), "{dry:?}");
    assert!(dry.stderr.contains("f can be invoked"), "{dry:?}");
    let other = host.cli(&["invoke", "g", "--dry-run", "-d", "{}"]);
    assert!(other.failed().contains("Function not found"));
    assert!(host.ledger().entries.is_empty(), "nothing ran");
}
