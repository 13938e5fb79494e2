"""Queries: the index attached read-only, joined with the live runs' unfinished part. Never writes.

For one query the index file is attached under a shared lock, the tails of the runs in `live/` are
brought up to date, the views (one for each table of `columns.FRAMES`) say index UNION ALL
tail, and the file is let go. An index that is new, deleted or made by another version is advanced
first; where that cannot be (a read-only project) the journals alone answer.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from ..errors import StorageProblem, UsageProblem
from . import background, disk, index
from .attach import (
    READ_ONLY_ERRORS,
    IndexDamaged,
    IndexFull,
    IndexHeld,
    attached,
    connection,
    database,
    explain,
    shared_lock,
)
from .columns import FRAMES
from .fold import Carry
from .migrations import check_tables, missing, read_meta
from .tails import StateOf, Tails
from .views import make_views
from .writer import Source, read_sources, stale_readings

LOCK_WAIT_S = 60.0
BUILD_WAIT_S = 600.0
ASK_AGAIN_S = 1.0
BULK_BYTES = 32 << 20
Params = Sequence[Any] | dict[str, Any]


def query(
    home: Path,
    sql: str,
    params: Params | None = None,
    *,
    runs: Sequence[str] | None = None,
    state_of: StateOf | None = None,
    beside: Mapping[str, Any] | None = None,
) -> Any:
    """Run one SELECT over the views, one for each table of `columns.FRAMES`; the answer as
    an Arrow table. Safe from any thread.

    `runs` says that only these runs matter: while a foreign tool holds the index, such a query is
    answered from their journals, with a warning. `state_of(run_id, journal's state)` tells a live
    run's true state. `beside` are further Arrow tables, by name. Raises UsageProblem for SQL that
    is wrong or would write, StorageProblem where the index cannot be read.
    """
    return _store(home).query(sql, params, runs, state_of, beside or {})


def rows(
    home: Path,
    sql: str,
    params: Params | None = None,
    *,
    runs: Sequence[str] | None = None,
    state_of: StateOf | None = None,
) -> list[tuple[Any, ...]]:
    """The answer of `query` as plain tuples."""
    found = query(home, sql, params, runs=runs, state_of=state_of)
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


class _Store:
    """One project's queries in this process: a connection, the tails, and a lock around both."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._lock = threading.Lock()
        self._con: Any = None
        self._tails = Tails(home)
        self._views: dict[str, str] = {}
        self._generation: str | None = None
        self._whole: tuple[int, int, int] | None = None  # the file that was seen to be so
        self._checked: set[str] = set()
        self._asked = 0.0

    def query(
        self,
        sql: str,
        params: Params | None,
        runs: Sequence[str] | None,
        state_of: StateOf | None,
        beside: Mapping[str, Any],
    ) -> Any:
        """See the function of this name."""
        with self._lock:
            if self._con is None:
                self._con = connection(self.home)
            if sql not in self._checked:
                check_reads_only(self._con, sql)
                self._checked = {*list(self._checked)[-99:], sql}
            state_of = state_of or self._state_of
            try:
                found = self._with(beside, sql, params, runs, state_of)
            except (duckdb.Error, IndexDamaged) as error:
                self._make_anew(error)
                found = self._with(beside, sql, params, runs, state_of)
            self._hand_over()
            return found

    def _with(self, beside: Mapping[str, Any], *query: Any) -> Any:
        con = self._con
        for name, table in beside.items():
            con.register(name, table)
        try:
            return self._answer(*query)
        finally:
            for name in beside:
                con.unregister(name)

    def _answer(
        self, sql: str, params: Params | None, runs: Sequence[str] | None, state_of: StateOf
    ) -> Any:
        wanted = mentioned(sql)
        try:
            with self._index() as has_index:
                self._tails.refresh(self._unindexed(has_index), self._sources)
                make_views(self._con, self._tails, has_index, self._views, wanted, state_of)
                return _fetch(self._con, sql, params)
        except IndexHeld as held:
            if runs is None:
                raise
            tails = Tails(self.home)
            tails.refresh(list(dict.fromkeys(runs)), lambda _: {})
            make_views(self._con, tails, False, self._views, wanted, state_of)
            warnings.warn(
                f"the index is held by {held.holder}: this is read from the journals of"
                f" {len(runs)} run(s)",
                stacklevel=6,
            )
            return _fetch(self._con, sql, params)

    def _make_anew(self, error: Exception) -> None:
        """Set an index aside that turned out damaged where it was read; `error` as an error of ours
        where that is not it, or cannot be done."""
        path = database(self.home)
        problem = explain(error, path) if isinstance(error, duckdb.Error) else error
        if not isinstance(problem, IndexDamaged):
            raise problem from error
        self._con.close()
        self._con, self._views = connection(self.home), {}
        self._moved_to(None)
        try:
            index.set_aside(self.home)
        except OSError:
            raise problem from error

    def _state_of(self, run_id: str, journal_state: str) -> str:
        return disk.told_state(disk.folder_of(self.home, run_id), journal_state)

    def _hand_over(self) -> None:
        """Have the index take over what has grown or ended, in the background."""
        now = time.monotonic()
        if self._tails.is_due() and now - self._asked > ASK_AGAIN_S:
            self._asked = now
            background.advance_soon(self.home)

    # ------------------------------------------------------------ the index

    @contextlib.contextmanager
    def _index(self) -> Generator[bool]:
        """Attach the index; False where the journals alone answer. Advances it where it must."""
        path = database(self.home)
        deadline = time.monotonic() + BUILD_WAIT_S
        advanced, writable = False, True
        while True:
            if not path.exists():
                self._moved_to(None)
                if self._all_live() and (advanced or not self._has_backlog()):
                    yield False
                    return
            with contextlib.ExitStack() as stack:
                try:
                    stack.enter_context(shared_lock(self.home, LOCK_WAIT_S))
                    stack.enter_context(attached(self._con, path, write=False))
                    ready = self._is_whole() and (advanced or not self._has_backlog())
                except (FileNotFoundError, IndexDamaged):
                    ready = False
                except TimeoutError:
                    raise StorageProblem(
                        f"{self.home / 'db.lock'} has been held for {LOCK_WAIT_S:.0f} s: another"
                        " process that writes the index is stuck or suspended. End it, then try"
                        " again."
                    ) from None
                if ready:
                    yield True
                    return
            if not writable:
                self._moved_to(None)
                yield False
                return
            if time.monotonic() > deadline:
                raise StorageProblem("another process has been building the index for very long")
            writable = self._advance()
            advanced = True

    def _all_live(self) -> bool:
        """Whether the live markers tell of every run: without an index, that is all there is."""
        return set(disk.run_ids(self.home)) <= set(disk.live_ids(self.home))

    def _is_whole(self) -> bool:
        """Whether the attached index covers every run and is of this version."""
        found = database(self.home).stat()
        stamp = found.st_ino, found.st_mtime_ns, found.st_size
        if stamp == self._whole and self._generation is not None:
            return True
        self._whole = None
        meta = read_meta(self._con)
        if missing(meta) or "complete" not in meta:
            return False
        if meta["generation"] != self._generation:
            check_tables(self._con, database(self.home))
            if stale_readings(self._con):
                return False
            self._moved_to(meta["generation"])
        self._whole = stamp
        return True

    def _moved_to(self, generation: str | None) -> None:
        """Drop what was read beside another state of the index."""
        if generation != self._generation:
            self._generation = generation
            self._tails.clear()

    def _has_backlog(self) -> bool:
        """Whether so much is unread that indexing it beats reading it into memory."""
        new = [i for i in disk.live_ids(self.home) if i not in self._tails]
        if not new:
            return False
        start = {run_id: source.off for run_id, (source, _) in self._sources(new).items()}
        sizes = {i: disk.identity(disk.folder_of(self.home, i).journal)[1] for i in new}
        return sum(max(size - start.get(i, 0), 0) for i, size in sizes.items()) > BULK_BYTES

    def _advance(self) -> bool:
        """Advance the index here and now, or wait a moment for whoever is at it. False where it
        cannot be written."""
        try:
            index.advance(self.home, wait_s=0.2)
        except IndexFull as full:
            warnings.warn(f"{full} This is read from the journals.", stacklevel=7)
            return False
        except OSError as error:
            if isinstance(error, StorageProblem) or error.errno not in READ_ONLY_ERRORS:
                raise
            return False
        return True

    def _unindexed(self, has_index: bool) -> list[str]:
        """The runs that must be read from their journals."""
        return disk.live_ids(self.home) if has_index else disk.run_ids(self.home)

    def _sources(self, run_ids: Sequence[str]) -> dict[str, tuple[Source, Carry]]:
        """What the attached index has of some runs; nothing where none is attached."""
        return read_sources(self._con, run_ids) if self._generation is not None else {}


def mentioned(sql: str) -> list[str]:
    """The views that a query may be about: those it names, all of them where that is unclear."""
    text = sql.lower()
    named = [name for name in FRAMES if name in text]
    return list(FRAMES) if "query" in text or not named else named


def check_reads_only(con: Any, sql: str) -> None:
    """Raise UsageProblem unless the text is one statement that reads."""
    try:
        statements = con.extract_statements(sql)
    except duckdb.Error as error:
        raise UsageProblem(f"the SQL cannot be read: {error}") from error
    kinds = [str(statement.type).rpartition(".")[2] for statement in statements]
    if len(kinds) != 1:
        raise UsageProblem(f"one statement at a time: this has {len(kinds)}")
    if kinds[0] not in ("SELECT", "EXPLAIN"):
        raise UsageProblem(
            f"{kinds[0]} is not possible: this only reads (SELECT, WITH, FROM, DESCRIBE, SUMMARIZE,"
            " EXPLAIN). What the index holds is made from the journals; keep tables of your own in"
            " a DuckDB file of your own."
        )


def _fetch(con: Any, sql: str, params: Params | None) -> Any:
    try:
        return con.sql(sql, params=params).to_arrow_table()
    except (duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError) as error:
        raise UsageProblem(str(error)) from error
    except duckdb.Error as error:
        if isinstance(explain(error, Path()), IndexDamaged):
            raise
        raise StorageProblem(f"the query failed: {error}") from error


# ------------------------------------------------------------ one per project and process

_stores: dict[Path, _Store] = {}
_stores_lock = threading.Lock()
_left_behind: list[dict[Path, _Store]] = []


def _store(home: Path) -> _Store:
    with _stores_lock:
        return _stores.setdefault(home, _Store(home))


def _start_anew_in_child() -> None:
    """A forked child has none of DuckDB's threads: it opens its own, and never closes ours."""
    global _stores, _stores_lock
    _left_behind.append(_stores)
    _stores, _stores_lock = {}, threading.Lock()


os.register_at_fork(after_in_child=_start_anew_in_child)
