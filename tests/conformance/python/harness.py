"""Assertions that are counted, for the suites in Python.

A check that does not hold is printed and counted; the section goes on. An exception that a section
does not expect ends that section as one more failure, and the next section runs. The last line is
`N passed, M failed`, and the exit code is 1 when M is not 0.

Knows nothing of AWS.
"""

import re
import sys
import time
import traceback

PASSED = 0
FAILED = []
SECTION = ""


def check(what, holds, detail=""):
    """Counts one assertion; `what` says what should be so."""
    global PASSED
    if holds:
        PASSED += 1
        return True
    FAILED.append(f"{SECTION}: {what}")
    print(f"FAILED {SECTION}: {what}" + (f": {detail}" if detail != "" else ""), flush=True)
    return False


def equal(what, got, want):
    """`got` is `want`, in value and in type."""
    return check(what, type(got) is type(want) and got == want, f"got {got!r}, want {want!r}")


def matches(what, got, pattern):
    """`got` is a text that the whole of `pattern` describes."""
    holds = isinstance(got, str) and re.fullmatch(pattern, got, re.DOTALL) is not None
    return check(what, holds, f"got {got!r}, want /{pattern}/")


def absent(what, mapping, *keys):
    """None of `keys` is a member of `mapping`."""
    there = [key for key in keys if key in mapping]
    return check(what, not there, f"has {there}")


def present(what, mapping, *keys):
    """Each of `keys` is a member of `mapping`."""
    missing = [key for key in keys if key not in mapping]
    return check(what, not missing, f"lacks {missing}")


def eventually(what, probe, patience=30.0):
    """Looks until `probe()` is true; gives what it gave last."""
    end = time.monotonic() + patience
    while True:
        found = probe()
        if found or time.monotonic() > end:
            check(what, found, f"got {found!r} for {patience:.0f} s")
            return found
        time.sleep(0.1)


def run(sections, chosen):
    """Runs the functions `sections`; of these only the ones named in `chosen`, if any are."""
    global SECTION
    unknown = set(chosen) - {section.__name__ for section in sections}
    if unknown:
        sys.exit(f"no such section: {', '.join(sorted(unknown))}")
    for section in sections:
        if chosen and section.__name__ not in chosen:
            continue
        SECTION = section.__name__
        before, failed_before = PASSED, len(FAILED)
        try:
            section()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next section is to run
            place = traceback.extract_tb(error.__traceback__)
            ours = [frame for frame in place if "/conformance/" in frame.filename] or list(place)
            where = f"{ours[-1].filename.rsplit('/', 1)[-1]}:{ours[-1].lineno}"
            check(f"runs to its end ({where})", False, f"{type(error).__name__}: {error}")
        print(
            f"{SECTION}: {PASSED - before} passed, {len(FAILED) - failed_before} failed",
            flush=True,
        )
    print(f"{PASSED} passed, {len(FAILED)} failed", flush=True)
    sys.exit(1 if FAILED or not PASSED else 0)
