"""What is set beside the code: concurrency, policies, event invoke configs, tags."""

import json
import re
import threading

import kit
from aws import REGION, arn, create, invoke, lam, refused, session, status_of, unchecked
from botocore.config import Config
from harness import absent, check, equal, eventually, matches

GONE = "ResourceNotFoundException"
INVALID = "InvalidParameterValueException"


def concurrency():
    create("limited", Publish=True)
    answer = lam.get_function_concurrency(FunctionName="limited")
    absent("nothing is set", answer, "ReservedConcurrentExecutions")
    answer = lam.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=0)
    equal("PutFunctionConcurrency", answer["ReservedConcurrentExecutions"], 0)
    found = refused(
        "0 blocks all",
        lambda: invoke("limited", 1),
        429,
        "TooManyRequestsException",
        "Rate Exceeded.",
    )
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    equal("the reason", found.get("Reason"), reason)
    equal("it is the caller's", found.get("Type"), "User")
    eager = session.client("lambda", config=Config(retries={"total_max_attempts": 3}))
    found = refused(
        "boto3 tries again when it is told to",
        lambda: eager.invoke(FunctionName="limited"),
        429,
        "TooManyRequestsException",
        re.compile(".*Rate Exceeded.*"),
    )
    equal("twice", found["ResponseMetadata"]["RetryAttempts"], 2)
    refused(
        "0 blocks versions too",
        lambda: invoke("limited:1", 1),
        429,
        "TooManyRequestsException",
    )
    found = lam.get_function(FunctionName="limited")
    equal("GetFunction shows it", found["Concurrency"], {"ReservedConcurrentExecutions": 0})
    equal(
        "GetFunctionConcurrency",
        lam.get_function_concurrency(FunctionName="limited")["ReservedConcurrentExecutions"],
        0,
    )
    lam.put_function_concurrency(FunctionName="limited", ReservedConcurrentExecutions=5)
    equal("5 lets pass", invoke("limited", {"op": "value", "value": 5})["json"], 5)
    answer = lam.delete_function_concurrency(FunctionName="limited")
    equal("DeleteFunctionConcurrency", status_of(answer), 204)
    absent("it is gone", lam.get_function(FunctionName="limited"), "Concurrency")
    text = (
        "This operation is permitted on Lambda functions only. Aliases and versions do not support "
        "this operation. Please specify either a function name or an unqualified function ARN."
    )
    refused(
        "a version has none",
        lambda: lam.put_function_concurrency(
            FunctionName="limited:1", ReservedConcurrentExecutions=1
        ),
        400,
        INVALID,
        text,
    )
    refused(
        "more than the account has",
        lambda: lam.put_function_concurrency(
            FunctionName="limited", ReservedConcurrentExecutions=1_000_000
        ),
        400,
        INVALID,
        re.compile(
            "Specified ReservedConcurrentExecutions for function decreases account's "
            r"UnreservedConcurrentExecution below its minimum value of \[\d+\]\."
        ),
    )
    refused(
        "of none",
        lambda: lam.put_function_concurrency(FunctionName="absent", ReservedConcurrentExecutions=1),
        404,
        GONE,
        f"Function not found: {arn('absent')}",
    )


def throttled():
    """One at a time means one at a time."""
    create("single", Timeout=8)
    lam.put_function_concurrency(FunctionName="single", ReservedConcurrentExecutions=1)
    throttle = lam.exceptions.TooManyRequestsException

    def hold():
        # The other one may have the only place just now.
        while True:
            try:
                return invoke("single", {"op": "timeout"})
            except throttle:
                continue

    holder = threading.Thread(target=hold)
    holder.start()

    def second():
        try:
            invoke("single", 1)
            return ""
        except throttle as error:
            return error.response.get("Reason")

    reason = eventually("the second invocation is refused while the first runs", second, 7)
    equal("the reason", reason, "ReservedFunctionConcurrentInvocationLimitExceeded")
    holder.join()
    equal("then it runs again", invoke("single", {"op": "value", "value": 2})["json"], 2)


def policies():
    create("shared", Publish=True)
    lam.create_alias(FunctionName="shared", Name="live", FunctionVersion="1")
    refused(
        "no policy yet",
        lambda: lam.get_policy(FunctionName="shared"),
        404,
        GONE,
        "The resource you requested does not exist.",
    )
    refused(
        "nothing to remove",
        lambda: lam.remove_permission(FunctionName="shared", StatementId="none"),
        404,
        GONE,
        "No policy is associated with the given resource.",
    )
    answer = lam.add_permission(
        FunctionName="shared",
        StatementId="bucket",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::bucket",
        SourceAccount=kit.ACCOUNT,
    )
    equal("status", status_of(answer), 201)
    check("Statement is a JSON text", isinstance(answer["Statement"], str))
    want = {
        "Sid": "bucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn("shared"),
        "Condition": {
            "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
            "StringEquals": {"AWS:SourceAccount": kit.ACCOUNT},
        },
    }
    equal("the statement", json.loads(answer["Statement"]), want)
    found = lam.get_policy(FunctionName="shared")
    policy = json.loads(found["Policy"])
    equal("Version", policy["Version"], "2012-10-17")
    equal("Id", policy["Id"], "default")
    equal("its statements", policy["Statement"], [want])
    matches("RevisionId", found["RevisionId"], kit.UUID)
    lam.add_permission(
        FunctionName="shared",
        StatementId="account",
        Action="lambda:GetFunction",
        Principal="111111111111",
    )
    policy = json.loads(lam.get_policy(FunctionName="shared")["Policy"])
    one = next(one for one in policy["Statement"] if one["Sid"] == "account")
    equal("an account", one["Principal"], {"AWS": "arn:aws:iam::111111111111:root"})
    answer = lam.add_permission(
        FunctionName="shared",
        Qualifier="live",
        StatementId="alias",
        Action="lambda:InvokeFunction",
        Principal="*",
    )
    one = json.loads(answer["Statement"])
    equal("everybody", one["Principal"], "*")
    equal("an alias: resource", one["Resource"], arn("shared", "live"))
    policy = json.loads(lam.get_policy(FunctionName="shared", Qualifier="live")["Policy"])
    equal("an alias has a policy of its own", len(policy["Statement"]), 1)

    def add(**more):
        arguments = {
            "FunctionName": "shared",
            "StatementId": "another",
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
        }
        arguments.update(more)
        return lambda: lam.add_permission(**arguments)

    refused(
        "a statement that exists",
        add(StatementId="bucket"),
        409,
        "ResourceConflictException",
        "The statement id (bucket) provided already exists. Please provide a new statement id, or "
        "remove the existing statement.",
    )
    refused(
        "$LATEST",
        add(Qualifier="$LATEST"),
        400,
        INVALID,
        "We currently do not support adding policies for $LATEST.",
    )
    refused(
        "a principal that is none",
        add(Principal="nobody in particular"),
        400,
        INVALID,
        "The provided principal was invalid. Please check the principal and try again.",
    )
    refused("an action that is none", add(Action="s3:GetObject"), 400, "ValidationException")
    refused(
        "an alias that is not there",
        add(Qualifier="nope"),
        404,
        GONE,
        f"Cannot find alias arn: {arn('shared', 'nope')}",
    )
    refused(
        "no function",
        add(FunctionName="absent"),
        404,
        GONE,
        f"Function not found: {arn('absent')}",
    )
    stale = found["RevisionId"]
    text = (
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to "
        "retrieve the latest Revision Id"
    )
    refused("a stale RevisionId", add(RevisionId=stale), 412, "PreconditionFailedException", text)
    refused(
        "a statement that is not there",
        lambda: lam.remove_permission(FunctionName="shared", StatementId="none"),
        404,
        GONE,
        "Statement none is not found in resource policy.",
    )
    for sid in ("bucket", "account"):
        answer = lam.remove_permission(FunctionName="shared", StatementId=sid)
        equal(f"RemovePermission {sid}", status_of(answer), 204)
    refused(
        "the last one takes the policy along",
        lambda: lam.get_policy(FunctionName="shared"),
        404,
        GONE,
        "The resource you requested does not exist.",
    )


def event_invoke_configs():
    create("deferred", Publish=True)
    put = lam.put_function_event_invoke_config
    create("told")
    told = arn("told")
    answer = put(
        FunctionName="deferred",
        MaximumRetryAttempts=1,
        DestinationConfig={"OnFailure": {"Destination": told}},
    )
    equal("FunctionArn is qualified", answer["FunctionArn"], arn("deferred", "$LATEST"))
    equal("MaximumRetryAttempts", answer["MaximumRetryAttempts"], 1)
    absent("what is not set", answer, "MaximumEventAgeInSeconds")
    equal("OnFailure", answer["DestinationConfig"]["OnFailure"], {"Destination": told})
    check("LastModified is a time", hasattr(answer["LastModified"], "year"), answer["LastModified"])
    answer = lam.update_function_event_invoke_config(
        FunctionName="deferred", MaximumEventAgeInSeconds=60
    )
    equal("Update merges", answer["MaximumRetryAttempts"], 1)
    equal("Update sets", answer["MaximumEventAgeInSeconds"], 60)
    answer = put(FunctionName="deferred", MaximumRetryAttempts=0)
    absent("Put replaces all", answer, "MaximumEventAgeInSeconds")
    answer = lam.get_function_event_invoke_config(FunctionName="deferred")
    equal("Get", answer["MaximumRetryAttempts"], 0)
    answer = put(FunctionName="deferred", Qualifier="1", MaximumRetryAttempts=2)
    equal("a version has its own", answer["FunctionArn"], arn("deferred", "1"))
    listed = lam.list_function_event_invoke_configs(FunctionName="deferred")
    arns = sorted(one["FunctionArn"] for one in listed["FunctionEventInvokeConfigs"])
    equal("List", arns, [arn("deferred", "$LATEST"), arn("deferred", "1")])
    answer = lam.delete_function_event_invoke_config(FunctionName="deferred")
    equal("Delete", status_of(answer), 204)
    text = f"The function {arn('deferred', '$LATEST')} doesn't have an EventInvokeConfig"
    for what, call in (
        ("Get", lam.get_function_event_invoke_config),
        ("Delete", lam.delete_function_event_invoke_config),
    ):
        refused(f"{what} of none", lambda: call(FunctionName="deferred"), 404, GONE, text)
    refused(
        "Update of none",
        lambda: lam.update_function_event_invoke_config(
            FunctionName="deferred", MaximumRetryAttempts=1
        ),
        404,
        GONE,
        text,
    )
    refused(
        "Put of nothing",
        lambda: put(FunctionName="deferred"),
        400,
        INVALID,
        "You must specify at least one of error handling or destination setting.",
    )
    refused(
        "no function",
        lambda: put(FunctionName="absent", MaximumRetryAttempts=1),
        404,
        GONE,
        "The function doesn't exist.",
    )
    for what, destination in (
        ("a queue", f"arn:aws:sqs:{REGION}:{kit.ACCOUNT}:failed"),
        ("a topic", f"arn:aws:sns:{REGION}:{kit.ACCOUNT}:failed"),
        ("no function", arn("absent")),
        ("itself", arn("deferred")),
        ("an address that is not allowed", "https://example.com/"),
        ("a file that is not allowed", "file:failed"),
    ):
        refused(
            what,
            lambda: put(
                FunctionName="deferred",
                DestinationConfig={"OnFailure": {"Destination": destination}},
            ),
            400,
            INVALID,
            re.compile("The provided destination config DestinationConfig(.*) is invalid. .*"),
        )
    refused(
        "three retries",
        lambda: put(FunctionName="deferred", MaximumRetryAttempts=3),
        400,
        "ValidationException",
    )
    refused(
        "an age of a second",
        lambda: unchecked.put_function_event_invoke_config(
            FunctionName="deferred", MaximumEventAgeInSeconds=1
        ),
        400,
        "ValidationException",
    )


def tags():
    create("tagged", Tags={"a": "1"}, Publish=True)
    resource = arn("tagged")
    answer = lam.tag_resource(Resource=resource, Tags={"b c": "2", "ü": "", "d": "3"})
    equal("TagResource", status_of(answer), 204)
    want = {"a": "1", "b c": "2", "ü": "", "d": "3"}
    equal("ListTags", lam.list_tags(Resource=resource)["Tags"], want)
    equal("GetFunction", lam.get_function(FunctionName="tagged")["Tags"], want)
    answer = lam.untag_resource(Resource=resource, TagKeys=["a", "b c", "ü"])
    equal("UntagResource", status_of(answer), 204)
    equal("what is left", lam.list_tags(Resource=resource)["Tags"], {"d": "3"})
    lam.untag_resource(Resource=resource, TagKeys=["d", "unknown"])
    equal("nothing is left", lam.list_tags(Resource=resource).get("Tags"), {})
    text = "Tags on function aliases and versions are not supported. Please specify a function ARN."
    refused(
        "a version",
        lambda: lam.tag_resource(Resource=arn("tagged", "1"), Tags={"a": "1"}),
        400,
        INVALID,
        text,
    )
    many = {f"t{number}": "" for number in range(51)}
    refused(
        "51 tags",
        lambda: lam.tag_resource(Resource=resource, Tags=many),
        400,
        INVALID,
        "Number of tags exceeds resource tag limit.",
    )
    refused(
        "of none",
        lambda: lam.list_tags(Resource=arn("absent")),
        404,
        GONE,
        f"Function not found: {arn('absent')}",
    )


SECTIONS = [
    concurrency,
    throttled,
    policies,
    event_invoke_configs,
    tags,
]
