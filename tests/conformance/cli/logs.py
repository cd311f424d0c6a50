"""Logs by the CLI: reading, and `logs tail` where there is one (version 2)."""

import os
import re
import subprocess

import harness
from command import AWS, FOLDER, MAJOR, Answer, aws, create, invoke, refused
from harness import check, equal


def logs():
    create("spoken")
    invoke("spoken", {"op": "log", "lines": ["ERROR one", "INFO two"]})
    group = "/aws/lambda/spoken"
    groups = aws(
        "logs",
        "describe-log-groups",
        "--log-group-name-prefix",
        group,
        "--query",
        "logGroups[].logGroupName",
    ).json
    equal("describe-log-groups", groups, [group])
    found = harness.eventually(
        "filter-log-events",
        lambda: (
            Answer(
                [
                    "logs",
                    "filter-log-events",
                    "--log-group-name",
                    group,
                    "--filter-pattern",
                    "ERROR",
                    "--query",
                    "events[].message",
                ]
            ).json
        ),
    )
    equal("what matches", [line.rstrip("\n") for line in found or []], ["ERROR one"])
    stream = aws(
        "logs",
        "describe-log-streams",
        "--log-group-name",
        group,
        "--order-by",
        "LastEventTime",
        "--descending",
        "--query",
        "logStreams[0].logStreamName",
        "--output",
        "text",
    ).out.strip()
    read = aws(
        "logs",
        "get-log-events",
        "--log-group-name",
        group,
        "--log-stream-name",
        stream,
        "--start-from-head",
    ).json
    lines = [event["message"].rstrip("\n") for event in read["events"]]
    check("get-log-events", {"ERROR one", "INFO two"} <= set(lines), lines)
    refused(
        "no group",
        "ResourceNotFoundException",
        "logs",
        "filter-log-events",
        "--log-group-name",
        "/aws/lambda/none",
    )
    if MAJOR == 1:
        return
    tail = aws("logs", "tail", group, "--since", "10m").out
    check(
        "tail",
        re.search(r"START RequestId.*ERROR one.*INFO two.*REPORT RequestId", tail, re.DOTALL),
        tail,
    )
    tail = aws(
        "logs", "tail", group, "--since", "10m", "--format", "short", "--filter-pattern", "two"
    ).out
    equal(
        "tail with a pattern", [line.split(" ", 1)[1] for line in tail.splitlines()], ["INFO two"]
    )
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
        harness.eventually(
            "what comes later is printed", lambda: "a later line" in path.read_text(), 60
        )
        invoke("spoken", {"op": "log", "lines": ["the last line"]})
        harness.eventually("and later still", lambda: "the last line" in path.read_text(), 60)
    finally:
        tail.terminate()
        tail.wait(timeout=30)
    text = path.read_text()
    for line in ("ERROR one", "INFO two", "a later line", "the last line"):
        equal(f"`{line}` is printed once", text.count(line), 1)
