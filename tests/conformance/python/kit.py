"""What the Python suites share: the function as a zip, and the account.

The environment says where everything is: `AWS_SHARED_CREDENTIALS_FILE` and `AWS_PROFILE` the server
and the root key, `MAYFLY_FUNCTION` the function that is deployed.
"""

import io
import os
import zipfile

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/any"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
#: `FunctionConfiguration.LastModified`
MODIFIED = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000"


def wasm():
    """The function, as it was compiled."""
    with open(os.environ["MAYFLY_FUNCTION"], "rb") as file:
        return file.read()


def zipped(*entries):
    """A zip of `(name, bytes)` pairs; by default of the function."""
    entries = entries or (("bootstrap.wasm", wasm()),)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def custom_section(name, content):
    """A wasm module with one more section that nothing reads: other bytes, the same function."""
    body = bytes([len(name)]) + name.encode() + content.encode()
    assert len(body) < 128
    return wasm() + b"\0" + bytes([len(body)]) + body
