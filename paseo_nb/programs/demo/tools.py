"""A tool call as the client sees it: announced, perhaps asked for, in progress, ended.

`async with ToolCall(turn, …) as call` guarantees the last part: a call that is left by an error or
by a cancel is reported as failed. The work itself is the step's.
"""

from __future__ import annotations

import asyncio
import difflib
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..common.content import text_content
from ..common.errors import ClientError
from ..common.value import as_dict
from .errors import TurnOver
from .options import ASKS_FOR

if TYPE_CHECKING:
    from .turn import Turn

OPTIONS = [
    {"optionId": "allow_once", "name": "Allow once", "kind": "allow_once"},
    {"optionId": "allow_always", "name": "Always allow in this session", "kind": "allow_always"},
    {"optionId": "reject_once", "name": "Reject", "kind": "reject_once"},
    {"optionId": "reject_always", "name": "Always reject in this session", "kind": "reject_always"},
]


def unified_diff(path: str, old: str, new: str) -> str:
    """The same as text, for a Markdown message."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), path, path, lineterm="", n=1)
    return "\n".join(list(lines)[2:])


class ToolCall:
    """One tool use. `fields` are what ACP calls them: rawInput, locations, content, …"""

    def __init__(self, turn: Turn, title: str, kind: str, **fields: Any) -> None:
        self.turn = turn
        self.title = title
        self.kind = kind
        self.id = f"call_{turn.session.tool_calls + 1}"
        self._fields = fields
        self._ended = False

    async def __aenter__(self) -> ToolCall:
        self.turn.new_message()
        start = {"title": self.title, "kind": self.kind, "status": "pending"} | self._fields
        await self.turn.update({"sessionUpdate": "tool_call", "toolCallId": self.id} | start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._ended:
            return
        if error is None:
            await self.end()
            return
        why = "Cancelled." if isinstance(error, asyncio.CancelledError) else f"{error}"
        self.turn.update_now(self._message(status="failed", content=[text_content(why)]))

    def _message(self, **fields: Any) -> dict[str, Any]:
        return {"sessionUpdate": "tool_call_update", "toolCallId": self.id} | fields

    async def progress(self, **fields: Any) -> None:
        """In progress; `fields` as ACP calls them."""
        await self.turn.update(self._message(status="in_progress", **fields))

    def progress_now(self, **fields: Any) -> None:
        """The same, from a callback."""
        self.turn.update_now(self._message(status="in_progress", **fields))

    async def end(self, status: str = "completed", **fields: Any) -> None:
        """The result is there: the next model call reads it."""
        self._ended = True
        await self.turn.update(self._message(status=status, **fields))
        self.turn.ledger.tool_result(self.kind)
        await self.turn.tell_usage()

    async def permit(self, *, always_ask: bool = False) -> None:
        """Ask if the mode wants it for this kind of tool. A denial ends the turn, honestly."""
        session = self.turn.session
        if self.kind in session.always:
            answer = "allow_always" if session.always[self.kind] else "reject_always"
        elif always_ask or self.kind in ASKS_FOR[session.mode]:
            answer = await self.ask()
        else:
            return
        if answer.startswith("allow"):
            return
        await self.end("failed", content=[text_content(f"Not permitted ({answer}).")])
        await self.turn.stream(
            f"The permission for “{self.title}” was denied ({answer}), so I stop here and leave "
            "that undone. Say “continue” to be asked again."
        )
        raise TurnOver("end_turn", finished=False)

    async def ask(
        self, *, bare: bool = False, options: list[dict[str, Any]] | None = None, **fields: Any
    ) -> str:
        """Ask now; returns the chosen option's kind. `bare`: name nothing but the call's id."""
        shown = {"toolCallId": self.id}
        if not bare:
            shown |= {"title": self.title, "kind": self.kind, "status": "pending"}
            shown |= self._fields | fields
        offered = options or OPTIONS
        params = {"sessionId": self.turn.session.id, "toolCall": shown, "options": offered}
        try:
            answer = await self.turn.wire.request("session/request_permission", params)
        except ClientError as error:
            return f"reject_once: the client could not answer: {error}"
        outcome = as_dict(as_dict(answer).get("outcome"))
        if outcome.get("outcome") == "cancelled":
            raise TurnOver("cancelled", finished=False)
        chosen = [o for o in offered if o.get("optionId") == outcome.get("optionId")]
        kind = str(chosen[0].get("kind")) if chosen else "reject_once: no such option"
        if kind in ("allow_always", "reject_always"):
            self.turn.session.choose(always={self.kind: kind == "allow_always"})
        return kind
