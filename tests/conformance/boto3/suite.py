"""Mayfly seen by boto3.

Run by `cargo xtask clients boto3`. By hand, against a server that runs, with the names of sections
to run no others:

    AWS_SHARED_CREDENTIALS_FILE=.. AWS_PROFILE=mayfly MAYFLY_FUNCTION=.. python suite.py restricted_key

The server should have no functions and users but `dropped` in its drop folder, which holds the same
function.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "python"))

# ruff: noqa: E402 - the path above comes first
import account
import changes
import drop_folder
import events
import functions
import harness
import identity
import invocations
import log_reading
import schedules
import settings
import signatures
import urls
import versions

MODULES = (
    functions,
    changes,
    invocations,
    versions,
    settings,
    events,
    account,
    urls,
    drop_folder,
    log_reading,
    schedules,
    identity,
    signatures,
)

if __name__ == "__main__":
    harness.run([section for module in MODULES for section in module.SECTIONS], sys.argv[1:])
