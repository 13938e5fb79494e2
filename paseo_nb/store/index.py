"""Advancing the index: journal lines become rows, up to the last turn end, exactly once.

Whoever gets `db.lock` does it; nobody waits for it. One transaction holds a slice's rows and the
offsets they reach to, so a process killed at any point leaves an index that is exact, only
behind. Rows of ended turns never change; what may (a run's row, its last turn's) is replaced.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import duckdb
import msgspec

from ..errors import StorageProblem
from ..journal import RunFolder, lock_held, read_lines, take_lock
from ..model import BUSY_STATES, RunSpec
from . import disk
from .attach import (
    GIVE_UP_S,
    IndexDamaged,
    attached,
    connection,
    database,
    exclusive_lock,
    explain,
    lock_path,
    shared_lock,
    writers_turn,
)
from .fold import Carry, Fold, reading_tag
from .migrations import check_tables, migrate, missing, read_meta
from .reader import RunReader, events_table
from .rows import model_call_row, permission_row, run_row, tool_row, turn_row
from .writer import Source, Writer, read_sources, stale_runs

BATCH_BYTES = 1 << 19
SLICE_BYTES = 64 << 20
FORGET_WAIT_S = 10.0


class Progress(msgspec.Struct):
    """What an advance has done."""

    runs: int = 0
    bytes: int = 0


class _JournalChanged(Exception):
    """A journal was cut while it was read; the slice is done again without this run."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


def advance(
    home: Path,
    *,
    full: bool = False,
    wait_s: float = 0.0,
    gap_s: float = 0.0,
    keep_going: Callable[[], bool] = lambda: True,
) -> Progress | None:
    """Index what the journals have beyond the index; None where another process is at it.

    Looks at the runs with a live marker; at every run folder where the index is new, or with
    `full`. Does nothing within `gap_s` of somebody's last advance. `keep_going` is asked between
    slices of about 64 MB. Raises IndexHeld where a foreign tool has the file, OSError or
    StorageProblem where the project cannot be written.
    """
    if not (home / "runs").is_dir():
        return Progress()
    (home / "live").mkdir(mode=0o700, exist_ok=True)
    job = _Job(home, _connection(home), full)
    try:
        with writers_turn(home, wait_s) as mine:
            if not mine:
                return None
            if disk.age_s(database(home)) < gap_s:
                return job.progress
            while job.slice() and keep_going():
                time.sleep(0.01)  # who waits to read comes first
            return job.progress
    except TimeoutError:  # of a reader who does not let go
        return None
    except duckdb.Error as error:
        raise explain(error, database(home)) from error
    finally:
        job.con.close()


def _connection(home: Path) -> Any:
    con = connection(home)
    con.execute("SET threads = 1")  # half the memory, and a core is left for the notebook
    return con


def forget_runs(home: Path, run_ids: Collection[str]) -> None:
    """Take runs out of the index: their folders are gone. Waits for its turn for 10 s at most,
    then raises StorageProblem."""
    if not database(home).exists():
        return
    con = connection(home)
    try:
        with writers_turn(home, FORGET_WAIT_S) as mine:
            if not mine:
                raise TimeoutError
            with exclusive_lock(home), attached(con, database(home), write=True):
                migrate(con)
                writer = Writer(con)
                for run_id in run_ids:
                    writer.forget(run_id)
                writer.commit()
    except TimeoutError:
        raise StorageProblem(f"{lock_path(home)} is held by another process") from None
    finally:
        con.close()


def set_aside(home: Path) -> None:
    """Rename a damaged index, so that a new one is made from the journals."""
    path = database(home)
    for name in (path, path.with_name(path.name + ".wal")):
        with contextlib.suppress(FileNotFoundError):
            os.replace(name, name.with_name(name.name + ".damaged"))


class _IndexChanged(Exception):
    """Another index stands in the place of the one that was looked at; the slice is done again."""


class _Job:
    """One advance: slices until every run was looked at once.

    What is new is read beside the queries that go on; the index is locked only while it is
    written: at the end of a slice, or as soon as a batch is full.
    """

    def __init__(self, home: Path, con: Any, full: bool) -> None:
        self.home, self.con, self.full = home, con, full
        self.seen: set[str] = set()
        self.progress = Progress()
        self._todo: list[str] = []
        self._known: dict[str, tuple[Source, Carry]] = {}
        self._generation: str | None = None

    def slice(self) -> bool:
        """One transaction's worth; whether there is more to do."""
        try:
            with contextlib.ExitStack() as stack:
                if not self.full and self._look():
                    return self._slice(Writer(self.con, lambda: self._enter(stack)))
                meta = self._attach(stack)
                self.full = self.full or "complete" not in meta
                if not self.full:
                    self._learn()
                return self._slice(Writer(self.con))
        except _IndexChanged:
            return True
        except (duckdb.Error, IndexDamaged) as error:
            if isinstance(error, duckdb.Error):
                problem = explain(error, database(self.home))
                if not isinstance(problem, IndexDamaged):
                    raise problem from error
            self.con.close()
            self.con = _connection(self.home)
            set_aside(self.home)
            return True

    def _look(self) -> bool:
        """Learn how far the live runs are indexed; False where the index is new or of another
        version, so that every run must be looked at."""
        try:
            with (
                shared_lock(self.home, GIVE_UP_S),
                attached(self.con, database(self.home), write=False),
            ):
                meta = read_meta(self.con)
                if missing(meta) or "complete" not in meta:
                    return False
                check_tables(self.con, database(self.home))
                self._generation = meta.get("generation")
                self._learn()
                return True
        except FileNotFoundError:
            return False

    def _learn(self) -> None:
        """Which runs are to be looked at, and what the attached index has of them."""
        self._todo = list(dict.fromkeys([*disk.live_ids(self.home), *stale_runs(self.con)]))
        self._known = read_sources(self.con, self._todo)

    def _attach(self, stack: contextlib.ExitStack) -> dict[str, str]:
        stack.enter_context(exclusive_lock(self.home))
        stack.enter_context(attached(self.con, database(self.home), write=True))
        meta = migrate(self.con)
        check_tables(self.con, database(self.home))
        return meta

    def _enter(self, stack: contextlib.ExitStack) -> None:
        """Attach the index that `_look` has seen, for writing; _IndexChanged if it is another one:
        somebody deleted it meanwhile."""
        if self._attach(stack).get("generation") != self._generation:
            raise _IndexChanged

    def _slice(self, writer: Writer) -> bool:
        every = self.full
        sources = {run_id: src for run_id, (src, _) in self._known.items()}
        if every:
            sources = writer.sources()
            self._todo = disk.run_ids(self.home)
        todo = [run_id for run_id in self._todo if run_id not in self.seen]
        looked: set[str] = set()
        whole: list[tuple[RunFolder, int]] = []
        before = writer.bytes
        try:
            for run_id in todo:
                folder = disk.folder_of(self.home, run_id)
                looked.add(run_id)
                end = self._run(writer, folder, sources.get(run_id), every)
                if end is not None:
                    whole.append((folder, end))
                if writer.bytes - before >= SLICE_BYTES:
                    break
        except _JournalChanged as changed:
            writer.rollback()
            self.seen.add(changed.run_id)
            return True
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                writer.rollback()
            raise
        more = len(looked) < len(todo)
        if every and not more:
            for run_id in sources.keys() - set(disk.run_ids(self.home)):
                writer.forget(run_id)
            writer.say("complete", "1")
        writer.commit()
        self.seen |= looked
        self.progress.runs += writer.runs
        self.progress.bytes += writer.bytes
        for folder, end in whole:
            _retire(folder, end)
        return more

    def _run(
        self, writer: Writer, folder: RunFolder, src: Source | None, every: bool
    ) -> int | None:
        """Index one run; the offset reached where that is all there will be."""
        spec = disk.read_spec(folder)
        if spec is None:
            if disk.age_s(folder.live_marker) > disk.STARTING_S:
                with contextlib.suppress(OSError):
                    folder.live_marker.unlink()
            if src is not None:
                writer.forget(folder.run_id)
            return None
        ended = not lock_held(folder.lock)  # asked before the size: what comes later is seen later
        ident, size = disk.identity(folder.journal)
        if src is not None and (
            src.identity != ident or size < src.off or src.reading != reading_tag(spec.dialect)
        ):
            writer.forget(folder.run_id)
            src = None
        start = src.off if src is not None else 0
        end = disk.index_end(folder.journal, start, size, ended)
        if end > start or (src is None and ended and size == 0 and not disk.is_young(folder)):
            self._rows(writer, folder, spec, src, ident, end)
        elif src is None:
            ended = False
        if every and (not ended or end < size) and not folder.live_marker.exists():
            folder.live_marker.touch(mode=0o600)  # lost; without it no query would look at the run
        return end if ended and end == size else None

    def _carry(self, run_id: str) -> Carry:
        """What the fold of a run knew at its offset; with `every`, looked up for the next runs."""
        if run_id not in self._known:
            self._known = read_sources(self.con, [run_id])
        return self._known.pop(run_id)[1]

    def _rows(
        self,
        writer: Writer,
        folder: RunFolder,
        spec: RunSpec,
        src: Source | None,
        ident: str,
        end: int,
    ) -> None:
        run_id, off = folder.run_id, src.off if src is not None else 0
        carry = self._carry(run_id) if src is not None else None
        fold = Fold(spec, folder.blobs, carry)
        last = msgspec.json.encode(fold.turn) if fold.turn is not None else b""
        reader = RunReader(run_id, fold)
        writer.bytes += end - off
        while off < end:
            data, after = read_lines(folder.journal, off, min(BATCH_BYTES, end - off))
            if not data or after > end:
                raise _JournalChanged(run_id)
            writer.events(events_table([reader.feed(data)]))
            writer.add("tool_traces", [tool_row(run_id, *one) for one in fold.settled_calls()])
            off = after
        done = fold.give_up()
        turns = done.turns
        if last:
            if msgspec.json.encode(turns[0]) == last:
                turns = turns[1:]
            else:
                writer.drop_turns(run_id, turns[0].turn)
        writer.add("turns", [turn_row(run_id, turn) for turn in turns])
        writer.add("tool_traces", [tool_row(run_id, *one) for one in done.tool_calls])
        writer.add("permissions", [permission_row(run_id, asked) for asked in done.permissions])
        writer.add("model_calls", [model_call_row(run_id, call) for call in done.model_calls])
        source = Source(run_id, ident, end, fold.seq, reading_tag(spec.dialect))
        state = "interrupted" if fold.state in BUSY_STATES else fold.state
        state = "archived" if fold.archived else state
        writer.run(run_row(spec, fold, state), source, fold.carry(), known=src is not None)


def _retire(folder: RunFolder, end: int) -> None:
    """Take the live marker of a run that has ended and is wholly indexed away, under its lock, so
    that nobody is resuming it; a marker just touched announces that somebody will."""
    if disk.age_s(folder.live_marker) < disk.STARTING_S:
        return
    with contextlib.suppress(OSError):
        lock = take_lock(folder.lock, 0.0)
        if lock is None:
            return
        with lock:
            if disk.identity(folder.journal)[1] == end:
                folder.live_marker.unlink(missing_ok=True)
