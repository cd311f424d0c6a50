"""A function that lies in the drop folder, seen through the API: `dropped`."""

import kit
from aws import arn, invoke, lam, refused
from harness import check, equal

CONFLICT = "ResourceConflictException"


def dropped_function():
    found = lam.get_function(FunctionName="dropped")["Configuration"]
    equal("GetFunction: ARN", found["FunctionArn"], arn("dropped"))
    equal("GetFunction: State", found["State"], "Active")
    equal("CodeSize is that of the file", found["CodeSize"], len(kit.wasm()))
    names = [one["FunctionName"] for one in lam.list_functions()["Functions"]]
    check("ListFunctions", "dropped" in names, names)
    equal("Invoke", invoke("dropped", {"op": "value", "value": 1})["json"], 1)
    for what, call in (
        ("code", lambda: lam.update_function_code(FunctionName="dropped", ZipFile=kit.zipped())),
        (
            "configuration",
            lambda: lam.update_function_configuration(FunctionName="dropped", Timeout=5),
        ),
        ("deletion", lambda: lam.delete_function(FunctionName="dropped")),
    ):
        answer = refused(f"{what} is the file's", call, 409, CONFLICT)
        text = answer.get("Error", {}).get("Message", "")
        check(f"{what}: the text says why", "dropped" in text and "folder" in text, text)
    refused(
        "creating it",
        lambda: lam.create_function(
            FunctionName="dropped",
            Runtime="wasm",
            Handler="bootstrap",
            Role=kit.ROLE,
            Code={"ZipFile": kit.zipped()},
        ),
        409,
        CONFLICT,
        "Function already exist: dropped",
    )
    equal("a version", lam.publish_version(FunctionName="dropped")["Version"], "1")
    lam.create_alias(FunctionName="dropped", Name="live", FunctionVersion="1")
    equal("an alias", invoke("dropped:live", 1)["ExecutedVersion"], "1")
    lam.put_function_concurrency(FunctionName="dropped", ReservedConcurrentExecutions=3)
    found = lam.get_function(FunctionName="dropped")
    equal("concurrency", found["Concurrency"], {"ReservedConcurrentExecutions": 3})
    lam.tag_resource(Resource=arn("dropped"), Tags={"a": "1"})
    equal("tags", lam.list_tags(Resource=arn("dropped"))["Tags"], {"a": "1"})


SECTIONS = [dropped_function]
