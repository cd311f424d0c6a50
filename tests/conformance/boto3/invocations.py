"""Invoke in all its forms, and InvokeWithResponseStream."""

import base64
import json
import re

import kit
from aws import arn, create, headers_of, invoke, lam, refused, status_of
from harness import absent, check, equal, matches

MAX_SYNC = 6_291_456
MAX_ASYNC = 1_048_576
NUMBER = r"\d+\.\d\d"
REPORT = (
    rf"REPORT RequestId: {kit.UUID}\tDuration: {NUMBER} ms\tBilled Duration: \d+ ms\t"
    rf"Memory Size: 128 MB\tMax Memory Used: \d+ MB\t(Init Duration: {NUMBER} ms\t)?"
)


def values():
    create("echo")
    for value in (
        None,
        True,
        0,
        -1.5,
        "text",
        'grüße, 日本 🦋 \u0000 " \\',
        [],
        [1, [2, [3]]],
        {},
        {"a": {"b": None}},
    ):
        answer = invoke("echo", {"op": "value", "value": value})
        equal(f"{value!r} comes back", answer["json"], value)
    equal("StatusCode", answer["StatusCode"], 200)
    equal("HTTP status", status_of(answer), 200)
    equal("ExecutedVersion", answer["ExecutedVersion"], "$LATEST")
    absent("a success", answer, "FunctionError", "LogResult")
    event = {"text": "ä", "list": [1, None], "deep": {"x": 1.25}}
    equal("an event is given whole", invoke("echo", event)["json"]["event"], event)
    equal("the version is given", invoke("echo", event)["json"]["version"], "$LATEST")
    equal("no payload is an empty object", invoke("echo")["json"]["event"], {})
    equal("a null is a null", invoke("echo", Payload=b"null")["json"]["event"], None)
    for spelling in (arn("echo"), f"{kit.ACCOUNT}:function:echo", "echo:$LATEST"):
        answer = invoke(spelling, {"op": "value", "value": 7})
        equal(f"by {spelling}", answer["json"], 7)
    for kind in ("RequestResponse",):
        answer = invoke("echo", {"op": "value", "value": 8}, InvocationType=kind)
        equal(f"InvocationType {kind}", answer["json"], 8)
    context = invoke("echo", {"op": "context"})
    said = context["json"]
    equal("request id", said["requestId"], headers_of(context)["x-amzn-requestid"])
    equal("function ARN", said["functionArn"], arn("echo"))
    said = invoke("echo", {"op": "context"}, Qualifier="$LATEST")["json"]
    equal("the ARN is as it was addressed", said["functionArn"], arn("echo", "$LATEST"))


def log_tail():
    create("tail")
    answer = invoke("tail", {"op": "log", "lines": ["first line", "second line"]}, LogType="Tail")
    lines = answer["tail"].split("\n")
    request = headers_of(answer)["x-amzn-requestid"]
    matches("the request id", request, kit.UUID)
    check("START", f"START RequestId: {request} Version: $LATEST" in lines, lines)
    check("END", f"END RequestId: {request}" in lines, lines)
    check("what was printed", {"first line", "second line"} <= set(lines), lines)
    report = next((line for line in lines if line.startswith("REPORT ")), "")
    matches("REPORT", report, REPORT)
    check("REPORT is of this request", f"RequestId: {request}\t" in report, report)
    order = [lines.index(line) for line in lines if line.startswith(("START", "END", "REPORT"))]
    check("in order", order == sorted(order) and len(order) == 3, lines)
    answer = invoke("tail", {"op": "log", "lines": ["x" * 100] * 200}, LogType="Tail")
    check("at most 4096 bytes", 3000 < len(answer["tail"].encode()) <= 4096, len(answer["tail"]))
    check("the end is kept", "REPORT RequestId" in answer["tail"], answer["tail"][-300:])
    absent("LogType None", invoke("tail", 1, LogType="None"), "LogResult")
    refused(
        "another LogType",
        lambda: lam.invoke(FunctionName="tail", LogType="Head"),
        400,
        "ValidationException",
        re.compile(".*at 'logType' failed to satisfy constraint: .*enum value set: .*"),
    )


def function_errors():
    create("failing", Timeout=2)
    answer = invoke("failing", {"op": "error", "msg": "on purpose"}, LogType="Tail")
    equal("a handler's error: status", status_of(answer), 200)
    equal("FunctionError", answer["FunctionError"], "Unhandled")
    equal("errorMessage", answer["json"]["errorMessage"], "on purpose")
    equal("errorType", answer["json"]["errorType"], "Conformance.Error")
    equal("ExecutedVersion", answer["ExecutedVersion"], "$LATEST")
    check("the log has a REPORT", "REPORT RequestId" in answer["tail"], answer["tail"])

    answer = invoke("failing", {"op": "timeout"}, LogType="Tail")
    equal("a timeout: status", status_of(answer), 200)
    equal("a timeout: FunctionError", answer["FunctionError"], "Unhandled")
    equal("a timeout: errorType", answer["json"]["errorType"], "Sandbox.Timedout")
    request = headers_of(answer)["x-amzn-requestid"]
    equal(
        "a timeout: errorMessage",
        answer["json"]["errorMessage"],
        f"RequestId: {request} Error: Task timed out after 2.00 seconds",
    )
    check("REPORT: Status", "\tStatus: timeout\n" in answer["tail"], answer["tail"])
    check(
        "the timeout line",
        re.search(rf"Z {request} Task timed out after 2\.00 seconds\n", answer["tail"]),
        answer["tail"],
    )

    answer = invoke("failing", {"op": "exit", "code": 3}, LogType="Tail")
    equal("an exit: FunctionError", answer["FunctionError"], "Unhandled")
    equal("an exit: errorType", answer["json"]["errorType"], "Runtime.ExitError")
    request = headers_of(answer)["x-amzn-requestid"]
    equal(
        "an exit: errorMessage",
        answer["json"]["errorMessage"],
        f"RequestId: {request} Error: Runtime exited with error: exit status 3",
    )
    answer = invoke("failing", {"op": "text", "bytes": 6_291_557})
    equal("too large an answer", answer["json"]["errorType"], "Function.ResponseSizeTooLarge")
    text = "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
    equal("too large an answer: text", answer["json"]["errorMessage"], text)
    answer = invoke("failing", {"op": "text", "bytes": 6_291_556 - 2})
    absent("the largest answer", answer, "FunctionError")
    equal("the largest answer: length", len(answer["text"]), 6_291_556)


def refused_invocations():
    create("strict", Publish=True)
    found = refused(
        "a payload that is no JSON",
        lambda: lam.invoke(FunctionName="strict", Payload=b"{not json"),
        400,
        "InvalidRequestContentException",
        re.compile(
            "Could not parse request body into json: Could not parse payload into json: .+",
            re.DOTALL,
        ),
    )
    equal("it is the user's", found.get("Type"), "User")
    refused(
        "a payload in Latin-1",
        lambda: lam.invoke(FunctionName="strict", Payload=b'"\xe4"'),
        400,
        "InvalidRequestContentException",
    )
    large = b'"' + b"x" * (MAX_SYNC - 2) + b'"'
    answer = lam.invoke(FunctionName="strict", Payload=large)
    equal("the largest payload arrives", answer["StatusCode"], 200)
    refused(
        "one byte more",
        lambda: lam.invoke(FunctionName="strict", Payload=large + b" "),
        413,
        "RequestEntityTooLargeException",
        f"{MAX_SYNC + 1} byte payload is too large for the RequestResponse invocation type "
        f"(limit {MAX_SYNC} bytes)",
    )
    gone = "ResourceNotFoundException"
    for what, name, more, resource in (
        ("no function", "absent", {}, arn("absent")),
        ("no version", "strict", {"Qualifier": "7"}, arn("strict", "7")),
        ("no alias", "strict", {"Qualifier": "nope"}, arn("strict", "nope")),
        ("no alias in the name", "strict:nope", {}, arn("strict", "nope")),
    ):
        refused(
            what,
            lambda: lam.invoke(FunctionName=name, **more),
            404,
            gone,
            f"Function not found: {resource}",
        )
    text = "The derived qualifier from the function name does not match the specified qualifier."
    refused(
        "two qualifiers",
        lambda: lam.invoke(FunctionName="strict:1", Qualifier="$LATEST"),
        400,
        "InvalidParameterValueException",
        text,
    )
    refused(
        "an unknown invocation type",
        lambda: lam.invoke(FunctionName="strict", InvocationType="Later"),
        400,
        "ValidationException",
        re.compile(".*at 'invocationType' failed to satisfy constraint: .*enum value set: .*"),
    )


def dry_run():
    create("dry")
    answer = lam.invoke(FunctionName="dry", InvocationType="DryRun")
    equal("status", answer["StatusCode"], 204)
    equal("no body", answer["Payload"].read(), b"")
    refused(
        "of none",
        lambda: lam.invoke(FunctionName="absent", InvocationType="DryRun"),
        404,
        "ResourceNotFoundException",
        f"Function not found: {arn('absent')}",
    )


def event_type():
    """An event is taken with 202 and an empty body, or refused for what a call would be refused for."""
    create("later")
    event = {"op": "value", "value": 1}
    answer = lam.invoke(
        FunctionName="later", InvocationType="Event", Payload=json.dumps(event).encode()
    )
    equal("an event is accepted", answer["StatusCode"], 202)
    equal("without a body", answer["Payload"].read(), b"")
    absent("no version", answer, "ExecutedVersion")
    check("its id", status_of(answer) == 202 and headers_of(answer)["x-amzn-requestid"])
    answer = lam.invoke_async(FunctionName="later", InvokeArgs=b"{}")
    equal("InvokeAsync", answer["Status"], 202)
    refused(
        "an event that is no JSON",
        lambda: lam.invoke(FunctionName="later", InvocationType="Event", Payload=b"{not json"),
        400,
        "InvalidRequestContentException",
        None,
    )
    large = b'"' + b"x" * MAX_ASYNC + b'"'
    refused(
        "an event that is too large",
        lambda: lam.invoke(FunctionName="later", InvocationType="Event", Payload=large),
        413,
        "RequestEntityTooLargeException",
        None,
    )
    refused(
        "an event for none",
        lambda: lam.invoke(FunctionName="absent", InvocationType="Event"),
        404,
        "ResourceNotFoundException",
        f"Function not found: {arn('absent')}",
    )


def client_context():
    create("context")
    encode = lambda value: base64.b64encode(value.encode()).decode()  # noqa: E731
    said = encode(json.dumps({"custom": {"tenant": "blue"}, "client": {}, "env": {}}))
    answer = invoke("context", {"op": "value", "value": 1}, ClientContext=said)
    equal("a client context is taken", answer["json"], 1)
    for what, context in (
        ("is no base64", "%%%"),
        ("is no JSON", encode("{")),
        ("has more than 3583 bytes", encode(json.dumps({"custom": {"x": "y" * 4000}}))),
    ):
        try:
            lam.invoke(FunctionName="context", ClientContext=context)
            check(f"a client context that {what} is refused", False)
        except lam.exceptions.ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            check(f"a client context that {what}: 4xx", 400 <= status < 500, status)


def response_stream():
    create("streamed", Timeout=2)

    def stream(event, **more):
        answer = lam.invoke_with_response_stream(
            FunctionName="streamed", Payload=json.dumps(event), **more
        )
        chunks, complete = [], []
        for item in answer["EventStream"]:
            if "PayloadChunk" in item:
                check("the end comes last", not complete)
                chunks.append(item["PayloadChunk"]["Payload"])
            else:
                complete.append(item["InvokeComplete"])
        equal("one InvokeComplete", len(complete), 1)
        return answer, b"".join(chunks), (complete or [{}])[0]

    answer, payload, complete = stream({"op": "value", "value": {"ä": [1, 2]}}, LogType="Tail")
    equal("status", answer["StatusCode"], 200)
    equal("ExecutedVersion", answer["ExecutedVersion"], "$LATEST")
    kind = "application/vnd.amazon.eventstream"
    equal("content type", headers_of(answer)["content-type"], kind)
    equal("payload", json.loads(payload), {"ä": [1, 2]})
    absent("a success", complete, "ErrorCode", "ErrorDetails")
    tail = base64.b64decode(complete.get("LogResult", "")).decode()
    check("LogResult", "REPORT RequestId" in tail, tail)
    absent("without a tail", stream({"op": "value", "value": 1})[2], "LogResult")
    _, payload, complete = stream({"op": "error", "msg": "on purpose"})
    check("a failure has an ErrorCode", complete.get("ErrorCode"), complete)
    check("and details", "on purpose" in json.dumps([complete, payload.decode()]), complete)
    _, payload, complete = stream({"op": "timeout"})
    check("a timeout has an ErrorCode", complete.get("ErrorCode"), complete)
    large = stream({"op": "text", "bytes": 1_000_000})[1]
    equal("a large answer is whole", len(large), 1_000_002)
    refused(
        "no function",
        lambda: lam.invoke_with_response_stream(FunctionName="absent"),
        404,
        "ResourceNotFoundException",
        f"Function not found: {arn('absent')}",
    )
    refused(
        "no JSON",
        lambda: lam.invoke_with_response_stream(FunctionName="streamed", Payload=b"{"),
        400,
        "InvalidRequestContentException",
    )
    answer = lam.invoke_with_response_stream(FunctionName="streamed", InvocationType="DryRun")
    equal("DryRun", answer["StatusCode"], 204)


SECTIONS = [
    values,
    log_tail,
    function_errors,
    refused_invocations,
    dry_run,
    event_type,
    client_context,
    response_stream,
]
