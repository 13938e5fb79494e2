"""The unfinished part of the live runs, in memory: what the index does not have yet.

A `Tail` reads one journal from the index's offset on, by the same reader and fold as the index,
and goes on where it stopped when it is asked again. Its rows are what the index will hold once
the turn has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..journal import RunFolder, read_lines
from ..model import RunSpec
from ..tracing.tokens import NOTHING, Spent
from . import disk
from .arrow import pa
from .fold import Carry, Fold
from .reader import Rows, RunReader, events_table
from .rows import (
    SCHEMAS,
    Row,
    model_call_row,
    permission_row,
    run_row,
    table,
    tool_row,
    turn_row,
)
from .writer import Source

StateOf = Callable[[str, str], str]
_BATCH_BYTES = 1 << 20
_PIECES = 16
DUE_BYTES = 4 << 20
DUE_S = 10.0


class Tail:
    """One run beyond its offset in the index (`source`; None: from the journal's first line)."""

    def __init__(
        self, folder: RunFolder, spec: RunSpec, source: Source | None, carry: Carry | None
    ):
        self.folder, self.spec, self.source = folder, spec, source
        self.identity, size = disk.identity(folder.journal)
        self.replaced = source is not None and (
            source.identity != self.identity or size < source.off or source.stale
        )
        if self.replaced:
            carry = None
        self.start = source.off if source is not None and not self.replaced else 0
        self.offset = self.start
        self.fold = Fold(spec, folder.blobs, carry)
        self._ended_turns = self._count_ended()
        self._last = self._turn_row()
        self._reader = RunReader(folder.run_id, self.fold)
        self._calls: dict[str, Row] = {}
        self._spent: dict[str, Spent] = {}
        self._calls_told = 0
        self.changed_turn: int | None = None
        self._indexable_since: float | None = None
        self._note_indexable()

    def _turn_row(self) -> Row | None:
        turn = self.fold.turn
        return turn_row(self.spec.run_id, turn) if turn is not None else None

    def is_current(self) -> bool:
        """Whether the journal is the one that was read so far."""
        ident, size = disk.identity(self.folder.journal)
        return size >= self.offset and (ident == self.identity or not self.identity)

    def read_on(self) -> list[Rows]:
        """Read what was written since: its rows of `events`."""
        read: list[Rows] = []
        while True:
            data, after = read_lines(self.folder.journal, self.offset, _BATCH_BYTES)
            if not data:
                break
            if not self.identity:
                self.identity, _ = disk.identity(self.folder.journal)
            read.append(self._reader.feed(data))
            self.offset = after
        if read:
            self._note_indexable()
        return read

    def _count_ended(self) -> int:
        return sum(turn.outcome is not None for turn in self.fold.turns)

    def _note_indexable(self) -> None:
        fold = self.fold
        over = fold.ended is not None and not fold.turn_open
        if self._indexable_since is None and (over or self._count_ended() > self._ended_turns):
            self._indexable_since = time.monotonic()

    def is_due(self) -> bool:
        """Whether the index should take over: 4 MB, or 10 s after a turn's or the run's end."""
        since = self._indexable_since
        return since is not None and (
            self.offset - self.start >= DUE_BYTES or time.monotonic() - since >= DUE_S
        )

    def rows(self, name: str) -> list[Row]:
        """Its rows of `turns`, `tool_traces`, `permissions` or `model_calls`."""
        run_id, fold = self.spec.run_id, self.fold
        if name == "permissions":
            return [permission_row(run_id, asked) for asked in fold.permissions.values()]
        if name == "model_calls":
            return [model_call_row(run_id, call) for call in fold.model_calls.values()]
        if name == "tool_traces":
            if fold.touched or fold.calls_told != self._calls_told:
                spent = fold.spent()
                fold.touched |= {key for key in spent if spent[key] != self._spent.get(key)}
                self._spent, self._calls_told = spent, fold.calls_told
            for key in fold.touched:
                call, used = fold.tool_calls[key], self._spent.get(key, NOTHING)
                self._calls[key] = tool_row(run_id, call, fold.latency_ms(call), used)
            fold.touched.clear()
            return list(self._calls.values())
        fold.settle_text()
        turns = [turn_row(run_id, turn) for turn in fold.turns]
        if self._last is not None and turns[0] == self._last:
            return turns[1:]
        self.changed_turn = self._last[1] if self._last is not None else None
        return turns

    def run_row(self, state_of: StateOf) -> Row:
        """Its row of `runs`, with its true state."""
        state = "archived" if self.fold.archived else self.fold.state
        return run_row(self.spec, self.fold, state_of(self.spec.run_id, state))


def _without(table: Any, run_ids: list[str]) -> Any:
    """The rows of an `events` table that are of other runs."""
    keep = [run_id not in run_ids for run_id in table.column("run_id").to_pylist()]
    return table.filter(pa.array(keep, pa.bool_()))


class Tails:
    """The tails of one project's live runs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._tails: dict[str, Tail] = {}
        self._tables: dict[str, Any] = {}
        self._events: list[Any] = []  # of all tails: a few pieces, as a query looks at each
        self._specs: dict[str, RunSpec] = {}

    def clear(self) -> None:
        """Read everything anew: the index has moved on."""
        self._tails.clear()
        self._tables.clear()
        self._events.clear()

    def refresh(
        self,
        run_ids: list[str],
        sources: Callable[[Sequence[str]], dict[str, tuple[Source, Carry]]],
    ) -> None:
        """Bring the tails of these runs up to date; `sources` looks up what the index has of
        those not known yet."""
        wanted = set(run_ids)
        gone = [i for i, tail in self._tails.items() if i not in wanted or not tail.is_current()]
        for run_id in gone:
            del self._tails[run_id]
            if run_id not in wanted:
                self._specs.pop(run_id, None)
        if gone:
            self._events = [_without(rows, gone) for rows in self._events]
        new = [run_id for run_id in run_ids if run_id not in self._tails]
        found = sources(new) if new else {}
        for run_id in new:
            folder = disk.folder_of(self.home, run_id)
            spec = self._specs.get(run_id) or disk.read_spec(folder)
            if spec is not None:
                self._specs[run_id] = spec
                self._tails[run_id] = Tail(folder, spec, *found.get(run_id, (None, None)))
        read = [rows for tail in self._tails.values() for rows in tail.read_on()]
        if read:
            self._events.append(events_table(read))
            if len(self._events) > _PIECES:
                self._events = [pa.concat_tables(self._events).combine_chunks()]
        if gone or new or read:
            self._tables.clear()

    def table(self, name: str, state_of: StateOf) -> Any:
        """The rows of one view that come from here."""
        tails = self._tails.values()
        if name == "runs":  # states change without a line
            return table(SCHEMAS[name], [tail.run_row(state_of) for tail in tails])
        if name not in self._tables:
            if name == "events":
                made = pa.concat_tables(self._events) if self._events else events_table([])
            else:
                made = table(SCHEMAS[name], [row for tail in tails for row in tail.rows(name)])
            self._tables[name] = made
        return self._tables[name]

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._tails

    def is_due(self) -> bool:
        """Whether the index should be advanced."""
        return any(tail.is_due() for tail in self._tails.values())

    def run_ids(self) -> list[str]:
        """The runs whose row comes from here."""
        return list(self._tails)

    def replaced(self) -> list[str]:
        """The runs none of whose indexed rows count: another journal stands in the place."""
        return [run_id for run_id, tail in self._tails.items() if tail.replaced]

    def changed_turns(self) -> list[tuple[str, int]]:
        """The indexed turns whose row comes from here: late lines have changed it."""
        return [(i, t.changed_turn) for i, t in self._tails.items() if t.changed_turn is not None]
