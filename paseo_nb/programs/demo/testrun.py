"""How a repository's tests are run, and what their output says."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import NamedTuple

_UNITTEST_NAME = re.compile(r"^(?:FAIL|ERROR): (\w+)", re.MULTILINE)
_PYTEST_NAME = re.compile(r"^(?:FAILED|ERROR) \S*?(\w+)(?:\[.*?\])?(?: - .*)?$", re.MULTILINE)
_PYTEST_COUNT = re.compile(r"(\d+) (passed|failed|errors?)\b")


class Command(NamedTuple):
    """`argv` runs, `shown` is what a user would type."""

    argv: list[str]
    shown: str


class TestRun(NamedTuple):
    """`ran` and `failed` are counts; `names` are the failing tests'."""

    ran: int
    failed: int
    names: list[str]


def command(root: str, test_texts: list[str]) -> Command:
    """unittest where the tests are written for it, else pytest if it is there."""
    python = sys.executable or "python3"
    plain_unittest = any("unittest" in text for text in test_texts)
    if not plain_unittest and importlib.util.find_spec("pytest") is not None:
        options = ["-m", "pytest", "-q", "-p", "no:cacheprovider"]
    elif os.path.isdir(os.path.join(root, "tests")) and not os.path.isfile(
        os.path.join(root, "tests", "__init__.py")
    ):
        options = ["-m", "unittest", "discover", "-s", "tests"]
    else:
        options = ["-m", "unittest"]
    return Command([python, "-B", *options], " ".join(["python", *options]))


def read_output(output: str) -> TestRun:
    """What unittest's or pytest's output says; all zero if it says nothing."""
    ran = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    if ran is not None:
        bad = re.search(r"^FAILED \((.*)\)", output, re.MULTILINE)
        counts = re.findall(r"(?:failures|errors)=(\d+)", bad[1]) if bad else []
        names = _UNITTEST_NAME.findall(output)
        return TestRun(int(ran[1]), sum(int(count) for count in counts), names)
    last = output.strip().splitlines()[-1] if output.strip() else ""
    found = {word.rstrip("s"): int(count) for count, word in _PYTEST_COUNT.findall(last)}
    failed = found.get("failed", 0) + found.get("error", 0)
    return TestRun(found.get("passed", 0) + failed, failed, _PYTEST_NAME.findall(output))
