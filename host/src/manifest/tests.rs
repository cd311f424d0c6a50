//! What a manifest may say, and the exact words that refuse the rest.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn check_refused(text: &str, expected: &str) {
    let error = Manifest::parse(text).unwrap_err();
    assert_eq!(error.to_string(), expected, "{text}");
    assert!(!error.to_string().contains('\n'), "{error}");
}

#[test]
fn an_empty_manifest_is_all_defaults() {
    let manifest = Manifest::parse("# nothing\n").unwrap();
    assert_eq!(manifest, Manifest::default());
    assert_eq!(manifest.limits.memory.get(), 128);
    assert_eq!(manifest.limits.timeout.ms(), 3_000);
    assert_eq!(manifest.routes, None);
}

#[test]
fn every_key_is_read() {
    let manifest = Manifest::parse(
        r#"
        description = "Orders"
        memory_mb = 4_096
        timeout = 0.25
        concurrency = 0

        [environment]
        TABLE = "orders"
        _debug = ""

        [[http]]
        method = "get"
        path = "/orders/{id}"
        [[http]]
        path = "/files/{proxy+}"

        [build]
        artifact = "zig-out/bin/orders.wasm"
        command = "zig build"
        "#,
    )
    .unwrap();
    assert_eq!(manifest.description.as_deref(), Some("Orders"));
    assert_eq!(
        (manifest.limits.memory.get(), manifest.limits.timeout.ms()),
        (4_096, 250)
    );
    assert_eq!(manifest.concurrency, Some(0));
    let environment = [("TABLE", "orders"), ("_debug", "")];
    assert_eq!(
        manifest.environment,
        environment.map(|(k, v)| (k.to_owned(), v.to_owned()))
    );
    let routes: Vec<_> = manifest
        .routes
        .iter()
        .flatten()
        .map(|http| http.route.to_string())
        .collect();
    assert_eq!(routes, ["GET /orders/{id}", "ANY /files/{proxy+}"]);
    let name = FunctionName::parse("orders").unwrap();
    assert_eq!(
        manifest.artifact_path(&name),
        PathBuf::from("zig-out/bin/orders.wasm")
    );
    assert_eq!(manifest.build.command.as_deref(), Some("zig build"));

    let stored = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<Manifest>(&stored).unwrap(), manifest);
}

#[test]
fn an_empty_route_list_means_no_route() {
    assert_eq!(
        Manifest::parse("http = []").unwrap().routes,
        Some(Vec::new())
    );
}

#[test]
fn a_timeout_is_seconds_rounded_to_milliseconds() {
    for (text, ms) in [
        ("1", 1_000),
        ("900", 900_000),
        ("0.001", 1),
        ("1.0015", 1_002),
        ("1e2", 100_000),
    ] {
        let manifest = Manifest::parse(&format!("timeout = {text}")).unwrap();
        assert_eq!(manifest.limits.timeout.ms(), ms, "{text}");
    }
    for bad in [
        "0", "-1", "0.0004", "900.001", "nan", "inf", "-inf", "1e99", "0x10", "true",
    ] {
        let expected =
            format!("1:11: `timeout` must be a number of seconds from 0.001 to 900, not {bad}");
        check_refused(&format!("timeout = {bad}"), &expected);
    }
}

#[test]
fn a_number_out_of_range_names_rule_and_value() {
    check_refused(
        "memory_mb = 0",
        "1:13: `memory_mb` must be a whole number from 1 to 4096, not 0",
    );
    check_refused(
        "memory_mb = 4097",
        "1:13: `memory_mb` must be a whole number from 1 to 4096, not 4097",
    );
    check_refused(
        "memory_mb = \"big\"",
        "1:13: `memory_mb` must be a whole number from 1 to 4096, not the text \"big\"",
    );
    check_refused(
        "memory_mb = 99999999999999999999999",
        "1:13: `memory_mb` must be a whole number from 1 to 4096, not 99999999999999999999999",
    );
    check_refused(
        "\n  concurrency = 20001",
        "2:17: `concurrency` must be a whole number from 0 to 20000, not 20001",
    );
}

#[test]
fn an_unknown_key_gets_the_nearest_one() {
    check_refused(
        "memory = 1",
        "1:1: `memory` is not a known key; did you mean `memory_mb`?",
    );
    check_refused(
        "timeot = 1",
        "1:1: `timeot` is not a known key; did you mean `timeout`?",
    );
    check_refused(
        "xyz = 1",
        "1:1: `xyz` is not a known key; known are `async`, `auth`, `budget`, `build`, `burst`, `burst_per_key`, `concurrency`, `cors`, `description`, `environment`, `http`, `jwt`, `memory_mb`, `qualifier`, `rate`, `rate_per_key`, `schedule`, `subscribe`, `timeout`",
    );
    check_refused(
        "[[http]]\npath = \"/a\"\nmetod = \"GET\"",
        "3:1: `http[1].metod` is not a known key; did you mean `method`?",
    );
}

#[test]
fn a_variable_has_a_plain_name_that_is_not_reserved() {
    check_refused(
        "[environment]\nAWS_REGION = \"x\"",
        "2:1: `environment.AWS_REGION` is reserved: variables that start with `AWS_` are set for you",
    );
    check_refused(
        "[environment]\n\"1-a\" = \"x\"",
        "2:1: `environment.1-a` is not a variable's name: letters, digits and `_`, not a digit first",
    );
    check_refused(
        "[environment]\nA = 1",
        "2:5: `environment.A` must be text in quotes, not 1",
    );
    check_refused(
        "[environment]\nA = \"\\u0000\"",
        "2:1: `environment.A` has a NUL in its value",
    );
    let long = format!("[environment]\nA = \"{}\"", "x".repeat(4_096));
    check_refused(
        &long,
        "1:1: `environment` has 4097 bytes of names and values; at most 4096 are allowed",
    );
}

#[test]
fn a_route_is_well_formed_and_claimed_once() {
    check_refused(
        "[[http]]\nmethod = \"FETCH\"\npath = \"/a\"",
        "2:10: `http[1].method` must be one of ANY, GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, not \"FETCH\"",
    );
    check_refused(
        "[[http]]\npath = \"a\"",
        "2:8: `http[1].path` is not a route: path `a` must start with `/`",
    );
    check_refused(
        "[[http]]\nmethod = \"GET\"",
        "1:1: `[[http]]` needs a `path`, such as \"/orders/{id}\"",
    );
    check_refused(
        "[[http]]\npath = \"/a/{x}\"\n[[http]]\npath = \"/a/{y}\"",
        "3:1: `http[2]` claims `ANY /a/{y}`, as `http[1]` does",
    );
    check_refused(
        "http = 3",
        "1:8: `http` must be tables, each under `[[http]]`, not 3",
    );
}

#[test]
fn an_artifact_lies_inside_its_folder() {
    for bad in [
        "/etc/x.wasm",
        "../x.wasm",
        "a/../../x.wasm",
        "x.txt",
        ".wasm",
        "a//b.wasm",
    ] {
        let expected = format!(
            "2:12: `build.artifact` must be the path of a `.wasm` file inside the function's folder, not \"{bad}\""
        );
        check_refused(&format!("[build]\nartifact = \"{bad}\""), &expected);
    }
    check_refused(
        "[build]\ncommand = \" \"",
        "2:11: `build.command` must be a shell command",
    );
}

#[test]
fn what_is_not_toml_has_a_place_and_one_line() {
    for text in [
        "memory_mb = ",
        "a b",
        "[",
        "\"",
        "x = 1\nx = 2",
        "timeout = 1 2",
        "\u{0}",
        "[[a]",
        "]",
    ] {
        let error = Manifest::parse(text).unwrap_err().to_string();
        assert!(
            error.contains(": not TOML: ") && !error.contains('\n'),
            "{text:?}: {error}"
        );
    }
    check_refused(
        "memory_mb = 1\nmemory_mb = 2\n",
        "2:1: not TOML: duplicate key",
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in ".*") {
        if let Err(error) = Manifest::parse(&text) {
            prop_assert!(!error.problems.is_empty());
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let outcome = Manifest::parse(&String::from_utf8_lossy(&bytes));
        prop_assert!(outcome.is_ok() || outcome.is_err());
    }

    #[test]
    fn no_arrangement_of_toml_words_makes_the_parser_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "memory_mb", "timeout", "http", "environment", "build", "path", "method", "=", "[",
                "]", "[[", "]]", "{", "}", "\"/a\"", "\"\"", "1", "1.5", "nan", ",", ".", "\n", "'",
                "\"\"\"", "#", "\u{202e}", "ü", "\\", "2020-01-01",
            ]),
            0..40,
        )
    ) {
        for joint in ["", " "] {
            if let Err(error) = Manifest::parse(&words.join(joint)) {
                let line = error.to_string();
                prop_assert!(!line.is_empty() && !line.contains('\n'));
            }
        }
    }
}

#[test]
fn a_budget_is_exact_and_more_than_nothing() {
    for (text, monthly, throttle) in [
        ("monthly_usd = 5", 5_000_000_000_000, false),
        ("monthly_usd = 0.000000000001\nthrottle = true", 1, true),
        ("monthly_usd = \"0.10\"", 100_000_000_000, false),
    ] {
        let manifest = Manifest::parse(&format!("[budget]\n{text}\n")).unwrap();
        assert_eq!(
            manifest.budget,
            Some(Budget { monthly, throttle }),
            "{text}"
        );
    }
    let rule =
        "must be dollars from 0.000000000001 to 10000000, with at most 12 decimals and no exponent";
    for (value, shown) in [
        ("0", "0"),
        ("-1", "-1"),
        ("1e3", "1e3"),
        ("0.0000000000001", "0.0000000000001"),
        ("10000001", "10000001"),
        ("true", "true"),
        ("\"much\"", "the text \"much\""),
    ] {
        check_refused(
            &format!("[budget]\nmonthly_usd = {value}"),
            &format!("2:15: `budget.monthly_usd` {rule}, not {shown}"),
        );
    }
    check_refused(
        "[budget]\nthrottle = true",
        "1:1: `budget` needs `monthly_usd`, what a month may cost",
    );
}
