"""An epic's plan as a file that people read and change: front matter, then a phase a section.

`[ ]` to do, `[~]` at work, `[x]` done, `[!]` failed. Marks and `status` are ours to write; the rest
is whoever's: what is changed in it counts from the next phase on. A `check:` goes on in the lines
below it that are indented.
"""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path
from typing import Literal, cast

import msgspec

from ..errors import UsageProblem
from ..journal import fsync_dir, write_all

Kind = Literal["refactor", "implement", "verify", "gate"]
KINDS: tuple[Kind, ...] = ("refactor", "implement", "verify", "gate")
_PHASE = re.compile(r"^## \[([ ~x!])\] (\w+): (.+)$")
_FACT = re.compile(r"^(acceptance|checks?|agent): (.*)$", re.IGNORECASE)
# A line of text that would be taken for ours has a backslash before it; so has one that had one.
_OURS = re.compile(r"^\\*(#|---$|(acceptance|checks?|agent): )", re.IGNORECASE)


_INDENT = " " * 4


class Phase(msgspec.Struct):
    """One phase: what is wrong or wanted, how one sees that it is done, commands that must pass.
    agent: another than the epic's for this phase."""

    title: str
    kind: Kind
    task: str
    acceptance: str
    checks: list[str] = []
    agent: str | None = None
    mark: str = " "


class Plan(msgspec.Struct):
    """The file's content. `facts` is its front matter: status, worktree, created, updated."""

    task: str
    phases: list[Phase]
    facts: dict[str, str] = {}


def written(path: Path, plan: Plan) -> None:
    """Write the file, whole or not at all."""
    facts = {**plan.facts, "updated": _now()}
    facts.setdefault("created", facts["updated"])
    head = [f"{name}: {value}" for name, value in facts.items()]
    parts = ["\n".join(["---", *head, "---"]), f"# Epic\n\n{_quoted(plan.task)}"]
    for phase in plan.phases:
        lines = [f"## [{phase.mark}] {phase.kind}: {phase.title}", "", _quoted(phase.task), ""]
        lines += [f"acceptance: {phase.acceptance}"]
        lines += [f"check: {_INDENT.join(command.splitlines(True))}" for command in phase.checks]
        lines += [f"agent: {phase.agent}"] if phase.agent else []
        parts.append("\n".join(lines))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, ("\n\n".join(parts) + "\n").encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(beside, path)
    fsync_dir(path.parent)


def read(path: Path) -> Plan:
    """Read the file. UsageProblem names the line that is wrong."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblem(f"the plan {path} cannot be read: {error}") from error
    facts, start = _front(path, lines)
    plan = Plan("", [], facts)
    text: list[str] = []
    fenced = False
    script: list[str] | None = None  # the lines of the check that is being read
    for number, line in enumerate(lines[start:], start + 1):
        if script is not None:
            if line[:1].isspace() or not line:
                script.append(line.removeprefix(_INDENT) if _INDENT in line else line.lstrip())
                continue
            _end_check(plan.phases[-1], script)
            script = None
        if _PHASE.match(line) or (line.startswith("## ") and not fenced):
            _settle(plan, text)
            plan.phases.append(_phase(path, number, line))
            text, fenced = [], False
        elif plan.phases and not fenced and (fact := _FACT.match(line)):
            name, value = fact[1].lower(), fact[2].strip()
            if name in ("check", "checks"):
                script = [value]
            else:
                setattr(plan.phases[-1], name, value)
        elif line.strip() != "# Epic" or plan.phases or any(text):
            text.append(line)
            fenced ^= line.lstrip().startswith("```")
    if script is not None:
        _end_check(plan.phases[-1], script)
    _settle(plan, text)
    if not plan.phases:
        raise UsageProblem(f"the plan {path} has no phases: write `## [ ] implement: TITLE` lines")
    return plan


def _front(path: Path, lines: list[str]) -> tuple[dict[str, str], int]:
    if not lines or lines[0].strip() != "---" or "---" not in lines[1:]:
        raise UsageProblem(f"{path} is no plan of an epic: it has no front matter (--- … ---)")
    end = lines.index("---", 1)
    pairs = (line.partition(":") for line in lines[1:end] if line.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}, end + 1


def _phase(path: Path, number: int, line: str) -> Phase:
    found = _PHASE.match(line)
    if found is None or found[2] not in KINDS:
        raise UsageProblem(
            f"{path}, line {number}: write `## [ ] KIND: TITLE`; kinds are {', '.join(KINDS)}"
        )
    return Phase(found[3].strip(), cast(Kind, found[2]), "", "", mark=found[1])


def _end_check(phase: Phase, script: list[str]) -> None:
    command = "\n".join(script).strip()
    if command:
        phase.checks.append(command)


def _settle(plan: Plan, text: list[str]) -> None:
    told = "\n".join(line[1:] if line[:1] == "\\" and _OURS.match(line) else line for line in text)
    told = told.strip()
    if plan.phases:
        plan.phases[-1].task = told
    else:
        plan.task = told


def _quoted(text: str) -> str:
    """Text that no line of is taken for a heading or a fact of ours."""
    lines = text.strip().splitlines()
    return "\n".join(f"\\{line}" if _OURS.match(line) else line for line in lines)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
