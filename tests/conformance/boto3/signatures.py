"""Signatures: wrong, missing, late, presigned; and actions that there are none of."""

import datetime
import json
import re
import urllib.error
import urllib.request

import kit
from aws import (
    ENDPOINT,
    REGION,
    arn,
    client,
    config,
    create,
    headers_of,
    iam,
    lam,
    refused,
    session,
    status_of,
    sts,
)
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from harness import check, equal, matches

import boto3

SIGNATURE = re.compile(
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details.*",
    re.DOTALL,
)
TOKEN = "The security token included in the request is invalid."


def get(url, headers=None, method="GET", body=None):
    """Status, headers and text of a request that boto3 does not make."""
    request = urllib.request.Request(url, headers=dict(headers or {}), method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def wrong_signatures():
    root = session.get_credentials()
    wrong = {"AccessKeyId": root.access_key, "SecretAccessKey": "x" * 40}
    unknown = {"AccessKeyId": "AKIA" + "Z" * 16, "SecretAccessKey": "x" * 40}
    refused(
        "lambda: a wrong secret",
        client("lambda", wrong).list_functions,
        403,
        "InvalidSignatureException",
        SIGNATURE,
    )
    refused(
        "lambda: an unknown key",
        client("lambda", unknown).list_functions,
        403,
        "UnrecognizedClientException",
        TOKEN,
    )
    refused(
        "logs: a wrong secret",
        client("logs", wrong).describe_log_groups,
        400,
        "InvalidSignatureException",
        SIGNATURE,
    )
    refused(
        "logs: an unknown key",
        client("logs", unknown).describe_log_groups,
        400,
        "UnrecognizedClientException",
        TOKEN,
    )
    for service, call in (("iam", "list_users"), ("sts", "get_caller_identity")):
        refused(
            f"{service}: a wrong secret",
            getattr(client(service, wrong), call),
            403,
            "SignatureDoesNotMatch",
            SIGNATURE,
        )
        refused(
            f"{service}: an unknown key",
            getattr(client(service, unknown), call),
            403,
            "InvalidClientTokenId",
            TOKEN,
        )
    nobody = boto3.client(
        "lambda",
        endpoint_url=ENDPOINT,
        region_name=REGION,
        config=config.merge(Config(signature_version=UNSIGNED)),
    )
    found = refused(
        "unsigned",
        nobody.list_functions,
        403,
        "MissingAuthenticationTokenException",
        "Missing Authentication Token",
    )
    check("the answer has a date", "date" in headers_of(found), headers_of(found))
    with_token = boto3.Session(root.access_key, root.secret_key, "a-token", REGION)
    refused(
        "a long-term key with a token",
        with_token.client("lambda", endpoint_url=ENDPOINT, config=config).list_functions,
        403,
        "UnrecognizedClientException",
        TOKEN,
    )


def presigned():
    create("presigned")
    url = lam.generate_presigned_url("get_function", {"FunctionName": "presigned"}, ExpiresIn=60)
    status, _, text = get(url)
    equal("a presigned GetFunction", status, 200)
    if status == 200:
        equal("it is the function", json.loads(text)["Configuration"]["FunctionName"], "presigned")
    url = lam.generate_presigned_url("get_function", {"FunctionName": arn("presigned")})
    equal("by ARN", get(url)[0], 200)
    changed = lam.generate_presigned_url("get_function", {"FunctionName": "presigned"})
    status, headers, _ = get(changed.replace("functions/presigned", "functions/other"))
    equal("another path", status, 403)
    kind = (headers.get("x-amzn-ErrorType") or "").split(":")[0]
    equal("another path: code", kind, "InvalidSignatureException")
    status, headers, text = get(changed.replace("X-Amz-Expires=3600", "X-Amz-Expires=99999"))
    equal("another expiry", status, 403)
    # The form of GetCallerIdentity that others use to prove who they are.
    url = sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    status, _, text = get(url)
    equal("a presigned GetCallerIdentity", status, 200)
    check("it says who", f"<Arn>arn:aws:iam::{kit.ACCOUNT}:root</Arn>" in text, text)


def dates():
    """A clock that is wrong."""

    class Skewed(SigV4Auth):
        def _modify_request_before_signing(self, request):
            old = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=30)
            request.context["timestamp"] = old.strftime("%Y%m%dT%H%M%SZ")
            super()._modify_request_before_signing(request)

    url = f"{ENDPOINT}/2015-03-31/functions"
    request = AWSRequest("GET", url)
    signer = SigV4Auth(session.get_credentials(), "lambda", REGION)
    signer.add_auth(request)
    equal("signed by hand", get(url, request.headers)[0], 200)
    equal("a trailing slash must be signed as sent", get(url + "/", request.headers)[0], 403)
    slash = AWSRequest("GET", url + "/")
    SigV4Auth(session.get_credentials(), "lambda", REGION).add_auth(slash)
    equal("a trailing slash is taken", get(url + "/", slash.headers)[0], 200)
    equal("another query", get(url + "?MaxItems=1", request.headers)[0], 403)
    headers = dict(request.headers.items())
    headers["Authorization"] = headers["Authorization"].rsplit(", Signature=", 1)[0]
    status, answered, text = get(url, headers)
    equal("no signature", status, 403)
    kind = (answered.get("x-amzn-ErrorType") or "").split(":")[0]
    equal("no signature: code", kind, "IncompleteSignatureException")
    body = AWSRequest("POST", f"{ENDPOINT}/2015-03-31/functions/presigned/invocations", data=b"1")
    SigV4Auth(session.get_credentials(), "lambda", REGION).add_auth(body)
    status, answered, _ = get(body.url, body.headers, "POST", b"2")
    equal("another body", status, 403)
    kind = (answered.get("x-amzn-ErrorType") or "").split(":")[0]
    equal("another body: code", kind, "InvalidSignatureException")
    request = AWSRequest("GET", url)
    Skewed(session.get_credentials(), "lambda", REGION).add_auth(request)
    status, answered, text = get(url, request.headers)
    equal("half an hour late", status, 403)
    kind = (answered.get("x-amzn-ErrorType") or "").split(":")[0]
    equal("half an hour late: code", kind, "InvalidSignatureException")
    late = r"Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)"
    matches("half an hour late: message", json.loads(text).get("message"), late)


def unknown_actions():
    for service, call in (
        (iam, lambda: iam.list_groups()),
        (sts, lambda: sts.get_federation_token(Name="xy")),
    ):
        try:
            call()
            check("an unknown operation is refused", False)
        except service.exceptions.ClientError as error:
            status = status_of(error.response)
            check("an unknown operation: 4xx", 400 <= status < 500, status)
            check("an unknown operation: a code", error.response["Error"]["Code"], error.response)
    status, _, text = get(f"{ENDPOINT}/2015-03-31/no-such-thing")
    check("an unknown path unsigned tells nothing", 400 <= status < 500, (status, text))
    for body in (b"", b"Action=", b"Action=X&Version=1", b"\xff\xfe"):
        request = AWSRequest(
            "POST",
            f"{ENDPOINT}/",
            data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        SigV4Auth(session.get_credentials(), "iam", REGION).add_auth(request)
        status = get(request.url, request.headers, "POST", body)[0]
        check(f"iam {body!r}: 4xx", 400 <= status < 500, status)


SECTIONS = [
    wrong_signatures,
    presigned,
    dates,
    unknown_actions,
]
