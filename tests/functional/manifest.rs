//! Manifests: what they set, and how a bad one is pointed at.

use serde_json::json;
use support::guests::{guest, printing};
use support::{TestHost, until};

#[test]
fn a_manifest_sets_limits_routes_and_variables() {
    let host = TestHost::start();
    host.deploy_with(
        "orders",
        "description = \"Orders\"\nmemory_mb = 64\ntimeout = 0.25\nconcurrency = 7\n\
         [environment]\nTABLE = \"orders\"\n\
         [[http]]\nmethod = \"GET\"\npath = \"/orders/{id}\"\n\
         [[http]]\npath = \"/files/{proxy+}\"\n",
        &guest("echo"),
    );
    let function = host.function("orders").unwrap();
    for (key, expected) in [
        ("description", json!("Orders")),
        ("memory_mb", json!(64)),
        ("timeout_ms", json!(250)),
        ("concurrency", json!(7)),
        ("routes", json!(["GET /orders/{id}", "ANY /files/{proxy+}"])),
    ] {
        assert_eq!(function[key], expected, "{key}");
    }
    assert_eq!(
        host.get("/orders/5").json()["pathParameters"],
        json!({"id": "5"})
    );
    assert_eq!(
        host.get("/orders").status,
        404,
        "own routes replace the default ones"
    );
}

#[test]
fn a_changed_manifest_is_live_without_a_new_module() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    host.manifest("f", "memory_mb = 32\n[[http]]\npath = \"/other\"\n");
    host.wait_function("f", |f| f["memory_mb"] == 32);
    assert_eq!(host.get("/f").status, 404);
    assert_eq!(host.get("/other").status, 200);
    host.delete("f.toml");
    host.wait_function("f", |f| f["memory_mb"] == 128);
    assert_eq!(host.get("/f").status, 200);
}

#[test]
fn a_bad_manifest_is_refused_with_line_column_and_a_suggestion_and_the_old_one_stays() {
    let host = TestHost::start();
    host.deploy_with("f", "memory_mb = 64\n", &printing("1"));
    for (text, expected) in [
        (
            "memory_mb = 64\ntimeot = 3\n",
            "f.toml:2:1: `timeot` is not a known key; did you mean `timeout`?",
        ),
        (
            "memory_mb = 0\n",
            "f.toml:1:13: `memory_mb` must be a whole number from 1 to 4096, not 0",
        ),
        (
            "memory_mb = \"lots\"\n",
            "f.toml:1:13: `memory_mb` must be a whole number from 1 to 4096, not the text \"lots\"",
        ),
        (
            "timeout = 900.5\n",
            "f.toml:1:11: `timeout` must be a number of seconds from 0.001 to 900, not 900.5",
        ),
        (
            "[environment]\nAWS_REGION = \"x\"\n",
            "f.toml:2:1: `environment.AWS_REGION` is reserved: variables that start with `AWS_` are set for you",
        ),
        (
            "[[http]]\nmethod = \"FETCH\"\npath = \"/x\"\n",
            "f.toml:2:10: `http[1].method` must be one of ANY, GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, not \"FETCH\"",
        ),
    ] {
        host.manifest("f", text);
        until(&format!("the refusal {expected}"), || {
            (host.refusal("f.wasm").as_deref() == Some(expected)).then_some(())
        });
        assert_eq!(host.function("f").unwrap()["memory_mb"], 64);
        assert_eq!(host.get("/f").status, 200);
    }
    host.manifest("f", "memory_mb = ");
    until("a refusal of what is not TOML", || {
        host.refusal("f.wasm")
            .filter(|reason| reason.starts_with("f.toml:1:"))?
            .contains("not TOML")
            .then_some(())
    });
    host.drop_file("f.toml", b"memory_mb = 64 # \xff\n");
    until("a refusal of what is not text", || {
        host.refusal("f.wasm")
            .filter(|reason| reason == "f.toml is not UTF-8 text")
    });
    host.manifest("f", "memory_mb = 65\n");
    host.wait_function("f", |f| f["memory_mb"] == 65);
    assert_eq!(host.refusal("f.wasm"), None);
}

#[test]
fn a_memory_limit_below_what_the_module_starts_with_is_refused() {
    let host = TestHost::start();
    host.manifest("f", "memory_mb = 1\n");
    host.drop_wat("f", "(module (memory 32) (func (export \"_start\")))");
    let reason = host.wait_refused("f.wasm");
    assert!(
        reason.contains("memory") && reason.contains('1'),
        "{reason}"
    );
    host.manifest("f", "memory_mb = 2\n");
    host.wait_live("f");
    assert_eq!(host.get("/f").status, 200);
}

#[test]
fn no_routes_at_all_is_a_choice() {
    let host = TestHost::start();
    host.deploy_with("f", "http = []\n", &printing("1"));
    assert_eq!(host.get("/f").status, 404);
    assert_eq!(host.invoke("f", "{}").text(), "1");
}
