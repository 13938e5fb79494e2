"""Runs the static checks, the two halves of the suite and the store's tests on the older DuckDB,
the notebook's on the older ipykernel, and the main job without a network, and prints one closing line for all.

What starts a hundred runs goes alone; what kills processes or fills disks goes beside the browser;
real agents go two at a time, as each takes a core; the rest, which waits half of its time, goes three
at a time.
A part that collected nothing is a failure: a marker that matches no test hides one.

Where a few tests of a part fail, they run once more, alone. One that passes only then is named at
the end: on a small busy machine that is most often a deadline of the test's, and it is a defect
still, to be mended. More than a few are not tried again.
"""

from __future__ import annotations

import os
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
IN_KERNELS = ("nesting", "magics", "answers", "notebook_things", "frame_view", "figures")
STEAL = ("--dist", "worksteal")  # who is done takes over: the slow tests stand side by side
PARTS = {
    "real agents": ["-n", "2", *STEAL, "-m", f"real_agent and not ({ALONE})"],
    "together": ["-n", "3", *STEAL, "-m", f"not (real_agent or {ALONE})"],
    "load": ["-m", "load"],
    # two workers, the browser's tests on one: conftest.py's own dealing
    "crash and browser": [
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "-m",
        "(crash or browser) and not load",
    ],
    "older DuckDB": ["-n", "3", "tests/store"],
    "older ipykernel": [
        "-n",
        "3",
        *(f"tests/surface/test_{name}.py" for name in IN_KERNELS),
        "tests/widgets/test_in_a_kernel.py",
        "tests/browser/test_run_view_lab.py",
    ],
    "loopback only": ["tests/surface", "-k", "main_job or streams_and_says or nbclient"],
}
A_FEW = 4
OLDER = {"duckdb": "1.5", "ipykernel": "6.29"}  # tests/run.sh has installed them there
ENVIRONMENTS = {
    name: {
        "PYTHONPATH": str(Path(__file__).parents[1] / ".venv" / f"{package}-{OLDER[package]}"),
        f"WANTED_{package.upper()}": OLDER[package],
    }
    for name, package in (("older DuckDB", "duckdb"), ("older ipykernel", "ipykernel"))
}


# A network namespace that has nothing but loopback: the main job takes no other network.
ALONE_ON_THE_NET = ["unshare", "-rmn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def permitted(command: list[str]) -> bool:
    """Whether this machine lets us make such a namespace (many containers do not)."""
    try:
        return subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def tested(command: list[str], env: dict[str, str], here: Path) -> tuple[int, ElementTree.Element]:
    """Run pytest; its exit code and what its report tells. `here` keeps which tests failed."""
    report = here / "report.xml"
    where = [f"--junitxml={report}", "-o", f"cache_dir={here / 'cache'}"]
    code = subprocess.run([*command, *where], env=env).returncode
    return code, next(ElementTree.parse(report).getroot().iter("testsuite"))


def failures(suite: ElementTree.Element) -> list[str]:
    """The tests of a report that failed, or whose set-up or end did."""
    return [
        f"{case.get('classname')}::{case.get('name')}"
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def main(more: list[str]) -> int:
    """Run everything; 0 if all of it passed. A check that fails does not stop the rest."""
    begun = time.monotonic()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    again: list[str] = []
    codes: list[int] = []
    for check in CHECKS:
        codes.append(subprocess.run([sys.executable, "-m", *check]).returncode)
        counts["failed" if codes[-1] else "passed"] += 1
    with TemporaryDirectory() as folder:
        for name, arguments in PARTS.items():
            wrap = ALONE_ON_THE_NET if name == "loopback only" else []
            if wrap and not permitted(wrap):
                print(f"tests, {name}: left out, network namespaces are not permitted here")
                continue
            print(f"tests, {name}:", flush=True)
            env = {**os.environ, **ENVIRONMENTS.get(name, {})}
            os.sync()  # what the part before wrote would hold up this one's writes to the disk
            here, begun_part = Path(folder) / name, time.monotonic()
            command = [*wrap, sys.executable, "-m", "pytest", *arguments, *more]
            code, suite = tested([*command, "--durations=15"], env, here)
            failed = set(failures(suite))
            if code == 1 and 0 < len(failed) <= A_FEW:
                print(f"tests, {name}, the failed ones once more, alone:", flush=True)
                code, second = tested([*command, "-n", "0", "--lf"], env, here)
                still = set(failures(second)) if code in (0, 1) else failed
                again += sorted(failed - still)
                failed &= still
            print(f"tests, {name}: {time.monotonic() - begun_part:.0f} s", flush=True)
            codes.append(code)
            skipped = int(suite.get("skipped", "0"))
            counts["failed"] += len(failed)
            counts["skipped"] += skipped
            counts["passed"] += len(list(suite.iter("testcase"))) - len(failed) - skipped
    for test in again:
        print(f"passed only at the second try: {test}")
    print(f"took {time.monotonic() - begun:.0f} s")
    closing = f"{counts['passed']} passed, {counts['failed']} failed"
    if counts["skipped"]:
        closing += f", {counts['skipped']} skipped"
    print(closing)
    return 1 if any(codes) or counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
