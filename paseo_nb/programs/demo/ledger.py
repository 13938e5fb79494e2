"""Made-up token counts that behave like real ones: deterministic, and the cache grows by the turn.

A turn is a chain of model calls: the first reads the prompt, each further one a tool's result.
A call reads from the cache all that earlier calls have seen and writes to it what is new. In the
turn's result `inputTokens` excludes the cached ones, per turn, as claude-agent-acp reports them.
A tool's result counts a fixed number by its kind, so that paths and timings change nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

WINDOW = 200_000
_SYSTEM = 6_200
_UNCACHED_PER_CALL = 4
_RESULT = {"read": 420, "search": 260, "edit": 140, "execute": 380}
_PRICE = {"input": 3.0, "output": 15.0, "read": 0.3, "written": 3.75}  # USD per million tokens
EFFORT_FACTOR = {"low": 0.5, "medium": 1.0, "high": 3.0}


def tokens(text: str) -> int:
    """About four characters each; at least one."""
    return max(1, (len(text) + 3) // 4)


class Ledger(msgspec.Struct):
    """What a session has used. `context` is cached already, `fresh` waits for the next call."""

    context: int = 0
    fresh: int = 0
    cost_usd: float = 0.0
    input: int = 0
    output: int = 0
    thought: int = 0
    read: int = 0
    written: int = 0

    def begin_turn(self, prompt: str) -> None:
        """A prompt came: the turn's counts start at zero, its first model call is made."""
        self.input = self.output = self.thought = self.read = self.written = 0
        self.fresh += tokens(prompt) + (0 if self.context else _SYSTEM)
        self._call()

    def tool_result(self, kind: str) -> None:
        """A tool has answered: the next model call reads its result."""
        self.fresh += _RESULT.get(kind, 90)
        self._call()

    def wrote(self, text: str) -> None:
        """The agent has written this text."""
        self._out(tokens(text))

    def thinks(self, text: str, effort: str) -> None:
        """The agent has thought this, as much as its effort asks."""
        count = int(tokens(text) * EFFORT_FACTOR.get(effort, 1.0))
        self.thought += count
        self.cost_usd += count * _PRICE["output"] / 1e6

    def _out(self, count: int) -> None:
        self.output += count
        self.fresh += count
        self.cost_usd += count * _PRICE["output"] / 1e6

    def _call(self) -> None:
        uncached = min(_UNCACHED_PER_CALL, self.fresh)
        written = self.fresh - uncached
        self.input += uncached
        self.written += written
        self.read += self.context
        spent = uncached * _PRICE["input"] + written * _PRICE["written"]
        self.cost_usd += (spent + self.context * _PRICE["read"]) / 1e6
        self.context += self.fresh
        self.fresh = 0

    def turn_usage(self) -> dict[str, Any]:
        """The turn's counts as `PromptResponse.usage`."""
        total = self.input + self.output + self.thought + self.read + self.written
        return {
            "inputTokens": self.input,
            "outputTokens": self.output,
            "totalTokens": total,
            "thoughtTokens": self.thought,
            "cachedReadTokens": self.read,
            "cachedWriteTokens": self.written,
        }

    def update(self) -> dict[str, Any]:
        """The session's state as a `usage_update`; the cost is the session's so far."""
        return {
            "sessionUpdate": "usage_update",
            "used": self.context + self.fresh,
            "size": WINDOW,
            "cost": {"amount": round(self.cost_usd, 6), "currency": "USD"},
        }
