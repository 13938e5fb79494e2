"""The bugs that the fixer knows, as data, and the search for them in real code.

A repair is a pattern in one line of code, what belongs there, and why. It is certain only after
the tests have run again, which is the fixer's business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import NamedTuple


class Repair(NamedTuple):
    """`files`: regexp on the path; `old`: regexp on the code; `new`: its template; `why`: a
    clause that ends a sentence."""

    files: str
    old: str
    new: str
    why: str


REPAIRS = [
    Repair(
        r"\.py$",
        r"-1 if int\((?P<part>\w+)\) < 0 else 1",
        r'-1 if \g<part>.startswith("-") else 1',
        "the sign was taken from a number that can be zero, and `-00` is not less than zero",
    ),
    Repair(
        r"\.py$",
        r"(?P<name>milliseconds|millis) = int\((?P<part>\w+)\)(?=\s)",
        r'\g<name> = int(\g<part>.ljust(3, "0"))',
        "the digits after the point were read as whole milliseconds, so `.5` became 5 ms, not 500",
    ),
    Repair(
        r"\.py$",
        r"for (?P<i>\w+) in range\(len\((?P<list>\w+)\) - 1\):(?P<body>\s+total \+= (?P=list))",
        r"for \g<i> in range(len(\g<list>)):\g<body>",
        "the sum left out the last item",
    ),
]


class Fix(NamedTuple):
    """A file with what its text should be, and why."""

    path: str
    before: str
    after: str
    why: list[str]


_SKIPPED = {"node_modules", "venv", "build", "dist", "__pycache__", "site-packages"}
_MOST_FILES = 400
_MOST_FOLDERS = 2_000
_LARGEST = 200_000


def python_files(root: str) -> Iterator[str]:
    """Relative paths of Python files under `root`, sorted, hidden and built folders left out; not
    more than a look can take in."""
    found = 0
    for seen, (folder, folders, files) in enumerate(os.walk(root)):
        if found >= _MOST_FILES or seen >= _MOST_FOLDERS:
            return
        folders[:] = sorted(f for f in folders if f[0] != "." and f not in _SKIPPED)
        for name in sorted(files):
            path = os.path.join(folder, name)
            if name.endswith(".py") and os.path.isfile(path) and os.path.getsize(path) <= _LARGEST:
                found += 1
                yield os.path.relpath(path, root)


def is_test(path: str) -> bool:
    """True for what unittest or pytest would collect, and for anything in a `tests` folder."""
    parts = path.split(os.sep)
    name = parts[-1]
    in_tests = "tests" in parts[:-1] or "test" in parts[:-1]
    return in_tests or name.startswith("test_") or name.endswith("_test.py")


def find_fix(path: str, text: str) -> Fix | None:
    """What the table knows to mend in this file; None if nothing."""
    after, why = text, list[str]()
    for repair in REPAIRS:
        if re.search(repair.files, path):
            after, count = re.subn(repair.old, repair.new, after)
            why += [repair.why] if count else []
    return Fix(path, text, after, why) if why else None
