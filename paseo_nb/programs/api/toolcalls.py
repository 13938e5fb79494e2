"""A tool call as the client sees it: announced, perhaps asked for, in progress, ended."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from ..common.content import text_content
from ..common.errors import ClientError
from ..common.value import as_dict
from .options import verdict
from .sessions import Session
from .tools import Done, Tool, ToolFailed, Work, outside

_SHORT = 120


class Cancelled(Exception):
    """The client answered a permission request with “cancelled”: the turn is over."""


class Client(Protocol):
    """What a tool call needs of the turn."""

    session: Session

    async def update(self, update: dict[str, Any], *, keep: bool = True) -> None:
        """A `session/update`; `keep`: for the replay."""
        ...

    def update_now(self, update: dict[str, Any], *, keep: bool = True) -> None:
        """The same without waiting for a slow reader."""
        ...

    async def ask_client(self, method: str, params: dict[str, Any]) -> Any:
        """A request to the client. ClientError for an error answer."""
        ...


class ToolCall:
    """One tool use, told to the client from its announcement to its end."""

    def __init__(self, client: Client, tool: Tool, raw_input: Any) -> None:
        self._client = client
        self._session = client.session
        self._tool = tool
        self._raw = raw_input
        self.id = f"call_{self._session.tool_calls + 1}"
        self._work = Work(self._session.cwd, self._show, client.update)
        self._shown: dict[str, Any] = {}

    async def perform(self) -> Done:
        """Announce it, ask where the mode wants that, do it. ToolFailed, Cancelled, or the
        task's own cancellation are told to the client too."""
        tool = self._tool
        problem = ""
        paths: list[str] = []
        try:
            paths = [self._work.path(path) for path in tool.paths()]
        except ToolFailed as error:
            problem = str(error)
        self._shown = {
            "title": tool.title(),
            "kind": tool.KIND,
            "rawInput": self._raw,
            "_meta": {"toolName": tool.NAME},
            "locations": [{"path": path} for path in paths],
        }
        start = {"sessionUpdate": "tool_call", "toolCallId": self.id, "status": "pending"}
        await self._client.update(start | self._shown)
        try:
            if problem:
                raise ToolFailed(problem)
            judged = verdict(self._session.mode, tool.KIND, self._outside(paths))
            if judged == "never":
                raise ToolFailed("Not allowed in the mode “plan”, which only reads.")
            self._shown |= await tool.preview(self._work)
            if judged == "ask":
                await self._permit(any(outside(p, self._session.cwd) for p in paths))
            content = {k: v for k, v in self._shown.items() if k == "content"}
            await self._client.update(self._change("in_progress", **content))
            done = await tool.run(self._work)
        except asyncio.CancelledError:
            self._end_now("failed", [text_content("Cancelled.")])
            raise
        except Cancelled:
            self._end_now("failed", [text_content("Cancelled.")])
            raise
        except ToolFailed as error:
            self._end_now("failed", [text_content(str(error))])
            raise
        except Exception as error:  # a mistake of the tool: the turn goes on
            self._end_now("failed", [text_content(f"{type(error).__name__}: {error}")])
            raise ToolFailed(f"{type(error).__name__}: {error}") from error
        raw = {"text": done.text} if done.raw is None else done.raw
        content = done.content or [text_content(done.text)]
        status = "failed" if done.failed else "completed"
        await self._client.update(self._change(status, content=content, rawOutput=raw))
        return done

    def _outside(self, paths: list[str]) -> bool:
        return any(outside(path, self._session.cwd) for path in paths)

    def _change(self, status: str, **fields: Any) -> dict[str, Any]:
        return {
            "sessionUpdate": "tool_call_update",
            "toolCallId": self.id,
            "status": status,
        } | fields

    def _show(self, output: str) -> None:
        update = self._change("in_progress", content=[text_content(output)])
        self._client.update_now(update, keep=False)

    def _end_now(self, status: str, content: list[dict[str, Any]]) -> None:
        self._client.update_now(self._change(status, content=content))

    async def _permit(self, is_outside: bool) -> None:
        """Ask, unless this was answered for good. ToolFailed where it is not allowed."""
        subject = self._tool.subject()
        if self._tool.KIND == "edit" and not is_outside:
            subject = "the working folder"
        key = f"{self._tool.NAME}:{'edit' if subject == 'the working folder' else subject}"
        allowed = self._session.always.get(key)
        if allowed is None:
            kind = await self._ask(subject)
            allowed = kind.startswith("allow")
            if kind.endswith("always"):
                self._session.choose(always={key: allowed})
        if not allowed:
            raise ToolFailed("The user did not permit this call.")

    async def _ask(self, subject: str) -> str:
        what = f"`{self._tool.NAME}`" + (f" of {_short(subject)}" if subject else "")
        options = [
            ("allow_once", "Allow once"),
            ("allow_always", f"Always allow {what} in this session"),
            ("reject_once", "Reject"),
            ("reject_always", f"Always reject {what} in this session"),
        ]
        offered = [{"optionId": kind, "name": name, "kind": kind} for kind, name in options]
        call = {"toolCallId": self.id, "status": "pending"} | self._shown
        params = {"sessionId": self._session.id, "toolCall": call, "options": offered}
        try:
            answer = await self._client.ask_client("session/request_permission", params)
        except ClientError as error:
            raise ToolFailed(f"The user could not be asked for permission: {error}") from error
        outcome = as_dict(as_dict(answer).get("outcome"))
        if outcome.get("outcome") == "cancelled":
            raise Cancelled
        chosen = str(outcome.get("optionId"))
        return chosen if chosen in dict(options) else "reject_once"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else line[: _SHORT - 1] + "…"
