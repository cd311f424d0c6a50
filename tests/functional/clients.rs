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
import sys, json, base64, boto3
from botocore.config import Config
client = boto3.client("lambda", endpoint_url=sys.argv[1], region_name="us-east-1",
    aws_access_key_id="x", aws_secret_access_key="y",
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
    let finished = support::site::Finished::of(command.args(["-c", SCRIPT, &url]));
    assert_eq!(finished.ok().trim(), "done");
}
