"""Runs elsewhere, as they are seen from here: a copy of their journals, kept by offset.

A journal is append-only, so a copy of it is made by asking for what comes after; what reads runs
(handles, views, traces) reads the copy as if the run were here. Commands go there under ids
of ours. How one asks, and who brings what is new, is of those who inherit: `HttpHost`, `DaskHost`.
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
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread

from ..errors import PaseoError, UsageProblem
from ..journal import private_dir, write_all, write_file_once
from ..model import BUSY_STATES, Line, RunSpec
from .base import Launch
from .local import LocalHost, make_home
from .requests import PATIENCE_S, REFUSED_S, Answer, LineBroken

Json = dict[str, Any]
STATE_S = 0.2
AGAIN_S = 0.3
PIECE = 4 << 20
RUN_ID = re.compile(r"[0-9A-Z]{1,64}")
_BLOB = re.compile(rb'"\$blob":\s*"([0-9a-f]{64})"')


class Mirror(LocalHost):
    """The host of runs elsewhere."""

    def __init__(self, name: str, home: Path) -> None:
        super().__init__(home)
        self.name = name
        make_home(self.home)
        self._lock = threading.Lock()
        self._states: dict[str, tuple[float, str | None, Json]] = {}
        self._heard = time.monotonic()
        self._tried = 0.0
        self._wanted: dict[str, bool] = {}  # runs to watch -> whether the line brings what is new
        self._stale: set[str] = set()

    # ------------------------------------------------------------ what differs

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
        """The answer of where a run is (by `run`, or by the path). LineBroken where there is none
        for so long; else what it says is wrong, as the error that it was there."""
        raise NotImplementedError

    def _watch_for(self, run_id: str) -> None:
        """Have what is new of a run brought from now on."""
        raise NotImplementedError

    def close(self) -> None:
        """Let the line go; runs are not touched by that."""
        raise NotImplementedError

    @property
    def parts(self) -> Sequence[str | None]:
        """What has to be asked, one by one, for a list of all."""
        return [None]

    def run_id_of(self, run: str) -> str:
        """A run's whole id, from any beginning of it."""
        return run

    async def made_there(self, run_id: str, by: str) -> None:
        """A verb about a run has made another one."""

    # ------------------------------------------------------------ reading

    def list(self) -> list[str]:
        """See `Host.list`."""
        found = self.ask("GET", "/ids").json["ids"]
        return [one for one in found if isinstance(one, str) and RUN_ID.fullmatch(one)]

    def spec(self, run_id: str) -> RunSpec:
        """See `Host.spec`."""
        folder = self.folder(run_id)
        if not RUN_ID.fullmatch(run_id):
            raise UsageProblem(f"no run {run_id!r} on {self.name}")
        if not folder.spec.exists():
            data = self.ask("GET", f"/runs/{run_id}/spec").body
            self._blobs(data, run_id)
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
        line holds; what was last heard while it is broken, until patience ends. Where nobody
        listens that is told soon, but of a run that is at work: there a wait goes on."""
        at, before, known = self._states.get(run_id, (0.0, None, {}))
        now = time.monotonic()
        if known and now - at < STATE_S and told in (None, before):
            return known
        if told in BUSY_STATES or (known and told not in (None, before)):
            known = {"alive": True, **known, "state": told}  # its journal's word is the newer one
        rests = known.get("state") not in BUSY_STATES
        if known and not rests and not self._may_try(now):
            return known
        try:
            known = self.ask(
                "GET", f"/runs/{run_id}/state", patience_s=REFUSED_S if rests else 0
            ).json
        except LineBroken as broken:
            self._tried = time.monotonic()
            over = self._tried - self._heard > PATIENCE_S
            if not known or over or (rests and broken.nobody):
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
        path, source = self.folder(run_id).journal, self._source(run_id)
        self._stale.discard(run_id)
        try:
            while True:
                size = size_of(path)
                got = self.ask(
                    "GET", f"/runs/{run_id}/journal", query={"offset": size}, patience_s=0
                )
                if not got.body:
                    break
                self._blobs(got.body, run_id)
                self.append(run_id, size, got.body, source)
        except LineBroken:
            self._stale.add(run_id)
            self._tried = time.monotonic()
            if self._tried - self._heard > PATIENCE_S:
                raise
            return
        self._heard = time.monotonic()
        if run_id not in self._wanted:
            self._wanted[run_id] = False
            self._watch_for(run_id)

    def append(self, run_id: str, offset: int, data: bytes, source: Any = None) -> None:
        """Put bytes of a journal where they belong in its copy; what it has is not put twice, and
        what comes from a source that no longer counts is not put at all."""
        with self._copying(run_id) as fd:
            size = os.fstat(fd).st_size
            if offset <= size < offset + len(data) and self._counts(run_id, source):
                os.lseek(fd, size, os.SEEK_SET)
                write_all(fd, data[size - offset :])

    @contextlib.contextmanager
    def _copying(self, run_id: str) -> Generator[int]:
        """The copy of a journal, as nobody else's; another process may keep the same one."""
        path = self.folder(run_id).journal
        with self._lock:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                yield fd
            finally:
                os.close(fd)

    def _counts(self, run_id: str, source: Any) -> bool:
        """Whether what comes from there is still the run's."""
        return True

    def _source(self, run_id: str) -> Any:
        """Where a run is, at this moment."""
        return None

    def _blobs(self, data: bytes, run_id: str) -> None:
        """Fetch what lines point to, before they are there to be read."""
        for found in _BLOB.finditer(data):
            digest = found[1].decode()
            path = self.home / "blobs" / digest
            if not path.exists():
                with contextlib.suppress(UsageProblem):  # pruned there
                    write_file_once(path, self.content(digest, run_id))

    def content(self, digest: str, run: str | None = None) -> bytes:
        """A content of the other machine, by its SHA-256, which is checked. run: whose it is."""
        data = b""
        while True:
            got = self.ask("GET", f"/contents/{digest}", query={"offset": len(data)}, run=run)
            data += got.body
            if len(data) >= int(got.headers["Paseo-Size"]) or not got.body:
                break
        if hashlib.sha256(data).hexdigest() != digest:
            raise PaseoError(f"{self.name}: what came is not what was asked for; try again")
        return data

    def send_content(self, path: Path, run: str | None = None) -> str:
        """Bring a file's content there; its SHA-256. run: for which it is."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size, have = os.fstat(file.fileno()).st_size, 0
            while have < size or not size:
                file.seek(have)
                told = self.ask(
                    "PUT", f"/contents/{digest}", file.read(PIECE),
                    query={"offset": have, "size": size}, run=run,
                )  # fmt: skip
                have = int(told.json["have"])
        return digest

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
        self, path: str, body: Any, headers: dict[str, str] | None = None, run: str | None = None
    ) -> dict[str, Any]:
        """The answer of what may take its time."""
        while True:
            answer = await anyio.to_thread.run_sync(
                lambda: self.ask("POST", path, body, headers=headers, run=run),
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


def size_of(path: Path) -> int:
    """How much of a journal is here."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
