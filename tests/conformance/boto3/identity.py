"""Who asks: STS, users, keys and policies; what a restricted key may do."""

import datetime
import json
import re

import kit
from aws import (
    REGION,
    arn,
    client,
    config,
    create,
    iam,
    lam,
    logs,
    refused,
    status_of,
    sts,
)
from harness import absent, check, equal, matches

import boto3

NO_ENTITY = "NoSuchEntity"
#: `CreateDate` is given to boto3 as a time.
TIME = datetime.datetime


def user_arn(name):
    """The ARN of a user."""
    return f"arn:aws:iam::{kit.ACCOUNT}:user/{name}"


def policy(*statements):
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    """A statement."""
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def new_key(name, *statements):
    """A user with an inline policy of these statements; a key of it."""
    iam.create_user(UserName=name)
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    return iam.create_access_key(UserName=name)["AccessKey"]


def caller_identity():
    answer = sts.get_caller_identity()
    equal("status", status_of(answer), 200)
    equal("Account", answer["Account"], kit.ACCOUNT)
    equal("Arn", answer["Arn"], f"arn:aws:iam::{kit.ACCOUNT}:root")
    check("UserId", answer["UserId"], answer)
    matches("request id", answer["ResponseMetadata"].get("RequestId"), kit.UUID)
    key = new_key("asker")
    answer = client("sts", key).get_caller_identity()
    equal("a user's Arn, which needs no right", answer["Arn"], user_arn("asker"))
    matches("a user's UserId", answer["UserId"], r"AIDA[A-Z0-9]{17}")


def users():
    made = iam.create_user(UserName="ada", Tags=[{"Key": "team", "Value": "blue"}])
    equal("status", status_of(made), 200)
    user = made["User"]
    equal("Path", user["Path"], "/")
    equal("UserName", user["UserName"], "ada")
    matches("UserId", user["UserId"], r"AIDA[A-Z0-9]{17}")
    equal("Arn", user["Arn"], user_arn("ada"))
    check("CreateDate", isinstance(user["CreateDate"], TIME), user["CreateDate"])
    found = iam.get_user(UserName="ada")["User"]
    equal("GetUser", found["UserId"], user["UserId"])
    iam.get_waiter("user_exists").wait(UserName="ada", WaiterConfig={"Delay": 1})
    check("waiter user_exists", True)
    names = [one["UserName"] for one in iam.list_users()["Users"]]
    check("ListUsers", "ada" in names, names)
    iam.create_user(UserName="bea")
    pages = list(iam.get_paginator("list_users").paginate(PaginationConfig={"PageSize": 1}))
    names = [one["UserName"] for page in pages for one in page["Users"]]
    check("pages of one", {"ada", "bea"} <= set(names) and len(names) == len(set(names)), names)
    refused(
        "a user that exists",
        lambda: iam.create_user(UserName="ada"),
        409,
        "EntityAlreadyExists",
        re.compile(".*ada.*"),
    )
    for what, call in (
        ("GetUser", lambda: iam.get_user(UserName="nobody")),
        ("DeleteUser", lambda: iam.delete_user(UserName="nobody")),
        ("CreateAccessKey", lambda: iam.create_access_key(UserName="nobody")),
        ("ListAccessKeys", lambda: iam.list_access_keys(UserName="nobody")),
        ("ListUserPolicies", lambda: iam.list_user_policies(UserName="nobody")),
    ):
        refused(f"{what} of nobody", call, 404, NO_ENTITY, re.compile(".*nobody.*"))
    try:
        iam.create_user(UserName="no name")
        check("a name with a blank is refused", False)
    except iam.exceptions.ClientError as error:
        got = (status_of(error.response), error.response["Error"]["Code"])
        allowed = [(400, "ValidationError"), (400, "InvalidInput")]
        check("a name with a blank: status and code", got in allowed, got)
    iam.update_user(UserName="bea", NewUserName="cleo")
    equal("UpdateUser", iam.get_user(UserName="cleo")["User"]["Arn"], user_arn("cleo"))
    iam.delete_user(UserName="cleo")
    refused("it is gone", lambda: iam.get_user(UserName="cleo"), 404, NO_ENTITY)
    refused("bea is gone", lambda: iam.get_user(UserName="bea"), 404, NO_ENTITY)


def access_keys():
    iam.create_user(UserName="keyed")
    made = iam.create_access_key(UserName="keyed")["AccessKey"]
    equal("UserName", made["UserName"], "keyed")
    matches("AccessKeyId", made["AccessKeyId"], r"AKIA[A-Z2-7]{16}")
    equal("SecretAccessKey", len(made["SecretAccessKey"]), 40)
    equal("Status", made["Status"], "Active")
    check("CreateDate", isinstance(made["CreateDate"], TIME))
    listed = iam.list_access_keys(UserName="keyed")["AccessKeyMetadata"]
    equal("ListAccessKeys", [one["AccessKeyId"] for one in listed], [made["AccessKeyId"]])
    absent("a list has no secrets", listed[0], "SecretAccessKey")
    own = client("sts", made)
    equal("the key works", own.get_caller_identity()["Arn"], user_arn("keyed"))
    used = iam.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])
    equal("GetAccessKeyLastUsed: user", used["UserName"], "keyed")
    equal("GetAccessKeyLastUsed: service", used["AccessKeyLastUsed"].get("ServiceName"), "sts")
    iam.update_access_key(UserName="keyed", AccessKeyId=made["AccessKeyId"], Status="Inactive")
    text = re.compile("The security token included in the request is invalid.*")
    refused("an inactive key", own.get_caller_identity, 403, "InvalidClientTokenId", text)
    iam.update_access_key(UserName="keyed", AccessKeyId=made["AccessKeyId"], Status="Active")
    equal("active again", own.get_caller_identity()["Arn"], user_arn("keyed"))
    iam.create_access_key(UserName="keyed")
    refused("a third key", lambda: iam.create_access_key(UserName="keyed"), 409, "LimitExceeded")
    refused(
        "a user with keys can't go",
        lambda: iam.delete_user(UserName="keyed"),
        409,
        "DeleteConflict",
    )
    for one in iam.list_access_keys(UserName="keyed")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="keyed", AccessKeyId=one["AccessKeyId"])
    refused("a deleted key", own.get_caller_identity, 403, "InvalidClientTokenId", text)
    refused(
        "deleting it twice",
        lambda: iam.delete_access_key(UserName="keyed", AccessKeyId=made["AccessKeyId"]),
        404,
        NO_ENTITY,
    )
    iam.delete_user(UserName="keyed")
    refused("the user is gone", lambda: iam.get_user(UserName="keyed"), 404, NO_ENTITY)


def inline_policies():
    iam.create_user(UserName="inline")
    document = policy(allow("lambda:Get*", "arn:aws:lambda:*:*:function:ü+ %2F&=*"))
    iam.put_user_policy(UserName="inline", PolicyName="reads", PolicyDocument=document)
    found = iam.get_user_policy(UserName="inline", PolicyName="reads")
    equal("UserName", found["UserName"], "inline")
    equal("PolicyName", found["PolicyName"], "reads")
    equal("PolicyDocument comes back", found["PolicyDocument"], json.loads(document))
    names = iam.list_user_policies(UserName="inline")["PolicyNames"]
    equal("ListUserPolicies", names, ["reads"])
    refused(
        "a policy that is not there",
        lambda: iam.get_user_policy(UserName="inline", PolicyName="none"),
        404,
        NO_ENTITY,
    )
    malformed = (
        ("no JSON", "{"),
        ("no effect", policy({"Action": "*", "Resource": "*"})),
        ("an unknown effect", policy({"Effect": "Maybe", "Action": "*", "Resource": "*"})),
        ("no action", policy({"Effect": "Allow", "Resource": "*"})),
        ("no resource", policy({"Effect": "Allow", "Action": "*"})),
        ("a principal", policy(allow("*", Principal="*"))),
    )
    for what, text in malformed:
        refused(
            f"a document with {what}",
            lambda: iam.put_user_policy(UserName="inline", PolicyName="bad", PolicyDocument=text),
            400,
            "MalformedPolicyDocument",
        )
    refused(
        "a user with policies can't go",
        lambda: iam.delete_user(UserName="inline"),
        409,
        "DeleteConflict",
    )
    iam.delete_user_policy(UserName="inline", PolicyName="reads")
    equal("DeleteUserPolicy", iam.list_user_policies(UserName="inline")["PolicyNames"], [])
    iam.delete_user(UserName="inline")


def managed_policies():
    document = policy(allow("lambda:ListFunctions"))
    made = iam.create_policy(PolicyName="lister", PolicyDocument=document)["Policy"]
    equal("PolicyName", made["PolicyName"], "lister")
    equal("Arn", made["Arn"], f"arn:aws:iam::{kit.ACCOUNT}:policy/lister")
    matches("PolicyId", made["PolicyId"], r"ANPA[A-Z0-9]{17}")
    equal("DefaultVersionId", made["DefaultVersionId"], "v1")
    equal("AttachmentCount", made["AttachmentCount"], 0)
    version = iam.get_policy_version(PolicyArn=made["Arn"], VersionId="v1")["PolicyVersion"]
    equal("Document", version["Document"], json.loads(document))
    equal("IsDefaultVersion", version["IsDefaultVersion"], True)
    listed = iam.list_policies(Scope="Local")["Policies"]
    check("ListPolicies", made["Arn"] in [one["Arn"] for one in listed], listed)
    key = new_key("attached")
    own = client("lambda", key)
    refused("before it is attached", own.list_functions, 403, "AccessDeniedException")
    iam.attach_user_policy(UserName="attached", PolicyArn=made["Arn"])
    check("attached: allowed", "Functions" in own.list_functions())
    found = iam.list_attached_user_policies(UserName="attached")["AttachedPolicies"]
    equal("ListAttachedUserPolicies", found, [{"PolicyName": "lister", "PolicyArn": made["Arn"]}])
    equal("AttachmentCount", iam.get_policy(PolicyArn=made["Arn"])["Policy"]["AttachmentCount"], 1)
    refused(
        "a policy that is attached",
        lambda: iam.delete_policy(PolicyArn=made["Arn"]),
        409,
        "DeleteConflict",
    )
    refused(
        "a policy of that name",
        lambda: iam.create_policy(PolicyName="lister", PolicyDocument=document),
        409,
        "EntityAlreadyExists",
    )
    iam.detach_user_policy(UserName="attached", PolicyArn=made["Arn"])
    refused("detached: denied", own.list_functions, 403, "AccessDeniedException")
    iam.attach_user_policy(
        UserName="attached", PolicyArn="arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess"
    )
    check("a policy of AWS: allowed", "Functions" in own.list_functions())
    refused(
        "a policy of AWS: denied",
        lambda: own.delete_function(FunctionName="any"),
        403,
        "AccessDeniedException",
    )
    iam.delete_policy(PolicyArn=made["Arn"])
    refused("it is gone", lambda: iam.get_policy(PolicyArn=made["Arn"]), 404, NO_ENTITY)


def restricted_key():
    create("mine", Publish=True)
    create("theirs")
    key = new_key("bob", allow("lambda:InvokeFunction", [arn("mine"), arn("mine", "*")]))
    own = client("lambda", key)
    answer = own.invoke(FunctionName="mine", Payload=b'{"op":"value","value":1}')
    equal("what is allowed", answer["Payload"].read(), b"1")
    equal("an ARN decides alike", own.invoke(FunctionName=arn("mine"))["StatusCode"], 200)
    equal("a version", own.invoke(FunctionName="mine", Qualifier="1")["StatusCode"], 200)

    def because(action, resource):
        return (
            f"User: {user_arn('bob')} is not authorized to perform: {action} on resource: "
            f"{resource} because no identity-based policy allows the {action} action"
        )

    denied = (
        (lambda: own.invoke(FunctionName="theirs"), "lambda:InvokeFunction", arn("theirs")),
        (lambda: own.delete_function(FunctionName="mine"), "lambda:DeleteFunction", arn("mine")),
        (lambda: own.get_function(FunctionName="mine"), "lambda:GetFunction", arn("mine")),
        (lambda: own.list_functions(), "lambda:ListFunctions", "*"),
        (
            lambda: own.invoke(FunctionName="theirs", InvocationType="DryRun"),
            "lambda:InvokeFunction",
            arn("theirs"),
        ),
        (
            lambda: own.invoke_with_response_stream(FunctionName="theirs"),
            "lambda:InvokeFunction",
            arn("theirs"),
        ),
    )
    for call, action, resource in denied:
        text = because(action, resource)
        refused(f"{action} on {resource}", call, 403, "AccessDeniedException", text)
    refused(
        "a function that is not there is denied alike",
        lambda: own.get_function(FunctionName="absent"),
        403,
        "AccessDeniedException",
        because("lambda:GetFunction", arn("absent")),
    )
    check("nothing was deleted", lam.get_function(FunctionName="mine"))
    refused(
        "logs",
        lambda: client("logs", key).describe_log_groups(),
        400,
        "AccessDeniedException",
    )
    refused("iam", lambda: client("iam", key).list_users(), 403, "AccessDenied")
    refused(
        "iam: a key of its own",
        lambda: client("iam", key).create_access_key(UserName="bob"),
        403,
        "AccessDenied",
    )
    everything = {"Effect": "Deny", "Action": "lambda:*", "Resource": "*"}
    iam.put_user_policy(
        UserName="bob", PolicyName="stop", PolicyDocument=policy(everything, allow("lambda:*"))
    )
    refused(
        "an explicit deny wins",
        lambda: own.invoke(FunctionName="mine"),
        403,
        "AccessDeniedException",
        f"User: {user_arn('bob')} is not authorized to perform: lambda:InvokeFunction on resource: "
        f"{arn('mine')} with an explicit deny in an identity-based policy",
    )
    iam.delete_user_policy(UserName="bob", PolicyName="stop")
    equal("without it", own.invoke(FunctionName="mine")["StatusCode"], 200)
    lam.add_permission(
        FunctionName="theirs",
        StatementId="bob",
        Action="lambda:InvokeFunction",
        Principal=user_arn("bob"),
    )
    equal("a resource policy allows", own.invoke(FunctionName="theirs")["StatusCode"], 200)
    statement = allow(
        "lambda:GetFunction*", Condition={"IpAddress": {"aws:SourceIp": "10.9.8.0/24"}}
    )
    iam.put_user_policy(UserName="bob", PolicyName="near", PolicyDocument=policy(statement))
    refused(
        "a condition that does not hold",
        lambda: own.get_function(FunctionName="mine"),
        403,
        "AccessDeniedException",
    )
    statement["Condition"]["IpAddress"]["aws:SourceIp"] = "127.0.0.0/8"
    iam.put_user_policy(UserName="bob", PolicyName="near", PolicyDocument=policy(statement))
    equal("a condition that holds", status_of(own.get_function(FunctionName="mine")), 200)


def log_reader():
    create("observed")
    group = f"arn:aws:logs:{REGION}:{kit.ACCOUNT}:log-group:/aws/lambda/observed"
    key = new_key("reader", allow("logs:FilterLogEvents", f"{group}:*"))
    own = client("logs", key)
    found = own.filter_log_events(logGroupName="/aws/lambda/observed")
    check("its group", "events" in found)
    create("hidden")
    refused(
        "another group",
        lambda: own.filter_log_events(logGroupName="/aws/lambda/hidden"),
        400,
        "AccessDeniedException",
    )
    check("the owner may", "logGroups" in logs.describe_log_groups())


def regions():
    """Any region will do; names carry the one of the request, and decisions do not depend on it."""
    create("anywhere")
    far = boto3.Session(region_name="eu-west-1").client("lambda", config=config)
    want = arn("anywhere").replace(f":{REGION}:", ":eu-west-1:")
    equal(
        "the request's region",
        far.get_function(FunctionName="anywhere")["Configuration"]["FunctionArn"],
        want,
    )
    key = new_key("traveller", allow("lambda:InvokeFunction", arn("anywhere")))
    own = client("lambda", key, region_name="eu-west-1")
    equal("allowed here, allowed there", own.invoke(FunctionName=want)["StatusCode"], 200)
    iam.put_user_policy(
        UserName="traveller",
        PolicyName="stop",
        PolicyDocument=policy({**allow("lambda:*", arn("anywhere")), "Effect": "Deny"}),
    )
    refused(
        "denied here, denied there",
        lambda: own.invoke(FunctionName=want),
        403,
        "AccessDeniedException",
    )
    refused(
        "ARN and signature must agree",
        lambda: lam.get_function(FunctionName=want),
        404,
        "ResourceNotFoundException",
        f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')",
    )


SECTIONS = [
    caller_identity,
    users,
    access_keys,
    inline_policies,
    managed_policies,
    restricted_key,
    log_reader,
    regions,
]
