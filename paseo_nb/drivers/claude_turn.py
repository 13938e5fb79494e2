"""One prompt's way through Claude Code: whether it has begun, which results answer it, and how it
ended in the words of `seat`."""

from __future__ import annotations

import asyncio
import uuid

from ..model import Problem
from .acp_reading import Json, as_str
from .claude_results import LIMITS, problem_of
from .seat import TurnResult

GONE = "Claude Code's process is gone"
OUTCOMES = {"refusal": "refused", "max_tokens": "limit", "model_context_window_exceeded": "limit"}

LONG = "its result is too long to be read"
HINTS = {
    "bypassPermissions": "Use mode='auto': it lets everything pass, and the journal tells what."
}
_FAILURES = {
    "agent_cancelled": "Claude Code ended the turn as interrupted, though nobody cancelled it",
    "agent_exit": GONE,
    "dropped": "Claude Code dropped the prompt",
}


class Turn:
    """A prompt that was sent. `begun`: Claude Code works on it; `known`: it tells so; `over`: what
    comes now is not of it. `outcome`: of its last result, or of the first that failed: sub-agents
    may still be at work."""

    def __init__(self) -> None:
        self.ident = str(uuid.uuid4())
        self.begun = self.known = self.answered = self.over = False
        self.outcome: TurnResult | None = None
        self.result: asyncio.Future[TurnResult] = asyncio.get_running_loop().create_future()

    def end(self, result: TurnResult) -> None:
        if not self.result.done():
            self.result.set_result(result)

    def note(self, state: str | None) -> None:
        """What Claude Code tells of the prompt."""
        self.known = True
        self.begun = self.begun or state == "started"

    def takes_result(self, busy: bool) -> bool:
        """Whether a result that comes now answers the prompt, and not what Claude Code began by
        itself, when a background task came back. Several may, while it is busy."""
        if self.over or (self.known and not self.begun):
            return False
        self.answered = True
        self.over = not busy
        return True


def outcome_of(result: Json, cancel_asked: bool) -> TurnResult:
    """How a turn ended, by its result."""
    reason = as_str(result.get("stop_reason"))
    if not result.get("is_error"):
        outcome = OUTCOMES.get(reason or "", "end_turn")
        return TurnResult(outcome, reason, None, result.get("structured_output"))  # pyright: ignore
    if cancel_asked:
        return TurnResult("cancelled", reason)
    if str(result.get("terminal_reason")).startswith("aborted"):
        return failed("agent_cancelled", reason)
    if result.get("subtype") in LIMITS:
        return TurnResult("limit", reason, problem_of(result))
    return TurnResult("error", reason, problem_of(result))


def failed(code: str, reason: str | None = None) -> TurnResult:
    return TurnResult("error", reason, Problem(code, _FAILURES[code], "Send the prompt again."))


def not_begun(said: str) -> Problem:
    if "No conversation found" in said:
        hint = "Its file is gone or lies in another folder's list: start a new run."
        return Problem("no_session", said, hint)
    return Problem("start", said)
