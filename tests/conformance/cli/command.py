"""The AWS CLI as a command: `MAYFLY_AWS` is the program, of version 1 or 2.

What a shell script would see of it: the exit code, what it prints, the files that it writes.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import kit
from harness import check

#: Version 2.9 does not look for the server in the profile, nor in the environment.
ENDPOINT = os.environ.get("AWS_ENDPOINT_URL")
AWS = [os.environ["MAYFLY_AWS"], *(["--endpoint-url", ENDPOINT] if ENDPOINT else [])]
FOLDER = Path(tempfile.mkdtemp())
#: What the CLI exits with when the service refuses: 255 for version 1, 254 for version 2.
REFUSED = (254, 255)


def said(*arguments):
    """The text that the CLI prints for `--version`."""
    answer = subprocess.run([*AWS, *arguments], capture_output=True, text=True, timeout=120)
    return answer.stdout + answer.stderr


MAJOR = 2 if said("--version").startswith("aws-cli/2") else 1
#: Version 2 takes blobs as base64 unless it is told otherwise.
RAW = ["--cli-binary-format", "raw-in-base64-out"] if MAJOR == 2 else []


class Answer:
    """How a command ended and what it printed."""

    def __init__(self, arguments):
        done = subprocess.run(
            [*AWS, *map(str, arguments)], capture_output=True, text=True, timeout=330
        )
        self.code, self.out, self.error = done.returncode, done.stdout, done.stderr
        self.arguments = arguments

    @property
    def json(self):
        """What was printed, as JSON; an empty object when that is nothing."""
        return json.loads(self.out) if self.out.strip() else {}


def aws(*arguments):
    """Runs a command that must succeed."""
    answer = Answer(arguments)
    what = " ".join(map(str, arguments[:2]))
    check(f"{what} exits with 0", answer.code == 0, f"{answer.code}: {answer.error.strip()}")
    return answer


def refused(what, code, *arguments):
    """Runs a command that the service must refuse with this code; what it said."""
    answer = Answer(arguments)
    check(f"{what}: exit code", answer.code in REFUSED, f"{answer.code}: {answer.error.strip()}")
    check(f"{what}: {code}", f"({code})" in answer.error, answer.error.strip())
    return answer.error.strip()


def zip_file(name="function.zip", salt=""):
    """The function as a zip, as the argument of `--zip-file`."""
    path = FOLDER / name
    module = kit.custom_section("salt", salt) if salt else kit.wasm()
    path.write_bytes(kit.zipped(("bootstrap.wasm", module)))
    return f"fileb://{path}"


def create(name, *more):
    """Deploys the function as `name`, and waits."""
    answer = aws(
        "lambda",
        "create-function",
        "--function-name",
        name,
        "--runtime",
        "provided.al2023",
        "--handler",
        "bootstrap",
        "--role",
        kit.ROLE,
        "--zip-file",
        zip_file(),
        *more,
    )
    aws("lambda", "wait", "function-active-v2", "--function-name", name)
    return answer.json


def invoke(name, event, *more):
    """Invokes; what the CLI printed, and what it wrote to the file."""
    out = FOLDER / "out.json"
    out.unlink(missing_ok=True)
    answer = aws(
        "lambda",
        "invoke",
        "--function-name",
        name,
        *RAW,
        "--payload",
        json.dumps(event),
        *more,
        out,
    )
    text = out.read_text() if out.exists() else ""
    return answer.json, text
