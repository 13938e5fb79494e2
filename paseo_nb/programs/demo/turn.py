"""A turn while it runs: what a step may do with the client, in the words of the protocol.

The runner makes one per prompt; steps and scenarios see nothing of the agent but this. Everything
goes to the session's file before it goes to the client.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import cycle
from typing import Any, NamedTuple

from ..common.value import as_dict
from ..common.wire import Wire, encode
from .ledger import Ledger
from .prompt import Prompt
from .sessions import Session, Told

_DELAYS = (0.012, 0.022, 0.028, 0.016)
_PIECE = re.compile(r"\S*\s*")


class Stage(NamedTuple):
    """What is the same for every turn: the wire, what the client `can` do, the factor on every
    delay between chunks, and the scenarios on offer (name to one line)."""

    wire: Wire
    can: Mapping[str, Any]
    pace: float
    models: Mapping[str, str]


class Turn:
    """`memory` is kept with the progress, so a continued turn finds it again. `deaf`: a cancel
    waits until the step is over; `stubborn`: nothing but SIGKILL ends it. `afterwards` is done
    when the turn's result has been sent."""

    def __init__(self, stage: Stage, session: Session, prompt: Prompt) -> None:
        self.wire = stage.wire
        self.session = session
        self.prompt = prompt
        self.pace = stage.pace
        self.models = stage.models
        self.memory: dict[str, Any] = dict(session.memory)
        self.deaf = False
        self.cancel_wanted = False
        self.stubborn = False
        self.usage_override: dict[str, Any] | None = None
        self.usage_hidden = False
        self.afterwards: list[Callable[[], Awaitable[None]]] = []
        fs = as_dict(stage.can.get("fs"))
        self.client_reads = bool(fs.get("readTextFile"))
        self.client_writes = bool(fs.get("writeTextFile"))
        self.client_terminal = bool(stage.can.get("terminal"))
        self._message = 0

    @property
    def ledger(self) -> Ledger:
        """The session's token counts."""
        return self.session.ledger

    # -- updates -------------------------------------------------------------------------------

    def update_now(self, update: dict[str, Any]) -> None:
        """Send a `session/update` without waiting for a slow reader (for clean-up)."""
        self.session.append(Told(update))
        self.wire.send_bytes(self.notification(update) + b"\n")

    async def update(self, update: dict[str, Any]) -> None:
        """Send a `session/update`."""
        self.update_now(update)
        await self.wire.drain()

    def notification(self, update: dict[str, Any]) -> bytes:
        """The line of a `session/update`, without its newline."""
        params = {"sessionId": self.session.id, "update": update}
        return encode({"jsonrpc": "2.0", "method": "session/update", "params": params})

    def chunk(self, kind: str, text: str) -> dict[str, Any]:
        """A message chunk of the current message."""
        return {
            "sessionUpdate": kind,
            "content": {"type": "text", "text": text},
            "messageId": f"msg_{len(self.session.user_messages)}_{self._message}",
        }

    def new_message(self) -> None:
        """What is said next is another message: a tool call or a thought came between."""
        self._message += 1

    async def say(self, text: str) -> None:
        """Text, in one chunk."""
        self.ledger.wrote(text)
        await self.update(self.chunk("agent_message_chunk", text))

    async def stream(self, text: str, kind: str = "agent_message_chunk") -> None:
        """Text in small chunks, at the pace of a model that streams."""
        if kind == "agent_message_chunk":
            self.ledger.wrote(text)
        delays = cycle(_DELAYS)
        piece = ""
        for word in _PIECE.findall(text):
            piece += word
            if len(piece) >= 14:
                await self.update(self.chunk(kind, piece))
                await asyncio.sleep(next(delays) * self.pace)
                piece = ""
        if piece:
            await self.update(self.chunk(kind, piece))

    async def paragraph(self, text: str) -> None:
        """`stream`, and the blank line that sets Markdown paragraphs apart."""
        await self.stream(text.strip() + "\n\n")

    async def think(self, text: str) -> None:
        """A thought, streamed, as a message of its own."""
        self.new_message()
        self.ledger.thinks(text, self.session.effort)
        await self.stream(text, "agent_thought_chunk")
        self.new_message()

    async def plan(self, entries: list[tuple[str, str, str]]) -> None:
        """The whole plan: content, priority, status of each entry."""
        listed = [{"content": c, "priority": p, "status": s} for c, p, s in entries]
        await self.update({"sessionUpdate": "plan", "entries": listed})

    async def tell_usage(self) -> None:
        """A `usage_update` with the session's counts."""
        if not self.usage_hidden:
            await self.update(self.ledger.update())

    # -- the repository ------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """A path in the session's folder, absolute."""
        return os.path.normpath(os.path.join(self.session.cwd, name))

    def inside(self, path: str) -> bool:
        """True if an absolute path lies in the session's folder, links followed."""
        root = os.path.realpath(self.session.cwd)
        return os.path.realpath(path).startswith(root.rstrip("/") + "/")

    async def read(self, path: str) -> str:
        """A file's text: from the client if it offers that (unsaved buffers), else from disk.
        Raises OSError or ClientError."""
        if self.client_reads:
            params = {"sessionId": self.session.id, "path": path}
            answer = await self.wire.request("fs/read_text_file", params)
            return str(as_dict(answer).get("content", ""))
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{os.path.basename(path)} is not a file")
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            return file.read()

    async def write(self, path: str, text: str) -> None:
        """Write a file, through the client if it offers that. Raises OSError or ClientError."""
        if self.client_writes:
            params = {"sessionId": self.session.id, "path": path, "content": text}
            await self.wire.request("fs/write_text_file", params)
            return
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text)
