"""A workflow run's files, `workflow_runs/<id>/{script.*, journal.jsonl, lock, results/}`: how they
are written by the one that holds the lock, and read by anyone.

A line is `seq, t, epoch, kind` and facts. Each engine that takes the lock begins a new epoch; lines
of an older one that come after it (a suspended writer, a network disk) do not count. Lines that a
step rests on are on the disk before it goes on; several that come at once share one fdatasync.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..errors import PaseoError, UsageProblem
from ..host.local import make_home, storage_problem
from ..journal import fsync_dir, private_dir, write_all, write_file_once
from ..locks import HeldLock, lock_held, take_lock
from ..model import now_us
from .values import Payload

INLINE = 8 << 10
SOON_S = 0.02
Facts = dict[str, Any]
_encoder = msgspec.json.Encoder()
any_line = msgspec.json.Decoder(dict[str, Any]).decode
_payload = msgspec.json.Decoder(Payload).decode


NOTHING = msgspec.Raw()  # what a line does not tell


class StepLine(msgspec.Struct, gc=False):
    """A line that says something of a step. What it was given and what it gave stay text until
    somebody looks: most of them nobody does."""

    seq: int
    t: int
    epoch: int
    kind: str
    key: str
    n: int
    attempt: int | None = None
    run_id: str | None = None
    agent: str | None = None
    label: str | None = None
    phase: str | None = None
    part: str | None = None
    given: msgspec.Raw = NOTHING
    effects: str = "tree"
    refreshed: bool = False
    usage: Facts | None = None
    cause: str | None = None
    message: str | None = None
    origin: str | None = None
    result: msgspec.Raw = NOTHING
    blob: str | None = None
    commit: str | None = None
    tree: str | None = None
    base: str | None = None
    branch: str | None = None
    path: str | None = None
    saved_usd: float | None = None


class _Mark(msgspec.Struct, gc=False):
    seq: int
    epoch: int


step_line = msgspec.json.Decoder(StepLine).decode
_mark = msgspec.json.Decoder(_Mark).decode


class WorkflowFolder:
    """Where one workflow run's files lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.home = path.parent.parent
        self.journal = path / "journal.jsonl"
        self.lock = path / "lock"
        self.results = path / "results"

    def make(self, script: str, suffix: str = ".py") -> None:
        """Make the folder, with the text of the workflow. StorageProblem."""
        try:
            make_home(self.home)
            private_dir(self.path)
            write_file_once(self.path / f"script{suffix}", script.encode())
        except OSError as error:
            raise storage_problem(error, self.home) from error

    def take(self) -> HeldLock | None:
        """Take the lock; None while another engine has it."""
        return take_lock(self.lock)

    @property
    def held(self) -> bool:
        """Whether an engine is at work."""
        return lock_held(self.lock)

    def header(self) -> Facts | None:
        """The first line: what was called. None before it is written."""
        with contextlib.suppress(OSError, msgspec.DecodeError), self.journal.open("rb") as file:
            line = file.readline()
            return any_line(line) if line.endswith(b"\n") else None
        return None

    def read(self, begin: int = 0) -> bytes:
        """The whole lines of the journal from an offset on."""
        try:
            with self.journal.open("rb") as file:
                file.seek(begin)
                data = file.read()
        except FileNotFoundError:
            return b""
        return data[: data.rfind(b"\n") + 1]

    def lines(self) -> Iterator[Facts]:
        """Every line that counts, in order."""
        epoch = 0
        for line in self.read().splitlines():
            # a damaged disk costs that line only
            with contextlib.suppress(msgspec.DecodeError, KeyError):
                facts = any_line(line)
                if facts["epoch"] >= epoch and facts["kind"]:
                    epoch = facts["epoch"]
                    yield facts

    def keep_payload(self, payload: Payload) -> Facts:
        """A result as a journal line has it; one that is long goes to a file first, durably."""
        data = _encoder.encode(payload)
        if len(data) <= INLINE:
            return {"result": msgspec.Raw(data)}
        name = hashlib.sha256(data).hexdigest()
        private_dir(self.results)
        write_file_once(self.results / name, data)
        fsync_dir(self.path)
        return {"blob": name}

    def payload(self, line: StepLine) -> Payload | None:
        """The result that a line tells; None where its file is gone or damaged: not done, then."""
        if line.blob is None:
            return _payload(line.result) if line.result else None
        try:
            data = (self.results / line.blob).read_bytes()
        except OSError:
            return None
        return _payload(data) if hashlib.sha256(data).hexdigest() == line.blob else None


def folders(home: Path) -> list[WorkflowFolder]:
    """The workflow runs of a project, oldest first."""
    try:
        with os.scandir(home / "workflow_runs") as found:
            names = sorted(e.name for e in found if e.is_dir() and e.name[0] != ".")
    except FileNotFoundError:
        return []
    return [WorkflowFolder(home / "workflow_runs" / name) for name in names]


def find_folder(home: Path, text: str) -> WorkflowFolder:
    """The workflow run that a beginning of an id means. UsageProblem where it fits none or
    several."""
    wanted = text.strip().upper()
    found = [one for one in folders(home) if wanted and one.id.startswith(wanted)]
    if len(found) != 1:
        fits = f"fits {len(found)}" if found else "fits none"
        raise UsageProblem(f"workflow run {text!r} {fits} in {home}")
    return found[0]


class WorkflowJournal:
    """The one writer of a journal, under its lock, on one event loop."""

    def __init__(self, folder: WorkflowFolder, lock: HeldLock, durable: bool = True) -> None:
        self.folder, self._lock, self._durable = folder, lock, durable
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._fd = os.open(folder.journal, flags, 0o600)
            self.seq, self.epoch = self._mend()
        except OSError as error:
            raise storage_problem(error, folder.home) from error
        self._buffer: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._due: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Task[None] | None = None

    def _mend(self) -> tuple[int, int]:
        """Cut a torn tail; the last seq, and the epoch that begins."""
        data = self.folder.journal.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.ftruncate(self._fd, whole)
        seq, epoch = 0, 0
        for line in data[:whole].splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                told = _mark(line)
                if told.epoch >= epoch:
                    seq, epoch = told.seq, told.epoch
        return seq, epoch + 1

    def put(self, kind: str, **facts: Any) -> None:
        """Write a line soon."""
        self.seq += 1
        line = {"seq": self.seq, "t": now_us(), "epoch": self.epoch, "kind": kind, **facts}
        self._buffer.append(_encoder.encode(line) + b"\n")
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(SOON_S, self._flush)

    async def keep(self, kind: str, **facts: Any) -> None:
        """Write a line; it is on the disk when this returns. StorageProblem."""
        self.put(kind, **facts)
        await self.kept()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):  # who waits for it, or closes it, tries again
            self._write()

    async def kept(self) -> None:
        """All that was written is on the disk when this returns. StorageProblem."""
        if not self._durable:
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append(done)
        if self._syncing is None:
            self._syncing = loop.create_task(self._sync())
        await done

    async def _sync(self) -> None:
        """Get lines onto the disk as long as somebody waits: all that came since the last time at
        once, and beside the loop, as a disk may take its time."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            problem: PaseoError | None = None
            try:
                self._write()
                await loop.run_in_executor(None, os.fdatasync, self._fd)
            except OSError as error:
                problem = storage_problem(error, self.folder.home)
            for one in waiting:
                if one.done():  # nobody waits any more
                    continue
                if problem is None:
                    one.set_result(None)
                else:
                    one.set_exception(problem)
        self._syncing = None

    def _write(self) -> None:
        """Hand over what there is; all of it or nothing is written."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        data, self._buffer = b"".join(self._buffer), []
        size = os.fstat(self._fd).st_size
        try:
            write_all(self._fd, data)
        except OSError:
            self._buffer.insert(0, data)
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            raise

    def close(self) -> None:
        """Write what is left and let others at it."""
        try:
            with contextlib.suppress(OSError):
                self._write()
                if self._durable:
                    os.fdatasync(self._fd)
        finally:
            os.close(self._fd)
            self._lock.release()
