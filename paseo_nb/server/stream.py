"""The WebSocket of journals: many runs over one line, each from the offset that the watcher is at.

The watcher says `{"watch": {RUN: OFFSET, …}}` or `{"unwatch": [RUN, …]}`. It gets whole lines, a
bounded piece per message: one JSON line `{"run", "offset", "after"}`, then the lines. The next one,
of whatever run, is only sent once the last has left for the network. After a drop it asks again
from its offset: nothing is lost, nothing comes twice. Where a run is watched no more it gets
`{"run", "error"}` and may ask again; the others go on.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from ..host.local import LocalHost
from .desk import RUN_ID
from .handlers import Shared
from .sockets import NOT_LET_IN, OUT, Socket
from .tails import Beyond

MOST_RUNS = 512
MOST_MESSAGE = 64 << 10


class Watch(msgspec.Struct, forbid_unknown_fields=True):
    """What a watcher says."""

    watch: dict[str, int] = {}
    unwatch: list[str] = []


class Stream(Socket):
    """One watcher."""

    def initialize(self, shared: Shared) -> None:
        """See tornado."""
        super().initialize(shared)
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._sending = asyncio.Lock()  # one piece at a time is on its way, however many runs

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Events of runs as they come: see the text on streams in docs/hosts.md."""
        await super().get(*args, **kwargs)

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
            if len(self._watching) >= MOST_RUNS:
                await self._make_room()
            folder = self.home / "runs" / run_id
            if not self.may(run_id):
                await self.say(json.dumps({"run": run_id[:64], "error": "no such run"}))
                continue
            known = RUN_ID.fullmatch(run_id) and (folder / "spec.json").exists()
            if known and not 0 <= offset < 1 << 62:  # further than any file
                await self.say(json.dumps({"run": run_id, "error": "no such offset"}))
                continue
            if not known or len(self._watching) >= MOST_RUNS:
                why = "too many runs" if known else "no such run"
                await self.say(json.dumps({"run": run_id[:64], "error": why}))
                continue
            sending = self._watch(run_id, folder / "journal.jsonl", offset)
            self._watching[run_id] = self.begin(sending)

    async def _make_room(self) -> None:
        """Leave runs that have no processes: what comes of them, if ever, is asked for again."""
        host, watched = LocalHost(self.home), list(self._watching)
        over = await asyncio.to_thread(lambda: [run for run in watched if not host.alive(run)])
        for run_id in over:
            self._leave(run_id)
            await self.say(json.dumps({"run": run_id, "error": "watched no more: it is over"}))

    async def _watch(self, run_id: str, path: Path, offset: int) -> None:
        try:
            await self._send(run_id, path, offset)
        except OSError as error:
            told = f"the journal cannot be read on the server: {error.strerror or error}"
            await self.say(json.dumps({"run": run_id, "error": told}))
        if self._watching.get(run_id) is asyncio.current_task():
            del self._watching[run_id]

    async def _send(self, run_id: str, path: Path, offset: int) -> None:
        with self.shared.tails.watching(path) as tail:
            while True:
                try:
                    data, after = await tail.after(offset)
                    if self._sending.locked():
                        data = b""  # not held while others are on their way: it is read again
                    async with self._sending:
                        if not data:
                            data, after = await tail.after(offset)
                        head = {"run": run_id, "offset": offset, "after": after}
                        if not self.may(run_id):  # expired or revoked meanwhile
                            self.close(NOT_LET_IN, OUT)
                            return
                        if not await self.say(msgspec.json.encode(head) + b"\n" + data):
                            return
                except Beyond:
                    await self.say(json.dumps({"run": run_id, "error": "no such offset"}))
                    return
                offset = after

    def _leave(self, run_id: str) -> None:
        task = self._watching.pop(run_id, None)
        if task is not None:
            task.cancel()

    def on_close(self) -> None:
        """The line is gone."""
        super().on_close()
        self._watching.clear()  # a task that was cancelled holds its frames, and they this
