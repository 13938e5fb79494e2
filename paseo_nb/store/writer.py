"""One transaction on the attached index: rows in large batches, offsets beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from ..model import now_us
from .arrow import pa
from .fold import Carry, reading_tag
from .migrations import write_meta
from .rows import SCHEMAS, Row, table
from .schema import INDEX

BATCH_ROWS = 50_000
BATCH_BYTES = 8 << 20
SMALL_ROWS = 2_000

_SHAPES: dict[str, Any] = {
    **SCHEMAS,
    "src": pa.schema(
        [
            ("run_id", pa.string()),
            ("identity", pa.string()),
            ("off", pa.int64()),
            ("seq", pa.int64()),
            ("reading", pa.string()),
            ("carry", pa.string()),
        ]
    ),
}


class Source(msgspec.Struct):
    """How far one run is indexed, of which journal, as read by which dialect."""

    run_id: str
    identity: str
    off: int
    seq: int
    reading: str

    @property
    def stale(self) -> bool:
        """Whether another version of the dialect made its rows."""
        return self.reading != reading_tag(self.reading.partition(" ")[0])


def stale_readings(con: Any) -> list[str]:
    """The tags of runs that another version of a dialect read."""
    found = con.execute(f"SELECT DISTINCT reading FROM {INDEX}.src").fetchall()
    return [reading for (reading,) in found if Source("", "", 0, 0, reading).stale]


def stale_runs(con: Any) -> list[str]:
    """The runs that another version of a dialect read."""
    tags = stale_readings(con)
    query = f"SELECT run_id FROM {INDEX}.src WHERE list_contains(?, reading)"
    return [run_id for (run_id,) in con.execute(query, [tags]).fetchall()] if tags else []


def read_sources(con: Any, run_ids: Sequence[str]) -> dict[str, tuple[Source, Carry]]:
    """What the attached index knows of some runs, each carry whole again."""
    told = con.execute(
        f"SELECT run_id, identity, off, seq, reading, carry FROM {INDEX}.src"
        " WHERE list_contains(?, run_id)",
        [list(run_ids)],
    ).fetchall()
    found: dict[str, tuple[Source, Carry]] = {}
    for *source, text in told:
        carry = msgspec.json.decode(text, type=Carry)
        turn = carry.last_turn
        if carry.cut and turn is not None:
            turn.text, turn.prompt = con.execute(
                f"SELECT text, prompt FROM {INDEX}.turns WHERE run_id = ? AND turn = ?",
                [source[0], turn.turn],
            ).fetchall()[0]
        found[source[0]] = Source(*source), carry
    return found


class _Feed:
    """What DuckDB reads rows from. Registered once and filled for each insert: a table registered
    within a transaction is kept until it ends, which would be the whole journal."""

    def __init__(self, shape: Any) -> None:
        self.rows = shape.empty_table()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.rows.__arrow_c_stream__(requested_schema)


class Writer:
    """Collects rows and writes them; the transaction begins with the first batch. `enter` is
    called before it: there the index is attached, where it is not yet."""

    def __init__(self, con: Any, enter: Callable[[], None] | None = None) -> None:
        self._con, self._enter = con, enter
        self._open = False
        self._feeds = {name: _Feed(shape) for name, shape in _SHAPES.items()}
        for name, feed in self._feeds.items():
            con.register(f"feed_{name}", feed)
        self._events: list[Any] = []
        self._event_rows = self._event_bytes = 0
        self._rows: dict[str, list[Row]] = {}
        self._runs: list[tuple[Row, Source, Carry]] = []
        self._known: list[str] = []
        self.bytes = 0
        self.runs = 0

    # ------------------------------------------------------------ reading what is there

    def sources(self) -> dict[str, Source]:
        """The sources of all runs."""
        query = f"SELECT run_id, identity, off, seq, reading FROM {INDEX}.src"
        return {row[0]: Source(*row) for row in self._con.execute(query).fetchall()}

    # ------------------------------------------------------------ writing

    def _begin(self) -> None:
        if not self._open:
            if self._enter is not None:
                self._enter()
                self._enter = None
            self._con.execute("BEGIN")
            self._open = True

    def forget(self, run_id: str) -> None:
        """Delete a run's rows."""
        self._begin()
        for name in (*SCHEMAS, "src"):
            self._con.execute(f"DELETE FROM {INDEX}.{name} WHERE run_id = ?", [run_id])

    def drop_turns(self, run_id: str, turn: int) -> None:
        """Delete the row of a run's last turn: late lines have changed it."""
        self._begin()
        self._con.execute(
            f"DELETE FROM {INDEX}.turns WHERE run_id = ? AND turn >= ?", [run_id, turn]
        )

    def events(self, rows: Any) -> None:
        """Add event rows, an Arrow table."""
        self._events.append(rows)
        self._event_rows += rows.num_rows
        self._event_bytes += rows.nbytes
        if self._event_rows >= BATCH_ROWS or self._event_bytes >= BATCH_BYTES:
            self._flush_events()

    def add(self, name: str, rows: Iterable[Row]) -> None:
        """Add rows to a small table."""
        kept = self._rows.setdefault(name, [])
        kept.extend(rows)
        if len(kept) >= SMALL_ROWS:
            self._flush_rows(name)

    def run(self, row: Row, source: Source, carry: Carry, *, known: bool) -> None:
        """A run's row and offset, replacing those it had (`known`)."""
        self.runs += 1
        self._runs.append((row, source, carry))
        if known:
            self._known.append(source.run_id)

    def say(self, key: str, value: str) -> None:
        """Say one thing about the index."""
        self._begin()
        write_meta(self._con, key, value)

    def commit(self) -> None:
        """Write everything, or nothing where there is nothing."""
        if not self._open and not self._runs:
            return
        self._flush_events()
        for name in self._rows:
            self._flush_rows(name)
        self._flush_runs()
        self.say("generation", str(now_us()))
        self._con.execute("COMMIT")
        self._open = False

    def rollback(self) -> None:
        """Leave the index as it was."""
        if self._open:
            self._con.execute("ROLLBACK")
            self._open = False

    # ------------------------------------------------------------ flushing

    def _flush_events(self) -> None:
        if self._events:
            self._insert("events", pa.concat_tables(self._events))
            self._events.clear()
            self._event_rows = self._event_bytes = 0

    def _flush_rows(self, name: str) -> None:
        rows = self._rows[name]
        if rows:
            self._insert(name, table(SCHEMAS[name], rows))
            rows.clear()

    def _flush_runs(self) -> None:
        if not self._runs:
            return
        self._begin()
        if self._known:
            for name in ("runs", "src"):
                self._con.execute(
                    f"DELETE FROM {INDEX}.{name} WHERE list_contains(?, run_id)", [self._known]
                )
        self._insert("runs", table(SCHEMAS["runs"], [row for row, _, _ in self._runs]))
        sources = [
            (*msgspec.structs.astuple(source), msgspec.json.encode(carry).decode())
            for _, source, carry in self._runs
        ]
        self._insert("src", table(_SHAPES["src"], sources))
        self._runs.clear()
        self._known.clear()

    def _insert(self, name: str, rows: Any) -> None:
        self._begin()
        feed = self._feeds[name]
        empty, feed.rows = feed.rows, rows
        try:
            self._con.execute(f"INSERT INTO {INDEX}.{name} BY NAME SELECT * FROM feed_{name}")
        finally:
            feed.rows = empty
