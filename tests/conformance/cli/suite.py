"""Mayfly seen by the AWS CLI, version 1 or 2: `MAYFLY_AWS` is the program.

Run by `cargo xtask clients cli1` and `cli2`. Names of sections as arguments run no others. What a
shell script would see is what is checked: exit codes, what is printed, the files that are written.
"""

import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

# ruff: noqa: E402 - the path above comes first
import harness
import kit
from harness import absent, check, equal, matches, present

#: Version 2.9 does not look for the server in the profile, nor in the environment.
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL")
AWS = [os.environ["MAYFLY_AWS"], *(["--endpoint-url", ENDPOINT] if ENDPOINT else [])]
FOLDER = Path(tempfile.mkdtemp())
#: What the CLI exits with when the service refuses: 255 for version 1, 254 for version 2.
REFUSED = (254, 255)


def said(*arguments):
    """The text that the CLI prints for `--version`."""
    answer = subprocess.run([*AWS, *arguments], capture_output=True, text=True, timeout=120)
    return answer.stdout + answer.stderr


MAJOR = 2 if said("--version").startswith("aws-cli/2") else 1
#: Version 2 takes blobs as base64 unless it is told otherwise.
RAW = ["--cli-binary-format", "raw-in-base64-out"] if MAJOR == 2 else []


class Answer:
    """How a command ended and what it printed."""

    def __init__(self, arguments):
        done = subprocess.run(
            [*AWS, *map(str, arguments)], capture_output=True, text=True, timeout=330
        )
        self.code, self.out, self.error = done.returncode, done.stdout, done.stderr
        self.arguments = arguments

    @property
    def json(self):
        """What was printed, as JSON; an empty object when that is nothing."""
        return json.loads(self.out) if self.out.strip() else {}


def aws(*arguments):
    """Runs a command that must succeed."""
    answer = Answer(arguments)
    what = " ".join(map(str, arguments[:2]))
    check(f"{what} exits with 0", answer.code == 0, f"{answer.code}: {answer.error.strip()}")
    return answer


def refused(what, code, *arguments):
    """Runs a command that the service must refuse with this code; what it said."""
    answer = Answer(arguments)
    check(f"{what}: exit code", answer.code in REFUSED, f"{answer.code}: {answer.error.strip()}")
    check(f"{what}: {code}", f"({code})" in answer.error, answer.error.strip())
    return answer.error.strip()


def zip_file(name="function.zip", salt=""):
    """The function as a zip, as the argument of `--zip-file`."""
    path = FOLDER / name
    module = kit.custom_section("salt", salt) if salt else kit.wasm()
    path.write_bytes(kit.zipped(("bootstrap.wasm", module)))
    return f"fileb://{path}"


def create(name, *more):
    """Deploys the function as `name`, and waits."""
    answer = aws(
        "lambda", "create-function", "--function-name", name, "--runtime", "provided.al2023",
        "--handler", "bootstrap", "--role", kit.ROLE, "--zip-file", zip_file(), *more,
    )  # fmt: skip
    aws("lambda", "wait", "function-active-v2", "--function-name", name)
    return answer.json


def invoke(name, event, *more):
    """Invokes; what the CLI printed, and what it wrote to the file."""
    out = FOLDER / "out.json"
    out.unlink(missing_ok=True)
    answer = aws(
        "lambda", "invoke", "--function-name", name, *RAW, "--payload", json.dumps(event), *more, out
    )
    text = out.read_text() if out.exists() else ""
    return answer.json, text


def version():
    check("it is what was asked for", MAJOR in (1, 2), said("--version"))
    answer = aws("sts", "get-caller-identity")
    equal("Account", answer.json.get("Account"), kit.ACCOUNT)
    equal("Arn", answer.json.get("Arn"), f"arn:aws:iam::{kit.ACCOUNT}:root")
    answer = aws("sts", "get-caller-identity", "--query", "Account", "--output", "text")
    equal("as text", answer.out.strip(), kit.ACCOUNT)


def life_of_a_function():
    made = create("made", "--description", "by the CLI", "--timeout", "5", "--memory-size", "256",
                  "--environment", "Variables={GREETING=hello}", "--tags", "team=blue")  # fmt: skip
    equal("FunctionName", made.get("FunctionName"), "made")
    matches("FunctionArn", made.get("FunctionArn"), rf"arn:aws:lambda:[a-z0-9-]+:{kit.ACCOUNT}:function:made")
    equal("CodeSize", made.get("CodeSize"), (FOLDER / "function.zip").stat().st_size)
    equal("Timeout", made.get("Timeout"), 5)
    equal("Environment", made.get("Environment"), {"Variables": {"GREETING": "hello"}})
    matches("LastModified", made.get("LastModified"), kit.MODIFIED)
    for waiter in ("function-exists", "function-active", "function-updated", "function-updated-v2"):
        aws("lambda", "wait", waiter, "--function-name", "made")
    found = aws("lambda", "get-function", "--function-name", "made").json
    equal("State", found["Configuration"].get("State"), "Active")
    equal("Tags", found.get("Tags"), {"team": "blue"})
    by_arn = aws("lambda", "get-function-configuration", "--function-name", made["FunctionArn"]).json
    equal("by ARN", by_arn.get("RevisionId"), found["Configuration"]["RevisionId"])
    changed = aws("lambda", "update-function-configuration", "--function-name", "made",
                  "--timeout", "6", "--description", "").json  # fmt: skip
    equal("a configuration that is updated", (changed["Timeout"], changed["Description"]), (6, ""))
    aws("lambda", "wait", "function-updated", "--function-name", "made")
    changed = aws("lambda", "update-function-code", "--function-name", "made",
                  "--zip-file", zip_file("other.zip", "other")).json  # fmt: skip
    check("CodeSha256 changes", changed["CodeSha256"] != made["CodeSha256"])
    listed = aws("lambda", "list-functions", "--query", "Functions[].FunctionName").json
    check("list-functions", "made" in listed, listed)
    create("made-too")
    listed = aws("lambda", "list-functions", "--page-size", "1", "--query", "Functions[].FunctionName").json
    check("pages of one", {"made", "made-too"} <= set(listed) and len(listed) == len(set(listed)), listed)
    one = aws("lambda", "list-functions", "--max-items", "1").json
    equal("max-items", len(one["Functions"]), 1)
    present("max-items", one, "NextToken")
    aws("lambda", "delete-function", "--function-name", "made")
    text = refused("it is gone", "ResourceNotFoundException", "lambda", "get-function", "--function-name", "made")
    check("and its name is said", re.search("Function not found: arn:aws:lambda:.*:function:made", text), text)
    refused("deleting it twice", "ResourceNotFoundException", "lambda", "delete-function", "--function-name", "made")


def waiting_in_vain():
    """`wait` gives up with 255 when a function does not come; twenty tries of a second each."""
    started = time.monotonic()
    answer = Answer(["lambda", "wait", "function-exists", "--function-name", "never"])
    equal("exit code", answer.code, 255)
    check("it says so", "Max attempts exceeded" in answer.error, answer.error)
    check("it really waited", time.monotonic() - started > 10)


def invocations():
    create("echo", "--timeout", "2")
    said, text = invoke("echo", {"op": "value", "value": {"ä": [1, None]}})
    equal("the file", json.loads(text), {"ä": [1, None]})
    equal("printed", (said.get("StatusCode"), said.get("ExecutedVersion")), (200, "$LATEST"))
    absent("printed", said, "FunctionError")
    said, _ = invoke("echo", {"op": "log", "lines": ["a line"]}, "--log-type", "Tail")
    tail = base64.b64decode(said.get("LogResult", "")).decode()
    check("the log", re.search(r"START RequestId.*a line\n.*REPORT RequestId", tail, re.DOTALL), tail)
    said, text = invoke("echo", {"op": "error", "msg": "on purpose"})
    equal("a failure of the function keeps exit code 0 and says", said.get("FunctionError"), "Unhandled")
    equal("and its message is in the file", json.loads(text)["errorMessage"], "on purpose")
    said, text = invoke("echo", {"op": "timeout"})
    equal("a timeout", said.get("FunctionError"), "Unhandled")
    check("its text", json.loads(text)["errorMessage"].endswith("Task timed out after 2.00 seconds"), text)
    said, text = invoke("echo", {}, "--invocation-type", "DryRun")
    equal("DryRun", (said.get("StatusCode"), text), (204, ""))
    context = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
    said, _ = invoke("echo", {"op": "value", "value": 1}, "--client-context", context)
    equal("a client context", said.get("StatusCode"), 200)
    out = FOLDER / "none.json"
    refused("no function", "ResourceNotFoundException", "lambda", "invoke", "--function-name", "none", out)
    refused("no JSON", "InvalidRequestContentException",
            "lambda", "invoke", "--function-name", "echo", *RAW, "--payload", "{", out)  # fmt: skip
    answer = Answer(["lambda", "invoke", "--function-name", "echo", "--invocation-type", "Event",
                     *RAW, "--payload", "{}", out])  # fmt: skip
    check("an event is refused until there is a queue", answer.code in REFUSED, answer.out)


def versions_and_aliases():
    create("versioned")
    made = aws("lambda", "publish-version", "--function-name", "versioned", "--description", "one").json
    equal("publish-version", made.get("Version"), "1")
    aws("lambda", "wait", "published-version-active", "--function-name", "versioned", "--qualifier", "1")
    aws("lambda", "update-function-configuration", "--function-name", "versioned", "--timeout", "9")
    aws("lambda", "publish-version", "--function-name", "versioned")
    listed = aws("lambda", "list-versions-by-function", "--function-name", "versioned",
                 "--query", "Versions[].Version").json  # fmt: skip
    equal("list-versions-by-function", listed, ["$LATEST", "1", "2"])
    aws("lambda", "create-alias", "--function-name", "versioned", "--name", "live",
        "--function-version", "1")  # fmt: skip
    said, _ = invoke("versioned", 1, "--qualifier", "live")
    equal("by alias", said.get("ExecutedVersion"), "1")
    said, _ = invoke("versioned:live", 1)
    equal("by name:alias", said.get("ExecutedVersion"), "1")
    changed = aws("lambda", "update-alias", "--function-name", "versioned", "--name", "live",
                  "--routing-config", "AdditionalVersionWeights={2=1.0}").json  # fmt: skip
    weights = changed.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    equal("weights", weights, {"2": 1.0})
    said, _ = invoke("versioned:live", 1)
    equal("they are followed", said.get("ExecutedVersion"), "2")
    changed = aws("lambda", "update-alias", "--function-name", "versioned", "--name", "live",
                  "--routing-config", "{}").json  # fmt: skip
    absent("cleared", changed, "RoutingConfig")
    listed = aws("lambda", "list-aliases", "--function-name", "versioned", "--query", "Aliases[].Name").json
    equal("list-aliases", listed, ["live"])
    aws("lambda", "delete-alias", "--function-name", "versioned", "--name", "live")
    refused("it is gone", "ResourceNotFoundException", "lambda", "get-alias",
            "--function-name", "versioned", "--name", "live")  # fmt: skip


def settings():
    create("set")
    arn = aws("lambda", "get-function-configuration", "--function-name", "set",
              "--query", "FunctionArn", "--output", "text").out.strip()  # fmt: skip
    aws("lambda", "put-function-concurrency", "--function-name", "set",
        "--reserved-concurrent-executions", "0")  # fmt: skip
    refused("throttled", "TooManyRequestsException", "lambda", "invoke", "--function-name", "set", FOLDER / "x")
    aws("lambda", "delete-function-concurrency", "--function-name", "set")
    made = aws("lambda", "add-permission", "--function-name", "set", "--statement-id", "s3",
               "--action", "lambda:InvokeFunction", "--principal", "s3.amazonaws.com").json  # fmt: skip
    equal("add-permission", json.loads(made["Statement"])["Sid"], "s3")
    policy = aws("lambda", "get-policy", "--function-name", "set", "--query", "Policy", "--output", "text").out
    equal("get-policy", len(json.loads(policy)["Statement"]), 1)
    aws("lambda", "remove-permission", "--function-name", "set", "--statement-id", "s3")
    refused("it is gone", "ResourceNotFoundException", "lambda", "get-policy", "--function-name", "set")
    made = aws("lambda", "create-function-url-config", "--function-name", "set", "--auth-type", "NONE").json
    check("a URL", made.get("FunctionUrl", "").endswith("/"), made)
    listed = aws("lambda", "list-function-url-configs", "--function-name", "set").json
    equal("list-function-url-configs", len(listed["FunctionUrlConfigs"]), 1)
    aws("lambda", "delete-function-url-config", "--function-name", "set")
    made = aws("lambda", "put-function-event-invoke-config", "--function-name", "set",
               "--maximum-retry-attempts", "1").json  # fmt: skip
    equal("event-invoke-config", made.get("MaximumRetryAttempts"), 1)
    aws("lambda", "delete-function-event-invoke-config", "--function-name", "set")
    aws("lambda", "tag-resource", "--resource", arn, "--tags", "a=1,b=2")
    aws("lambda", "untag-resource", "--resource", arn, "--tag-keys", "a")
    tags = aws("lambda", "list-tags", "--resource", arn).json
    equal("tags", tags.get("Tags"), {"b": "2"})
    usage = aws("lambda", "get-account-settings", "--query", "AccountUsage.FunctionCount").json
    check("get-account-settings", isinstance(usage, int) and usage >= 1, usage)
    equal("layers", aws("lambda", "list-layers").json, {"Layers": []})
    sources = aws("lambda", "list-event-source-mappings").json
    equal("event sources", sources, {"EventSourceMappings": []})


def users_and_keys():
    create("guarded")
    made = aws("iam", "create-user", "--user-name", "carol").json
    equal("create-user", made["User"]["Arn"], f"arn:aws:iam::{kit.ACCOUNT}:user/carol")
    key = aws("iam", "create-access-key", "--user-name", "carol").json["AccessKey"]
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "lambda:GetFunction", "Resource": "*"}],
    }
    path = FOLDER / "policy.json"
    path.write_text(json.dumps(document))
    aws("iam", "put-user-policy", "--user-name", "carol", "--policy-name", "p",
        "--policy-document", f"file://{path}")  # fmt: skip
    found = aws("iam", "get-user-policy", "--user-name", "carol", "--policy-name", "p").json
    equal("get-user-policy", found["PolicyDocument"], document)

    def as_carol(secret, *arguments):
        """Runs as the user, with a file of her own; the region and the server are the same."""
        answer = Answer(["configure", "get", "region"])
        region = answer.out.strip()
        endpoint = Answer(["configure", "get", "endpoint_url"]).out.strip()
        mine = FOLDER / "carol"
        mine.write_text(
            f"[carol]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {secret}\n"
            f"region = {region}\nendpoint_url = {endpoint}\n"
        )
        environment = {**os.environ, "AWS_SHARED_CREDENTIALS_FILE": str(mine), "AWS_PROFILE": "carol"}
        return subprocess.run(
            [*AWS, *arguments], capture_output=True, text=True, timeout=120, env=environment
        )

    secret = key["SecretAccessKey"]
    answer = as_carol(secret, "lambda", "get-function", "--function-name", "guarded")
    equal("what is allowed", answer.returncode, 0)
    answer = as_carol(secret, "lambda", "delete-function", "--function-name", "guarded")
    check("what is not", answer.returncode in REFUSED, answer.stderr)
    check("its code", "(AccessDeniedException)" in answer.stderr, answer.stderr)
    check("its text", "user/carol is not authorized to perform: lambda:DeleteFunction" in answer.stderr, answer.stderr)
    answer = as_carol("x" * 40, "lambda", "get-function", "--function-name", "guarded")
    check("a wrong secret", "(InvalidSignatureException)" in answer.stderr, answer.stderr)
    answer = as_carol("x" * 40, "iam", "get-user")
    check("a wrong secret: iam", "(SignatureDoesNotMatch)" in answer.stderr, answer.stderr)
    answer = as_carol(secret, "iam", "list-users")
    check("iam is not hers", "(AccessDenied)" in answer.stderr, answer.stderr)
    aws("iam", "update-access-key", "--user-name", "carol", "--access-key-id", key["AccessKeyId"],
        "--status", "Inactive")  # fmt: skip
    answer = as_carol(secret, "lambda", "get-function", "--function-name", "guarded")
    check("an inactive key", "(UnrecognizedClientException)" in answer.stderr, answer.stderr)
    refused("a user with keys", "DeleteConflict", "iam", "delete-user", "--user-name", "carol")
    aws("iam", "delete-access-key", "--user-name", "carol", "--access-key-id", key["AccessKeyId"])
    aws("iam", "delete-user-policy", "--user-name", "carol", "--policy-name", "p")
    aws("iam", "delete-user", "--user-name", "carol")
    refused("she is gone", "NoSuchEntity", "iam", "get-user", "--user-name", "carol")


def logs():
    create("spoken")
    invoke("spoken", {"op": "log", "lines": ["ERROR one", "INFO two"]})
    group = "/aws/lambda/spoken"
    groups = aws("logs", "describe-log-groups", "--log-group-name-prefix", group,
                 "--query", "logGroups[].logGroupName").json  # fmt: skip
    equal("describe-log-groups", groups, [group])
    found = harness.eventually(
        "filter-log-events",
        lambda: Answer(["logs", "filter-log-events", "--log-group-name", group, "--filter-pattern",
                        "ERROR", "--query", "events[].message"]).json,  # fmt: skip
    )
    equal("what matches", [line.rstrip("\n") for line in found or []], ["ERROR one"])
    stream = aws("logs", "describe-log-streams", "--log-group-name", group, "--order-by", "LastEventTime",
                 "--descending", "--query", "logStreams[0].logStreamName", "--output", "text").out.strip()  # fmt: skip
    read = aws("logs", "get-log-events", "--log-group-name", group, "--log-stream-name", stream,
               "--start-from-head").json  # fmt: skip
    lines = [event["message"].rstrip("\n") for event in read["events"]]
    check("get-log-events", {"ERROR one", "INFO two"} <= set(lines), lines)
    refused("no group", "ResourceNotFoundException", "logs", "filter-log-events",
            "--log-group-name", "/aws/lambda/none")  # fmt: skip
    if MAJOR == 1:
        return
    tail = aws("logs", "tail", group, "--since", "10m").out
    check("tail", re.search(r"START RequestId.*ERROR one.*INFO two.*REPORT RequestId", tail, re.DOTALL), tail)
    tail = aws("logs", "tail", group, "--since", "10m", "--format", "short", "--filter-pattern", "two").out
    equal("tail with a pattern", [line.split(" ", 1)[1] for line in tail.splitlines()], ["INFO two"])
    following()


def following():
    """`logs tail --follow` prints what comes later, once."""
    group = "/aws/lambda/spoken"
    path = FOLDER / "followed.txt"
    with path.open("w") as out:
        tail = subprocess.Popen(
            [*AWS, "logs", "tail", group, "--since", "10m", "--follow", "--format", "short"],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        harness.eventually("what was there is printed", lambda: "INFO two" in path.read_text(), 60)
        invoke("spoken", {"op": "log", "lines": ["a later line"]})
        harness.eventually("what comes later is printed", lambda: "a later line" in path.read_text(), 60)
        invoke("spoken", {"op": "log", "lines": ["the last line"]})
        harness.eventually("and later still", lambda: "the last line" in path.read_text(), 60)
    finally:
        tail.terminate()
        tail.wait(timeout=30)
    text = path.read_text()
    for line in ("ERROR one", "INFO two", "a later line", "the last line"):
        equal(f"`{line}` is printed once", text.count(line), 1)


def refused_by_the_service():
    path = FOLDER / "empty.zip"
    path.write_bytes(kit.zipped(("readme.txt", b"nothing")))
    refused("a zip without a module", "InvalidParameterValueException", "lambda", "create-function",
            "--function-name", "empty", "--runtime", "provided.al2023", "--handler", "bootstrap",
            "--role", kit.ROLE, "--zip-file", f"fileb://{path}")  # fmt: skip
    refused("a managed runtime", "InvalidParameterValueException", "lambda", "create-function",
            "--function-name", "managed", "--runtime", "python3.9", "--handler", "a.b",
            "--role", kit.ROLE, "--zip-file", zip_file())  # fmt: skip
    refused("a long name", "InvalidParameterValueException", "lambda", "create-function",
            "--function-name", "n" * 65, "--runtime", "provided.al2023", "--handler", "a",
            "--role", kit.ROLE, "--zip-file", zip_file())  # fmt: skip


SECTIONS = [
    version,
    life_of_a_function,
    waiting_in_vain,
    invocations,
    versions_and_aliases,
    settings,
    users_and_keys,
    logs,
    refused_by_the_service,
]

if __name__ == "__main__":
    harness.run(SECTIONS, sys.argv[1:])
