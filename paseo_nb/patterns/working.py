"""What the patterns share: runs as steps of a record, and limits that hold inside each of them."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from .. import preparing
from ..answering import OnPermission
from ..errors import PaseoError, UsageProblem
from ..handle import AsyncRun
from ..host.local import LocalHost
from ..model import short_id
from ..supervisor import cleanup
from .checking import CheckResult, checked
from .prompts_of import filled
from .records import Record, opened

Start = Callable[..., Awaitable[AsyncRun]]
CHECK_S = 600.0


class Limits(msgspec.Struct, frozen=True):
    """What a call of a pattern may take in all: seconds of work, US dollars. None: no limit."""

    time_s: float | None = None
    budget: float | None = None


class LimitReached(Exception):
    """A limit of the call is used up; `which`: time or budget."""

    def __init__(self, which: str) -> None:
        super().__init__(which)
        self.which = which


class Work:
    """One call of a pattern at work: starts the runs of its steps once, and counts what they take.

    start: the verb. options: what every run of it is started with.
    """

    def __init__(
        self,
        host: LocalHost,
        start: Start,
        record: Record,
        limits: Limits,
        options: Mapping[str, Any],
        on_permission: OnPermission,
    ) -> None:
        self.host, self._start, self.record, self.limits = host, start, record, limits
        self.project: Path = preparing.project_of(host)
        self._options = options
        self._on_permission: OnPermission = on_permission
        self._labelled = self._find() if record.goes_on else {}

    def _find(self) -> dict[str, str]:
        """The runs that were started for this call, by step; of one killed before it wrote so."""
        found: dict[str, str] = {}
        for run_id in self.host.list():
            with contextlib.suppress(UsageProblem):
                labels = self.host.spec(run_id).labels
                if labels.get("pattern") == self.record.name:
                    found[labels["step"]] = run_id
        return found

    def prompt(self, name: str, **fields: str) -> str:
        """One of the patterns' prompts, or the project's own."""
        return filled(name, self.project, **fields)

    # ------------------------------------------------------------ limits

    @property
    def runs(self) -> list[AsyncRun]:
        """The runs of its steps so far, in order."""
        ids = [str(facts["run"]) for facts in self.record.known.values() if "run" in facts]
        return [AsyncRun(self.host, run_id) for run_id in dict.fromkeys(ids)]

    def spent_s(self) -> float:
        """Seconds that its turns and checks took so far."""
        turns = [turn for run in self.runs for turn in run.history().turns]
        worked = sum((t.finished_us - t.started_us) / 1e6 for t in turns if t.finished_us)
        return worked + sum(facts.get("took_s", 0.0) for facts in self.record.known.values())

    def spent_usd(self) -> float | None:
        """US dollars that its runs cost so far; None where none of them tells."""
        told = [run.cost_usd for run in self.runs if run.cost_usd is not None]
        return sum(told) if told else None

    def left(self) -> Limits:
        """What is left. LimitReached where nothing is."""
        time_s, budget = self.limits.time_s, self.limits.budget
        if time_s is not None:
            time_s -= self.spent_s()
            if time_s <= 0:
                raise LimitReached("time")
        if budget is not None:
            budget -= self.spent_usd() or 0.0
            if budget <= 0:
                raise LimitReached("budget")
        return Limits(time_s, budget)

    # ------------------------------------------------------------ steps

    async def run(self, step: str, agent: str | None, prompt: str, **options: Any) -> AsyncRun:
        """The run of a step, when its turn is over, however it ended. Started once: a later call
        goes on with it, resumes it where it was cut off, or takes what it did."""
        run = await self.begin(step, agent, prompt, **options)
        return await self.over(run)

    async def begin(self, step: str, agent: str | None, prompt: str, **options: Any) -> AsyncRun:
        """The run of a step, started if it was not; it may be at work still."""
        known = self.record.known.get(step, {}).get("run") or self._labelled.get(step)
        if known is None:
            left = self.left()
            labels = {"pattern": self.record.name, "step": step, **options.pop("labels", {})}
            given = {**self._options, "timeout": left.time_s, "budget": left.budget, **options}
            run = await self._start(agent, prompt, labels=labels, **given)
        else:
            run = AsyncRun(self.host, str(known))
        if self.record.known.get(step, {}).get("run") != run.id:
            self.record.put(step, {"run": run.id})
        return run

    async def send(self, step: str, run: AsyncRun, prompt: str) -> AsyncRun:
        """Another turn of a run as a step, once; the run when that is over."""
        ident = hashlib.sha256(f"{self.record.name}/{step}".encode()).hexdigest()[:32]
        if step not in self.record.known:
            self.left()
            self.record.put(step, {"sent": ident})
        if ident not in run.history().commands_done:
            await run.send_once(ident, prompt)
        return await self.over(run)

    async def over(self, run: AsyncRun) -> AsyncRun:
        """Wait until a run's turn is over. Cancelled, it cancels that turn."""
        if run.state == "interrupted":
            await run.resume()
        try:
            return await run.wait(check=False, on_permission=self._on_permission)
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await run.cancel()
            raise

    async def together(self, *work: Awaitable[AsyncRun]) -> list[AsyncRun]:
        """Several steps side by side, in the order given; the first problem of ours is raised when
        all are over."""
        done: list[AsyncRun | None] = [None] * len(work)
        problems: list[Exception] = []

        async def one(at: int, what: Awaitable[AsyncRun]) -> None:
            try:
                done[at] = await what
            except (PaseoError, LimitReached) as problem:
                problems.append(problem)

        async with anyio.create_task_group() as group:
            for at, what in enumerate(work):
                group.start_soon(one, at, what)
        if problems:
            raise problems[0]
        return [run for run in done if run is not None]

    async def checks(
        self, step: str, commands: Sequence[str], folder: Path, check_s: float = CHECK_S
    ) -> list[CheckResult]:
        """Run the checks of a step in order, up to the first that fails; each once."""
        results: list[CheckResult] = []
        for number, command in enumerate(commands, 1):
            name = f"{step}/check/{number}"
            known = self.record.known.get(name)
            if known is None or known.get("command") != command:
                left = self.left().time_s
                limit = check_s if left is None else min(check_s, left)
                result = await checked(command, folder, limit, self.record.name)
                self.record.put(name, msgspec.to_builtins(result))
            else:
                result = msgspec.convert(known, CheckResult)
            results.append(result)
            say(f"  {result}, {result.took_s:.1f} s")
            if not result.passed:
                break
        return results

    def end(self, **facts: Any) -> None:
        """It is over: the same call will begin anew."""
        self.record.put("end", facts)


@contextlib.asynccontextmanager
async def working(
    host: LocalHost,
    start: Start,
    pattern: str,
    asked: Mapping[str, Any],
    *,
    limits: Limits,
    options: Mapping[str, Any],
    on_permission: OnPermission,
    again: bool = False,
) -> AsyncGenerator[Work]:
    """The work of one call, its record held while the block lasts; what a killed call of it left
    running as a check is ended first."""
    for name, value in (("time_limit", limits.time_s), ("budget", limits.budget)):
        if value is not None and value <= 0:
            raise UsageProblem(f"{name}={value!r} must be more than 0")
    given = {name: value for name, value in options.items() if value is not None}
    record = await opened(host, pattern, [asked, given], anew=again)
    try:
        if record.goes_on:
            await anyio.to_thread.run_sync(cleanup.sweep, record.name)
            if record.ended is None:
                say(f"{pattern}: going on with {record.name}")
        yield Work(host, start, record, limits, given, on_permission)
    finally:
        record.close()


def say(text: str) -> None:
    """Tell whoever watches what goes on."""
    print(text, file=sys.stderr, flush=True)


def ended_well(run: AsyncRun) -> bool:
    """Whether a run's last turn ended by itself."""
    turn = run.history().turn
    return turn is not None and turn.outcome == "end_turn"


def how_it_ended(run: AsyncRun) -> str:
    """A run's end in words, for the next agent and for people."""
    turn, error = run.history().turn, run.error
    outcome = (turn.outcome if turn is not None else None) or run.state
    return f"{outcome}: {error.message}" if error is not None else outcome


def named(run: AsyncRun) -> str:
    """A run as the lines of progress name it."""
    cost = "" if run.cost_usd is None else f", ${run.cost_usd:.2f}"
    return f"{short_id(run.id)} {run.agent} ({how_it_ended(run)}{cost})"
