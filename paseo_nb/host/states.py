"""The true state of a run, from its lock and its journal: derived, never guessed, no pid files."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from .. import scratch
from ..drivers.acp_reading import as_dict, as_str, decode
from ..journal import Journal, RunFolder, first_line, last_own, lock_held, take_lock
from ..model import BUSY_STATES, TURN_STATES, now_us
from ..wire import socket_path

STARTING_S = 10.0


def journal_state(folder: RunFolder) -> str:
    """The state that the journal tells: that of its last `state` line, archived before all."""
    put_away = last_own(folder.journal, "archived", "unarchived")
    if put_away is not None and put_away.kind == "archived":
        return "archived"
    line = last_own(folder.journal, "state", "turn_end")
    if line is None:
        return "starting"
    facts = as_dict(decode(line.raw))
    if line.kind == "turn_end":
        return TURN_STATES.get(str(facts.get("outcome")), "idle")
    return as_str(facts.get("state")) or "starting"


def true_state(folder: RunFolder, told: str | None = None) -> str:
    """The state by lock and journal; `told` is the journal's, where the caller knows it already.

    A busy run whose lock is free is `interrupted` (its processes are gone), or `unknown` if
    another host wrote it. FileNotFoundError where there is no such run.
    """
    folder.spec.stat()
    if lock_held(folder.lock):
        return told or journal_state(folder)
    told = journal_state(folder) if told is None or told in BUSY_STATES else told
    if told not in BUSY_STATES:
        return told
    state = _while_free(folder)
    return told if lock_held(folder.lock) else state  # it may just have taken the lock


def settle(folder: RunFolder) -> bool:
    """Close the books of a run whose processes are gone, under its lock: sweep what a double kill
    left, its socket too, end the open turn as interrupted. True if something was written; a second
    call does nothing. Never for another host's run."""
    from ..supervisor import cleanup, family

    with contextlib.suppress(OSError):
        lock = take_lock(folder.lock)
        if lock is None:
            return False
        with lock:
            told = journal_state(folder)
            if told not in BUSY_STATES and not broke_off(folder):
                return False
            if _while_free(folder) != "interrupted":
                return False
            cleanup.sweep(folder.run_id, str(folder.home))
            scratch.remove(folder.path)
            _remove_socket(folder)
            journal = Journal(folder)
            try:
                turn_open = _turn_open(folder)
                if turn_open:
                    journal.own("turn_end", outcome="interrupted", by="found")
                if told in BUSY_STATES:
                    told = "interrupted"
                    journal.own("state", state=told)
                journal.own("run_ended", reason="interrupted", state=told)
                family.settle(folder, journal)
            finally:
                journal.close()
            return True
    return False


def control_path(folder: RunFolder) -> Path:
    """Where the run's control socket lies: as its supervisor told, whose runtime folder may be
    another than ours, else where it would be made from here."""
    started = last_own(folder.journal, "run_started")
    told = as_dict(decode(started.raw)).get("socket") if started is not None else None
    return Path(told) if isinstance(told, str) else socket_path(folder.path)


def _remove_socket(folder: RunFolder) -> None:
    with contextlib.suppress(OSError):
        path = control_path(folder)
        if path.is_socket():  # a journal from elsewhere may name anything
            path.unlink()


def broke_off(folder: RunFolder) -> bool:
    """Whether the last pair said no farewell: something of it may be left, if the lock is free."""
    last = last_own(folder.journal, "run_started", "run_ended")
    return last is not None and last.kind == "run_started"


def _while_free(folder: RunFolder) -> str:
    """The state of a busy journal whose lock is free (or held by ourselves)."""
    first = first_line(folder.journal)
    if first is None:
        young = now_us() / 1e6 - folder.spec.stat().st_mtime < STARTING_S
        return "starting" if young else "interrupted"
    host = as_dict(decode(first.raw)).get("host")
    return "interrupted" if host in (None, socket.gethostname()) else "unknown"


def _turn_open(folder: RunFolder) -> bool:
    last = last_own(folder.journal, "turn_start", "turn_end")
    return last is not None and last.kind == "turn_start"
