//! Functions through the Lambda API: created, read, changed, listed, deleted.

use serde_json::{Value, json};
use support::bodies::{from_base64, to_base64};
use support::guests::{assemble, guest, printing};
use support::lambda::{FUNCTIONS, arn, creation};
use support::{Request, Site, TestHost};

const NOT_FOUND: (u16, &str) = (404, "ResourceNotFoundException");
const CONFLICT: (u16, &str) = (409, "ResourceConflictException");
const INVALID: (u16, &str) = (400, "InvalidParameterValueException");
const CONSTRAINT: (u16, &str) = (400, "ValidationException");

fn path(name: &str) -> String {
    format!("{FUNCTIONS}/{name}")
}

#[test]
fn a_function_is_created_read_invoked_and_deleted() {
    let host = TestHost::start();
    let created = host.create("hello", &guest("echo"));
    let wasm = assemble(&guest("echo"));
    assert_eq!(created["FunctionName"], "hello");
    assert_eq!(created["FunctionArn"], json!(arn("hello")));
    assert_eq!(created["CodeSize"], wasm.len());
    assert_eq!(created["CodeSha256"].as_str().unwrap().len(), 44);
    for (member, value) in [
        ("Runtime", json!("provided.al2023")),
        ("Handler", json!("bootstrap")),
        ("Description", json!("")),
        ("Timeout", json!(3)),
        ("MemorySize", json!(128)),
        ("Version", json!("$LATEST")),
        ("PackageType", json!("Zip")),
        ("Architectures", json!(["x86_64"])),
        ("TracingConfig", json!({"Mode": "PassThrough"})),
        ("EphemeralStorage", json!({"Size": 512})),
        ("State", json!("Active")),
        ("LastUpdateStatus", json!("Successful")),
        (
            "LoggingConfig",
            json!({"LogFormat": "Text", "LogGroup": "/aws/lambda/hello"}),
        ),
    ] {
        assert_eq!(created[member], value, "{member}");
    }
    assert!(created.get("Environment").is_none());
    assert!(created["LastModified"].as_str().unwrap().ends_with("+0000"));

    assert_eq!(host.invoke("hello", "[1]").text(), "[1]");
    let read = host.lambda_ok("GET", &path("hello"), &Value::Null, 200);
    assert_eq!(read["Configuration"], created);
    assert!(read.get("Tags").is_none() && read.get("Concurrency").is_none());
    let configuration = format!("{}/configuration", path("hello"));
    assert_eq!(
        host.lambda_ok("GET", &configuration, &Value::Null, 200),
        created
    );
    // A function of the API has no route of its own.
    assert_eq!(host.get("/hello").status, 404);

    let message = host.lambda_error(
        ("POST", FUNCTIONS),
        &creation("hello", &guest("echo")),
        CONFLICT,
    );
    assert_eq!(message, "Function already exist: hello");
    let _gone = host.lambda_ok("DELETE", &path("hello"), &Value::Null, 204);
    let missing = format!("Function not found: {}", arn("hello"));
    for method in ["GET", "DELETE"] {
        let message = host.lambda_error((method, &path("hello")), &Value::Null, NOT_FOUND);
        assert_eq!(message, missing);
    }
}

#[test]
fn code_can_be_downloaded_as_a_zip_with_the_address_that_is_given_and_no_other() {
    let host = TestHost::start();
    host.create("hello", &guest("echo"));
    let read = host.lambda_ok("GET", &path("hello"), &Value::Null, 200);
    let location = read["Code"]["Location"].as_str().unwrap().to_owned();
    assert_eq!(read["Code"]["RepositoryType"], "S3");
    let base = format!("http://{}", host.control());
    let target = location.strip_prefix(&base).unwrap();
    let zip = host.control_send(&Request::get(target));
    assert_eq!(
        (zip.status, zip.header("content-type")),
        (200, Some("application/zip"))
    );
    let forged = format!("{}A", &target[..target.len() - 1]);
    let forged = if forged == target {
        format!("{}B", &target[..target.len() - 1])
    } else {
        forged
    };
    for other in [forged.as_str(), "/mayfly/code/", "/mayfly/code/x"] {
        assert_eq!(host.control_send(&Request::get(other)).status, 403);
    }
    // What was downloaded can be uploaded.
    let mut copy = creation("copy", &guest("echo"));
    copy["Code"] = json!({ "ZipFile": to_base64(&zip.body) });
    let copied = host.lambda_ok("POST", FUNCTIONS, &copy, 201);
    assert_eq!(copied["CodeSize"], zip.body.len());
    assert_eq!(host.invoke("copy", "7").text(), "7");
}

#[test]
fn code_and_configuration_change_under_a_revision() {
    let host = TestHost::start();
    let created = host.create("f", &printing("1"));
    let code = format!("{}/code", path("f"));
    let zip_file = to_base64(&assemble(&printing("2")));
    let dry = json!({ "ZipFile": zip_file, "DryRun": true });
    let dry = host.lambda_ok("PUT", &code, &dry, 200);
    assert_ne!(dry["CodeSha256"], created["CodeSha256"]);
    assert_eq!(host.invoke("f", "{}").text(), "1");

    let change = json!({ "ZipFile": zip_file, "RevisionId": created["RevisionId"], "Architectures": ["arm64"] });
    let changed = host.lambda_ok("PUT", &code, &change, 200);
    assert_eq!(changed["CodeSha256"], dry["CodeSha256"]);
    assert_eq!(changed["Architectures"], json!(["arm64"]));
    assert_ne!(changed["RevisionId"], created["RevisionId"]);
    assert_eq!(host.invoke("f", "{}").text(), "2");
    let stale = (412, "PreconditionFailedException");
    let message = host.lambda_error(("PUT", &code), &change, stale);
    assert!(
        message.starts_with("The Revision Id provided does not match"),
        "{message}"
    );

    let configuration = format!("{}/configuration", path("f"));
    let change = json!({
        "RevisionId": changed["RevisionId"], "Timeout": 9, "MemorySize": 200, "Description": "d",
        "Environment": {"Variables": {"KEY": "value"}},
    });
    let configured = host.lambda_ok("PUT", &configuration, &change, 200);
    assert_eq!(
        (&configured["Timeout"], &configured["MemorySize"]),
        (&json!(9), &json!(200))
    );
    assert_eq!(
        configured["Environment"],
        json!({"Variables": {"KEY": "value"}})
    );
    host.lambda_error(("PUT", &configuration), &change, stale);
    let cleared = json!({ "Environment": {"Variables": {}}, "Description": "" });
    let cleared = host.lambda_ok("PUT", &configuration, &cleared, 200);
    assert_eq!(cleared["Environment"], json!({"Variables": {}}));
    assert_eq!(
        (&cleared["Timeout"], &cleared["Description"]),
        (&json!(9), &json!(""))
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table, one row for each rule")]
fn what_can_not_be_created_says_why_and_leaves_nothing() {
    let host = TestHost::start();
    let good = creation("f", &printing("1"));
    let with = |member: &str, value: Value| {
        let mut request = good.clone();
        request[member] = value;
        request
    };
    let module = |bytes: &[u8]| json!({ "ZipFile": to_base64(bytes) });
    let broken = assemble("(module (import \"nowhere\" \"nothing\" (func)))");
    for (request, error, part) in [
        (
            with("Role", Value::Null),
            CONSTRAINT,
            "Value null at 'role'",
        ),
        (
            with("Code", Value::Null),
            CONSTRAINT,
            "Value null at 'code'",
        ),
        (
            with("FunctionName", Value::Null),
            CONSTRAINT,
            "'functionName'",
        ),
        (
            with("FunctionName", json!("a b")),
            CONSTRAINT,
            "Value 'a b' at 'functionName'",
        ),
        (
            with("FunctionName", json!("x".repeat(65))),
            INVALID,
            "less than or equal to 64",
        ),
        (
            with("Runtime", json!("nodejs22.x")),
            INVALID,
            "Value nodejs22.x at 'runtime'",
        ),
        (with("Timeout", json!(901)), CONSTRAINT, "'timeout'"),
        (
            with("MemorySize", json!(10_240)),
            CONSTRAINT,
            "less than or equal to 4096",
        ),
        (
            with("PackageType", json!("Image")),
            INVALID,
            "PackageType must be Zip",
        ),
        (
            with("Code", json!({"S3Bucket": "b", "S3Key": "k"})),
            INVALID,
            "no object store",
        ),
        (with("Code", json!({})), INVALID, "ZipFile is missing"),
        (
            with("Code", module(b"not a zip")),
            INVALID,
            "Could not unzip uploaded file.",
        ),
        (with("Code", module(b"\0asm\x01\0\0\0")), INVALID, "_start"),
        (with("Code", module(&broken)), INVALID, ""),
        (
            with("Environment", json!({"Variables": {"AWS_REGION": "x"}})),
            INVALID,
            "AWS_REGION",
        ),
        (
            with(
                "Environment",
                json!({"Variables": {"BIG": "x".repeat(5_000)}}),
            ),
            INVALID,
            "exceeded the 4KB limit. String measured: 5010 bytes",
        ),
        (
            with("Environment", json!({"Variables": {"A1": "secret\0"}})),
            INVALID,
            "variable A1 has a NUL",
        ),
        (
            with("Timeout", json!("3")),
            (400, "SerializationException"),
            "expected",
        ),
        (
            with("Environment", json!([{"A1": "secret"}])),
            (400, "SerializationException"),
            "expected an object",
        ),
        (
            with("Code", json!([to_base64(b"secret")])),
            (400, "SerializationException"),
            "expected an object",
        ),
    ] {
        let message = host.lambda_error(("POST", FUNCTIONS), &request, error);
        assert!(message.contains(part), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    for name in ["", "A", "1A", "A=B", "A\nB", "A\0", "A B", "_A"] {
        let request = with("Environment", json!({"Variables": {name: "secret"}}));
        let message = host.lambda_error(("POST", FUNCTIONS), &request, CONSTRAINT);
        assert!(message.contains("'environment.variables'"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
    let listed = host.lambda_ok("GET", FUNCTIONS, &Value::Null, 200);
    assert_eq!(listed, json!({ "Functions": [] }));
}

#[test]
fn functions_are_listed_page_by_page() {
    let host = TestHost::start();
    for name in ["a", "b", "c"] {
        host.create(name, &printing("1"));
    }
    let page =
        |query: &str| host.lambda_ok("GET", &format!("{FUNCTIONS}/{query}"), &Value::Null, 200);
    let names = |page: &Value| -> Vec<String> {
        let functions = page["Functions"].as_array().unwrap();
        functions
            .iter()
            .map(|f| f["FunctionName"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = page("?MaxItems=2");
    assert_eq!(names(&first), ["a", "b"]);
    assert!(first["Functions"][0].get("State").is_none());
    let marker = first["NextMarker"].as_str().unwrap();
    let second = page(&format!("?MaxItems=2&Marker={marker}"));
    assert_eq!(names(&second), ["c"]);
    assert!(second.get("NextMarker").is_none());
    // What was listed may be gone by the next page.
    let _gone = host.lambda_ok("DELETE", &path("b"), &Value::Null, 204);
    assert_eq!(names(&page(&format!("?Marker={marker}"))), ["c"]);

    let mut forged = marker.to_owned().into_bytes();
    forged[3] ^= 1;
    let forged = String::from_utf8(forged).unwrap();
    let huge = "A".repeat(4_000);
    for target in [
        format!("{FUNCTIONS}?Marker={forged}"),
        format!("{FUNCTIONS}?Marker={huge}"),
        format!("{FUNCTIONS}?FunctionVersion=ALL&Marker={marker}"),
        format!("{}/versions?Marker={marker}", path("a")),
    ] {
        host.lambda_error(("GET", &target), &Value::Null, INVALID);
    }
    host.lambda_error(
        ("GET", &format!("{FUNCTIONS}?MaxItems=0")),
        &Value::Null,
        CONSTRAINT,
    );
    host.lambda_error(
        ("GET", &format!("{FUNCTIONS}?MaxItems=x")),
        &Value::Null,
        INVALID,
    );
}

#[test]
fn functions_survive_the_end_of_the_process() {
    let site = Site::new();
    let host = site.start();
    host.create("f", &printing("1"));
    let before = host.lambda_ok("GET", &path("f"), &Value::Null, 200);
    drop(host);
    let host = site.start();
    let after = host.lambda_ok("GET", &path("f"), &Value::Null, 200);
    assert_eq!(before["Configuration"], after["Configuration"]);
    assert_eq!(host.invoke("f", "{}").text(), "1");
}

#[test]
fn what_the_functions_folder_decides_is_not_changed_through_the_api() {
    let host = TestHost::start();
    host.deploy("dropped", &printing("1"));
    let read = host.lambda_ok("GET", &path("dropped"), &Value::Null, 200);
    assert_eq!(read["Configuration"]["Runtime"], "provided.al2023");
    let zip = json!({ "ZipFile": to_base64(&assemble(&printing("2"))) });
    for (method, target, body) in [
        ("PUT", format!("{}/code", path("dropped")), &zip),
        (
            "PUT",
            format!("{}/configuration", path("dropped")),
            &json!({"Timeout": 4}),
        ),
        ("DELETE", path("dropped"), &Value::Null),
    ] {
        let message = host.lambda_error((method, &target), body, CONFLICT);
        assert!(message.contains("dropped.wasm"), "{message}");
    }
    let version = host.lambda_ok(
        "POST",
        &format!("{}/versions", path("dropped")),
        &json!({}),
        201,
    );
    assert_eq!(version["Version"], "1");
    assert_eq!(
        from_base64(version["CodeSha256"].as_str().unwrap()).len(),
        32
    );
}

#[test]
fn what_is_not_offered_is_answered_quietly_or_refused() {
    let host = TestHost::start();
    host.create("f", &printing("1"));
    for (target, expected) in [
        (
            "/2015-03-31/event-source-mappings/",
            json!({"EventSourceMappings": []}),
        ),
        ("/2018-10-31/layers", json!({"Layers": []})),
        (
            "/2020-06-30/functions/f/code-signing-config",
            json!({"CodeSigningConfigArn": "", "FunctionName": "f"}),
        ),
        (
            "/2021-07-20/functions/f/runtime-management-config",
            json!({"UpdateRuntimeOn": "Auto", "FunctionArn": arn("f")}),
        ),
        (
            "/2024-08-31/functions/f/recursion-config",
            json!({"RecursiveLoop": "Terminate"}),
        ),
        (
            "/2019-09-30/functions/f/provisioned-concurrency?List=ALL",
            json!({"ProvisionedConcurrencyConfigs": []}),
        ),
    ] {
        assert_eq!(host.lambda_ok("GET", target, &Value::Null, 200), expected);
    }
    let unknown = (404, "UnknownOperationException");
    host.lambda_error(
        ("POST", "/2025-12-01/durable-executions"),
        &json!({}),
        unknown,
    );
    let account = host.lambda_ok("GET", "/2016-08-19/account-settings", &Value::Null, 200);
    assert_eq!(account["AccountUsage"]["FunctionCount"], 1);
    assert_eq!(account["AccountLimit"]["ConcurrentExecutions"], 1_000);
}
