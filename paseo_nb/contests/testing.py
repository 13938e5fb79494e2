"""A judge that is a command: it runs on a contestant's files, in a folder of its own.

The folder has the files of the contestant's commit and no git repository; hidden tests are laid
over them. What pytest, or whatever writes JUnit's form, tells of single tests is read; else the
exit code is all that there is.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import uuid
import xml.etree.ElementTree as Xml
from collections import Counter
from pathlib import Path

import anyio.to_thread
import msgspec

from ..errors import UsageProblem
from ..git.commands import Repository
from ..patterns.checking import CheckResult, checked
from .values import Checks, Json

REPORT = "PASEO_JUNIT"  # where a command that is not pytest may write its report
LARGEST = 16 << 20
SHOWN = 50
_HARNESS = ("conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "package.json")


class Case(msgspec.Struct):
    """One test. outcome: passed, failed, error or skipped."""

    name: str
    outcome: str
    message: str = ""


class Tested(msgspec.Struct):
    """What a command said of a contestant's files. touched: files that tests are run by, and that
    the contestant changed."""

    command: str
    exit_code: int | None
    output: str
    took_s: float
    cases: list[Case] = []
    touched: list[str] = []

    @property
    def solved(self) -> bool:
        """Whether it said yes: exit code 0, and no test that failed."""
        return self.exit_code == 0 and not any(
            case.outcome in ("failed", "error") for case in self.cases
        )

    @property
    def score(self) -> float:
        """The share of tests passed, skipped ones left out; without a report 1 or 0. A command that
        died without telling of every test (exit code 0 or 1 of pytest) has 0."""
        ran = [case for case in self.cases if case.outcome != "skipped"]
        if not ran or self.exit_code not in (0, 1):
            return 1.0 if self.solved else 0.0
        return sum(case.outcome == "passed" for case in ran) / len(ran)

    def evidence(self) -> Json:
        """What a verdict keeps of it."""
        counts = Counter(case.outcome for case in self.cases)
        bad = [case for case in self.cases if case.outcome in ("failed", "error")]
        return {
            "command": self.command, "exit_code": self.exit_code, "took_s": self.took_s,
            **{name: counts[name] for name in ("passed", "failed", "error", "skipped")},
            "failures": [[case.name, case.message[:500]] for case in bad[:SHOWN]],
            "passes": [case.name for case in self.cases if case.outcome == "passed"][:SHOWN],
            "touched": self.touched, "output": self.output[-4000:],
        }  # fmt: skip


async def tested(repository: Path, commit: str, base: str | None, checks: Checks) -> Tested:
    """Run the command on a commit's files. UsageProblem where the hidden tests are not there."""
    with tempfile.TemporaryDirectory(prefix="paseo-judge-") as made:
        folder, report = Path(made) / "work", Path(made) / "junit.xml"
        await anyio.to_thread.run_sync(_lay_out, repository, commit, checks, folder)
        touched = await anyio.to_thread.run_sync(_touched, repository, base, commit)
        owner = f"judge-{uuid.uuid4().hex}"
        # -p no:cacheprovider: nothing of one contestant is left for a later look at the folder
        options = f"--junitxml={shlex.quote(str(report))} -p no:cacheprovider"
        command = (
            f"export {REPORT}={shlex.quote(str(report))} PYTEST_ADDOPTS={shlex.quote(options)}"
        )
        done = await checked(f"{command}\n{checks.command}", folder, checks.timeout, owner)
        return _tested(done, checks.command, report, touched)


def _lay_out(repository: Path, commit: str, checks: Checks, folder: Path) -> None:
    source = Repository(repository)
    folder.mkdir()
    with tempfile.TemporaryDirectory(prefix="paseo-index-") as beside:
        index = Path(beside) / "index"
        source.run("read-tree", commit, index=index)
        source.run("checkout-index", "--all", "--force", f"--prefix={folder}{os.sep}", index=index)
    if checks.hidden is not None:
        hidden = Path(checks.hidden)
        if not hidden.is_dir():
            raise UsageProblem(f"hidden={checks.hidden!r} is no folder: its files are the tests")
        shutil.copytree(hidden, folder, dirs_exist_ok=True)


def _touched(repository: Path, base: str | None, commit: str) -> list[str]:
    if base is None:
        return []
    told = Repository(repository).run("diff", "--name-only", "-z", base, commit)
    names = [name.decode("utf-8", "replace") for name in told.split(b"\0")[:-1]]
    return [name for name in names if name.rpartition("/")[2] in _HARNESS]


def _tested(done: CheckResult, command: str, report: Path, touched: list[str]) -> Tested:
    cases = _cases(report)
    return Tested(command, done.exit_code, done.output, done.took_s, cases, touched)


def _cases(report: Path) -> list[Case]:
    """What a JUnit report tells; nothing where there is none, or no good one."""
    try:
        if report.stat().st_size > LARGEST:
            return []
        top = Xml.parse(report).getroot()
    except (OSError, Xml.ParseError):
        return []
    found: list[Case] = []
    for case in top.iter("testcase"):
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        bad = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        if bad is None:
            found.append(Case(name, "passed"))
        else:
            outcome = "failed" if bad.tag == "failure" else bad.tag
            found.append(Case(name, outcome, bad.get("message") or ""))
    return found
