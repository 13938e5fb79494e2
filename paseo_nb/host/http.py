"""Runs on another machine, behind its Jupyter Server: a mirror of their journals, kept by offset.

One WebSocket per host brings what is new; where the line breaks it is taken up at the offset that
the copy has: nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import msgspec
from tornado import httpclient, websocket

from .. import _portal  # pyright: ignore[reportPrivateUsage]
from ..errors import Unreachable
from .mirror import AGAIN_S, Mirror, size_of
from .requests import PATIENCE_S, PROTOCOL, Answer, Server

Json = dict[str, Any]


class HttpHost(Mirror):
    """The host of a project on another machine. Made by `paseo.connect`."""

    def __init__(self, name: str, server: Server, mirrors: Path) -> None:
        self.server = server
        told = _about(server)
        if told.get("protocol") != PROTOCOL:
            raise Unreachable(
                f"{name} has paseo_nb {told.get('version')}, which speaks protocol"
                f" {told.get('protocol')}, this one {PROTOCOL}: have the same version on both"
            )
        self.about = told
        key = f"{told['host']}\0{told['home']}".encode()
        folder = (
            f"{re.sub(r'[^A-Za-z0-9_-]+', '-', name)[:40]}-{hashlib.sha256(key).hexdigest()[:8]}"
        )
        super().__init__(name, mirrors / folder)
        self._line: websocket.WebSocketClientConnection | None = None
        self._following = self._closed = False

    def __repr__(self) -> str:
        return f"<host {self.name}: {self.server.named}, {self.about['project']}>"

    @property
    def closed(self) -> bool:
        """Whether its line was let go for good."""
        return self._closed

    def is_where(self, other: HttpHost) -> bool:
        """Whether both have the same runs: under the same address, or under another one of the
        same project (its server was started anew, or it has a second one)."""
        mine, its = self.server, other.server
        if (mine.parts, mine.project) == (its.parts, its.project):
            return True
        return "place" in self.about and self.about["place"] == other.about.get("place")

    def now_us(self) -> int:
        """See `LocalHost.now_us`: the other machine's clock, as far as it is known here."""
        return super().now_us() + self.server.ahead_us

    def close(self) -> None:
        """Let the line go, and the name; runs are not touched by that."""
        self._closed = True
        line = self._line
        if line is not None:
            _portal.start_soon(_closed, line)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Json | None = None,
        headers: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
        run: str | None = None,
    ) -> Answer:
        """See `Mirror.ask`."""
        return self.server.ask(
            method, path, body, query=query, headers=headers, patience_s=patience_s
        )

    def _watch_for(self, run_id: str) -> None:
        _portal.beside(self._watch, run_id)

    # ------------------------------------------------------------ the line

    async def _watch(self, run_id: str) -> None:
        if not self._following:
            self._following = True
            _portal.beside(self._follow)
        elif self._line is not None:
            with contextlib.suppress(websocket.WebSocketClosedError):
                await self._ask_for(self._line, [run_id])

    async def _ask_for(
        self, line: websocket.WebSocketClientConnection, runs: Sequence[str]
    ) -> None:
        offsets = {run: size_of(self.folder(run).journal) for run in runs}
        await line.write_message(msgspec.json.encode({"watch": offsets}).decode())
        for run in runs:
            self._wanted[run] = True

    async def _follow(self) -> None:
        """Keep the line, as long as this process lives."""
        while not self._closed:
            # RuntimeError: the process is ending, and has no more threads to ask for an address.
            with contextlib.suppress(
                OSError, RuntimeError, httpclient.HTTPError, websocket.WebSocketError
            ):
                request = httpclient.HTTPRequest(
                    self.server.stream, headers=self.server.headers, connect_timeout=10
                )
                line = await websocket.websocket_connect(
                    request, ping_interval=10, ping_timeout=9, max_message_size=64 << 20
                )
                self._line = line
                try:
                    await self._ask_for(line, list(self._wanted))
                    while (message := await line.read_message()) is not None:
                        await self._heard_of(message)
                finally:
                    self._line = None
                    line.close()
            for run in list(self._wanted):
                self._wanted[run] = False
            await anyio.sleep(AGAIN_S)

    async def _heard_of(self, message: str | bytes) -> None:
        if isinstance(message, str):  # a run that is watched no more: asked for, it says why
            self._wanted.pop(msgspec.json.decode(message).get("run"), None)
            return
        head, _, data = message.partition(b"\n")
        told = msgspec.json.decode(head)
        run_id = told["run"]
        if b'"$blob"' in data:
            await anyio.to_thread.run_sync(self._blobs, data, told["run"])
        if run_id in self._wanted:
            self.append(run_id, told["offset"], data)
            self._heard = time.monotonic()


def _about(server: Server) -> Json:
    """What a server says it is. Unreachable where it is none of ours."""
    answer = server.ask("GET", "/about", patience_s=0)
    try:
        told: Any = answer.json
    except msgspec.MsgspecError:
        told = None
    if not (isinstance(told, dict) and cast(Json, told).get("name") == "paseo_nb"):
        raise Unreachable(f"{server.named} is not paseo_nb: something else answers there")
    return cast(Json, told)


async def _closed(line: websocket.WebSocketClientConnection) -> None:
    line.close()
