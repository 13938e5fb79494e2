"""Advancing the index off the query path: one short-lived thread per project, never more.

A thread runs while there is something to index and ends by itself; it is no daemon, so the
interpreter waits for it at exit, and it stops after the slice in hand once the main thread has
ended. `close` waits for all of them. A terminal's command is too short for a thread:
`advance_apart` leaves the work to a process, which is this module run as a program.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

from ..locks import lock_held
from . import disk
from .disk import age_s

GAP_S = 10.0

_lock = threading.Lock()
_running: dict[Path, threading.Thread] = {}
_again: set[Path] = set()
_hurry = threading.Event()


def advance_soon(home: Path) -> None:
    """Have the index of a project advanced, soon, in the background; returns at once.

    An advance makes queries wait a moment, so there is one in 10 s at most, whoever makes it: what
    is not indexed yet is answered from the journals. Nothing is raised: what cannot be indexed now
    (a foreign tool holds the file, a full disk) is tried again the next time.
    """
    with _lock:
        if home in _running:
            _again.add(home)
            return
        thread = threading.Thread(
            target=_work, args=(home,), name="paseo-index", daemon=False
        )  # said so: started by a worker thread, it would be a daemon as that is
        _running[home] = thread
    try:
        thread.start()
    except RuntimeError:  # the interpreter is ending
        with _lock:
            _running.pop(home, None)


def close() -> None:
    """Advance at once what is waiting, and return when nothing is being advanced."""
    _hurry.set()
    while True:
        with _lock:
            threads = list(_running.values())
        if not threads:
            _hurry.clear()
            return
        for thread in threads:
            thread.join()


def advance_apart(home: Path) -> None:
    """Have runs that ended and still have a live marker indexed by a process of its own, which
    outlives this one; not within 10 s of an advance.

    Takes a few ms. Nothing is raised: what cannot be indexed now is tried the next time.
    """
    with contextlib.suppress(OSError):
        if age_s(home / "paseo.duckdb") < GAP_S or not any(_has_ended(home)):
            return
        subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(home)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _has_ended(home: Path) -> Generator[bool]:
    """Of each live marker, whether its run has no processes and nobody is just starting them."""
    for run_id in disk.live_ids(home):
        folder = disk.folder_of(home, run_id)
        yield age_s(folder.live_marker) > disk.STARTING_S and not lock_held(folder.lock)


def _work(home: Path) -> None:
    more = True
    try:
        while more:
            _advance(home)
            with _lock:
                more = home in _again
                _again.discard(home)
                if not more:
                    del _running[home]
    except BaseException:
        with _lock:
            _running.pop(home, None)
        raise


def _advance(home: Path) -> None:
    main = threading.main_thread()
    latest = time.monotonic() + GAP_S
    while age_s(home / "paseo.duckdb") < GAP_S and time.monotonic() < latest:
        if not main.is_alive() or _hurry.wait(0.1):
            break
    try:
        from .index import advance  # here, as DuckDB and pandas take half a second

        waited = main.is_alive() and not _hurry.is_set()
        advance(home, wait_s=0.3, gap_s=GAP_S / 2 if waited else 0, keep_going=main.is_alive)
    except OSError:
        pass
    except (ImportError, RuntimeError):  # what imports meet while the interpreter ends
        if main.is_alive():
            raise


def _forget_in_child() -> None:
    """A forked child has none of these threads, and perhaps a lock that nobody will release."""
    global _lock
    _lock = threading.Lock()
    _running.clear()
    _again.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def main(home: Path) -> None:
    """What `advance_apart` starts: one advance, at low priority."""
    from .index import advance

    with contextlib.suppress(OSError):
        os.nice(10)
        advance(home, wait_s=0.3)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
