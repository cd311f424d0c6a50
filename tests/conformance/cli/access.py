"""Users, keys and policies by the CLI."""

import json
import os
import subprocess

import kit
from command import AWS, FOLDER, REFUSED, Answer, aws, create, refused
from harness import check, equal


def users_and_keys():
    create("guarded")
    made = aws("iam", "create-user", "--user-name", "carol").json
    equal("create-user", made["User"]["Arn"], f"arn:aws:iam::{kit.ACCOUNT}:user/carol")
    key = aws("iam", "create-access-key", "--user-name", "carol").json["AccessKey"]
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "lambda:GetFunction", "Resource": "*"}],
    }
    path = FOLDER / "policy.json"
    path.write_text(json.dumps(document))
    aws(
        "iam",
        "put-user-policy",
        "--user-name",
        "carol",
        "--policy-name",
        "p",
        "--policy-document",
        f"file://{path}",
    )
    found = aws("iam", "get-user-policy", "--user-name", "carol", "--policy-name", "p").json
    equal("get-user-policy", found["PolicyDocument"], document)

    def as_carol(secret, *arguments):
        """Runs as the user, with a file of her own; the region and the server are the same."""
        answer = Answer(["configure", "get", "region"])
        region = answer.out.strip()
        endpoint = Answer(["configure", "get", "endpoint_url"]).out.strip()
        mine = FOLDER / "carol"
        mine.write_text(
            f"[carol]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {secret}\n"
            f"region = {region}\nendpoint_url = {endpoint}\n"
        )
        environment = {
            **os.environ,
            "AWS_SHARED_CREDENTIALS_FILE": str(mine),
            "AWS_PROFILE": "carol",
        }
        return subprocess.run(
            [*AWS, *arguments], capture_output=True, text=True, timeout=120, env=environment
        )

    secret = key["SecretAccessKey"]
    answer = as_carol(secret, "lambda", "get-function", "--function-name", "guarded")
    equal("what is allowed", answer.returncode, 0)
    answer = as_carol(secret, "lambda", "delete-function", "--function-name", "guarded")
    check("what is not", answer.returncode in REFUSED, answer.stderr)
    check("its code", "(AccessDeniedException)" in answer.stderr, answer.stderr)
    check(
        "its text",
        "user/carol is not authorized to perform: lambda:DeleteFunction" in answer.stderr,
        answer.stderr,
    )
    answer = as_carol("x" * 40, "lambda", "get-function", "--function-name", "guarded")
    check("a wrong secret", "(InvalidSignatureException)" in answer.stderr, answer.stderr)
    answer = as_carol("x" * 40, "iam", "get-user")
    check("a wrong secret: iam", "(SignatureDoesNotMatch)" in answer.stderr, answer.stderr)
    answer = as_carol(secret, "iam", "list-users")
    check("iam is not hers", "(AccessDenied)" in answer.stderr, answer.stderr)
    aws(
        "iam",
        "update-access-key",
        "--user-name",
        "carol",
        "--access-key-id",
        key["AccessKeyId"],
        "--status",
        "Inactive",
    )
    answer = as_carol(secret, "lambda", "get-function", "--function-name", "guarded")
    check("an inactive key", "(UnrecognizedClientException)" in answer.stderr, answer.stderr)
    refused("a user with keys", "DeleteConflict", "iam", "delete-user", "--user-name", "carol")
    aws("iam", "delete-access-key", "--user-name", "carol", "--access-key-id", key["AccessKeyId"])
    aws("iam", "delete-user-policy", "--user-name", "carol", "--policy-name", "p")
    aws("iam", "delete-user", "--user-name", "carol")
    refused("she is gone", "NoSuchEntity", "iam", "get-user", "--user-name", "carol")
