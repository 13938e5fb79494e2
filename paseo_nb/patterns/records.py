"""What one call of a pattern has done so far: an append-only file, under a lock while it goes on.

A record is found by what the call asks for, never by when: the same call again goes on with the
newest one that has not ended, after whoever else is at it. A step is written when it is known:
a run's id as soon as it is started, a check's result as soon as it has one. A run that was started
just before a kill is found by its labels, so no step starts two.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path
from typing import Any

import anyio
import msgspec

from ..host.local import LocalHost
from ..journal import private_dir, write_all
from ..locks import HeldLock
from ..model import now_us

LOOK_S = 0.2


class Entry(msgspec.Struct):
    """One line: what is known of a step since when."""

    step: str
    t: int
    facts: dict[str, Any]


class Record:
    """The record of one call, held by this process until it is closed."""

    def __init__(self, path: Path, lock: HeldLock) -> None:
        self.path, self._lock = path, lock
        self.name = path.stem
        self.known: dict[str, dict[str, Any]] = {}
        text = path.read_bytes() if path.exists() else b""
        whole = text[: text.rfind(b"\n") + 1]
        if whole != text:  # cut off in mid-write
            os.truncate(path, len(whole))
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.MsgspecError):  # its step counts as not done
                entry = msgspec.json.decode(line, type=Entry)
                self.known[entry.step] = entry.facts

    @property
    def goes_on(self) -> bool:
        """Whether something of it was done before."""
        return bool(self.known)

    @property
    def ended(self) -> dict[str, Any] | None:
        """How it ended, if it did."""
        return self.known.get("end")

    def put(self, step: str, facts: dict[str, Any]) -> None:
        """Keep what is known of a step; on the disk when this returns."""
        line = msgspec.json.encode(Entry(step, now_us(), facts)) + b"\n"
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        self.known[step] = facts

    def close(self) -> None:
        """Let others at it."""
        self._lock.release()


async def opened(host: LocalHost, pattern: str, asked: Any, *, anew: bool = False) -> Record:
    """The record of a call of a pattern that asks for `asked` (any JSON): the newest that has not
    ended, else a new one; with `anew` a new one. Waits for another process that is at it; if it
    ended meanwhile, its record, ended."""
    told = msgspec.json.encode(asked, enc_hook=str, order="deterministic")
    key = hashlib.sha256(told).hexdigest()[:12]
    folder = host.home / "patterns"
    private_dir(folder)
    fd = os.open(folder / f"{pattern}-{key}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    lock = HeldLock(fd)
    try:
        waited = False
        while not _taken(fd):
            waited = True
            await anyio.sleep(LOOK_S)
        numbers = [
            int(path.stem.rpartition("-")[2]) for path in folder.glob(f"{pattern}-{key}-*.jsonl")
        ]
        newest = max(numbers, default=0)
        record = Record(folder / f"{pattern}-{key}-{newest or 1}.jsonl", lock)
        if (record.ended is not None and not waited) or (anew and record.goes_on and not waited):
            record = Record(folder / f"{pattern}-{key}-{newest + 1}.jsonl", lock)
        return record
    except BaseException:
        lock.release()
        raise


def _taken(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
