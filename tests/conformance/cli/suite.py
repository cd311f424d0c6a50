"""Mayfly seen by the AWS CLI, version 1 or 2.

Run by `cargo xtask clients cli1` and `cli2`. Names of sections as arguments run no others.
"""

import base64
import json
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

# ruff: noqa: E402 - the path above comes first
import harness
import kit
from access import users_and_keys
from command import (
    FOLDER,
    MAJOR,
    RAW,
    Answer,
    aws,
    create,
    invoke,
    refused,
    said,
    zip_file,
)
from harness import absent, check, equal, matches, present
from logs import logs


def version():
    check("it is what was asked for", MAJOR in (1, 2), said("--version"))
    answer = aws("sts", "get-caller-identity")
    equal("Account", answer.json.get("Account"), kit.ACCOUNT)
    equal("Arn", answer.json.get("Arn"), f"arn:aws:iam::{kit.ACCOUNT}:root")
    answer = aws("sts", "get-caller-identity", "--query", "Account", "--output", "text")
    equal("as text", answer.out.strip(), kit.ACCOUNT)


def life_of_a_function():
    made = create(
        "made",
        "--description",
        "by the CLI",
        "--timeout",
        "5",
        "--memory-size",
        "256",
        "--environment",
        "Variables={GREETING=hello}",
        "--tags",
        "team=blue",
    )
    equal("FunctionName", made.get("FunctionName"), "made")
    matches(
        "FunctionArn",
        made.get("FunctionArn"),
        rf"arn:aws:lambda:[a-z0-9-]+:{kit.ACCOUNT}:function:made",
    )
    equal("CodeSize", made.get("CodeSize"), (FOLDER / "function.zip").stat().st_size)
    equal("Timeout", made.get("Timeout"), 5)
    equal("Environment", made.get("Environment"), {"Variables": {"GREETING": "hello"}})
    matches("LastModified", made.get("LastModified"), kit.MODIFIED)
    for waiter in ("function-exists", "function-active", "function-updated", "function-updated-v2"):
        aws("lambda", "wait", waiter, "--function-name", "made")
    found = aws("lambda", "get-function", "--function-name", "made").json
    equal("State", found["Configuration"].get("State"), "Active")
    equal("Tags", found.get("Tags"), {"team": "blue"})
    by_arn = aws(
        "lambda", "get-function-configuration", "--function-name", made["FunctionArn"]
    ).json
    equal("by ARN", by_arn.get("RevisionId"), found["Configuration"]["RevisionId"])
    changed = aws(
        "lambda",
        "update-function-configuration",
        "--function-name",
        "made",
        "--timeout",
        "6",
        "--description",
        "",
    ).json
    equal("a configuration that is updated", (changed["Timeout"], changed["Description"]), (6, ""))
    aws("lambda", "wait", "function-updated", "--function-name", "made")
    changed = aws(
        "lambda",
        "update-function-code",
        "--function-name",
        "made",
        "--zip-file",
        zip_file("other.zip", "other"),
    ).json
    check("CodeSha256 changes", changed["CodeSha256"] != made["CodeSha256"])
    listed = aws("lambda", "list-functions", "--query", "Functions[].FunctionName").json
    check("list-functions", "made" in listed, listed)
    create("made-too")
    listed = aws(
        "lambda", "list-functions", "--page-size", "1", "--query", "Functions[].FunctionName"
    ).json
    check(
        "pages of one",
        {"made", "made-too"} <= set(listed) and len(listed) == len(set(listed)),
        listed,
    )
    one = aws("lambda", "list-functions", "--max-items", "1").json
    equal("max-items", len(one["Functions"]), 1)
    present("max-items", one, "NextToken")
    aws("lambda", "delete-function", "--function-name", "made")
    text = refused(
        "it is gone",
        "ResourceNotFoundException",
        "lambda",
        "get-function",
        "--function-name",
        "made",
    )
    check(
        "and its name is said",
        re.search("Function not found: arn:aws:lambda:.*:function:made", text),
        text,
    )
    refused(
        "deleting it twice",
        "ResourceNotFoundException",
        "lambda",
        "delete-function",
        "--function-name",
        "made",
    )


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
    check(
        "the log", re.search(r"START RequestId.*a line\n.*REPORT RequestId", tail, re.DOTALL), tail
    )
    said, text = invoke("echo", {"op": "error", "msg": "on purpose"})
    equal(
        "a failure of the function keeps exit code 0 and says",
        said.get("FunctionError"),
        "Unhandled",
    )
    equal("and its message is in the file", json.loads(text)["errorMessage"], "on purpose")
    said, text = invoke("echo", {"op": "timeout"})
    equal("a timeout", said.get("FunctionError"), "Unhandled")
    check(
        "its text",
        json.loads(text)["errorMessage"].endswith("Task timed out after 2.00 seconds"),
        text,
    )
    said, text = invoke("echo", {}, "--invocation-type", "DryRun")
    equal("DryRun", (said.get("StatusCode"), text), (204, ""))
    context = base64.b64encode(b'{"custom":{"a":"b"}}').decode()
    said, _ = invoke("echo", {"op": "value", "value": 1}, "--client-context", context)
    equal("a client context", said.get("StatusCode"), 200)
    out = FOLDER / "none.json"
    refused(
        "no function",
        "ResourceNotFoundException",
        "lambda",
        "invoke",
        "--function-name",
        "none",
        out,
    )
    refused(
        "no JSON",
        "InvalidRequestContentException",
        "lambda",
        "invoke",
        "--function-name",
        "echo",
        *RAW,
        "--payload",
        "{",
        out,
    )
    answer = Answer(
        [
            "lambda",
            "invoke",
            "--function-name",
            "echo",
            "--invocation-type",
            "Event",
            *RAW,
            "--payload",
            "{}",
            out,
        ]
    )
    equal("an event is accepted", answer.code, 0)
    equal("with 202", answer.json, {"StatusCode": 202})


def versions_and_aliases():
    create("versioned")
    made = aws(
        "lambda", "publish-version", "--function-name", "versioned", "--description", "one"
    ).json
    equal("publish-version", made.get("Version"), "1")
    aws(
        "lambda",
        "wait",
        "published-version-active",
        "--function-name",
        "versioned",
        "--qualifier",
        "1",
    )
    aws("lambda", "update-function-configuration", "--function-name", "versioned", "--timeout", "9")
    aws("lambda", "publish-version", "--function-name", "versioned")
    listed = aws(
        "lambda",
        "list-versions-by-function",
        "--function-name",
        "versioned",
        "--query",
        "Versions[].Version",
    ).json
    equal("list-versions-by-function", listed, ["$LATEST", "1", "2"])
    aws(
        "lambda",
        "create-alias",
        "--function-name",
        "versioned",
        "--name",
        "live",
        "--function-version",
        "1",
    )
    said, _ = invoke("versioned", 1, "--qualifier", "live")
    equal("by alias", said.get("ExecutedVersion"), "1")
    said, _ = invoke("versioned:live", 1)
    equal("by name:alias", said.get("ExecutedVersion"), "1")
    changed = aws(
        "lambda",
        "update-alias",
        "--function-name",
        "versioned",
        "--name",
        "live",
        "--routing-config",
        "AdditionalVersionWeights={2=1.0}",
    ).json
    weights = changed.get("RoutingConfig", {}).get("AdditionalVersionWeights")
    equal("weights", weights, {"2": 1.0})
    said, _ = invoke("versioned:live", 1)
    equal("they are followed", said.get("ExecutedVersion"), "2")
    changed = aws(
        "lambda",
        "update-alias",
        "--function-name",
        "versioned",
        "--name",
        "live",
        "--routing-config",
        "{}",
    ).json
    absent("cleared", changed, "RoutingConfig")
    listed = aws(
        "lambda", "list-aliases", "--function-name", "versioned", "--query", "Aliases[].Name"
    ).json
    equal("list-aliases", listed, ["live"])
    aws("lambda", "delete-alias", "--function-name", "versioned", "--name", "live")
    refused(
        "it is gone",
        "ResourceNotFoundException",
        "lambda",
        "get-alias",
        "--function-name",
        "versioned",
        "--name",
        "live",
    )


def settings():
    create("set")
    arn = aws(
        "lambda",
        "get-function-configuration",
        "--function-name",
        "set",
        "--query",
        "FunctionArn",
        "--output",
        "text",
    ).out.strip()
    aws(
        "lambda",
        "put-function-concurrency",
        "--function-name",
        "set",
        "--reserved-concurrent-executions",
        "0",
    )
    refused(
        "throttled",
        "TooManyRequestsException",
        "lambda",
        "invoke",
        "--function-name",
        "set",
        FOLDER / "x",
    )
    aws("lambda", "delete-function-concurrency", "--function-name", "set")
    made = aws(
        "lambda",
        "add-permission",
        "--function-name",
        "set",
        "--statement-id",
        "s3",
        "--action",
        "lambda:InvokeFunction",
        "--principal",
        "s3.amazonaws.com",
    ).json
    equal("add-permission", json.loads(made["Statement"])["Sid"], "s3")
    policy = aws(
        "lambda", "get-policy", "--function-name", "set", "--query", "Policy", "--output", "text"
    ).out
    equal("get-policy", len(json.loads(policy)["Statement"]), 1)
    aws("lambda", "remove-permission", "--function-name", "set", "--statement-id", "s3")
    refused(
        "it is gone", "ResourceNotFoundException", "lambda", "get-policy", "--function-name", "set"
    )
    made = aws(
        "lambda", "create-function-url-config", "--function-name", "set", "--auth-type", "NONE"
    ).json
    check("a URL", made.get("FunctionUrl", "").endswith("/"), made)
    listed = aws("lambda", "list-function-url-configs", "--function-name", "set").json
    equal("list-function-url-configs", len(listed["FunctionUrlConfigs"]), 1)
    aws("lambda", "delete-function-url-config", "--function-name", "set")
    made = aws(
        "lambda",
        "put-function-event-invoke-config",
        "--function-name",
        "set",
        "--maximum-retry-attempts",
        "1",
    ).json
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


def refused_by_the_service():
    path = FOLDER / "empty.zip"
    path.write_bytes(kit.zipped(("readme.txt", b"nothing")))
    refused(
        "a zip without a module",
        "InvalidParameterValueException",
        "lambda",
        "create-function",
        "--function-name",
        "empty",
        "--runtime",
        "provided.al2023",
        "--handler",
        "bootstrap",
        "--role",
        kit.ROLE,
        "--zip-file",
        f"fileb://{path}",
    )
    refused(
        "a managed runtime",
        "InvalidParameterValueException",
        "lambda",
        "create-function",
        "--function-name",
        "managed",
        "--runtime",
        "python3.9",
        "--handler",
        "a.b",
        "--role",
        kit.ROLE,
        "--zip-file",
        zip_file(),
    )
    refused(
        "a long name",
        "InvalidParameterValueException",
        "lambda",
        "create-function",
        "--function-name",
        "n" * 65,
        "--runtime",
        "provided.al2023",
        "--handler",
        "a",
        "--role",
        kit.ROLE,
        "--zip-file",
        zip_file(),
    )


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
