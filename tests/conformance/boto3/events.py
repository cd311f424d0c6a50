"""Asynchronous invocation: what a destination hears of it, and that each attempt is billed once."""

import json
import urllib.request

import kit
from aws import ENDPOINT, REGION, arn, create, lam, logs, session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from harness import absent, check, equal, eventually, matches

RECORD = "record "


def accepted(name, event):
    """Invokes asynchronously; the event's id."""
    answer = lam.invoke(
        FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode()
    )
    equal("accepted", answer["StatusCode"], 202)
    equal("no body", answer["Payload"].read(), b"")
    absent("no version has run", answer, "ExecutedVersion", "FunctionError")
    request_id = answer["ResponseMetadata"]["RequestId"]
    matches("request id", request_id, kit.UUID)
    return request_id


def heard(name, request_id):
    """The record of an event that the function `name` has heard of, and logged."""

    def look():
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=f"/aws/lambda/{name}", filterPattern=f'"{request_id}"'
        )
        found = [event["message"] for page in pages for event in page["events"]]
        return [text for text in found if text.startswith(RECORD)]

    records = eventually(f"`{name}` hears of {request_id}", look) or [RECORD + "{}"]
    equal("it hears once", len(records), 1)
    return json.loads(records[0][len(RECORD) :])


def bills(name, request_id):
    """The records of the ledger for an event: attempt, status, milliseconds, charge."""
    request = AWSRequest("GET", f"{ENDPOINT}/mayfly/billing?function={name}&limit=1000")
    SigV4Auth(session.get_credentials(), "mayfly", REGION).add_auth(request)
    request = urllib.request.Request(request.url, headers=dict(request.headers))
    with urllib.request.urlopen(request, timeout=60) as answer:
        entries = json.load(answer)
    entries = [entry for entry in entries if entry["request_id"] == request_id]
    return sorted(entries, key=lambda entry: entry["attempt"])


def check_bills(name, request_id, statuses):
    """One bill for each attempt, no more and no less."""
    found = bills(name, request_id)
    equal("attempts", [bill["attempt"] for bill in found], list(range(1, len(statuses) + 1)))
    equal("statuses", [bill["status"] for bill in found], statuses)
    for bill in found:
        equal("trigger", bill["trigger"], "event")
        check("it is billed", bill["billed_ms"] > 0 and bill["charge_picousd"] > 0, bill)


def destinations():
    create("told-good")
    create("told-bad")
    create("telling", Publish=True)
    lam.put_function_event_invoke_config(
        FunctionName="telling",
        DestinationConfig={
            "OnSuccess": {"Destination": arn("told-good")},
            "OnFailure": {"Destination": arn("told-bad")},
        },
    )

    event = {"op": "value", "value": {"n": 7}}
    request_id = accepted("telling", event)
    record = heard("told-good", request_id)
    members = (
        "version",
        "timestamp",
        "requestContext",
        "requestPayload",
        "responseContext",
        "responsePayload",
    )
    equal("members", sorted(record), sorted(members))
    equal("version", record["version"], "1.0")
    matches("timestamp", record["timestamp"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    context = {
        "requestId": request_id,
        "functionArn": arn("telling", "$LATEST"),
        "condition": "Success",
        "approximateInvokeCount": 1,
    }
    equal("requestContext", record["requestContext"], context)
    equal("requestPayload", record["requestPayload"], event)
    want = {"statusCode": 200, "executedVersion": "$LATEST"}
    equal("responseContext", record["responseContext"], want)
    equal("responsePayload", record["responsePayload"], {"n": 7})
    check_bills("telling", request_id, ["success"])

    request_id = accepted("telling", {"op": "error", "msg": "no"})
    record = heard("told-bad", request_id)
    equal("condition", record["requestContext"]["condition"], "RetriesExhausted")
    equal("approximateInvokeCount", record["requestContext"]["approximateInvokeCount"], 3)
    equal("functionError", record["responseContext"]["functionError"], "Unhandled")
    equal("errorMessage", record["responsePayload"]["errorMessage"], "no")
    check_bills("telling", request_id, ["error", "error", "error"])

    lam.put_function_event_invoke_config(
        FunctionName="telling",
        Qualifier="1",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": "told-bad"}},
    )
    request_id = accepted("telling:1", {"op": "error", "msg": "once"})
    record = heard("told-bad", request_id)
    check("the version is named", record["requestContext"]["functionArn"].endswith(":1"), record)
    equal("executedVersion", record["responseContext"]["executedVersion"], "1")
    check_bills("telling", request_id, ["error"])


def dead_letter_configs():
    """Dead letters are kept by the server; there is no queue to send them to."""
    create("lettered", DeadLetterConfig={"TargetArn": ""})
    try:
        lam.update_function_configuration(
            FunctionName="lettered",
            DeadLetterConfig={"TargetArn": f"arn:aws:sqs:{REGION}:{kit.ACCOUNT}:dead"},
        )
        check("a queue for dead letters is refused", False)
    except lam.exceptions.InvalidParameterValueException as error:
        check("it says what to do", "OnFailure" in str(error), str(error))
    configuration = lam.get_function_configuration(FunctionName="lettered")
    absent("nothing was set", configuration, "DeadLetterConfig")


SECTIONS = [destinations, dead_letter_configs]
