"""boto3 clients, and the ways in which a call may be refused."""

import base64
import json
import re

import kit
from botocore.config import Config
from botocore.exceptions import ClientError
from harness import check, equal

import boto3

session = boto3.Session()
#: Nothing but the credentials file says where the server is. The model's host prefix `stream-` has no
#: name on this machine, and a body that is too large must arrive to be refused.
config = Config(inject_host_prefix=False, read_timeout=120)
lam = session.client("lambda", config=config)
logs = session.client("logs", config=config)
iam = session.client("iam", config=config)
sts = session.client("sts", config=config)
#: Sends what boto3 would refuse by itself.
unchecked = session.client("lambda", config=config.merge(Config(parameter_validation=False)))
REGION = lam.meta.region_name
ENDPOINT = lam.meta.endpoint_url


def client(service, key, **more):
    """A client that signs with another key: `CreateAccessKey`'s answer."""
    return boto3.Session(
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        region_name=more.pop("region_name", REGION),
    ).client(service, endpoint_url=ENDPOINT, config=config, **more)


def arn(name, qualifier=None):
    """The ARN of a function."""
    text = f"arn:aws:lambda:{REGION}:{kit.ACCOUNT}:function:{name}"
    return f"{text}:{qualifier}" if qualifier else text


def create(name, **more):
    """Deploys the function as `name`."""
    arguments = {
        "FunctionName": name,
        "Runtime": "provided.al2023",
        "Handler": "bootstrap",
        "Role": kit.ROLE,
        "Code": {"ZipFile": kit.zipped()},
    }
    arguments.update(more)
    created = lam.create_function(**arguments)
    lam.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return created


def invoke(name, event=None, **more):
    """Invokes; the answer with `Payload` read and `json` parsed."""
    if event is not None:
        more["Payload"] = json.dumps(event)
    answer = lam.invoke(FunctionName=name, **more)
    answer["text"] = answer["Payload"].read().decode()
    answer["json"] = json.loads(answer["text"]) if answer["text"] else None
    answer["tail"] = base64.b64decode(answer.get("LogResult", "")).decode()
    return answer


def refused(what, call, status, code, text=None):
    """The call fails with this status, code and message; `text` is a regular expression or a str."""
    try:
        answer = call()
    except ClientError as error:
        found = error.response
    else:
        check(what, False, f"was not refused: {str(answer)[:300]}")
        return {}
    got = (found["ResponseMetadata"]["HTTPStatusCode"], found["Error"]["Code"])
    equal(f"{what}: status and code", got, (status, code))
    message = found["Error"].get("Message", "")
    if isinstance(text, re.Pattern):
        check(
            f"{what}: message", text.fullmatch(message), f"got {message!r}, want /{text.pattern}/"
        )
    elif text is not None:
        equal(f"{what}: message", message, text)
    else:
        check(f"{what}: has a message", message, message)
    return found


def status_of(answer):
    """The HTTP status of an answer."""
    return answer["ResponseMetadata"]["HTTPStatusCode"]


def headers_of(answer):
    """The HTTP headers of an answer; lower-case names."""
    return answer["ResponseMetadata"]["HTTPHeaders"]
