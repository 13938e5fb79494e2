"""Runs the static checks and the two halves of the suite, and prints one closing line for all.

What kills processes, fills disks or starts a hundred runs goes alone; the rest goes two at a time.
A half that collected nothing is a failure: a marker that matches no test hides one.
"""

from __future__ import annotations

import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from tempfile import TemporaryDirectory

ALONE = "crash or load or browser"
CHECKS = (
    ["ruff", "format", "--check", "."],
    ["ruff", "check", "."],
    ["pyright", "--pythonpath", sys.executable],
)
HALVES = {
    "together": ["-n", "2", "-m", f"not ({ALONE})"],
    "alone": ["-m", ALONE],
}


def main(more: list[str]) -> int:
    """Run everything; 0 if all of it passed. A check that fails does not stop the rest."""
    begun = time.monotonic()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    codes: list[int] = []
    for check in CHECKS:
        codes.append(subprocess.run([sys.executable, "-m", *check]).returncode)
        counts["failed" if codes[-1] else "passed"] += 1
    with TemporaryDirectory() as folder:
        for name, arguments in HALVES.items():
            report = Path(folder) / f"{name}.xml"
            command = [sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"]
            codes.append(subprocess.run([*command, "--durations=8", *more]).returncode)
            suite = next(ElementTree.parse(report).getroot().iter("testsuite"))
            number = {
                key: int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")
            }
            bad = number["failures"] + number["errors"]
            counts["failed"] += bad
            counts["skipped"] += number["skipped"]
            counts["passed"] += number["tests"] - bad - number["skipped"]
    print(f"took {time.monotonic() - begun:.0f} s")
    closing = f"{counts['passed']} passed, {counts['failed']} failed"
    if counts["skipped"]:
        closing += f", {counts['skipped']} skipped"
    print(closing)
    return 1 if any(codes) or counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
