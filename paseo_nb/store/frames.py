"""DataFrames: one function for each table of `columns.FRAMES`, SQL over them, one run's story.

Every frame has the columns that `columns.py` declares, typed even when it is empty: times are
`datetime64[us, UTC]`, counts nullable `Int64`, money and durations `float64`, text and JSON `str`.
Each takes `run=` (an id, an unambiguous prefix, or several), `since=` and `until=` (a datetime, an
ISO text, a timedelta or a text like "2h" ago; `until` itself is not included), `limit=` (the newest
so many rows) and `columns=` (which ones, in which order). Rows come oldest first.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

from ..history import History
from ..timelines import Moment as Step
from ..tracing.tokens import spent_by_turn
from .arrow import pa, pc
from .columns import FRAMES, LOOKED_AT, NOTE, TIME_OF, TOOL_TRACES
from .filters import Moment, Runs, chosen, moment, row_limit, run_ids
from .query import Params, query
from .rows import SCHEMAS, TIMELINE_SCHEMA, TRANSCRIPT_SCHEMA, item_row, schema, table, tool_row
from .tails import StateOf

MANY_ROWS = 1_000_000

_ORDER = {
    "runs": ("created_at", "run_id"),
    "turns": ("run_id", "turn"),
    "events": ("run_id", "seq"),
    "tool_traces": ("run_id", "seq"),
    "permissions": ("run_id", "asked_at", "permission_id"),
    "model_calls": ("run_id", "seq"),
}


def runs(
    home: Path,
    run: Runs | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
    state_of: StateOf | None = None,
) -> pd.DataFrame:
    """One row per run: who, what, where from, state, tokens and cost; columns in docs/frames.md.
    Raises UsageProblem for an unknown column or run prefix."""
    return _frame(home, "runs", run, since, until, limit, columns, state_of)


def turns(
    home: Path,
    run: Runs | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per turn: prompt, answer, outcome, tokens and cost; columns in docs/frames.md."""
    return _frame(home, "turns", run, since, until, limit, columns)


def events(
    home: Path,
    run: Runs | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per line of a journal; columns in docs/frames.md."""
    return _frame(home, "events", run, since, until, limit, columns)


def tool_traces(
    home: Path,
    run: Runs | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per tool call: input, output, latency, outcome; columns in docs/frames.md."""
    return _frame(home, "tool_traces", run, since, until, limit, columns)


def permissions(
    home: Path,
    run: Runs | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per question of an agent, its answer and who gave it; columns in docs/frames.md."""
    return _frame(home, "permissions", run, since, until, limit, columns)


def model_calls(
    home: Path,
    run: Runs | None = None,
    since: Moment | None = None,
    until: Moment | None = None,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """One row per request to a model, where the agent tells of it; columns in docs/frames.md."""
    return _frame(home, "model_calls", run, since, until, limit, columns)


def sql(
    home: Path,
    text: str,
    params: Params | None = None,
    beside: Mapping[str, Sequence[Any]] | None = None,
) -> pd.DataFrame:
    """The answer to one SELECT (DuckDB's SQL) over the tables of `columns.FRAMES`.

    `?` or `$name` stand for `params`. beside: rows of frames of `columns.LOOKED_AT` that are tables
    as well. Raises UsageProblem for SQL that is wrong or would write.
    """
    tables = {name: table(schema(LOOKED_AT[name]), rows) for name, rows in (beside or {}).items()}
    return to_frame(query(home, text, params, beside=tables), "sql")


# ------------------------------------------------------------ one run's story


def transcript(history: History) -> pd.DataFrame:
    """One row per message, thought, plan, tool call, permission and note of a run, in order."""
    return to_frame(
        table(TRANSCRIPT_SCHEMA, [item_row(item) for item in history.items]), "transcript"
    )


def tool_calls(history: History) -> pd.DataFrame:
    """One row per tool call of a run: the columns of `tool_traces` but `run_id`."""
    rows: list[Any] = []
    used = spent_by_turn(history.model_calls.values(), history.tool_calls.values())
    for call in history.tool_calls.values():
        took = None if call.finished_us is None else (call.finished_us - call.started_us) / 1000
        spent = used[f"{call.turn}/{call.tool_call_id}"]
        rows.append(tool_row("", call, None if call.outcome == "interrupted" else took, spent))
    columns = [column.name for column in TOOL_TRACES if column.name != "run_id"]
    return to_frame(table(SCHEMAS["tool_traces"], rows).select(columns), "tool_traces")


def timeline(moments: Sequence[Step]) -> pd.DataFrame:
    """One row per moment of a run's timeline."""

    def ms(span_us: int | None) -> int | None:
        return None if span_us is None else round(span_us / 1000)

    rows: list[Any] = [
        (
            one.run_id, one.depth, one.agent, one.turn, one.kind, one.text, one.started_us,
            one.finished_us,
            ms(None if one.finished_us is None else one.finished_us - one.started_us),
            ms(one.waited_us), one.outcome, one.tokens, one.cost_usd, one.tool_calls,
            one.files_changed,
        )
        for one in moments
    ]  # fmt: skip
    return to_frame(table(TIMELINE_SCHEMA, rows), "timeline")


# ------------------------------------------------------------ what was looked at


def listed(name: str, rows: Sequence[Any]) -> pd.DataFrame:
    """The frame of `columns.LOOKED_AT` of that name, from rows in the order of its columns."""
    return to_frame(table(schema(LOOKED_AT[name]), rows), name)


# ------------------------------------------------------------ how


def _frame(
    home: Path,
    name: str,
    run: Runs | None,
    since: Moment | None,
    until: Moment | None,
    limit: int | None,
    columns: Sequence[str] | None,
    state_of: StateOf | None = None,
) -> pd.DataFrame:
    shown = chosen(columns, FRAMES[name], name)
    wanted = run_ids(home, run) if run is not None else None
    params: list[Any] = []
    conditions: list[str] = []
    if wanted is not None:
        conditions.append(f"run_id IN ({', '.join('?' * len(wanted)) or 'NULL'})")
        params += wanted
    for value, sign, said in ((since, ">=", "since"), (until, "<", "until")):
        if value is not None:
            conditions.append(f"{TIME_OF[name]} {sign} ?::TIMESTAMPTZ")
            params.append(moment(value, said).isoformat())
    source = f" FROM {name}"
    if conditions:
        source += f" WHERE {' AND '.join(conditions)}"
    most = row_limit(limit)
    if most is not None:
        newest = ", ".join(f"{column} DESC" for column in (TIME_OF[name], *_ORDER[name]))
        source += f" ORDER BY {newest} LIMIT {most}"
    fetched = list(dict.fromkeys([*shown, *_ORDER[name]]))
    told = ", ".join(f'"{column}"' for column in fetched)
    found = query(home, f"SELECT {told}{source}", params, runs=wanted, state_of=state_of)
    found = in_order(found, _ORDER[name])
    if shown != fetched:
        found = found.select(shown)
    if found.num_rows > MANY_ROWS:
        warnings.warn(
            f"{name} has {found.num_rows:,} rows here; paseo.sql() counts and sums without"
            " loading them, limit= and columns= load fewer",
            stacklevel=3,
        )
    return to_frame(found, name)


def in_order(found: Any, keys: Sequence[str]) -> Any:
    """The rows of an Arrow table in the order of these columns. The index mostly has them so, and
    to see that costs little beside a sort that moves every text."""
    sorted_so = pa.scalar(True)
    for key in reversed(keys):
        values = found.column(key)
        this, after = values.slice(0, max(len(values) - 1, 0)), values.slice(1)
        tie = pc.and_(pc.equal(this, after), sorted_so)
        sorted_so = pc.or_(pc.less(this, after), tie)
    if pc.all(sorted_so, skip_nulls=False, min_count=0).as_py():
        return found
    wide = pa.schema([_wide(field) for field in found.schema])  # what is taken may pass 2 GB
    order = pc.sort_indices(found.select(list(keys)), [(key, "ascending") for key in keys])
    return found.cast(wide).take(order)


def _wide(field: Any) -> Any:
    is_text = field.type in (pa.string(), pa.json_())
    return field.with_type(pa.large_string()) if is_text else field


def to_frame(found: Any, name: str) -> pd.DataFrame:
    """An Arrow table as a DataFrame with the types told above, its name noted for display.

    Sums of counts, which DuckDB makes wider than 64 bits, come back as counts where they fit, else
    as floats.
    """
    for at, field in enumerate(found.schema):
        if isinstance(field.type, pa.BaseExtensionType):
            found = found.set_column(at, field.name, found.column(at).cast(pa.string()))
        elif pa.types.is_decimal(field.type):
            found = found.set_column(at, field.name, _narrow(found.column(at), field.type.scale))
    frame = found.to_pandas(types_mapper=_PANDAS.get, date_as_object=False)
    frame.attrs[NOTE] = name
    return frame


def _narrow(column: Any, scale: int) -> Any:
    if scale == 0:
        try:
            return column.cast(pa.int64())
        except pa.ArrowInvalid:
            pass
    return column.cast(pa.float64())


_PANDAS: dict[Any, Any] = {
    pa.int8(): pd.Int8Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
