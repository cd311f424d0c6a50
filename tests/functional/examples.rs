//! The example functions of `functions/`: built as people build them, and called.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::binary::{cargo, checkout};
use support::bodies::{jpeg, png, png_size, to_base64};
use support::site::Finished;
use support::{Request, Site, TestHost, skip};
use wasmparser::{Operator, Parser, Payload};

const EXAMPLES: [&str; 8] = [
    "hello",
    "echo",
    "thumbnail",
    "markdown",
    "stats",
    "sleep",
    "burn",
    "shout-rust",
];

/// Builds an example into its folder, and puts the folder's manifest and artifact in the site.
fn build(site: &Site, name: &str) -> Result<(), String> {
    let source = checkout().join("functions").join(name);
    let mut command = site.command();
    command.current_dir(checkout());
    command.env("MAYFLY_FUNCTIONS", checkout().join("functions"));
    let built = Finished::of(command.args(["build", name]));
    let skipped = built
        .stderr
        .lines()
        .find(|line| line.starts_with("skipped "))
        .map(str::to_owned);
    if let Some(said) = skipped.or_else(|| (built.code != Some(0)).then(|| built.stderr.clone())) {
        return Err(said);
    }
    copy(
        &source.join("function.toml"),
        &site.functions().join(format!("{name}.toml")),
    );
    copy(
        &source.join("build").join(format!("{name}.wasm")),
        &site.functions().join(format!("{name}.wasm")),
    );
    Ok(())
}

fn copy(from: &Path, to: &Path) {
    let copied = fs::copy(from, to);
    assert!(copied.is_ok(), "{}: {copied:?}", from.display());
}

#[test]
fn every_example_is_built_and_does_its_work() {
    let site = Site::new();
    for name in EXAMPLES {
        if let Err(said) = build(&site, name) {
            panic!("building {name} failed: {said}");
        }
    }
    let has_c = match build(&site, "shout-c") {
        Ok(()) => true,
        Err(said) => {
            let why = said.strip_prefix("skipped shout-c: ");
            skip("the example in C", why.unwrap());
            false
        }
    };
    for name in ["hello", "echo", "markdown", "stats", "thumbnail"] {
        let wasm = fs::read(site.functions().join(format!("{name}.wasm"))).unwrap();
        assert!(room_after_input(&wasm) >= 64 << 10, "{name}");
    }
    let host = site.start();
    check_hello_and_echo(&host);
    check_thumbnail(&host);
    check_markdown_and_stats(&host);
    check_sleep_and_burn(&host);
    check_shout(&host, "shout-rust");
    if has_c {
        check_shout(&host, "shout-c");
    }
}

/// Bytes that the memory of a function of the SDK has from the start beyond its input buffer: with
/// that much it answers ordinary events without asking for more, which costs more than the rest.
fn room_after_input(wasm: &[u8]) -> u64 {
    const INPUT_BYTES: u64 = 64 << 10;
    let (mut memory, mut globals, mut input) = (0, Vec::new(), None);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::MemorySection(memories) => {
                memory = memories.into_iter().next().unwrap().unwrap().initial << 16;
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let mut value = global.unwrap().init_expr.get_operators_reader();
                    globals.push(match value.read().unwrap() {
                        Operator::I32Const { value } => u64::from(value.cast_unsigned()),
                        _ => 0,
                    });
                }
            }
            Payload::ExportSection(exports) => {
                input = exports
                    .into_iter()
                    .map(Result::unwrap)
                    .find(|export| export.name == "mayfly_v1_input")
                    .map(|export| usize::try_from(export.index).unwrap());
            }
            _ => {}
        }
    }
    memory.saturating_sub(globals[input.unwrap()] + INPUT_BYTES)
}

fn check_hello_and_echo(host: &TestHost) {
    assert_eq!(
        host.get("/hello?name=world").json(),
        json!({"message": "hello world"})
    );
    assert_eq!(host.get("/hello").json(), json!({"message": "hello world"}));
    assert_eq!(
        host.invoke("hello", "{\"name\":\"Ada\"}").json(),
        json!({"message": "hello Ada"})
    );
    assert_eq!(host.function("hello").unwrap()["kind"], "sdk");
    let response = host.get("/echo/x?q=1");
    assert_eq!(response.json()["queryStringParameters"], json!({"q": "1"}));
    let log = host.log_of("echo", &response.request_id());
    assert!(log.iter().any(|line| line.contains("brought")), "{log:?}");
}

fn check_thumbnail(host: &TestHost) {
    let post = |target: &str, body: Vec<u8>, kind: &str| {
        host.send(&Request::post(target, body).header("content-type", kind))
    };
    let small = post("/thumbnail?width=40", png(400, 200), "image/png");
    assert_eq!(small.status, 200, "{}", small.text());
    assert_eq!(small.header("content-type"), Some("image/png"));
    assert_eq!(png_size(&small.body), (40, 20));
    let from_jpeg = post("/thumbnail?width=8", jpeg(16, 8), "image/jpeg");
    assert_eq!(from_jpeg.status, 200, "{}", from_jpeg.text());
    assert_eq!(png_size(&from_jpeg.body), (8, 4));
    assert_eq!(
        post("/thumbnail", b"GIF89a...".to_vec(), "image/gif").status,
        415
    );
    assert_eq!(host.get("/thumbnail").status, 405);
}

fn check_markdown_and_stats(host: &TestHost) {
    let html = host
        .curl(&["-d", "# Title\n\nSome *text*", "{}/markdown"])
        .ok();
    assert_eq!(html, "<h1>Title</h1>\n<p>Some <em>text</em></p>\n");
    let stats = host
        .send(&Request::post("/stats", "name,age\na,1\nb,3\n").header("content-type", "text/csv"));
    assert_eq!(stats.status, 200, "{}", stats.text());
    let summary = stats.json();
    assert_eq!(summary["rows"], 2);
    let age = summary["columns"]
        .as_array()
        .unwrap()
        .iter()
        .find(|c| c["name"] == "age")
        .unwrap();
    assert_eq!(age["numeric"]["mean"], 2.0);
}

fn check_sleep_and_burn(host: &TestHost) {
    let number = |record: &Value, key: &str| record[key].as_f64().unwrap();
    let slept = host.get("/sleep?ms=200");
    assert_eq!(slept.status, 200, "{}", slept.text());
    let record = host.record(&slept.request_id());
    assert!(
        number(&record, "duration_ms") >= 200.0 && number(&record, "cpu_ms") < 150.0,
        "{record}"
    );
    let burnt = host.get("/burn?ms=100");
    assert_eq!(burnt.status, 200, "{}", burnt.text());
    let record = host.record(&burnt.request_id());
    assert!(number(&record, "cpu_ms") > 5.0, "{record}");
    assert_eq!(host.get("/burn?ms=forever").status, 504);
    assert_eq!(host.get("/sleep?ms=60000").status, 504);
    assert_eq!(host.get("/sleep?ms=soon").status, 502);
}

fn check_shout(host: &TestHost, name: &str) {
    let response = host
        .send(&Request::post(&format!("/{name}"), "hello").header("content-type", "text/plain"));
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "HELLO"),
        "{name}"
    );
    assert_eq!(
        host.invoke(name, "{\"text\":\"hey\"}").json(),
        json!({"text": "HEY"})
    );
    assert_eq!(host.invoke(name, "\"hey\"").json(), json!("HEY"));
    let bad = host.invoke(name, "{}");
    assert_eq!(
        bad.header("x-amz-function-error"),
        Some("Unhandled"),
        "{name}"
    );
    assert_eq!(bad.json()["errorType"], "BadEvent", "{name}");
    assert_eq!(host.function(name).unwrap()["kind"], "command");
    let base64 = to_base64(b"bytes");
    let event = json!({"requestContext": {}, "body": base64, "isBase64Encoded": true});
    assert_eq!(
        host.invoke(name, event.to_string()).json()["body"],
        "BYTES",
        "{name}"
    );
}

#[test]
fn the_examples_pass_their_own_tests() {
    let mut command: Command = cargo();
    command.args(["test", "--quiet", "--manifest-path", "functions/Cargo.toml"]);
    let tested = Finished::of(&mut command);
    assert_eq!(tested.code, Some(0), "{}{}", tested.stdout, tested.stderr);
}
