"""Functions that change: configuration, code, deletion; and the list of all."""

import base64
import hashlib
import io
import re
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import kit
from aws import arn, create, invoke, lam, refused, status_of, unchecked
from harness import absent, check, equal, present


def update_configuration():
    before = create("changed", Environment={"Variables": {"ONE": "1", "TWO": "2"}})
    answer = lam.update_function_configuration(
        FunctionName="changed",
        Description="new",
        Timeout=11,
        MemorySize=512,
        Handler="other",
        Role=kit.ROLE + "2",
        Environment={"Variables": {"THREE": "3"}},
    )
    equal("status", status_of(answer), 200)
    equal("Description", answer["Description"], "new")
    equal("Timeout", answer["Timeout"], 11)
    equal("MemorySize", answer["MemorySize"], 512)
    equal("Handler", answer["Handler"], "other")
    equal("Role", answer["Role"], kit.ROLE + "2")
    equal("Environment is replaced whole", answer["Environment"], {"Variables": {"THREE": "3"}})
    equal("CodeSha256 stays", answer["CodeSha256"], before["CodeSha256"])
    check("RevisionId changes", answer["RevisionId"] != before["RevisionId"])
    lam.get_waiter("function_updated_v2").wait(FunctionName="changed", WaiterConfig={"Delay": 1})
    found = lam.get_function_configuration(FunctionName="changed")
    equal("it is what is read", found["Timeout"], 11)
    equal("LastUpdateStatus", found["LastUpdateStatus"], "Successful")
    equal("new variables run", invoke("changed", {"op": "environment", "name": "THREE"})["json"], "3")
    equal("old ones are gone", invoke("changed", {"op": "environment", "name": "ONE"})["json"], None)
    equal("memory runs", invoke("changed", {"op": "context"})["json"]["memoryMb"], 512)

    kept = lam.update_function_configuration(FunctionName="changed", Timeout=12)
    equal("what is not named stays", (kept["Description"], kept["MemorySize"]), ("new", 512))
    equal("the environment too", kept["Environment"], {"Variables": {"THREE": "3"}})
    text = (
        "The Revision Id provided does not match the latest Revision Id. Call the "
        "GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
    stale = before["RevisionId"]
    for what, call in (
        (
            "configuration",
            lambda: lam.update_function_configuration(
                FunctionName="changed", Timeout=1, RevisionId=stale
            ),
        ),
        (
            "code",
            lambda: lam.update_function_code(
                FunctionName="changed", ZipFile=kit.zipped(), RevisionId=stale
            ),
        ),
        ("version", lambda: lam.publish_version(FunctionName="changed", RevisionId=stale)),
    ):
        refused(f"a stale RevisionId: {what}", call, 412, "PreconditionFailedException", text)
    equal("nothing changed", lam.get_function_configuration(FunctionName="changed")["Timeout"], 12)
    latest = lam.get_function_configuration(FunctionName="changed")["RevisionId"]
    lam.update_function_configuration(FunctionName="changed", Timeout=13, RevisionId=latest)
    check("the latest RevisionId is taken", True)
    refused(
        "an unknown function",
        lambda: lam.update_function_configuration(FunctionName="absent", Timeout=3),
        404,
        "ResourceNotFoundException",
        f"Function not found: {arn('absent')}",
    )
    refused(
        "a timeout out of range",
        lambda: unchecked.update_function_configuration(FunctionName="changed", Timeout=0),
        400,
        "ValidationException",
        re.compile(
            "1 validation error detected: Value '0' at 'timeout' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1"
        ),
    )


def update_code():
    before = create("coded")
    other = kit.custom_section("salt", "two")
    other_zip = kit.zipped(("bootstrap.wasm", other))
    trial = lam.update_function_code(FunctionName="coded", ZipFile=other_zip, DryRun=True)
    equal("DryRun: CodeSize of the new", trial["CodeSize"], len(other_zip))
    found = lam.get_function_configuration(FunctionName="coded")
    equal("DryRun changes nothing", found["CodeSha256"], before["CodeSha256"])
    answer = lam.update_function_code(FunctionName="coded", ZipFile=other_zip)
    equal("status", status_of(answer), 200)
    sha = base64.b64encode(hashlib.sha256(other_zip).digest()).decode()
    equal("CodeSha256", answer["CodeSha256"], sha)
    equal("CodeSize", answer["CodeSize"], len(other_zip))
    check("RevisionId changes", answer["RevisionId"] != before["RevisionId"])
    lam.get_waiter("function_updated").wait(FunctionName="coded", WaiterConfig={"Delay": 1})
    equal("it runs", invoke("coded", {"op": "value", "value": "new"})["json"], "new")
    with urllib.request.urlopen(
        lam.get_function(FunctionName="coded")["Code"]["Location"]
    ) as download:
        archive = zipfile.ZipFile(io.BytesIO(download.read()))
    equal("what is stored is the new module", archive.read(archive.namelist()[0]), other)
    answer = lam.update_function_code(FunctionName="coded", ZipFile=kit.zipped(), Publish=True)
    equal("Publish makes a version", answer["Version"], "1")
    invalid = "InvalidParameterValueException"
    refused(
        "a bad zip",
        lambda: lam.update_function_code(FunctionName="coded", ZipFile=b"bad"),
        400,
        invalid,
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    )
    refused(
        "an image",
        lambda: lam.update_function_code(FunctionName="coded", ImageUri="a/b:c"),
        400,
        invalid,
        "Please don't provide ImageUri when updating a function with packageType Zip.",
    )
    refused(
        "an unknown function",
        lambda: lam.update_function_code(FunctionName="absent", ZipFile=kit.zipped()),
        404,
        "ResourceNotFoundException",
        f"Function not found: {arn('absent')}",
    )
    refused(
        "a version is immutable",
        lambda: lam.update_function_code(FunctionName="coded:1", ZipFile=kit.zipped()),
        400,
        invalid,
    )
    equal("after all that it runs", invoke("coded", {"op": "value", "value": 1})["json"], 1)


def delete_function():
    create("doomed", Publish=True)
    lam.create_alias(FunctionName="doomed", Name="live", FunctionVersion="1")
    text = "$LATEST version cannot be deleted without deleting the function."
    refused(
        "$LATEST",
        lambda: lam.delete_function(FunctionName="doomed", Qualifier="$LATEST"),
        400,
        "InvalidParameterValueException",
        text,
    )
    equal("status", status_of(lam.delete_function(FunctionName="doomed")), 204)
    gone = "ResourceNotFoundException"
    text = f"Function not found: {arn('doomed')}"
    refused("it is gone", lambda: lam.get_function(FunctionName="doomed"), 404, gone, text)
    refused("twice", lambda: lam.delete_function(FunctionName="doomed"), 404, gone, text)
    refused(
        "a version of none",
        lambda: lam.delete_function(FunctionName="doomed", Qualifier="1"),
        404,
        gone,
        text,
    )
    refused("invoking it", lambda: invoke("doomed", 1), 404, gone, text)
    again = create("doomed")
    equal("the name is free again, without versions", again["Version"], "$LATEST")
    listed = lam.list_versions_by_function(FunctionName="doomed")["Versions"]
    equal("no version came back", [one["Version"] for one in listed], ["$LATEST"])
    equal("no alias came back", lam.list_aliases(FunctionName="doomed")["Aliases"], [])


def list_functions():
    for number in range(4):
        create(f"listed-{number}", Publish=number == 0)
    pages = list(lam.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    names = [function["FunctionName"] for page in pages for function in page["Functions"]]
    check("pages hold two", all(len(page["Functions"]) <= 2 for page in pages))
    check("there are several pages", len(pages) >= 2, len(pages))
    absent("the last page has no marker", pages[-1], "NextMarker")
    equal("nobody is listed twice", len(names), len(set(names)))
    check("all are listed", {f"listed-{number}" for number in range(4)} <= set(names), names)
    one = lam.get_paginator("list_functions").paginate(PaginationConfig={"MaxItems": 1})
    result = one.build_full_result()
    equal("MaxItems=1", len(result["Functions"]), 1)
    check("MaxItems=1 can go on", result.get("NextToken"), result.get("NextToken"))
    functions = lam.list_functions()["Functions"]
    listed = next(one for one in functions if one["FunctionName"] == "listed-0")
    equal("ARN is unqualified", listed["FunctionArn"], arn("listed-0"))
    absent("a list has no state", listed, "State", "LastUpdateStatus", "StateReason")
    present("a list has the rest", listed, "CodeSha256", "Runtime", "LastModified", "RevisionId")
    everything = [
        version["FunctionArn"]
        for page in lam.get_paginator("list_functions").paginate(FunctionVersion="ALL")
        for version in page["Functions"]
    ]
    check("ALL: $LATEST", arn("listed-0", "$LATEST") in everything, everything)
    check("ALL: version 1", arn("listed-0", "1") in everything, everything)
    refused(
        "a marker that is none",
        lambda: lam.list_functions(Marker="nonsense"),
        400,
        "InvalidParameterValueException",
    )
    refused("MaxItems=0", lambda: unchecked.list_functions(MaxItems=0), 400, "ValidationException")
    refused(
        "MaxItems=10001", lambda: lam.list_functions(MaxItems=10_001), 400, "ValidationException"
    )


def concurrent_updates():
    """Of several updates with one RevisionId, exactly one wins."""
    create("raced")
    revision = lam.get_function_configuration(FunctionName="raced")["RevisionId"]

    def attempt(number):
        try:
            lam.update_function_configuration(
                FunctionName="raced", Description=str(number), RevisionId=revision
            )
            return "won"
        except lam.exceptions.PreconditionFailedException:
            return "lost"

    with ThreadPoolExecutor(8) as pool:
        outcomes = sorted(pool.map(attempt, range(8)))
    equal("one winner", outcomes, ["lost"] * 7 + ["won"])


SECTIONS = [
    update_configuration,
    update_code,
    delete_function,
    list_functions,
    concurrent_updates,
]
