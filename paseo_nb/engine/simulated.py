"""A place without processes: each run is what a function makes of it. For tests, simulations and
benchmarks of the engine, whose runs are then all that there is of a machine.

Runs that are at work end in an order drawn by chance from a seed, so that what hangs on the order
of ends shows.
"""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import Callable
from typing import Any

from ..model import Usage
from .place import Base
from .values import Outcome, Wanted

Answers = Callable[[Wanted], Any]


class SimulatedPlace:
    """Runs by a function: it returns a text, an Outcome, a value that is awaited for one of them,
    or raises. `started` are the calls that were run, in order."""

    repository: str | None = None
    where: str | None = None
    places: int | None = None

    def __init__(
        self,
        answers: Answers,
        seed: int | None = None,
        base: Base | None = None,
        lasting: bool = True,
    ) -> None:
        self._answers, self.lasting = answers, lasting
        self._chance = None if seed is None else random.Random(seed)
        self._base = base
        self.started: list[Wanted] = []
        self.cancelled: list[str] = []
        self.away: list[str] = []
        self.runs: dict[str, Outcome | None] = {}
        self._waiting: list[asyncio.Future[None]] = []

    async def base(self, workflow_run: str | None) -> Base | None:
        """See `Place`."""
        return self._base

    async def restore(self, base: Base, workflow_run: str) -> str | None:
        """See `Place`."""
        before, self._base = self._base, base
        return before and before.commit

    def identity(self, agent: str | None) -> dict[str, Any]:
        """See `Place`."""
        return {"agent": agent or "simulated"}

    def attached(self, things: Any) -> list[Any]:
        """See `Place`."""
        return list(things)

    async def done(self, wanted: Wanted) -> Outcome:
        """See `Place`."""
        known = self.runs.get(wanted.run_id)
        if known is not None:
            return known
        if wanted.run_id not in self.runs:
            self.runs[wanted.run_id] = None
            self.started.append(wanted)
        if self._chance is not None:
            await self._some_time()
        outcome = self._answers(wanted)
        if not isinstance(outcome, (str, Outcome)) and inspect.isawaitable(outcome):
            outcome = await outcome
        if not isinstance(outcome, Outcome):
            outcome = Outcome(text=str(outcome))
        self.runs[wanted.run_id] = outcome
        return outcome

    async def _some_time(self) -> None:
        """Until chance has it that this one ends."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        loop.call_later(0, self._let_one_end)
        await turn

    def _let_one_end(self) -> None:
        assert self._chance is not None
        waiting = [one for one in self._waiting if not one.done()]
        if waiting:
            one = self._chance.choice(waiting)
            one.set_result(None)
            self._waiting = [other for other in waiting if other is not one]

    async def cancel(self, run_id: str) -> None:
        """See `Place`."""
        self.cancelled.append(run_id)

    async def put_away(self, run_id: str) -> None:
        """See `Place`."""
        self.away.append(run_id)

    async def bring_back(self, run_id: str) -> None:
        """See `Place`."""
        self.away.remove(run_id)

    async def seen(self, run_id: str) -> tuple[str, Usage]:
        """See `Place`."""
        if run_id not in self.runs:
            return "none", Usage()
        known = self.runs[run_id]
        return ("running", Usage()) if known is None else ("idle", known.usage)

    async def pin(self, workflow_run: str, step: str, commit: str, branch: str | None) -> None:
        """See `Place`."""
