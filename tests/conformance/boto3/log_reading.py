"""CloudWatch Logs: groups, streams, filtering, reading, live tail."""

import re
import threading
import time

import kit
from aws import REGION, create, headers_of, invoke, lam, logs, refused, status_of
from harness import absent, check, equal, eventually, matches, present

GONE = "ResourceNotFoundException"
INVALID = "InvalidParameterException"
NO_GROUP = "The specified log group does not exist."


def group(name):
    """The name of a function's log group."""
    return f"/aws/lambda/{name}"


def messages(name, **more):
    """All messages that `FilterLogEvents` finds, without line ends."""
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group(name), **more)
    return [event["message"].rstrip("\n") for page in pages for event in page["events"]]


def spoken(name, *lines):
    """Deploys a function that has logged these lines; waits until they can be read."""
    create(name)
    invoke(name, {"op": "log", "lines": list(lines)})
    eventually("the report is in the log", lambda: any("REPORT" in line for line in messages(name)))


def groups():
    spoken("grouped", "x")
    create("grouped-too")
    found = logs.describe_log_groups(logGroupNamePrefix=group("grouped"))["logGroups"]
    names = [one["logGroupName"] for one in found]
    check("the group of a function that ran", group("grouped") in names, names)
    check("the group of a function that did not", group("grouped-too") in names, names)
    one = found[names.index(group("grouped"))]
    base = f"arn:aws:logs:{REGION}:{kit.ACCOUNT}:log-group:{group('grouped')}"
    equal("arn", one["arn"], f"{base}:*")
    equal("logGroupArn", one.get("logGroupArn"), base)
    equal("metricFilterCount", one["metricFilterCount"], 0)
    equal("logGroupClass", one.get("logGroupClass"), "STANDARD")
    now = time.time() * 1000
    check("creationTime is in ms", now - 600_000 < one["creationTime"] < now + 60_000, one)
    present("storedBytes", one, "storedBytes")
    found = logs.describe_log_groups(logGroupNamePattern="ouped-to")["logGroups"]
    names = [one["logGroupName"] for one in found]
    equal("by pattern", names, [group("grouped-too")])
    pages = list(
        logs.get_paginator("describe_log_groups").paginate(
            logGroupNamePrefix=group("grouped"), PaginationConfig={"PageSize": 1}
        )
    )
    equal("pages of one", sum(len(page["logGroups"]) for page in pages), 2)
    absent("the last page", pages[-1], "nextToken")
    refused(
        "prefix and pattern",
        lambda: logs.describe_log_groups(logGroupNamePrefix="a", logGroupNamePattern="b"),
        400,
        INVALID,
        "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.",
    )
    refused(
        "a token that is none",
        lambda: logs.describe_log_groups(nextToken="nonsense"),
        400,
        INVALID,
        "The specified nextToken is invalid.",
    )


def streams():
    spoken("streamed-log", "x")
    found = logs.describe_log_streams(logGroupName=group("streamed-log"))["logStreams"]
    check("there is one", found)
    one = found[0]
    day = r"\d{4}/\d\d/\d\d/\[\$LATEST\]"
    matches("its name", one["logStreamName"], day + r"[0-9a-f]{32}")
    base = f"arn:aws:logs:{REGION}:{kit.ACCOUNT}:log-group:{group('streamed-log')}"
    equal("its arn", one["arn"], f"{base}:log-stream:{one['logStreamName']}")
    present("times", one, "creationTime", "firstEventTimestamp", "lastEventTimestamp")
    equal("storedBytes", one.get("storedBytes"), 0)
    newest = logs.describe_log_streams(
        logGroupName=group("streamed-log"), orderBy="LastEventTime", descending=True, limit=50
    )["logStreams"]
    times = [one["lastEventTimestamp"] for one in newest]
    equal("by last event, newest first", times, sorted(times, reverse=True))
    refused(
        "no group",
        lambda: logs.describe_log_streams(logGroupName="/aws/lambda/absent"),
        400,
        GONE,
        NO_GROUP,
    )
    refused(
        "prefix with LastEventTime",
        lambda: logs.describe_log_streams(
            logGroupName=group("streamed-log"), logStreamNamePrefix="2", orderBy="LastEventTime"
        ),
        400,
        INVALID,
    )


def filtering():
    spoken(
        "filtered",
        "ERROR disk is full",
        "WARN disk is slow",
        "INFO all is well",
        "a quoted phrase here",
        '{"level":"ERROR","code":7}',
    )
    lines = messages("filtered")
    check("START is there", any(line.startswith("START RequestId: ") for line in lines), lines)
    check("END is there", any(line.startswith("END RequestId: ") for line in lines), lines)
    start = next(at for at, line in enumerate(lines) if line.startswith("START"))
    end = next(at for at, line in enumerate(lines) if line.startswith("END"))
    check("what was printed lies between", start < lines.index("INFO all is well") < end, lines)

    for pattern, want in (
        ("disk", ["ERROR disk is full", "WARN disk is slow"]),
        ("disk full", ["ERROR disk is full"]),
        ('"quoted phrase"', ["a quoted phrase here"]),
        ("?full ?slow", ["ERROR disk is full", "WARN disk is slow"]),
        ("disk -slow", ["ERROR disk is full"]),
        ("Disk", []),
        ("%is (full|slow)%", ["ERROR disk is full", "WARN disk is slow"]),
    ):
        try:
            found = messages("filtered", filterPattern=pattern)
        except logs.exceptions.InvalidParameterException as error:
            found = str(error)
        equal(f"pattern {pattern}", found, want)
    everything = messages("filtered", filterPattern="")
    equal("an empty pattern", everything, lines)
    for pattern in ('{ $.level = "ERROR" }', "[a, b]"):
        try:
            found = messages("filtered", filterPattern=pattern)
            wants = ['{"level":"ERROR","code":7}'] if pattern.startswith("{") else found
            equal(f"pattern {pattern}", found, wants)
        except logs.exceptions.InvalidParameterException as error:
            text = error.response["Error"]["Message"]
            check(f"pattern {pattern} is refused by name", "nvalid filter pattern" in text, text)
    refused(
        "a pattern that is none",
        lambda: messages("filtered", filterPattern='"open'),
        400,
        INVALID,
    )

    answer = logs.filter_log_events(logGroupName=group("filtered"))
    equal("searchedLogStreams", answer.get("searchedLogStreams"), [])
    absent("one page is all", answer, "nextToken")
    event = answer["events"][0]
    present("an event", event, "logStreamName", "timestamp", "message", "ingestionTime", "eventId")
    ids = [one["eventId"] for one in answer["events"]]
    equal("eventIds are unique", len(set(ids)), len(ids))
    again = logs.filter_log_events(logGroupName=group("filtered"))
    equal("and stable", [one["eventId"] for one in again["events"]], ids)
    times = [one["timestamp"] for one in answer["events"]]
    equal("by time", times, sorted(times))
    first, last = times[0], times[-1]
    inclusive = logs.filter_log_events(
        logGroupName=group("filtered"), startTime=first, endTime=last
    )
    equal("start and end are inclusive", len(inclusive["events"]), len(times))
    later = logs.filter_log_events(logGroupName=group("filtered"), startTime=last + 1)
    equal("nothing is later", later["events"], [])
    named = logs.filter_log_events(
        logGroupName=group("filtered"), logStreamNames=[event["logStreamName"]]
    )
    check("by stream", len(named["events"]) > 0)
    by_prefix = logs.filter_log_events(logGroupName=group("filtered"), logStreamNamePrefix="2")
    equal("by prefix", len(by_prefix["events"]), len(times))
    by_arn = logs.filter_log_events(
        logGroupIdentifier=f"arn:aws:logs:{REGION}:{kit.ACCOUNT}:log-group:{group('filtered')}"
    )
    equal("by ARN", len(by_arn["events"]), len(times))


def paging():
    spoken("paged", *[f"line {number:03}" for number in range(40)])
    want = messages("paged")
    check("all lines are there", sum("line " in line for line in want) == 40, len(want))
    found, token, pages = [], None, 0
    while True:
        more = {"nextToken": token} if token else {}
        page = logs.filter_log_events(logGroupName=group("paged"), limit=5, **more)
        if not check("a page holds at most five", len(page["events"]) <= 5):
            break
        found += [event["message"].rstrip("\n") for event in page["events"]]
        token, pages = page.get("nextToken"), pages + 1
        if not token or not check("paging ends", pages < 100):
            break
    equal("pages hold all, once and in order", found, want)
    refused(
        "a limit above 10000",
        lambda: logs.filter_log_events(logGroupName=group("paged"), limit=10_001),
        400,
        INVALID,
        "1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: "
        "Member must have value less than or equal to 10000",
    )
    refused(
        "a token that is none",
        lambda: logs.filter_log_events(logGroupName=group("paged"), nextToken="nonsense"),
        400,
        INVALID,
        "The specified nextToken is invalid.",
    )
    refused(
        "no group",
        lambda: logs.filter_log_events(logGroupName="/aws/lambda/absent"),
        400,
        GONE,
        NO_GROUP,
    )
    refused(
        "name and identifier",
        lambda: logs.filter_log_events(
            logGroupName=group("paged"), logGroupIdentifier=group("paged")
        ),
        400,
        "ValidationException",
        "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
    )


def reading():
    spoken("read-log", *[f"line {number:02}" for number in range(20)])
    name = group("read-log")
    stream = logs.describe_log_streams(logGroupName=name, orderBy="LastEventTime", descending=True)[
        "logStreams"
    ][0]["logStreamName"]
    found, token = [], None
    for _ in range(100):
        more = {"nextToken": token} if token else {}
        page = logs.get_log_events(
            logGroupName=name, logStreamName=stream, startFromHead=True, limit=7, **more
        )
        present("both tokens", page, "nextForwardToken", "nextBackwardToken")
        found += [event["message"].rstrip("\n") for event in page["events"]]
        if token == page["nextForwardToken"]:
            equal("the end has no events", page["events"], [])
            break
        token = page["nextForwardToken"]
    else:
        check("the same token marks the end", False)
    lines = [line for line in found if line.startswith("line ")]
    equal("all lines, in order", lines, [f"line {number:02}" for number in range(20)])
    tail = logs.get_log_events(logGroupName=name, logStreamName=stream, limit=1)["events"]
    check("from the end", len(tail) == 1 and tail[0]["message"].startswith("REPORT"), tail)
    present("an event", tail[0], "timestamp", "message", "ingestionTime")
    last = tail[0]["timestamp"]
    page = logs.get_log_events(
        logGroupName=name, logStreamName=stream, startFromHead=True, endTime=last
    )
    check("endTime is exclusive", all(one["timestamp"] < last for one in page["events"]))
    refused(
        "no stream",
        lambda: logs.get_log_events(logGroupName=name, logStreamName="absent"),
        400,
        GONE,
        "The specified log stream does not exist.",
    )
    refused(
        "no group",
        lambda: logs.get_log_events(logGroupName="/aws/lambda/absent", logStreamName="x"),
        400,
        GONE,
        NO_GROUP,
    )


def live_tail():
    spoken("live", "before")
    identifier = f"arn:aws:logs:{REGION}:{kit.ACCOUNT}:log-group:{group('live')}"
    answer = logs.start_live_tail(
        logGroupIdentifiers=[identifier], logEventFilterPattern='"live line"'
    )
    kind = "application/vnd.amazon.eventstream"
    equal("content type", headers_of(answer).get("content-type"), kind)
    stopped = threading.Event()

    def speak():
        while not stopped.wait(0.5):
            invoke("live", {"op": "log", "lines": ["live line", "other line"]})

    speaker = threading.Thread(target=speak)
    results, updates = [], 0
    stream = answer["responseStream"]
    try:
        for event in stream:
            if "sessionStart" in event:
                start = event["sessionStart"]
                named = start.get("logGroupIdentifiers", [])
                check("logGroupIdentifiers", [one for one in named if group("live") in one], start)
                equal("the filter", start.get("logEventFilterPattern"), '"live line"')
                present("ids", start, "requestId", "sessionId")
                speaker.start()
            else:
                check("an update", "sessionUpdate" in event, event)
                update = event["sessionUpdate"]
                equal("not sampled", update["sessionMetadata"], {"sampled": False})
                results += update["sessionResults"]
                updates += 1
            if results or updates > 30:
                break
    finally:
        stopped.set()
        stream.close()
        if speaker.is_alive():
            speaker.join()
    check("what is logged now arrives", results, f"{updates} updates")
    for one in results[:1]:
        equal("message", one["message"].rstrip("\n"), "live line")
        present("a result", one, "logStreamName", "timestamp", "ingestionTime")
        equal("logGroupIdentifier", one["logGroupIdentifier"], f"{kit.ACCOUNT}:{group('live')}")
    # boto3 gives an error before the stream starts like any other.
    refused(
        "no group",
        lambda: logs.start_live_tail(
            logGroupIdentifiers=[
                f"arn:aws:logs:{REGION}:{kit.ACCOUNT}:log-group:/aws/lambda/absent"
            ]
        ),
        400,
        GONE,
        re.compile(".+"),
    )


def versions_log_apart():
    create("twofold", Publish=True)
    invoke("twofold:1", {"op": "log", "lines": ["from one"]})
    eventually("it is logged", lambda: "from one" in messages("twofold"))
    found = logs.describe_log_streams(logGroupName=group("twofold"))["logStreams"]
    names = [one["logStreamName"] for one in found]
    check("the stream names the version", any("/[1]" in name for name in names), names)


def unknown_operation():
    for what, call in (
        ("DescribeMetricFilters", lambda: logs.describe_metric_filters()),
        (
            "StartQuery",
            lambda: logs.start_query(
                logGroupName=group("paged"), startTime=0, endTime=1, queryString="fields @message"
            ),
        ),
    ):
        try:
            call()
            check(f"{what} is refused", False)
        except logs.exceptions.ClientError as error:
            equal(f"{what}: status", status_of(error.response), 400)
            equal(f"{what}: code", error.response["Error"]["Code"], "UnknownOperationException")


def deleted_with_the_function():
    spoken("short-lived", "x")
    lam.delete_function(FunctionName="short-lived")
    create("short-lived")
    check("a new function of that name can be read", messages("short-lived") is not None)


SECTIONS = [
    groups,
    streams,
    filtering,
    paging,
    reading,
    live_tail,
    versions_log_apart,
    unknown_operation,
    deleted_with_the_function,
]
