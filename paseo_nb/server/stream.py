"""The WebSocket of journals: many runs over one line, each from the offset that the watcher is at.

The watcher says `{"watch": {RUN: OFFSET, …}}` or `{"unwatch": [RUN, …]}`. It gets whole lines, a
bounded piece per message: one JSON line `{"run", "offset", "after"}`, then the lines. The next one
of a run is only sent once the last has left for the network. After a drop it asks again from its
offset: nothing is lost, nothing comes twice.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, cast

import msgspec
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import ensure_async
from tornado import web, websocket

from ..pairing import Grant, granted
from .handlers import RESOURCE, Refused, Shared
from .letting_in import let_in

MOST_RUNS = 512
MOST_MESSAGE = 64 << 10
_ID = re.compile(r"[0-9A-Z]{1,64}")


class Watch(msgspec.Struct, forbid_unknown_fields=True):
    """What a watcher says."""

    watch: dict[str, int] = {}
    unwatch: list[str] = []


class Stream(WebSocketMixin, websocket.WebSocketHandler, JupyterHandler):  # pyright: ignore[reportIncompatibleMethodOverride]
    """One watcher."""

    auth_resource = RESOURCE

    def initialize(self, shared: Shared) -> None:
        """See tornado."""
        self.shared = shared
        self._home = Path()
        self._grant: Grant | None = None
        self._watching: dict[str, asyncio.Task[None]] = {}

    async def prepare(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Authenticated and authorised before the line is opened."""
        self._grant = let_in(self)
        await cast(Any, super()).prepare()
        user = self.current_user
        if not user:
            raise web.HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, user, "execute", RESOURCE)):
            raise web.HTTPError(403)

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Events of runs as they come: see the text on streams in docs/hosts.md."""
        try:
            project = self.shared.project(self.get_query_argument("project", ""))
        except Refused as refused:
            raise web.HTTPError(refused.status) from None
        self._home = self.shared.host(project).home
        await super().get(*args, **kwargs)

    def get_compression_options(self) -> dict[str, Any] | None:
        """None: deflate's windows would cost memory for every watcher."""
        return None

    async def on_message(self, message: str | bytes) -> None:
        """What the watcher wants to see."""
        try:
            if len(message) > MOST_MESSAGE:
                raise ValueError
            said = msgspec.json.decode(message, type=Watch)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
            self.close(1003, "this is no watch message")
            return
        for run_id in said.unwatch:
            self._leave(run_id)
        for run_id, offset in said.watch.items():
            self._leave(run_id)
            folder = self._home / "runs" / run_id
            if not self._may(run_id):
                await self._say(json.dumps({"run": run_id[:64], "error": "no such run"}))
                continue
            known = _ID.fullmatch(run_id) and (folder / "spec.json").exists()
            if not known or offset < 0 or len(self._watching) >= MOST_RUNS:
                why = "too many runs" if known and offset >= 0 else "no such run"
                await self._say(json.dumps({"run": run_id[:64], "error": why}))
                continue
            task = asyncio.get_running_loop().create_task(
                self._send(run_id, folder / "journal.jsonl", offset)
            )
            self._watching[run_id] = task

    async def _send(self, run_id: str, path: Path, offset: int) -> None:
        with self.shared.tails.watching(path) as tail:
            while True:
                data, after = await tail.after(offset)
                head = {"run": run_id, "offset": offset, "after": after}
                if not self._may(run_id):  # expired or revoked meanwhile
                    self.close(1008, "the token is good for nothing any more")
                    return
                if not await self._say(msgspec.json.encode(head) + b"\n" + data):
                    return
                offset = after

    def _may(self, run_id: str) -> bool:
        if self._grant is None:
            return True
        now = next((g for g in granted(self._home) if g.sha256 == self._grant.sha256), None)
        return now is not None and now.allows("read", run_id)

    async def _say(self, message: str | bytes) -> bool:
        try:
            await self.write_message(message, binary=isinstance(message, bytes))
        except websocket.WebSocketClosedError:
            return False
        return True

    def _leave(self, run_id: str) -> None:
        task = self._watching.pop(run_id, None)
        if task is not None:
            task.cancel()

    def on_close(self) -> None:
        """The line is gone; the runs are not touched by that."""
        for run_id in list(self._watching):
            self._leave(run_id)
        super().on_close()
