"""Runs on another machine, behind its Jupyter Server: a mirror of their journals, kept by offset.

A journal is append-only, so a copy of it is made by asking for what comes after; what reads runs
(handles, views, traces) reads the copy as if the run were here. Commands go to the other machine
under ids of ours. One WebSocket per host brings what is new; where the line breaks it is taken up
at the offset that the copy has: nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from tornado import httpclient, websocket

from .. import _portal  # pyright: ignore[reportPrivateUsage]
from ..errors import PaseoError, Unreachable, UsageProblem
from ..journal import private_dir, write_all, write_file_once
from ..model import Line, RunSpec
from .base import Launch
from .local import LocalHost, make_home
from .requests import PATIENCE_S, PROTOCOL, LineBroken, Server

Json = dict[str, Any]
STATE_S = 0.2
AGAIN_S = 0.3
PIECE = 4 << 20
_ID = re.compile(r"[0-9A-Z]{1,64}")
_BLOB = re.compile(rb'"\$blob":\s*"([0-9a-f]{64})"')


class HttpHost(LocalHost):
    """The host of a project on another machine. Made by `paseo.connect`."""

    def __init__(self, name: str, server: Server, mirrors: Path) -> None:
        self.name, self.server = name, server
        told = server.ask("GET", "/about", patience_s=0).json
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
        super().__init__(mirrors / folder)
        make_home(self.home)
        self._lock = threading.Lock()
        self._states: dict[str, tuple[float, str | None, Json]] = {}
        self._heard = time.monotonic()
        self._tried = 0.0
        self._wanted: dict[str, bool] = {}  # runs to watch -> whether the line brings what is new
        self._stale: set[str] = set()
        self._line: websocket.WebSocketClientConnection | None = None
        self._following = self._closed = False

    def __repr__(self) -> str:
        return f"<host {self.name}: {self.server.named}, {self.about['project']}>"

    def close(self) -> None:
        """Let the line go; runs are not touched by that."""
        self._closed = True
        line = self._line
        if line is not None:
            _portal.start_soon(_closed, line)

    # ------------------------------------------------------------ reading

    def list(self) -> list[str]:
        """See `Host.list`."""
        found = self.server.ask("GET", "/ids").json["ids"]
        return [one for one in found if isinstance(one, str) and _ID.fullmatch(one)]

    def spec(self, run_id: str) -> RunSpec:
        """See `Host.spec`."""
        folder = self.folder(run_id)
        if not _ID.fullmatch(run_id):
            raise UsageProblem(f"no run {run_id!r} on {self.name}")
        if not folder.spec.exists():
            data = self.server.ask("GET", f"/runs/{run_id}/spec").body
            self._blobs(data)
            private_dir(folder.path)
            private_dir(folder.live_marker.parent)
            folder.live_marker.touch(mode=0o600)
            write_file_once(folder.spec, data)
        return super().spec(run_id)

    def events(self, run_id: str, offset: int = 0) -> tuple[list[Line], int]:
        """See `Host.events`: from the copy, which is brought up to date first where the line does
        not do that by itself."""
        if run_id in self._stale or not self._wanted.get(run_id):
            self._bring(run_id)
        return super().events(run_id, offset)

    def state(self, run_id: str, told: str | None = None) -> str:
        """See `Host.state`."""
        return str(self._asked(run_id, told)["state"])

    def alive(self, run_id: str) -> bool:
        """See `Host.alive`."""
        return bool(self._asked(run_id)["alive"])

    def _asked(self, run_id: str, told: str | None = None) -> Json:
        """What its state was a moment ago at most (and since its journal told the same), while the
        line holds; what was last heard while it is broken, until patience ends."""
        at, before, known = self._states.get(run_id, (0.0, None, {}))
        now = time.monotonic()
        if known and now - at < STATE_S and told in (None, before):
            return known
        if known and not self._may_try(now):
            return known
        try:
            known = self.server.ask("GET", f"/runs/{run_id}/state", patience_s=0).json
        except LineBroken:
            self._tried = time.monotonic()
            if not known or self._tried - self._heard > PATIENCE_S:
                raise
            return known
        self._heard = time.monotonic()
        self._states[run_id] = (self._heard, told, known)
        return known

    def _may_try(self, now: float) -> bool:
        return now - self._tried > AGAIN_S

    def _bring(self, run_id: str) -> None:
        """Ask for what is new, and have the line bring the rest."""
        self.spec(run_id)
        if not self._may_try(time.monotonic()):
            return
        path = self.folder(run_id).journal
        self._stale.discard(run_id)
        try:
            while True:
                size = _size(path)
                got = self.server.ask(
                    "GET", f"/runs/{run_id}/journal", query={"offset": size}, patience_s=0
                )
                if not got.body:
                    break
                self._blobs(got.body)
                self.append(run_id, size, got.body)
        except LineBroken:
            self._stale.add(run_id)
            self._tried = time.monotonic()
            if self._tried - self._heard > PATIENCE_S:
                raise
            return
        self._heard = time.monotonic()
        if run_id not in self._wanted:
            self._wanted[run_id] = False
            _portal.beside(self._watch, run_id)

    def append(self, run_id: str, offset: int, data: bytes) -> None:
        """Put bytes of a journal where they belong in its copy; what it has is not put twice."""
        path = self.folder(run_id).journal
        with self._lock:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)  # another process may keep the same copy
                size = os.fstat(fd).st_size
                if offset <= size < offset + len(data):
                    os.lseek(fd, size, os.SEEK_SET)
                    write_all(fd, data[size - offset :])
            finally:
                os.close(fd)

    def _blobs(self, data: bytes) -> None:
        """Fetch what lines point to, before they are there to be read."""
        for found in _BLOB.finditer(data):
            digest = found[1].decode()
            path = self.home / "blobs" / digest
            if not path.exists():
                with contextlib.suppress(UsageProblem):  # pruned there
                    write_file_once(path, self.content(digest))

    def content(self, digest: str) -> bytes:
        """A content of the other machine, by its SHA-256, which is checked."""
        data = b""
        while True:
            got = self.server.ask("GET", f"/contents/{digest}", query={"offset": len(data)})
            data += got.body
            if len(data) >= int(got.headers["Paseo-Size"]) or not got.body:
                break
        if hashlib.sha256(data).hexdigest() != digest:
            raise PaseoError(f"{self.name}: what came is not what was asked for; try again")
        return data

    def send_content(self, path: Path) -> str:
        """Bring a file's content there; its SHA-256."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size, have = os.fstat(file.fileno()).st_size, 0
            while have < size or not size:
                file.seek(have)
                told = self.server.ask(
                    "PUT", f"/contents/{digest}", file.read(PIECE),
                    query={"offset": have, "size": size},
                )  # fmt: skip
                have = int(told.json["have"])
        return digest

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
        offsets = {run: _size(self.folder(run).journal) for run in runs}
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
            for run in self._wanted:
                self._wanted[run] = False
            await anyio.sleep(AGAIN_S)

    async def _heard_of(self, message: str | bytes) -> None:
        if isinstance(message, str):  # a run that is gone
            return
        head, _, data = message.partition(b"\n")
        told = msgspec.json.decode(head)
        run_id = told["run"]
        if b'"$blob"' in data:
            await anyio.to_thread.run_sync(self._blobs, data)
        if run_id in self._wanted:
            self.append(run_id, told["offset"], data)
            self._heard = time.monotonic()

    # ------------------------------------------------------------ commands

    async def command(
        self,
        run_id: str,
        verb: str,
        args: dict[str, Any] | None = None,
        *,
        command_id: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """See `Host.command`. The environment is the other machine's: only whether there is one
        counts here."""
        body = {
            "id": command_id or uuid.uuid4().hex, "verb": verb, "args": args or {},
            "wake": environment is not None,
        }  # fmt: skip
        answer = await self.until_done(f"/runs/{run_id}/command", body)
        self.touched(run_id)
        return answer["result"]

    async def until_done(
        self, path: str, body: Any, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """The answer of what may take its time."""
        while True:
            answer = await anyio.to_thread.run_sync(
                lambda: self.server.ask("POST", path, body, headers=headers),
                abandon_on_cancel=True,
            )
            if answer.status != 202:
                kind = answer.headers.get("Content-Type", "")
                return answer.json if "json" in kind else {"kind": kind, "body": answer.body}

    def touched(self, run_id: str) -> None:
        """Something was done to a run: what is known of it is old."""
        self._states.pop(run_id, None)
        self._stale.add(run_id)

    async def ensure(
        self, run_id: str, spec: RunSpec | None, environment: Mapping[str, str]
    ) -> None:
        """See `Host.ensure`; a new run is started by the verb."""
        if spec is not None:
            raise UsageProblem(f"a run is started on {self.name} with start(…, host=…)")
        await self.until_done(f"/runs/{run_id}/wake", {})
        self.touched(run_id)

    async def start_many(self, launches: Sequence[Launch]) -> None:
        """See `Host.start_many`."""
        for one in launches:
            await self.ensure(one.spec.run_id, one.spec, one.environment)

    async def hold(self, run_id: str) -> None:
        """Hold the permission clock of a run until cancelled."""
        while True:
            await self.until_done(f"/runs/{run_id}/hold", {})


async def _closed(line: websocket.WebSocketClientConnection) -> None:
    line.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
