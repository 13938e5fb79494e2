"""Loop: a new agent tries, checks and a verifier look, what they said goes into the next attempt.

Each iteration is a new worker in the same folder: it sees what the ones before left, and why that
was not enough. Limits on iterations, time and cost hold inside a worker (its supervisor keeps them)
and inside a check.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread

from ..errors import UsageProblem
from ..handle import AsyncRun
from .checking import CheckResult
from .results import Iteration, Loop
from .working import LimitReached, Work, ended_well, how_it_ended, named, say

VERDICT = {
    "type": "object",
    "properties": {"passed": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["passed", "reason"],
    "additionalProperties": False,
}
SAME_FAILURES = 2
OUTPUT = 6_000


class Wanted:
    """What a loop was asked for."""

    def __init__(
        self,
        task: str,
        agent: str | None,
        verify: str | None,
        verifier: str | None,
        checks: list[str],
        until: Callable[[AsyncRun], Any] | None,
        iterations: int,
        pause: float,
    ) -> None:
        if not (verify or checks or until):
            raise UsageProblem(
                "a loop needs a way to know that it is done: checks= (shell commands), verify="
                " (what another agent looks for), or until= (a function)"
            )
        if iterations < 1:
            raise UsageProblem(f"iterations={iterations}: at least 1")
        if not pause >= 0:
            raise UsageProblem(f"pause={pause}: at least 0")
        if not all(command.strip() for command in checks):
            raise UsageProblem("a check is empty: it would always pass")
        self.task, self.agent, self.verify = task, agent, verify
        self.verifier = verifier or agent
        self.checks, self.until = checks, until
        self.iterations, self.pause = iterations, pause


async def looped(work: Work, wanted: Wanted) -> Loop:
    """Go on with a loop until it has succeeded or a limit ends it."""
    ended = work.record.ended
    done: list[Iteration] = []
    state = "iterations"
    try:
        for number in range(1, wanted.iterations + 1):
            if ended is not None and f"{number}/worker" not in work.record.known:
                break
            if done and wanted.pause and ended is None:
                await anyio.sleep(wanted.pause)
            one = await _iteration(work, wanted, number, done)
            done.append(one)
            if one.passed:
                state = "succeeded"
                break
            if _cannot(done):
                state = "failed"
                break
    except LimitReached as reached:
        state = reached.which
    if ended is None:
        work.end(state=state)
    else:
        state = str(ended["state"])
    say(f"loop: {state}")
    return Loop(
        record=work.record.name,
        state=state,
        iterations=done,
        took_s=round(work.spent_s(), 1),
        cost_usd=work.spent_usd(),
    )


async def _iteration(work: Work, wanted: Wanted, number: int, before: list[Iteration]) -> Iteration:
    prompt = work.prompt(
        "loop_worker", task=wanted.task, attempts=_attempts(before), goal=_goal(wanted)
    )
    say(f"iteration {number} of at most {wanted.iterations}")
    more: dict[str, Any] = {"base": None} if before else {}  # the branch is there
    run = await work.run(
        f"{number}/worker",
        wanted.agent,
        prompt,
        title=f"Loop {number}: {wanted.task.splitlines()[0][:60]}",
        **more,
    )
    say(f"  worker {named(run)}")
    one = Iteration(number=number, worker=run)
    if not ended_well(run):
        one.reason = f"the worker did not end well: {how_it_ended(run)}"
        return one
    one.checks = await work.checks(f"{number}", wanted.checks, Path(run.spec.cwd))
    failed = [check for check in one.checks if not check.passed]
    if failed:
        one.reason = _said(failed[0])
        return one
    if wanted.verify:
        passed, one.reason, one.verifier = await _verified(work, wanted, number, run)
        if not passed:
            return one
    if wanted.until is not None:
        passed, said = await _asked(work, wanted.until, number, run)
        if not passed:
            one.reason = said
            return one
    one.passed = True
    return one


async def _verified(
    work: Work, wanted: Wanted, number: int, run: AsyncRun
) -> tuple[bool, str, AsyncRun]:
    """What another agent says, looking at the same folder; it may not change it."""
    prompt = work.prompt(
        "loop_verifier", verify=wanted.verify or "", task=wanted.task, said=run.text or "(nothing)"
    )
    title = f"Verify {number}: {wanted.task.splitlines()[0][:60]}"
    judge = await work.run(
        f"{number}/verifier", wanted.verifier, prompt, schema=VERDICT, mode="read", title=title,
        allow=None, base=None, shared=True,
    )  # fmt: skip
    verdict: Any = judge.value
    if verdict is None:
        say(f"  verifier {named(judge)}")
        return False, f"the verifier gave no verdict: {how_it_ended(judge)}", judge
    say(f"  verifier {named(judge)}: {'passed' if verdict['passed'] else 'not passed'}")
    return bool(verdict["passed"]), str(verdict["reason"]), judge


async def _asked(
    work: Work, until: Callable[[AsyncRun], Any], number: int, run: AsyncRun
) -> tuple[bool, str]:
    """What a function of the user's says of the worker's run: true, or why not."""
    name = f"{number}/until"
    known = work.record.known.get(name)
    if known is None:
        given = await anyio.to_thread.run_sync(until, run, abandon_on_cancel=True)
        answer: Any = await given if inspect.isawaitable(given) else given
        reason = answer if isinstance(answer, str) else "the condition (until=) does not hold yet"
        passed = bool(answer) and not isinstance(answer, str)
        known = {"passed": passed, "reason": "" if passed else reason}
        work.record.put(name, known)
    return bool(known["passed"]), str(known["reason"])


def _said(check: CheckResult) -> str:
    output = check.output.strip()
    if len(output) > OUTPUT:
        output = f"…\n{output[-OUTPUT:]}"
    return f"{check}\n{output}".strip()


def _goal(wanted: Wanted) -> str:
    goals = [f"- the command `{command}` succeeds" for command in wanted.checks]
    goals += [f"- {wanted.verify}"] if wanted.verify else []
    goals += ["- a condition that is looked at by code"] if wanted.until and not goals else []
    return "\n".join(goals)


def _attempts(before: list[Iteration]) -> str:
    if not before:
        return "This is the first attempt."
    told = [f"Attempt {one.number} was not enough:\n{one.reason}" for one in before[-3:]]
    left = len(before) - len(told)
    note = [f"({left} earlier attempts are left out)"] if left else []
    return "\n\n".join([*note, *told])


def _cannot(done: list[Iteration]) -> bool:
    """Whether the agent failed the same way twice in a row: a key that is missing stays so."""
    last = done[-SAME_FAILURES:]
    return (
        len(last) == SAME_FAILURES
        and all(one.worker.error is not None for one in last)
        and len({one.reason for one in last}) == 1
    )
