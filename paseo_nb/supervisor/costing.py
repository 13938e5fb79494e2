"""What a run's model calls cost, from their tokens and their model's rates: for budgets in US
dollars of agents that do not tell their cost, or not before a turn's end.

The rates of the model that was named stand in the spec; those of another are asked of the price
table in a process of its own (the table would be half of a supervisor's memory), and its calls
wait for that. What waits is journaled, for a pair that takes the run up.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from ..model import Pricing, Problem, Rates, Usage
from ..pricing import priced

if TYPE_CHECKING:
    from .main import Supervisor

ASK_S, SETTLE_S = 60.0, 30.0
_BOOT = (
    "import os,sys;sys.path+=sys.argv.pop(1).split(os.pathsep);"
    "from paseo_nb.tracing.rates_asked import main;main()"
)
UNKNOWN = "the price table could not be read"


class Spoken(msgspec.Struct, omit_defaults=True):
    """A model call, or what of it is new since `before`; `whole` is a turn of several calls."""

    usage: Usage
    model: str | None = None
    before: Usage | None = None
    whole: bool = False

    @property
    def tokens(self) -> int:
        """What is new of its tokens."""
        return self.usage.counted - (0 if self.before is None else self.before.counted)

    def usd(self, rates: Rates) -> float:
        """What is new of its price."""
        now = priced(self.usage, rates, one_request=not self.whole)
        was = None if self.before is None else priced(self.before, rates)
        return (0.0 if now is None else now.usd) - (0.0 if was is None else was.usd)


class Costing:
    """The calls of one run. `usd` is what they cost so far: each what its tokens cost or, where
    that is more, what its agent tells of it."""

    def __init__(self, supervisor: Supervisor, usd: float, waiting: list[Spoken]) -> None:
        self._supervisor = supervisor
        self.usd, self.waiting = usd, waiting
        self.pricing = supervisor.spec.pricing
        self.rates = dict(self.pricing.rates) if self.pricing is not None else {}
        self.unpriced = dict(self.pricing.unpriced) if self.pricing is not None else {}
        self.missing: Problem | None = None  # of a call of this turn that has no price
        self.seen = False  # whether this turn was told of any call
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._said: set[str] = set()

    def recover(self) -> None:
        """Go on with what an earlier pair was waiting for."""
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            self._take(call)

    def begin(self) -> None:
        """A turn begins."""
        self.missing, self.seen = None, False

    async def settle(self) -> None:
        """A turn is over: wait until what its calls cost is known."""
        if self._asking:
            await asyncio.wait(set(self._asking.values()), timeout=SETTLE_S)

    def take(self, call: Spoken, counting: bool) -> None:
        """Count a call; by what its agent tells only, where no dollars are to be held."""
        self.seen = self.seen or call.tokens > 0
        if self.pricing is not None and counting and call.tokens > 0:
            self._take(call)
        else:
            self.usd += call.usage.cost_usd or 0.0

    def _take(self, call: Spoken) -> None:
        model, told = self._model(call), call.usage.cost_usd or 0.0
        rates = self.rates.get(model)
        if rates is not None:
            self.usd += max(told, call.usd(rates))
            return
        if not model:
            self.unpriced[""] = "the agent tells no model"
        if model in self.unpriced:
            self.usd += told
            if call.usage.cost_usd is None:
                self.missing = self.problem(f"{self.unpriced[model]}, and it tells no cost", model)
            elif not told:
                self.say(self.problem(f"{self.unpriced[model]}, and it tells a cost of $0", model))
            return
        self.waiting.append(call)
        if model not in self._asking:
            self._asking[model] = asyncio.ensure_future(self._ask(model))

    def _model(self, call: Spoken) -> str:
        return call.model or self._supervisor.spec.model or ""

    def problem(self, why: str, model: str | None = None) -> Problem:
        """A budget that is not kept, in words."""
        return Problem(
            "no_price",
            f"{self._supervisor.spec.provider}: {why}: a budget in US dollars cannot be kept",
            "Start a new run with token_budget= or timeout=, or once its price stands in the"
            f' settings: [prices."{model or "MODEL"}"] (docs/settings.md).',
        )

    def say(self, problem: Problem) -> None:
        """Warn of it, once."""
        if problem.message not in self._said:
            self._said.add(problem.message)
            self._supervisor.own("warning", message=f"{problem.message}. {problem.hint}")

    async def _ask(self, model: str) -> None:
        """Have the price table asked, then count what waits for it."""
        try:
            rates, why = await self._asked(model)
        except (OSError, ValueError, msgspec.ValidationError, TimeoutError):
            rates, why = None, UNKNOWN
        self._asking.pop(model, None)
        if rates is not None:
            self.rates[model] = rates
        else:
            self.unpriced[model] = why
        due = [call for call in self.waiting if self._model(call) == model]
        self.waiting = [call for call in self.waiting if call not in due]
        for call in due:
            self._take(call)
        if due:
            self._supervisor.turns.counted()

    async def _asked(self, model: str) -> tuple[Rates | None, str]:
        import tempfile

        supervisor, pricing = self._supervisor, self.pricing or Pricing()
        spec = supervisor.spec
        names = {"provider": spec.provider, "at_heart": spec.at_heart, "model": model}
        wish = {**names, "prices": pricing.prices}
        with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
            question.write(json.dumps(wish).encode("utf-8", "surrogatepass"))
            question.seek(0)
            child = supervisor.children.spawn(
                [sys.executable, "-I", "-S", "-c", _BOOT, os.pathsep.join(sys.path)],
                env={},
                cwd="/",
                stdin=question.fileno(),
                stdout=answer.fileno(),
                stderr=subprocess.DEVNULL,
            )
            try:
                await asyncio.wait_for(asyncio.shield(child.exited), ASK_S)
            finally:
                child.kill_group(signal.SIGKILL)
            answer.seek(0)
            told: dict[str, Any] = json.loads(answer.read())
        rates = told.get("rates")
        return (None if rates is None else msgspec.convert(rates, Rates)), str(told.get("why"))
