"""The main scenario: makes failing tests pass, by reading, running and editing for real.

Scripted are its words and the table of bugs it knows; the rest is what the repository says. Each
step finds what it needs in the repository or in the turn's memory, so any of them can come first
in a new process.
"""

from __future__ import annotations

from ..errors import TurnOver
from ..prompt import Prompt
from ..repairs import Fix, find_fix, is_test, python_files
from ..steps import Step
from ..steps.work import read_file, run_command, write_file
from ..testrun import TestRun, command, read_output
from ..tools import unified_diff
from ..turn import Turn
from .scenario import Scenario

_PLAN = [
    ("Read the code and its tests", "high"),
    ("Run the tests to see what fails", "high"),
    ("Mend what is broken", "high"),
    ("Run the tests again and sum up", "medium"),
]
_SHOWN_FILES = 3
_TEST_TIMEOUT_S = 120.0


async def _plan(turn: Turn, done: int) -> None:
    states = ["completed"] * done + ["in_progress"] + ["pending"] * len(_PLAN)
    await turn.plan(
        [(text, rank, state) for (text, rank), state in zip(_PLAN, states, strict=False)]
    )


async def introduce(turn: Turn) -> None:
    """Says what it is and what comes."""
    await turn.paragraph(
        "I am the **scripted demo agent**: there is no model behind these words, but what I do in "
        "your repository is real. I read the code, run its tests, mend what I recognise and run "
        "them again."
    )
    await turn.think(
        "The user wants the tests to pass. First I look at what the tests expect and what the code "
        "does; then I let the test run decide what is broken, rather than guess."
    )
    await _plan(turn, 0)


async def look(turn: Turn) -> None:
    """Reads tests and code, as far as a reader wants to watch."""
    files = list(python_files(turn.session.cwd))
    tests = [path for path in files if is_test(path) and not path.endswith("__init__.py")]
    code = [path for path in files if not is_test(path) and not path.endswith("__init__.py")]
    if not tests:
        await turn.paragraph(
            "I found no Python tests in this folder. A scripted demo cannot go on without any, so "
            "I stop here and have changed nothing."
        )
        raise TurnOver("end_turn")
    known = [fix.path for fix in _find_fixes(turn)]
    interesting = known + [path for path in code if path not in known]
    await turn.paragraph(f"There are {len(tests)} test files beside {len(code)} modules.")
    for path in tests[:_SHOWN_FILES] + interesting[:_SHOWN_FILES]:
        await read_file(turn, path)
    await _plan(turn, 1)


async def run_tests(turn: Turn) -> None:
    """The first run: what fails?"""
    if turn.session.mode == "plan":
        await _only_propose(turn)
    result = await _run(turn)
    turn.memory["before"] = [result.ran, result.failed]
    if result.ran == 0:
        await turn.paragraph("No test was run, so there is nothing that I could mend.")
        raise TurnOver("end_turn")
    if result.failed == 0:
        await _plan(turn, len(_PLAN))
        await turn.paragraph(
            f"All {result.ran} tests pass already. I changed nothing: there is nothing to mend."
        )
        raise TurnOver("end_turn")
    turn.memory["found"] = [(fix.path, "; ".join(fix.why)) for fix in _find_fixes(turn)]
    names = ", ".join(f"`{name}`" for name in result.names[:5])
    await turn.paragraph(f"{result.failed} of {result.ran} tests fail: {names}.")
    await _plan(turn, 2)


async def mend(turn: Turn) -> None:
    """Edits each file in which it recognises a bug; which those are was settled before, so that a
    turn that is continued after half of the edits still knows of them all."""
    found: list[tuple[str, str]] = turn.memory["found"]
    if not found:
        await turn.paragraph(
            "I recognise none of the few bugs I know. I am a scripted demo without a model, so I "
            "cannot fix this; an agent with a model could. Nothing was changed."
        )
        raise TurnOver("end_turn")
    for path, why in found:
        fix = find_fix(path, _text(turn, path))
        if fix is not None:
            await turn.paragraph(f"In `{path}` I see the mistake: {why}.")
            await write_file(turn, path, fix.after)
    await _plan(turn, 3)


async def run_again(turn: Turn) -> None:
    """The second run: did it help?"""
    result = await _run(turn)
    turn.memory["after"] = [result.ran, result.failed]


async def sum_up(turn: Turn) -> None:
    """What was done, in Markdown."""
    ran, failed = turn.memory["after"]
    before = turn.memory["before"][1]
    await _plan(turn, len(_PLAN))
    lines = "\n".join(f"- `{path}`: {why}" for path, why in turn.memory["found"])
    verdict = (
        f"All **{ran} tests pass** now; {before} failed before."
        if failed == 0
        else f"**{failed} of {ran} tests still fail** ({before} before); I know no more to mend."
    )
    await turn.stream(f"## Done\n\n{lines}\n\n{verdict} This summary is scripted, the run was not.")


async def _run(turn: Turn) -> TestRun:
    root = turn.session.cwd
    texts = [_text(turn, path) for path in python_files(root) if is_test(path)]
    argv, shown = command(root, texts)
    # Asked to make the tests pass, it may run them: only its edits are asked for.
    ended = await run_command(turn, argv, shown=shown, timeout_s=_TEST_TIMEOUT_S, ask=False)
    return read_output(ended.output)


async def _only_propose(turn: Turn) -> None:
    found = _find_fixes(turn)
    what = "This is what I would change:" if found else "I recognise no bug that I could mend."
    await turn.paragraph(f"In plan mode I run nothing and edit nothing. {what}")
    for fix in found:
        change = unified_diff(fix.path, fix.before, fix.after)
        await turn.paragraph(f"`{fix.path}`: {'; '.join(fix.why)}\n\n```diff\n{change}\n```")
    raise TurnOver("end_turn", finished=False)


def _find_fixes(turn: Turn) -> list[Fix]:
    code = [path for path in python_files(turn.session.cwd) if not is_test(path)]
    fixes = [find_fix(path, _text(turn, path)) for path in code]
    return [fix for fix in fixes if fix is not None]


def _text(turn: Turn, path: str) -> str:
    with open(turn.path(path), encoding="utf-8", errors="replace", newline="") as file:
        return file.read()


def steps(prompt: Prompt) -> list[Step]:
    """The six steps."""
    return [introduce, look, run_tests, mend, run_again, sum_up]


SCENARIO = Scenario("fixer", "makes failing Python tests pass, as far as it knows the bug", steps)
