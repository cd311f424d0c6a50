"""Versions, aliases and weights."""

import kit
from aws import arn, create, invoke, lam, refused, status_of, unchecked
from harness import absent, check, equal, matches

GONE = "ResourceNotFoundException"
INVALID = "InvalidParameterValueException"


def publish():
    latest = create("versioned")
    answer = lam.publish_version(FunctionName="versioned", Description="the first")
    equal("status", status_of(answer), 201)
    equal("Version", answer["Version"], "1")
    equal("FunctionArn", answer["FunctionArn"], arn("versioned", "1"))
    equal("Description", answer["Description"], "the first")
    equal("CodeSha256", answer["CodeSha256"], latest["CodeSha256"])
    lam.get_waiter("published_version_active").wait(
        FunctionName="versioned", Qualifier="1", WaiterConfig={"Delay": 1}
    )
    again = lam.publish_version(FunctionName="versioned")
    equal("nothing changed: the same version", again["Version"], "1")
    equal("nothing changed: the same revision", again["RevisionId"], answer["RevisionId"])
    lam.update_function_configuration(FunctionName="versioned", Timeout=9)
    wrong = "A" * 43 + "="
    refused(
        "another CodeSha256",
        lambda: lam.publish_version(FunctionName="versioned", CodeSha256=wrong),
        400,
        INVALID,
        f"CodeSHA256 ({wrong}) is different from current CodeSHA256 in $LATEST "
        f"({latest['CodeSha256']}). Please try again with the CodeSHA256 in $LATEST.",
    )
    second = lam.publish_version(FunctionName="versioned", CodeSha256=latest["CodeSha256"])
    equal("a change: the next version", second["Version"], "2")
    first = lam.get_function_configuration(FunctionName="versioned", Qualifier="1")
    equal("version 1 is as it was", (first["Timeout"], first["Version"]), (3, "1"))
    equal("its ARN", first["FunctionArn"], arn("versioned", "1"))
    listed = lam.list_versions_by_function(FunctionName="versioned")["Versions"]
    equal("order", [one["Version"] for one in listed], ["$LATEST", "1", "2"])
    equal("the ARN of $LATEST", listed[0]["FunctionArn"], arn("versioned", "$LATEST"))
    absent("a list has no state", listed[1], "State", "LastUpdateStatus")
    pages = list(
        lam.get_paginator("list_versions_by_function").paginate(
            FunctionName="versioned", PaginationConfig={"PageSize": 1}
        )
    )
    found = [one["Version"] for page in pages for one in page["Versions"]]
    equal("pages of one", found, ["$LATEST", "1", "2"])
    answer = invoke("versioned", {"op": "context"}, Qualifier="1")
    equal("ExecutedVersion", answer["ExecutedVersion"], "1")
    equal("the function knows", answer["json"]["functionVersion"], "1")
    equal("the ARN as addressed", answer["json"]["functionArn"], arn("versioned", "1"))
    answer = invoke("versioned", {"op": "context"}, Qualifier="1", LogType="Tail")
    check("START names the version", " Version: 1\n" in answer["tail"], answer["tail"])
    refused(
        "a version's configuration is immutable",
        lambda: lam.update_function_configuration(FunctionName="versioned:1", Timeout=5),
        400,
        INVALID,
    )
    equal(
        "one version can go",
        status_of(lam.delete_function(FunctionName="versioned", Qualifier="1")),
        204,
    )
    refused(
        "it is gone",
        lambda: lam.get_function(FunctionName="versioned", Qualifier="1"),
        404,
        GONE,
        f"Function not found: {arn('versioned', '1')}",
    )
    lam.update_function_configuration(FunctionName="versioned", Timeout=10)
    third = lam.publish_version(FunctionName="versioned")
    equal("numbers are not used again", third["Version"], "3")
    refused(
        "of none",
        lambda: lam.publish_version(FunctionName="absent"),
        404,
        GONE,
        f"Function not found: {arn('absent')}",
    )
    refused(
        "versions of none",
        lambda: lam.list_versions_by_function(FunctionName="absent"),
        404,
        GONE,
        f"Function not found: {arn('absent')}",
    )


def aliases():
    create("aliased", Publish=True)
    lam.update_function_code(
        FunctionName="aliased",
        ZipFile=kit.zipped(("bootstrap.wasm", kit.custom_section("salt", "second"))),
    )
    lam.publish_version(FunctionName="aliased")
    answer = lam.create_alias(FunctionName="aliased", Name="live", FunctionVersion="1")
    equal("status", status_of(answer), 201)
    equal("AliasArn", answer["AliasArn"], arn("aliased", "live"))
    equal("Name", answer["Name"], "live")
    equal("FunctionVersion", answer["FunctionVersion"], "1")
    equal("Description", answer["Description"], "")
    matches("RevisionId", answer["RevisionId"], kit.UUID)
    absent("without weights", answer, "RoutingConfig")
    found = lam.get_alias(FunctionName="aliased", Name="live")
    equal("it is read again", found["RevisionId"], answer["RevisionId"])

    for what, name, more in (
        ("Qualifier", "aliased", {"Qualifier": "live"}),
        ("name:alias", "aliased:live", {}),
        ("ARN", arn("aliased", "live"), {}),
    ):
        invoked = invoke(name, {"op": "context"}, **more)
        equal(f"invoked by {what}: ExecutedVersion", invoked["ExecutedVersion"], "1")
        equal(f"invoked by {what}: ARN", invoked["json"]["functionArn"], arn("aliased", "live"))
    got = lam.get_function(FunctionName="aliased", Qualifier="live")["Configuration"]
    equal("GetFunction by alias: Version", got["Version"], "1")
    equal("GetFunction by alias: ARN", got["FunctionArn"], arn("aliased", "live"))

    changed = lam.update_alias(
        FunctionName="aliased", Name="live", FunctionVersion="2", Description="moved"
    )
    equal("UpdateAlias", (changed["FunctionVersion"], changed["Description"]), ("2", "moved"))
    check("RevisionId changes", changed["RevisionId"] != answer["RevisionId"])
    equal("it runs", invoke("aliased:live", 1)["ExecutedVersion"], "2")
    text = (
        "The Revision Id provided does not match the latest Revision Id. Call the "
        "GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
    refused(
        "a stale RevisionId",
        lambda: lam.update_alias(
            FunctionName="aliased",
            Name="live",
            FunctionVersion="1",
            RevisionId=answer["RevisionId"],
        ),
        412,
        "PreconditionFailedException",
        text,
    )
    lam.create_alias(FunctionName="aliased", Name="head", FunctionVersion="$LATEST")
    equal("an alias of $LATEST", invoke("aliased:head", 1)["ExecutedVersion"], "$LATEST")
    listed = lam.list_aliases(FunctionName="aliased")["Aliases"]
    equal("ListAliases", sorted(one["Name"] for one in listed), ["head", "live"])
    listed = lam.list_aliases(FunctionName="aliased", FunctionVersion="2")["Aliases"]
    equal("ListAliases of a version", [one["Name"] for one in listed], ["live"])
    pages = list(
        lam.get_paginator("list_aliases").paginate(
            FunctionName="aliased", PaginationConfig={"PageSize": 1}
        )
    )
    equal("pages of one", sum(len(page["Aliases"]) for page in pages), 2)

    refused(
        "a version with an alias can't go",
        lambda: lam.delete_function(FunctionName="aliased", Qualifier="2"),
        409,
        "ResourceConflictException",
    )
    equal(
        "DeleteAlias",
        status_of(lam.delete_alias(FunctionName="aliased", Name="live")),
        204,
    )
    equal(
        "DeleteAlias twice",
        status_of(lam.delete_alias(FunctionName="aliased", Name="live")),
        204,
    )
    refused(
        "it is gone",
        lambda: lam.get_alias(FunctionName="aliased", Name="live"),
        404,
        GONE,
        f"Cannot find alias arn: {arn('aliased', 'live')}",
    )
    refused(
        "invoking it",
        lambda: invoke("aliased:live", 1),
        404,
        GONE,
        f"Function not found: {arn('aliased', 'live')}",
    )


def refused_aliases():
    create("strict-alias", Publish=True)
    lam.create_alias(FunctionName="strict-alias", Name="live", FunctionVersion="1")
    refused(
        "a name that exists",
        lambda: lam.create_alias(FunctionName="strict-alias", Name="live", FunctionVersion="1"),
        409,
        "ResourceConflictException",
        f"Alias already exists: {arn('strict-alias', 'live')}",
    )
    refused(
        "a version that is not there",
        lambda: lam.create_alias(FunctionName="strict-alias", Name="x", FunctionVersion="9"),
        404,
        GONE,
        f"Function not found: {arn('strict-alias', '9')}",
    )
    refused(
        "a name that is a number",
        lambda: lam.create_alias(FunctionName="strict-alias", Name="12", FunctionVersion="1"),
        400,
        "ValidationException",
    )
    refused(
        "UpdateAlias of none",
        lambda: lam.update_alias(FunctionName="strict-alias", Name="none", FunctionVersion="1"),
        404,
        GONE,
        f"Alias not found: {arn('strict-alias', 'none')}",
    )
    refused(
        "an alias of no function",
        lambda: lam.create_alias(FunctionName="absent", Name="x", FunctionVersion="1"),
        404,
        GONE,
        f"Function not found: {arn('absent')}",
    )


def weights():
    create("weighted", Publish=True)
    lam.update_function_configuration(FunctionName="weighted", Timeout=4)
    lam.publish_version(FunctionName="weighted")

    def route(weights, version="1", call=lam.update_alias):
        return call(
            FunctionName="weighted",
            Name="canary",
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": weights},
        )

    answer = route({"2": 0.5}, call=lam.create_alias)
    want = {"AdditionalVersionWeights": {"2": 0.5}}
    equal("RoutingConfig", answer.get("RoutingConfig"), want)
    hit = {invoke("weighted:canary", 1)["ExecutedVersion"] for _ in range(60)}
    equal("both versions are hit", hit, {"1", "2"})
    route({"2": 1.0})
    hit = {invoke("weighted:canary", 1)["ExecutedVersion"] for _ in range(10)}
    equal("all to the additional one", hit, {"2"})
    route({"2": 0.0})
    hit = {invoke("weighted:canary", 1)["ExecutedVersion"] for _ in range(10)}
    equal("none to the additional one", hit, {"1"})

    refused(
        "two additional versions",
        lambda: route({"2": 0.1, "1": 0.1}),
        400,
        INVALID,
        "Number of items in AdditionalVersionWeights cannot be greater than 1",
    )
    refused(
        "the primary as the additional one",
        lambda: route({"1": 0.1}),
        400,
        INVALID,
        "Invalid function version 1. Function version 1 is already included in routing configuration.",
    )
    refused(
        "weights beside $LATEST",
        lambda: route({"2": 0.1}, "$LATEST"),
        400,
        INVALID,
        "$LATEST is not supported for an alias pointing to more than 1 version",
    )
    for weight in (1.5, -0.1):
        refused(
            f"a weight of {weight}",
            lambda: route({"2": weight}, call=unchecked.update_alias),
            400,
            "ValidationException",
        )
    refused("a version that is not there", lambda: route({"9": 0.5}), 404, GONE)
    answer = route({})
    absent("cleared", answer, "RoutingConfig")
    route({"2": 0.5})
    answer = lam.update_alias(FunctionName="weighted", Name="canary", RoutingConfig={})
    absent("cleared by an empty object", answer, "RoutingConfig")
    equal("the version stays", answer["FunctionVersion"], "1")


SECTIONS = [publish, aliases, refused_aliases, weights]
