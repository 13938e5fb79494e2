"""The run lock: flock on a file, the one answer to "is this run alive".

Kept apart from the journal, and light, because the warden takes it before anything heavy is
imported. Rules (measured): always close-on-exec; probers take it shared for microseconds, so a
taker retries; a lock held in a kernel is closed in its forked children.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path  # 0.6 MB that a warden has no use for

_held: weakref.WeakSet[HeldLock] = weakref.WeakSet()


class HeldLock:
    """A lock that this process holds; `release` lets it go. Closed in forked children."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        _held.add(self)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> HeldLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _close_in_child() -> None:
    for lock in list(_held):
        with contextlib.suppress(OSError):
            lock.release()


os.register_at_fork(after_in_child=_close_in_child)


def take_lock_fd(path: str | Path, wait_s: float = 2.0) -> int | None:
    """Take the lock and return its bare descriptor, which forked children share; None while
    another process holds it for all of `wait_s`."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(fd)
                return None
            time.sleep(0.01)


def take_lock(path: str | Path, wait_s: float = 0.2) -> HeldLock | None:
    """Take the lock in a front end; None while another process holds it."""
    fd = take_lock_fd(path, wait_s)
    return None if fd is None else HeldLock(fd)


def lock_held(path: str | Path) -> bool:
    """Whether some process holds the lock: open, probe shared, close."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
