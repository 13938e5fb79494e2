"""The supervisor's hand on the journal: everything masked, written, then told.

Appends at once, makes durable within 250 ms (at once at a turn's end), wakes watchers in
coalesced beats, and turns a full disk into one call of `on_disk_full` instead of an exception in
the middle of everything.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from ..journal import DiskFull, Journal, encode
from ..model import Direction
from .masking import Masker

SYNC_S = 0.25
WAKE_S = 0.05


class Recorder:
    """Owns the open journal while the supervisor runs."""

    def __init__(self, journal: Journal, masker: Masker) -> None:
        self.journal, self.mask = journal, masker
        self.on_disk_full: Callable[[], None] = lambda: None
        self.on_wake: Callable[[int, int], None] = lambda seq, size: None
        self.full = False
        self._loop = asyncio.get_running_loop()
        self._sync_armed = False
        self._wake_armed = False

    def own(self, kind: str, **facts: Any) -> int:
        """Journal a fact of ours; its seq."""
        return self.append("own", kind, encode(facts))

    def append(self, direction: Direction, kind: str, raw: bytes) -> int:
        """Journal one message; its seq. Once the disk is full, only what we have to say of the
        end: it fits into the space of the reserve, which is free by then."""
        closing = direction == "own" and kind != "command"  # that one is refused
        lines: list[tuple[Direction, str, bytes]] = [(direction, kind, self.mask(raw))]
        if not self.full:
            try:
                self.journal.append(lines)
            except DiskFull:
                self.disk_full()
            else:
                closing = False
        if closing:
            with contextlib.suppress(DiskFull):
                self.journal.append(lines)
        self._written()
        return self.journal.seq

    def append_ready(self, parts: list[bytes], seq: int) -> bool:
        """Journal ready-made lines (the agent's, masked already); False where the disk is full."""
        if self.full:
            return False
        try:
            self.journal.append_encoded(parts, seq)
        except DiskFull:
            self.disk_full()
            return False
        self._written()
        return True

    def durable(self) -> None:
        """fdatasync now."""
        try:
            self.journal.sync()
        except OSError:
            self.disk_full()

    def disk_full(self) -> None:
        """Something could not be written: the turn ends."""
        if not self.full:
            self.full = True
            self.on_disk_full()

    def _written(self) -> None:
        if not self._sync_armed:
            self._sync_armed = True
            self._loop.call_later(SYNC_S, self._sync)
        if not self._wake_armed:
            self._wake_armed = True
            self._loop.call_later(WAKE_S, self._wake)

    def _sync(self) -> None:
        self._sync_armed = False
        if self.journal.fd >= 0:
            self.durable()

    def _wake(self) -> None:
        self._wake_armed = False
        self.on_wake(self.journal.seq, self.journal.size)
