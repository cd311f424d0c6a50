//! Clients that nobody here wrote.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::binary::target_dir;
use support::guests::{guest, guest_with};
use support::{TestHost, skip};

/// A Python that has boto3, in a virtual environment under the target directory; `None` when there
/// is no Python or the package can't be had.
fn python_with_boto3() -> Option<PathBuf> {
    let folder = target_dir().join("e2e-boto3");
    let python = folder.join("bin/python");
    let run = |program: &std::path::Path, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let has_it = |python: &std::path::Path| run(python, &["-c", "import boto3"]);
    if has_it(&python) {
        return Some(python);
    }
    let made = run("python3".as_ref(), &["-m", "venv", folder.to_str()?])
        && run(
            &python,
            &[
                "-m",
                "pip",
                "install",
                "--quiet",
                "--timeout",
                "20",
                "--retries",
                "1",
                "boto3",
            ],
        );
    (made && has_it(&python)).then_some(python)
}

const SCRIPT: &str = r#"
import sys, json, base64, urllib.request, boto3, botocore
from botocore.config import Config
client = boto3.client("lambda", endpoint_url=sys.argv[1], region_name="us-east-1",
    config=Config(retries={"max_attempts": 0}))
event = {"hello": "w\u00f6rld", "n": [1, 2.5, None]}
answer = client.invoke(FunctionName="echo", Payload=json.dumps(event), LogType="Tail")
assert answer["StatusCode"] == 200, answer
assert answer["ExecutedVersion"] == "$LATEST", answer
assert "FunctionError" not in answer, answer
assert json.load(answer["Payload"]) == event
tail = base64.b64decode(answer["LogResult"]).decode()
id = answer["ResponseMetadata"]["RequestId"]
assert f"REPORT RequestId: {id}\t" in tail, tail
answer = client.invoke(FunctionName="trap", Payload=b"{}")
assert answer["FunctionError"] == "Unhandled", answer
assert json.load(answer["Payload"])["errorType"] == "Runtime.ExitError"
try:
    client.invoke(FunctionName="nobody", Payload=b"{}")
    raise SystemExit("there is nobody")
except client.exceptions.ResourceNotFoundException:
    pass
try:
    client.invoke(FunctionName="echo", Payload=b"{broken")
    raise SystemExit("that was no JSON")
except client.exceptions.InvalidRequestContentException:
    pass
assert client.invoke(FunctionName="echo", InvocationType="DryRun")["StatusCode"] == 204
def refused(id, secret):
    stranger = boto3.client("lambda", endpoint_url=sys.argv[1], region_name="us-east-1",
        aws_access_key_id=id, aws_secret_access_key=secret, config=Config(retries={"max_attempts": 0}))
    try:
        stranger.invoke(FunctionName="echo", Payload=b"{}")
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
own = boto3.Session().get_credentials()
assert refused("AKIANOBODY", own.secret_key) == "UnrecognizedClientException"
assert refused(own.access_key, "wrong") == "InvalidSignatureException"
# A presigned request has no body: what goes with it is not covered, and so not taken.
url = client.generate_presigned_url("invoke", Params={"FunctionName": "echo"}, HttpMethod="POST")
def presigned(data):
    try:
        request = urllib.request.Request(url, data=data, method="POST")
        with urllib.request.urlopen(request) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        return error.code, error.headers["x-amzn-errortype"]
assert presigned(None) == (200, None), presigned(None)
assert presigned(b"{}") == (403, "InvalidSignatureException"), presigned(b"{}")
print("done")
"#;

#[test]
fn boto3_invokes_reads_logs_and_tells_errors_apart() {
    let Some(python) = python_with_boto3() else {
        skip(
            "Invoke through boto3",
            "there is no Python with boto3, and none can be had",
        );
        return;
    };
    let host = TestHost::start();
    host.deploy("echo", &guest("echo"));
    host.deploy("trap", &guest_with("trap", &[("CODE", "(unreachable)")]));
    let url = format!("http://{}", host.control());
    let mut command = Command::new(python);
    // All that a client of AWS is told, apart from the address.
    command
        .env("AWS_SHARED_CREDENTIALS_FILE", host.credentials())
        .env("AWS_PROFILE", "mayfly")
        .env("AWS_CONFIG_FILE", "/dev/null");
    let finished = support::site::Finished::of(command.args(["-c", SCRIPT, &url]));
    assert_eq!(finished.ok().trim(), "done");
}

#[test]
fn curl_signs_for_itself() {
    let host = TestHost::start();
    host.deploy("echo", &guest("echo"));
    let root = host.root_signer();
    let user = format!("{}:{}", root.access_key_id, root.secret);
    let url = |path: &str| format!("http://{}{path}", host.control());
    let invoke = url("/2015-03-31/functions/echo/invocations");
    let signed = |service: &str, more: &[&str]| {
        let scheme = format!("aws:amz:us-east-1:{service}");
        let mut arguments = vec!["--aws-sigv4", &scheme, "--user", &user];
        arguments.extend(more);
        host.curl(&arguments).ok()
    };
    assert_eq!(
        signed("lambda", &["-d", "{\"a\":1}", &invoke]),
        "{\"a\":1}\n"
    );
    let functions = signed("mayfly", &[&url("/mayfly/functions")]);
    assert!(functions.contains("\"echo\""), "{functions}");
    let unsigned = host.curl(&["-d", "{}", &invoke]).ok();
    assert!(
        unsigned.contains("Missing Authentication Token"),
        "{unsigned}"
    );
}
