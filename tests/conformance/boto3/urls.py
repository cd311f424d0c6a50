"""Function URLs: their configuration, and calling them."""

import json
import re
import urllib.error
import urllib.request

import kit
from aws import REGION, arn, client, create, iam, lam, refused, session, status_of
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from harness import absent, check, equal, matches

GONE = "ResourceNotFoundException"
ISO_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*"


def fetch(url, method="GET", body=None, **headers):
    """Status, headers and text of an answer, whatever its status is."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def allow_all(name, qualifier=None):
    """Lets anybody call the URL."""
    more = {"Qualifier": qualifier} if qualifier else {}
    lam.add_permission(
        FunctionName=name,
        StatementId="public",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
        **more,
    )


def configurations():
    create("linked", Publish=True)
    lam.create_alias(FunctionName="linked", Name="live", FunctionVersion="1")
    refused(
        "none yet",
        lambda: lam.get_function_url_config(FunctionName="linked"),
        404,
        GONE,
        "The resource you requested does not exist.",
    )
    cors = {
        "AllowOrigins": ["https://app.example"],
        "AllowMethods": ["GET", "POST"],
        "AllowHeaders": ["x-custom"],
        "ExposeHeaders": ["x-shown"],
        "MaxAge": 300,
        "AllowCredentials": True,
    }
    made = lam.create_function_url_config(FunctionName="linked", AuthType="NONE", Cors=cors)
    equal("status", status_of(made), 201)
    matches("FunctionUrl", made["FunctionUrl"], r"https?://.*[a-z0-9]{32}.*/")
    equal("FunctionArn", made["FunctionArn"], arn("linked"))
    equal("AuthType", made["AuthType"], "NONE")
    equal("Cors", made["Cors"], cors)
    matches("CreationTime", made["CreationTime"], ISO_TIME)
    absent("a new one", made, "LastModifiedTime", "InvokeMode")
    found = lam.get_function_url_config(FunctionName="linked")
    equal("Get: the same URL", found["FunctionUrl"], made["FunctionUrl"])
    matches("Get: LastModifiedTime", found["LastModifiedTime"], ISO_TIME)
    equal("Get: InvokeMode", found["InvokeMode"], "BUFFERED")
    alias = lam.create_function_url_config(
        FunctionName="linked", Qualifier="live", AuthType="AWS_IAM", InvokeMode="BUFFERED"
    )
    equal("an alias: ARN", alias["FunctionArn"], arn("linked", "live"))
    equal("InvokeMode is echoed", alias["InvokeMode"], "BUFFERED")
    check("another URL", alias["FunctionUrl"] != made["FunctionUrl"])
    absent("without Cors", alias, "Cors")
    listed = lam.list_function_url_configs(FunctionName="linked")["FunctionUrlConfigs"]
    arns = sorted(one["FunctionArn"] for one in listed)
    equal("List", arns, [arn("linked"), arn("linked", "live")])
    pages = list(
        lam.get_paginator("list_function_url_configs").paginate(
            FunctionName="linked", PaginationConfig={"PageSize": 1}
        )
    )
    equal("pages of one", sum(len(page["FunctionUrlConfigs"]) for page in pages), 2)
    changed = lam.update_function_url_config(
        FunctionName="linked", AuthType="AWS_IAM", Cors={"AllowOrigins": ["*"]}
    )
    equal("Update", (changed["AuthType"], changed["Cors"]), ("AWS_IAM", {"AllowOrigins": ["*"]}))
    equal("the URL stays", changed["FunctionUrl"], made["FunctionUrl"])
    exists = (
        f"Failed to create function url config for [functionArn = {arn('linked')}]. "
        "Error message:  FunctionUrlConfig exists for this Lambda function"
    )
    refused(
        "a second one",
        lambda: lam.create_function_url_config(FunctionName="linked", AuthType="NONE"),
        409,
        "ResourceConflictException",
        exists,
    )
    for qualifier in ("1", "$LATEST"):
        refused(
            f"for {qualifier}",
            lambda: lam.create_function_url_config(
                FunctionName="linked", Qualifier=qualifier, AuthType="NONE"
            ),
            400,
            "ValidationException",
            re.compile(".*at 'qualifier' failed to satisfy constraint: .*pattern: .*"),
        )
    refused(
        "an AuthType that is none",
        lambda: lam.update_function_url_config(FunctionName="linked", AuthType="MAYBE"),
        400,
        "ValidationException",
        re.compile(".*at 'authType' failed to satisfy constraint: .*enum value set: .*"),
    )
    for what, call, more in (
        ("Create", lam.create_function_url_config, {"AuthType": "NONE"}),
        ("Update", lam.update_function_url_config, {"AuthType": "NONE"}),
        ("List", lam.list_function_url_configs, {}),
    ):
        refused(
            f"{what} for no function",
            lambda: call(FunctionName="absent", **more),
            404,
            GONE,
            "Function does not exist",
        )
    answer = lam.delete_function_url_config(FunctionName="linked")
    equal("Delete", status_of(answer), 204)
    refused(
        "Delete twice",
        lambda: lam.delete_function_url_config(FunctionName="linked"),
        404,
        GONE,
        "The resource you requested does not exist.",
    )
    status = fetch(made["FunctionUrl"])[0]
    check("a deleted URL answers nobody", status in (403, 404), status)


def public_calls():
    create("public")
    url = lam.create_function_url_config(
        FunctionName="public", AuthType="NONE", Cors={"AllowOrigins": ["https://app.example"]}
    )["FunctionUrl"]
    status, headers, text = fetch(url)
    equal("nobody is allowed yet: status", status, 403)
    check("nobody is allowed yet: body", "Forbidden" in text, text)
    equal(
        "nobody is allowed yet: type",
        (headers.get("x-amzn-ErrorType") or "").split(":")[0],
        "AccessDeniedException",
    )
    allow_all("public")
    status, headers, text = fetch(
        url + "pets/6?a=1&a=2&b=x%20y",
        "POST",
        b'{"n":1}',
        Content_Type="application/json",
        Cookie="c1=v1; c2=v2",
        X_Custom="Y",
    )
    equal("status", status, 200)
    matches("request id", headers.get("x-amzn-RequestId"), kit.UUID)
    event = json.loads(text)["event"]
    equal("version", event["version"], "2.0")
    equal("routeKey", event["routeKey"], "$default")
    equal("rawPath", event["rawPath"], "/pets/6")
    equal("rawQueryString", event["rawQueryString"], "a=1&a=2&b=x%20y")
    equal("queryStringParameters", event["queryStringParameters"], {"a": "1,2", "b": "x y"})
    equal("cookies", event["cookies"], ["c1=v1", "c2=v2"])
    equal("body", (event["body"], event["isBase64Encoded"]), ('{"n":1}', False))
    equal("headers are lower-case", event["headers"].get("x-custom"), "Y")
    absent("cookies are no header", event["headers"], "cookie")
    absent("a URL has none", event, "pathParameters", "stageVariables")
    context = event["requestContext"]
    equal("stage", context["stage"], "$default")
    equal("accountId", context["accountId"], "anonymous")
    check("apiId is in the URL", context["apiId"] in url, context["apiId"])
    equal("requestId", context["requestId"], headers.get("x-amzn-RequestId"))
    equal("method", context["http"]["method"], "POST")
    equal("path", context["http"]["path"], "/pets/6")
    status, _, text = fetch(url, "POST", b"\xff\x00", Content_Type="image/png")
    event = json.loads(text)["event"]
    equal("a binary body", (event["body"], event["isBase64Encoded"]), ("/wA=", True))
    answer = {"statusCode": 201, "headers": {"x-a": "b"}, "cookies": ["k=v", "l=w"], "body": "made"}
    asked = json.dumps({"op": "value", "value": answer}).encode()
    status, headers, text = fetch(url, "POST", asked, Content_Type="application/json")
    equal("a structured answer", (status, headers.get("x-a"), text), (201, "b", "made"))
    equal("its cookies", headers.get_all("set-cookie"), ["k=v", "l=w"])
    asked = json.dumps({"op": "value", "value": {"plain": True}}).encode()
    status, headers, text = fetch(url, "POST", asked, Content_Type="application/json")
    equal("a plain answer", (status, json.loads(text)), (200, {"plain": True}))
    kind = (headers.get("content-type") or "").split(";")[0]
    equal("a plain answer is JSON", kind, "application/json")
    asked = json.dumps({"op": "error", "msg": "secret detail"}).encode()
    status, _, text = fetch(url, "POST", asked, Content_Type="application/json")
    equal("a failure", status, 502)
    check("a failure tells nothing", "secret detail" not in text, text)

    status, headers, _ = fetch(
        url, "OPTIONS", Origin="https://app.example", Access_Control_Request_Method="GET"
    )
    check("preflight: status", status in (200, 204), status)
    equal("preflight: origin", headers.get("access-control-allow-origin"), "https://app.example")
    status, headers, _ = fetch(url, Origin="https://evil.example")
    absent("another origin", headers, "access-control-allow-origin")
    status, headers, _ = fetch(url, Origin="https://app.example")
    equal("the origin", headers.get("access-control-allow-origin"), "https://app.example")


def signed_calls():
    create("guarded")
    url = lam.create_function_url_config(FunctionName="guarded", AuthType="AWS_IAM")["FunctionUrl"]
    equal("unsigned", fetch(url)[0], 403)

    def signed(credentials, target=url):
        request = AWSRequest("GET", target)
        SigV4Auth(credentials, "lambda", REGION).add_auth(request)
        return fetch(target, **{name: value for name, value in request.headers.items()})

    status, _, text = signed(session.get_credentials())
    equal("signed by the owner", status, 200)
    if status == 200:
        context = json.loads(text)["event"]["requestContext"]
        equal("accountId", context["accountId"], kit.ACCOUNT)
        who = context["authorizer"]["iam"]
        equal("the caller is told", who["userArn"], f"arn:aws:iam::{kit.ACCOUNT}:root")
        equal("the key is told", who["accessKey"], session.get_credentials().access_key)
    iam.create_user(UserName="guest")
    key = iam.create_access_key(UserName="guest")["AccessKey"]
    credentials = client("lambda", key)._request_signer._credentials
    equal("signed by a user without rights", signed(credentials)[0], 403)
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "lambda:InvokeFunctionUrl",
            "Resource": arn("guarded"),
        },
    }
    iam.put_user_policy(UserName="guest", PolicyName="p", PolicyDocument=json.dumps(policy))
    equal("signed by a user with the right", signed(credentials)[0], 200)
    status, _, _ = signed(credentials, url + "?x=%20a&b=%2F")
    equal("a query is signed too", status, 200)


SECTIONS = [configurations, public_calls, signed_calls]
