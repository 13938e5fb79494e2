"""fix-until-green: a command says what is wrong, an agent mends it, another one sees that it did.

Each attempt has a worktree of its own that begins with the last one's files; the project's folder
is not touched. Green by weakened tests is not green: a judge reads the whole change, and what it
finds goes into the next attempt. Cost: per round 1 attempt; 1 judgement where the command passes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from ...errors import PaseoError, UsageProblem, WorkflowError
from ...patterns.checking import checked
from .. import words
from ..conductor import Conductor
from ..values import Result, StepFailed
from ..workflows import workflow
from .telling import needed, prompt, shortened


class Honest(msgspec.Struct, frozen=True):
    """Whether a change mends what was wrong, rather than what showed it."""

    honest: bool
    why: str


class Round(msgspec.Struct, frozen=True):
    """One attempt. why: what the judge says; empty where the command failed."""

    said: str
    passed: bool
    output: str
    honest: bool | None = None
    why: str = ""


class Green(msgspec.Struct, frozen=True):
    """What came of it. commit: the last attempt's files, to `git merge`; run_id: its run, whose
    worktree `paseo.unarchive(run_id)` brings back. patch: the whole change."""

    green: bool
    command: str
    rounds: list[Round]
    commit: str | None = None
    run_id: str | None = None
    patch: str = ""

    def __bool__(self) -> bool:
        return self.green

    def __str__(self) -> str:
        how = "passes" if self.green else "does not pass"
        return f"`{self.command}` {how} after {len(self.rounds)} rounds; commit {self.commit}"


@workflow(name="fix-until-green", budget=10.0, max_steps=100)
async def fix_until_green(
    command: str,
    goal: str = "",
    *,
    agent: str | None = None,
    judge: str | None = None,
    rounds: int = 5,
    limit_s: float = 600.0,
) -> Green:
    """Have an agent mend the files until a command passes, and nothing was bent to make it pass.

    command: a shell command, as "pytest -q"; run as it is written
    goal: what else the change is for
    agent: who mends (default: the configured one)
    judge: who reads the change when the command passes (default: the same)
    rounds: attempts, at most
    limit_s: seconds that the command may take
    """
    if not command.strip() or rounds < 1:
        raise UsageProblem("fix-until-green takes a command, and rounds of 1 or more")
    conductor = words.current("fix-until-green")
    here = Path(conductor.place.repository or Path.cwd())
    passed, output = await _checked(conductor, command, here, limit_s)
    done: list[Round] = []
    if passed:
        return Green(True, command, done)
    last: Result | None = None
    blame = ""
    for number in range(1, rounds + 1):
        words.phase(f"round {number}")
        text = prompt("green_fix", command=command, output=output, goal=goal, blame=blame)
        made = await words.agent(
            text, agent, isolation="worktree", needs=last or (), label=f"mend {number}"
        )
        if isinstance(made, StepFailed):
            done.append(Round(made.message, False, ""))
            continue
        last = made
        passed, output = await _checked(conductor, command, await _place(conductor, made), limit_s)
        if not passed:
            done.append(Round(made.text, False, output))
            blame = ""
            continue
        patch = _whole(conductor, made)
        text = prompt("green_judge", command=command, goal=goal, patch=shortened(patch))
        step = words.agent(
            text, judge or agent, schema=Honest, mode="read", isolation="worktree", needs=made,
            label=f"judge {number}",
        )  # fmt: skip
        told: Honest = await needed(step, "nobody judged the change")
        done.append(Round(made.text, True, output, told.honest, told.why))
        if told.honest:
            return Green(True, command, done, made.commit, made.run_id, patch)
        blame = f"The last change made it pass, but not in the way it should: {told.why}"
    if last is None:
        return Green(False, command, done)
    return Green(False, command, done, last.commit, last.run_id, _whole(conductor, last))


async def _checked(
    conductor: Conductor, command: str, folder: Path, limit_s: float
) -> tuple[bool, str]:
    """What the command says in a folder; when the workflow is resumed, what it said."""

    async def make() -> Any:
        told = await checked(command, folder, limit_s, f"check-{conductor.folder.id}")
        how = "" if told.exit_code is not None else f"\n(ended after {limit_s:g} s)"
        return [told.passed, told.output + how]

    words.log(f"runs {command}")
    passed, output = await conductor.kept("check", make)
    words.log("it passes" if passed else "it fails")
    return passed, output


async def _place(conductor: Conductor, made: Result) -> Path:
    """Where an attempt's files are; brought back where they were put away."""
    if made.path is not None and not Path(made.path).is_dir():
        with contextlib.suppress(PaseoError):
            await conductor.place.bring_back(made.run_id)
    if made.path is None or not Path(made.path).is_dir():
        raise WorkflowError(
            f"the worktree of {made.label} is gone ({made.path}), so nothing can be run there:"
            " begin anew by options(refresh=True)",
            conductor.folder.id,
        )
    return Path(made.path)


def _whole(conductor: Conductor, made: Result) -> str:
    """The patch from the files that the workflow began with to an attempt's."""
    if conductor.base is None or made.commit is None or made.repository is None:
        return ""
    from ...git.diffs import diff

    return diff(Path(made.repository), conductor.base.commit, made.commit).patch
