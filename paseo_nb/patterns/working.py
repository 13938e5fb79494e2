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
from ..history import History
from ..host.local import LocalHost
from ..model import Turn, short_id
from ..supervisor import cleanup
from .checking import CheckResult, checked
from .prompts_of import filled
from .records import Record, opened

Start = Callable[..., Awaitable[AsyncRun]]
CHECK_S = 600.0
RESUMES = 3  # of a step, in one call
LIMITS = {"timeout": "time", "cost": "budget"}  # by what a run's limit is called


class Limits(msgspec.Struct, frozen=True):
    """What a call of a pattern may take in all: seconds of work, US dollars. None: no limit."""

    time_s: float | None = None
    budget: float | None = None


class LimitReached(PaseoError):
    """A limit of the call is used up; `which`: time or budget."""

    def __init__(self, which: str) -> None:
        super().__init__(f"the limit of {which} is reached; a higher one goes on from here")
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
                if labels.get("pattern") == self.record.name and "step" in labels:
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
        """Seconds that its turns and checks took so far; those of turns side by side once."""
        turns = [(run.history(), turn) for run in self.runs for turn in run.history().turns]
        worked, until = 0, 0
        for begun, ended in sorted((t.started_us, _ended_us(h, t)) for h, t in turns):
            worked += max(ended, until) - max(begun, until)
            until = max(ended, until)
        checked = sum(facts.get("took_s", 0.0) for facts in self.record.known.values())
        return worked / 1e6 + checked

    def spent_usd(self) -> float | None:
        """US dollars that its runs cost so far; None where of none is told."""
        costs = [run.charged.cost_usd for run in self.runs]
        told = [cost for cost in costs if cost is not None]
        return sum(told) if told else None

    def left(self, beside: int = 1) -> Limits:
        """What is left; of the budget, for each of so many at once. LimitReached: nothing is."""
        time_s, budget = self.limits.time_s, self.limits.budget
        if time_s is not None:
            time_s -= self.spent_s()
            if time_s <= 0:
                raise LimitReached("time")
        if budget is not None:
            budget -= self.spent_usd() or 0.0
            if budget <= 0:
                raise LimitReached("budget")
        return Limits(time_s, None if budget is None else budget / beside)

    # ------------------------------------------------------------ steps

    async def run(
        self,
        step: str,
        agent: str | None,
        prompt: str,
        *,
        needed: bool = False,
        beside: int = 1,
        **options: Any,
    ) -> AsyncRun:
        """The run of a step, when its turn is over. Started once: a later call goes on with it, or
        takes what it did.

        needed: nothing goes on without it: a failure is raised (UsageProblem, LimitReached), and
        tried again by the next call. beside: how many steps share what is left of the budget.
        """
        kept = str(self.record.known.get(step, {}).get("run", ""))
        run_id = max(kept, self._labelled.get(step, ""))  # the newer one: ids sort by time
        run = AsyncRun(self.host, run_id) if run_id else None
        if run is not None and needed and self._failed(step, run):
            self.record.put(f"{step}/failed/{run.id}", {"run": run.id})  # its cost counts
            run = None
        if run is None:
            left = self.left(beside)
            labels = {"pattern": self.record.name, "step": step}
            given = {**self._options, "timeout": left.time_s, "budget": left.budget, **options}
            run = await self._start(agent, prompt, labels=labels, **given)
        if kept != run.id:
            self.record.put(step, {"run": run.id})
        return await self._over(step, run, needed, beside)

    async def send(self, step: str, run: AsyncRun, prompt: str, *, beside: int = 1) -> AsyncRun:
        """Another turn of a run as a step that is needed; the run when that is over."""
        facts = self.record.known.get(step, {})
        tried = int(facts.get("tried", 0))
        sent = facts.get("sent") in run.history().commands_done
        if not facts or (sent and self._failed(step, run)):
            tried += 1
            ident = hashlib.sha256(f"{self.record.name}/{step}/{tried}".encode()).hexdigest()[:32]
            facts, sent = {"run": run.id, "sent": ident, "tried": tried}, False
            self.record.put(step, facts)
        if not sent:
            await run.send_once(str(facts["sent"]), prompt, most=self._most(beside))
        return await self._over(step, run, True, beside)

    def said(self, step: str) -> str:
        """What a step that ended well said at its end."""
        facts = self.record.known.get(step, {})
        history = AsyncRun(self.host, str(facts["run"])).history()
        return next(turn.text for turn in history.turns if turn.turn == facts["turn"]).strip()

    def _failed(self, step: str, run: AsyncRun) -> bool:
        """Whether a step that was begun is over, and not well; an interrupted one goes on."""
        turn = run.history().turn
        over = turn is not None and turn.outcome not in (None, "end_turn", "interrupted")
        return over and "turn" not in self.record.known.get(step, {})

    async def _over(self, step: str, run: AsyncRun, needed: bool, beside: int) -> AsyncRun:
        """Wait until a step's turn is over; it is resumed where its processes died. Cancelled, it
        cancels that turn."""
        facts = self.record.known[step]
        if "turn" in facts:
            return run
        try:
            for _ in range(RESUMES):
                if run.state == "interrupted":
                    await run.resume(most=self._most(beside))
                await run.wait(check=False, on_permission=self._on_permission)
                if run.state != "interrupted":
                    break
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await run.cancel()
            raise
        turn = run.history().turn
        if turn is not None and turn.outcome == "end_turn":
            self.record.put(step, {**facts, "turn": turn.turn})
        elif needed:
            raise self._failure(step, run)
        return run

    def _failure(self, step: str, run: AsyncRun) -> PaseoError:
        turn, code = run.history().turn, run.error.code if run.error is not None else ""
        given = {"time": self.limits.time_s, "budget": self.limits.budget}
        which = LIMITS.get(code, "")
        if turn is not None and turn.outcome == "limit" and given.get(which) is not None:
            return LimitReached(which)
        return UsageProblem(
            f"{step} failed: {run.agent}: {how_it_ended(run)} (run {run.id}). Once that is mended,"
            " the same call tries it again; all else that was done is kept."
        )

    def _most(self, beside: int) -> dict[str, float]:
        """What is left, as limits of a turn."""
        left = self.left(beside)
        told = {"timeout_s": left.time_s, "cost_usd": left.budget}
        return {name: value for name, value in told.items() if value is not None}

    async def together(self, *work: Awaitable[AsyncRun]) -> list[AsyncRun]:
        """Several steps side by side, in the order given; the first problem of ours is raised when
        all are over."""
        done: list[AsyncRun | None] = [None] * len(work)
        problems: list[Exception] = []

        async def one(at: int, what: Awaitable[AsyncRun]) -> None:
            try:
                done[at] = await what
            except PaseoError as problem:
                problems.append(problem)

        async with anyio.create_task_group() as group:
            for at, what in enumerate(work):
                group.start_soon(one, at, what)
        if problems:
            raise problems[0]
        return [run for run in done if run is not None]

    async def checks(
        self, step: str, commands: Sequence[str], folder: Path, *, anew: bool = False
    ) -> list[CheckResult]:
        """Run the checks of a step in order, up to the first that fails; each once, or `anew`."""
        results: list[CheckResult] = []
        for number, command in enumerate(commands, 1):
            name = f"{step}/check/{number}"
            known = self.record.known.get(name)
            if anew or known is None or known.get("command") != command:
                left = self.left().time_s
                limit = CHECK_S if left is None else min(CHECK_S, left)
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
    by_options: bool = True,
) -> AsyncGenerator[Work]:
    """The work of one call, its record held while the block lasts; what a killed call of it left
    running as a check is ended first. by_options: whether other options are another call."""
    for name, value in (("time_limit", limits.time_s), ("budget", limits.budget)):
        if value is not None and value <= 0:
            raise UsageProblem(f"{name}={value!r} must be more than 0")
    given = {name: value for name, value in options.items() if value is not None}
    record = await opened(host, pattern, [asked, given if by_options else {}], anew=again)
    try:
        if record.goes_on:
            await anyio.to_thread.run_sync(cleanup.sweep, record.name)
            if record.ended is None:
                say(f"{pattern}: going on with {record.name}")
        yield Work(host, start, record, limits, given, on_permission)
    finally:
        record.close()


def _ended_us(history: History, turn: Turn) -> int:
    """When a turn was over. That it was interrupted may have been noticed much later."""
    if turn.outcome != "interrupted":
        return turn.finished_us or turn.started_us
    items = [item for item in history.items if item.turn == turn.turn and item.role == "agent"]
    return max((item.finished_us or item.started_us for item in items), default=turn.started_us)


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
