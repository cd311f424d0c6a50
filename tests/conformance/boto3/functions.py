"""Functions: create, read, configuration, code, delete, list; every spelling of a name."""

import base64
import hashlib
import io
import re
import urllib.error
import urllib.request
import zipfile

import kit
from aws import REGION, arn, create, headers_of, invoke, lam, refused, status_of, unchecked
from botocore.exceptions import WaiterError
from harness import absent, check, equal, matches, present


def create_function():
    zipped = kit.zipped()
    answer = lam.create_function(
        FunctionName="created",
        Runtime="provided.al2023",
        Handler="bootstrap",
        Role=kit.ROLE,
        Code={"ZipFile": zipped},
        Description="made by boto3",
        Timeout=7,
        MemorySize=256,
        Environment={"Variables": {"GREETING": "grüß dich"}},
        Tags={"team": "blue"},
    )
    equal("status", status_of(answer), 201)
    matches("request id", headers_of(answer).get("x-amzn-requestid"), kit.UUID)
    present("headers", headers_of(answer), "date", "content-length")
    equal("content type", headers_of(answer).get("content-type"), "application/json")
    equal("FunctionName", answer["FunctionName"], "created")
    equal("FunctionArn is unqualified", answer["FunctionArn"], arn("created"))
    equal("Runtime", answer["Runtime"], "provided.al2023")
    equal("Handler", answer["Handler"], "bootstrap")
    equal("Role", answer["Role"], kit.ROLE)
    equal("PackageType", answer["PackageType"], "Zip")
    equal("Version", answer["Version"], "$LATEST")
    equal("CodeSize is that of the zip", answer["CodeSize"], len(zipped))
    sha = base64.b64encode(hashlib.sha256(zipped).digest()).decode()
    equal("CodeSha256 is that of the zip", answer["CodeSha256"], sha)
    equal("Description", answer["Description"], "made by boto3")
    equal("Timeout", answer["Timeout"], 7)
    equal("MemorySize", answer["MemorySize"], 256)
    matches("LastModified", answer["LastModified"], kit.MODIFIED)
    matches("RevisionId", answer["RevisionId"], kit.UUID)
    equal("Environment", answer["Environment"], {"Variables": {"GREETING": "grüß dich"}})
    equal("TracingConfig", answer["TracingConfig"], {"Mode": "PassThrough"})
    equal("EphemeralStorage", answer["EphemeralStorage"], {"Size": 512})
    equal("Architectures", answer["Architectures"], ["x86_64"])
    snap_start = {"ApplyOn": "None", "OptimizationStatus": "Off"}
    equal("SnapStart", answer["SnapStart"], snap_start)
    logging = {"LogFormat": "Text", "LogGroup": "/aws/lambda/created"}
    equal("LoggingConfig", answer["LoggingConfig"], logging)
    present("a single function", answer, "RuntimeVersionConfig")
    check("State", answer["State"] in ("Pending", "Active"), answer["State"])
    absent(
        "what was not configured", answer, "DeadLetterConfig", "VpcConfig", "KMSKeyArn", "Layers"
    )
    absent("what was not configured", answer, "FileSystemConfigs", "ImageConfigResponse")

    for waiter in ("function_exists", "function_active_v2", "function_updated_v2"):
        lam.get_waiter(waiter).wait(FunctionName="created", WaiterConfig={"Delay": 1})
        check(f"waiter {waiter}", True)
    for waiter in ("function_active", "function_updated", "published_version_active"):
        lam.get_waiter(waiter).wait(FunctionName="created", WaiterConfig={"Delay": 1})
        check(f"waiter {waiter}", True)
    try:
        lam.get_waiter("function_exists").wait(
            FunctionName="absent", WaiterConfig={"Delay": 1, "MaxAttempts": 2}
        )
        check("the waiter gives up on a function that is not there", False)
    except WaiterError as error:
        check("the waiter gives up on a function that is not there", "Max attempts" in str(error))

    answer = invoke("created", {"op": "environment", "name": "GREETING"})
    equal("the function sees its variable", answer["json"], "grüß dich")


def defaults():
    answer = create("plain")
    equal("Description", answer["Description"], "")
    equal("Timeout", answer["Timeout"], 3)
    equal("MemorySize", answer["MemorySize"], 128)
    absent("Environment was never given", answer, "Environment")
    found = lam.get_function(FunctionName="plain")
    absent("without tags and concurrency", found, "Tags", "Concurrency")
    answer = create("empty-environment", Environment={"Variables": {}})
    equal("Environment was given empty", answer["Environment"], {"Variables": {}})
    answer = create("published", Publish=True)
    equal("Publish: version", answer["Version"], "1")
    equal("Publish: the ARN stays unqualified", answer["FunctionArn"], arn("published"))
    equal("Publish: it runs", invoke("published", 5, Qualifier="1")["ExecutedVersion"], "1")


def declared():
    create(
        "declared",
        Runtime="provided.al2",
        Architectures=["arm64"],
        EphemeralStorage={"Size": 1024},
        TracingConfig={"Mode": "Active"},
        LoggingConfig={"LogFormat": "JSON", "LogGroup": "/aws/lambda/declared"},
    )
    found = lam.get_function_configuration(FunctionName="declared")
    equal("Runtime", found["Runtime"], "provided.al2")
    equal("Architectures", found["Architectures"], ["arm64"])
    equal("EphemeralStorage", found["EphemeralStorage"], {"Size": 1024})
    equal("TracingConfig", found["TracingConfig"], {"Mode": "Active"})
    want = {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "INFO",
        "SystemLogLevel": "INFO",
        "LogGroup": "/aws/lambda/declared",
    }
    equal("LoggingConfig of JSON has levels", found["LoggingConfig"], want)
    answer = create("of-wasm", Runtime="wasm", Architectures=["wasm32"])
    equal("Runtime wasm", answer["Runtime"], "wasm")
    equal("Architectures wasm32", answer["Architectures"], ["wasm32"])
    answer = create("raw", Code={"ZipFile": kit.wasm()})
    equal("raw wasm: CodeSize", answer["CodeSize"], len(kit.wasm()))
    equal("raw wasm runs", invoke("raw", {"op": "value", "value": 1})["json"], 1)
    named = kit.zipped(("app/readme.txt", b"x"), ("index.wasm", kit.wasm()))
    create("by-handler", Handler="index.handler", Code={"ZipFile": named})
    equal(
        "the handler names the entry", invoke("by-handler", {"op": "value", "value": 2})["json"], 2
    )


def refused_creations():
    def attempt(name="refused", **more):
        arguments = {
            "FunctionName": name,
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Role": kit.ROLE,
            "Code": {"ZipFile": kit.zipped()},
        }
        arguments.update(more)
        return lambda: unchecked.create_function(**arguments)

    invalid = "InvalidParameterValueException"
    create("there")
    refused(
        "a name that exists",
        attempt("there"),
        409,
        "ResourceConflictException",
        "Function already exist: there",
    )
    text = "Could not unzip uploaded file. Please check your file, then try to upload again."
    refused("not a zip", attempt(Code={"ZipFile": b"no zip"}), 400, invalid, text)
    empty = kit.zipped(("readme.txt", b"nothing here"))
    refused("a zip without a module", attempt(Code={"ZipFile": empty}), 400, invalid)
    broken = kit.zipped(("bootstrap.wasm", b"\0asm\1\0\0\0broken"))
    refused("a broken module", attempt(Code={"ZipFile": broken}), 400, invalid)
    no_entry = kit.zipped(("bootstrap.wasm", b"\0asm\1\0\0\0"))
    refused("a module without an entry", attempt(Code={"ZipFile": no_entry}), 400, invalid)
    stored = {"S3Bucket": "bucket", "S3Key": "key"}
    refused("code in S3", attempt(Code=stored), 400, invalid)
    image = {"ImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/x:y"}
    refused("an image", attempt(Code=image, PackageType="Image"), 400, invalid)
    refused("no code", attempt(Code={}), 400, invalid)
    managed = re.compile(
        r"Value nodejs20\.x at 'runtime' failed to satisfy constraint: "
        r"Member must satisfy enum value set: \[.*\] or be a valid ARN.*",
        re.DOTALL,
    )
    refused("a managed runtime", attempt(Runtime="nodejs20.x"), 400, invalid, managed)
    long_name = "n" * 65
    text = re.compile(
        f"1 validation error detected: Value '{long_name}' at 'functionName' failed to satisfy "
        "constraint: Member must have length less than or equal to 64"
    )
    refused("a name of 65 letters", attempt(long_name), 400, invalid, text)
    found = refused(
        "a name with a blank",
        attempt("no name"),
        400,
        "ValidationException",
        re.compile(
            "1 validation error detected: Value 'no name' at 'functionName' failed to satisfy "
            "constraint: Member must satisfy regular expression pattern: .*"
        ),
    )
    absent("a ValidationException has no Type", found, "Type")
    for size in (0, 50_000):
        refused(f"memory of {size}", attempt(MemorySize=size), 400, "ValidationException")
    for timeout in (0, 100_000):
        refused(f"timeout of {timeout}", attempt(Timeout=timeout), 400, "ValidationException")
    text = "d" * 257
    refused("a long description", attempt(Description=text), 400, "ValidationException")
    large = {"Variables": {"LARGE": "v" * 5000}}
    text = re.compile(
        "Lambda was unable to configure your environment variables because the environment variables "
        # AWS quotes the variables; their values may be secrets, so their size is told instead.
        r"you have provided exceeded the 4KB limit. String measured: \d+ bytes"
    )
    refused("an environment above 4 KB", attempt(Environment=large), 400, invalid, text)
    reserved = {"Variables": {"AWS_REGION": "mars"}}
    text = (
        "Lambda was unable to configure your environment variables because the environment variables "
        "you have provided contains reserved keys that are currently not supported for modification. "
        "Reserved keys used in this request: AWS_REGION"
    )
    refused("a reserved variable", attempt(Environment=reserved), 400, invalid, text)
    tags = {f"t{number}": "" for number in range(51)}
    text = "Number of tags exceeds resource tag limit."
    refused("51 tags", attempt(Tags=tags), 400, invalid, text)
    names = [function["FunctionName"] for function in lam.list_functions()["Functions"]]
    check("nothing of it was made", "refused" not in names, names)


def oversized_code():
    big = b"\0asm" + b"\0" * 52_428_800
    answer = refused(
        "code above 50 MB",
        lambda: lam.create_function(
            FunctionName="big", Runtime="wasm", Handler="h", Role=kit.ROLE, Code={"ZipFile": big}
        ),
        413,
        "RequestEntityTooLargeException",
    )
    text = answer.get("Error", {}).get("Message", "")
    wants = (
        "Request must be smaller than 70167211 bytes for the CreateFunction operation",
        "Zipped size must be smaller than 52428800 bytes",
    )
    check("it names the limit", text in wants, text)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("bootstrap.wasm", "w") as entry:
            for _ in range(251):
                entry.write(b"\0" * 1_048_576)
    refused(
        "a zip of 251 MB unzipped",
        lambda: lam.create_function(
            FunctionName="big",
            Runtime="wasm",
            Handler="h",
            Role=kit.ROLE,
            Code={"ZipFile": buffer.getvalue()},
        ),
        400,
        "InvalidParameterValueException",
        "Unzipped size must be smaller than 262144000 bytes",
    )


def get_function():
    create("read", Tags={"team": "blue"})
    for spelling in (
        "read",
        "function:read",
        f"{kit.ACCOUNT}:function:read",
        f"{REGION}:{kit.ACCOUNT}:function:read",
        arn("read"),
    ):
        found = lam.get_function(FunctionName=spelling)
        equal(f"{spelling}: the same function", found["Configuration"]["FunctionArn"], arn("read"))
    equal("Tags", found["Tags"], {"team": "blue"})
    equal("RepositoryType", found["Code"]["RepositoryType"], "S3")
    equal("State", found["Configuration"]["State"], "Active")
    equal("LastUpdateStatus", found["Configuration"]["LastUpdateStatus"], "Successful")
    absent("an active function", found["Configuration"], "StateReason", "StateReasonCode")
    with urllib.request.urlopen(found["Code"]["Location"]) as answer:
        archive = zipfile.ZipFile(io.BytesIO(answer.read()))
    entries = archive.namelist()
    equal("the code has one entry", len(entries), 1)
    equal("it is the module", archive.read(entries[0]), kit.wasm())
    location = found["Code"]["Location"]
    try:
        urllib.request.urlopen(location[:-3] + "xyz")
        check("a location that was changed is refused", False)
    except urllib.error.HTTPError as error:
        check("a location that was changed is refused", 400 <= error.code < 500, error.code)

    for spelling, more in (
        ("read:$LATEST", {}),
        (arn("read", "$LATEST"), {}),
        ("read", {"Qualifier": "$LATEST"}),
        ("read:$LATEST", {"Qualifier": "$LATEST"}),
    ):
        found = lam.get_function(FunctionName=spelling, **more)["Configuration"]
        equal(f"{spelling} {more}: ARN", found["FunctionArn"], arn("read", "$LATEST"))
        equal(f"{spelling} {more}: Version", found["Version"], "$LATEST")
    text = "The derived qualifier from the function name does not match the specified qualifier."
    refused(
        "two qualifiers",
        lambda: lam.get_function(FunctionName="read:1", Qualifier="2"),
        400,
        "InvalidParameterValueException",
        text,
    )

    gone = "ResourceNotFoundException"
    for operation in ("get_function", "get_function_configuration"):
        call = getattr(lam, operation)
        found = refused(
            f"{operation} of none",
            lambda: call(FunctionName="absent"),
            404,
            gone,
            f"Function not found: {arn('absent')}",
        )
        equal(f"{operation} of none: Type", found.get("Type"), "User")
        refused(
            f"{operation} of no version",
            lambda: call(FunctionName="read", Qualifier="9"),
            404,
            gone,
            f"Function not found: {arn('read', '9')}",
        )
    try:
        lam.get_function(FunctionName="absent")
    except lam.exceptions.ResourceNotFoundException:
        check("the modeled exception is raised", True)
    elsewhere = "arn:aws:lambda:mars-north-7:000000000000:function:read"
    text = f"Functions from 'mars-north-7' are not reachable in this region ('{REGION}')"
    refused("another region", lambda: lam.get_function(FunctionName=elsewhere), 404, gone, text)
    foreign = f"arn:aws:lambda:{REGION}:111111111111:function:read"
    refused(
        "another account",
        lambda: lam.get_function(FunctionName=foreign),
        403,
        "AccessDeniedException",
    )


SECTIONS = [
    create_function,
    defaults,
    declared,
    refused_creations,
    oversized_code,
    get_function,
]
