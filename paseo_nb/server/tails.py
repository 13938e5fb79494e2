"""Journals as they grow, for many watchers: one look at the disk per run, however many there are.

A watcher holds an offset and nothing else. What was written last is kept once per run for those who
are up to date; who is behind reads the file, a bounded piece at a time. So memory depends on the
number of watched runs, not on how many watch or how slow they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Generator
from pathlib import Path

from ..journal import read_lines, size_of

LOOK_S = 0.03
PIECE = 256 << 10


class Beyond(Exception):
    """A watcher is further than the journal: what it has is of another one."""


class Tail:
    """The end of one journal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.watchers = 0
        self._start: int = -1
        self._recent: bytes = b""  # what was written last, and where that begins
        self._grown = asyncio.Event()
        self._packed = False
        self._failed: OSError | None = None

    async def after(self, offset: int) -> tuple[bytes, int]:
        """Whole lines from an offset on, as soon as there are some: a bounded piece of them, and
        the offset after them. Beyond for an offset that the journal has not reached; OSError where
        it cannot be read."""
        while True:
            if self._failed is not None:
                raise self._failed
            if offset == self._start and self._recent:
                return self._recent, self._end
            if offset == self._end:  # what comes next is looked for, once for all
                await self._grown.wait()
                continue
            data, after = await asyncio.to_thread(read_lines, self.path, offset, PIECE)
            if data:
                return data, after
            if offset > await asyncio.to_thread(size_of, self.path):
                raise Beyond
            if offset > self._end:  # nobody was this far: from here on it is looked for more
                self._start, self._recent = offset, b""
            else:  # another one is, or says so
                await asyncio.sleep(LOOK_S)

    @property
    def _end(self) -> int:
        return self._start + len(self._recent)

    def look(self) -> None:
        """Take what was written since; called by one task for all tails. Whoever waits hears of it
        where that fails."""
        try:
            self._look()
        except OSError as error:
            self._failed = error
            self._grown.set()

    def _look(self) -> None:
        if self._start < 0:
            return
        try:
            if os.stat(self.path).st_size <= self._end:
                return
            self._packed = False
        except FileNotFoundError:  # packed, with what was written last; or not there yet
            if self._packed:
                return
            self._packed = True
        data, _ = read_lines(self.path, self._end, PIECE)
        if data:
            self._start, self._recent = self._end, data
            self._grown.set()
            self._grown = asyncio.Event()


class Tails:
    """The tails of the runs that are being watched."""

    def __init__(self) -> None:
        self._tails: dict[Path, Tail] = {}
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._tails)

    @contextlib.contextmanager
    def watching(self, path: Path) -> Generator[Tail]:
        """The tail of a journal, while it is watched."""
        tail = self._tails.setdefault(path, Tail(path))
        tail.watchers += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        try:
            yield tail
        finally:
            tail.watchers -= 1
            if not tail.watchers:
                self._tails.pop(path, None)

    async def _look(self) -> None:
        while self._tails:
            for tail in list(self._tails.values()):
                tail.look()
            await asyncio.sleep(LOOK_S)
