"""What a workflow run may spend and has spent, over all attempts ever charged to it."""

from __future__ import annotations

from ..model import Usage
from .values import Call

_NOTHING = Usage()


class BudgetUsed(Exception):
    """A step cannot be let in: the budget is spent, or reserved by others."""


class Ledger:
    """The money and tokens of one workflow run. What is told of no run is taken as nothing."""

    def __init__(
        self,
        name: str,
        total_usd: float | None,
        total_tokens: int | None,
        cost_usd: float,
        tokens: int,
    ) -> None:
        self.name, self.total_usd, self.total_tokens = name, total_usd, total_tokens
        self.cost_usd, self.tokens = cost_usd, tokens
        self.reserved_usd, self.reserved_tokens = 0.0, 0
        self._charged: dict[str, Usage] = {}

    def admit(self, call: Call) -> tuple[float, int]:
        """Reserve what a step may spend. BudgetUsed where the budget is used up."""
        total, tokens = self.total_usd, self.total_tokens
        usd, count = call.budget or 0.0, call.token_budget or 0
        spent = self.cost_usd + self.reserved_usd
        if total is not None and (spent + usd > total or spent >= total):
            raise BudgetUsed(
                f"the budget of {self.name} is used up: ${self.cost_usd:.2f} of ${total:.2f} spent,"
                f" ${self.reserved_usd:.2f} reserved. Call it again with a larger total:"
                " options(budget=…).",
            )
        used = self.tokens + self.reserved_tokens
        if tokens is not None and (used + count > tokens or used >= tokens):
            raise BudgetUsed(
                f"the token budget of {self.name} is used up: {self.tokens:,} of {tokens:,}. Call"
                " it again with a larger total: options(token_budget=…).",
            )
        self.reserved_usd += usd
        self.reserved_tokens += count
        return usd, count

    def left_usd(self, call: Call) -> float | None:
        """What a step may spend at most, its own reservation included."""
        mine = call.budget
        if self.total_usd is None:
            return mine
        left = max(self.total_usd - self.cost_usd - self.reserved_usd + (mine or 0.0), 0.01)
        return left if mine is None else min(mine, left)

    def left_tokens(self, call: Call) -> int | None:
        """The same in tokens."""
        mine = call.token_budget
        if self.total_tokens is None:
            return mine
        left = max(self.total_tokens - self.tokens - self.reserved_tokens + (mine or 0), 1)
        return left if mine is None else min(mine, left)

    def release(self, usd: float, tokens: int) -> None:
        """Give back what was reserved."""
        self.reserved_usd -= usd
        self.reserved_tokens -= tokens

    def spend(self, run_id: str, usage: Usage) -> None:
        """Charge what a run has used in all by now."""
        before = self._charged.get(run_id, _NOTHING)
        if usage == before:
            return
        self._charged[run_id] = usage
        self.cost_usd += (usage.cost_usd or 0.0) - (before.cost_usd or 0.0)
        self.tokens += usage.counted - before.counted
