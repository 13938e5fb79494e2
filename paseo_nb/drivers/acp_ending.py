"""How a turn over ACP really ended: the agent's answer, its last words, and its own record.

Some agents say `end_turn` where the model failed; what they write down for themselves is true.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec

from ..model import Outcome, Problem, Usage
from .acp_reading import AcpReading, Json, as_dict, as_str, minus, problem_of
from .differing import Account, Differences
from .failing import model_problem
from .jsonrpc import RequestError
from .names import same_name
from .seat import Seat, TurnResult

AUTH_REQUIRED = -32000
OUTCOMES: dict[str, Outcome] = {
    "end_turn": "end_turn",
    "cancelled": "cancelled",
    "refusal": "refused",
    "max_tokens": "limit",
    "max_turn_requests": "limit",
}


def facts_of(account: Account) -> Iterator[tuple[str, Json]]:
    """What a record tells of a turn's calls, as lines of ours."""
    for call in account.calls:
        yield "model_call", msgspec.to_builtins(call)
    for used in account.tools:
        yield "tool_call", msgspec.to_builtins(used)
    if account.usage is not None:
        yield "usage", msgspec.to_builtins(account.usage)


class Ending:
    """Judges one session's turns."""

    def __init__(self, seat: Seat, differences: Differences) -> None:
        self.seat, self.differences = seat, differences
        self._begins = 0
        self._told = Usage()  # by the turn's calls, one by one
        self._reading = AcpReading(seat.spec.at_heart)  # it knows how the agent counts
        self._answered: str | None = None

    def begin(self, session_id: str | None) -> None:
        """A turn begins: remember where its part of the agent's record will."""
        self._told = Usage()
        record = self.differences.record
        if record is not None:
            self._begins = record.mark(session_id, self.seat.environment)

    async def judge(
        self, result: Json, session_id: str | None, last_text: str, cancelled: bool
    ) -> TurnResult:
        """The turn's end, after its answer. What the record tells is written to the journal."""
        problem = self._last_words(last_text)
        cut, account = False, None
        usage = self._reading.turn_usage(result)
        record = self.differences.record
        if record is not None and session_id is not None:
            arguments = (self._begins, session_id, self.seat.environment)
            account = await asyncio.to_thread(record.since, *arguments)
            if account is not None:
                problem, cut = account.problem, account.cut
                usage = account.usage or usage
                self._tell(account)
        self._count(usage, account)
        reason = as_str(result.get("stopReason")) or "end_turn"
        if reason == "cancelled" and not cancelled:
            problem = problem or Problem(
                "agent_cancelled",
                "the agent ended the turn as cancelled, though nobody cancelled it",
                "Send the prompt again; some agents do so when they lose part of their own output.",
            )
        if reason not in OUTCOMES:
            said = f"the agent ended the turn for a reason that is not known: {reason[:200]!r}"
            problem = problem or Problem("stop_reason", said, "See what it said last; send again.")
        if problem is not None and not cancelled:
            return TurnResult("error", reason, problem)
        if cancelled and cut and reason == "end_turn":
            return TurnResult("cancelled", reason)  # its own record says that it was cut off
        return TurnResult(OUTCOMES.get(reason, "cancelled"), reason)

    def call_ended(self, usage: Usage, model: str | None) -> None:
        """A model call of the turn that runs, where the agent tells of each."""
        if usage.counted > 0:
            self._told = self._told.plus(usage)
            self.seat.called(usage, model)

    def _count(self, usage: Usage, account: Account | None) -> None:
        """Meter what of a turn was not told call by call: by its record's calls, if they are all
        of it, else as one."""
        calls = account.calls if account is not None else []
        all_of_it = sum(call.usage.counted for call in calls) == usage.counted
        if calls and all_of_it and not self._told.counted:
            for call in calls:
                self.seat.called(call.usage, call.model or self._answered)
            return
        left = minus(usage, self._told) if self._told.counted else usage
        if usage.counted > self._told.counted:
            left.cost_usd = None if self._told.counted else usage.cost_usd
            self.seat.called(left, self._answered, whole=True)

    def _last_words(self, text: str) -> Problem | None:
        """Why the turn failed, where the agent tells it as its last text."""
        pattern = self.differences.failure
        found = pattern.fullmatch(text) if pattern is not None else None
        return model_problem(found["message"]) if found is not None else None

    def _tell(self, account: Account) -> None:
        for kind, facts in facts_of(account):
            self.seat.own(kind, **facts)
        if account.model is not None and account.model != self._answered:
            self._answered = account.model
            self.seat.own("model", answered=account.model)
            self.compare_models(self.seat.spec.model, account.model)

    def compare_models(self, asked: str | None, answered: str | None) -> None:
        """Say so where another model answers than was asked for."""
        if asked and answered and not same_name(asked, answered):
            said = f"asked for the model {asked}, the agent answers with {answered}"
            self.seat.own("warning", message=said, asked=asked, answered=answered)


def explained(error: RequestError, provider: str, auth_methods: list[Any]) -> Problem:
    """A request's error in the user's words."""
    problem = problem_of({"code": error.code, "message": str(error), "data": error.data})
    if error.code == AUTH_REQUIRED:
        told = [as_dict(way) for way in auth_methods]
        ways = ", ".join(str(way.get("name") or way.get("id")) for way in told)
        problem.hint = f"Sign in to {provider} in a terminal, then try again."
        problem.hint += f" It offers: {ways}." if ways else ""
    return problem
