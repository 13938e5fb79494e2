"""From values to rows: one function per table, and the Arrow table that carries them to DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..model import Item, ModelCall, Permission, RunSpec, ToolCall, Turn, Usage
from ..tracing.tokens import Spent
from .arrow import pa
from .columns import EVENTS, FRAMES, TIMELINE, TRANSCRIPT, Column
from .fold import Fold

Row = tuple[Any, ...]

ARROW: dict[str, Any] = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "DOUBLE": pa.float64(),
    "JSON": pa.json_(),  # DuckDB takes it as JSON without checking each value again
    "TIMESTAMPTZ": pa.timestamp("us", tz="UTC"),
}


def schema(columns: Sequence[Column]) -> Any:
    """The Arrow schema of a list of columns."""
    return pa.schema([(column.name, ARROW[column.type]) for column in columns])


SCHEMAS: dict[str, Any] = {name: schema(columns) for name, columns in FRAMES.items()}
EVENT_SCHEMA: Any = schema(EVENTS)
TRANSCRIPT_SCHEMA: Any = schema(TRANSCRIPT)
TIMELINE_SCHEMA: Any = schema(TIMELINE)


def table(shape: Any, rows: Sequence[Row]) -> Any:
    """Rows as an Arrow table."""
    if not rows:
        return shape.empty_table()
    return from_columns(shape, list(zip(*rows, strict=True)))


def from_columns(shape: Any, columns: Sequence[Sequence[Any]]) -> Any:
    """Columns of Python values as an Arrow table."""
    arrays: list[Any] = []
    for field, values in zip(shape, columns, strict=True):
        kind = field.type
        if isinstance(kind, pa.JsonType):
            arrays.append(pa.ExtensionArray.from_storage(kind, pa.array(values, pa.string())))
        else:
            arrays.append(pa.array(values, kind))
    return pa.Table.from_arrays(arrays, schema=shape)


def json_text(value: Any) -> str | None:
    """A value as JSON text; None stays NULL."""
    return None if value is None else msgspec.json.encode(value).decode()


def _milliseconds(start_us: int | None, end_us: int | None) -> float | None:
    return None if start_us is None or end_us is None else (end_us - start_us) / 1000


def _used(usage: Usage) -> Row:
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
    )


def run_row(spec: RunSpec, fold: Fold, state: str) -> Row:
    """A row of `runs`."""
    usage = fold.usage
    return (
        spec.run_id,
        spec.parent_run_id,
        spec.workflow_run_id,
        spec.match_id,
        spec.fork.run_id if spec.fork is not None else None,
        spec.fork.turn if spec.fork is not None else None,
        fold.fork_kind,
        spec.label,
        spec.title or fold.title,
        json_text(spec.labels),
        fold.session_id,
        spec.session_name,
        spec.provider,
        fold.asked.get("model", spec.model),
        fold.model_answered,
        fold.agent_version,
        fold.asked.get("mode", None if fold.imported else spec.mode),
        fold.agent_mode or spec.agent_mode,
        fold.asked.get("effort", spec.effort),
        fold.host or spec.host,
        spec.notebook,
        spec.cell_id,
        spec.cell_hash,
        spec.repo,
        spec.worktree,
        spec.branch,
        spec.git_base,
        fold.git_head,
        spec.cwd,
        fold.prompt,
        state,
        fold.error.message if fold.error is not None else None,
        spec.created_us,
        fold.started_us,
        fold.finished_us,
        fold.turn_count(),
        fold.call_count(),
        *_used(usage),
        usage.total_tokens,
        usage.cost_usd,
        usage.source,
        usage.scope,
    )


def turn_row(run_id: str, turn: Turn) -> Row:
    """A row of `turns`."""
    usage = turn.usage
    return (
        run_id,
        turn.turn,
        turn.origin,
        turn.prompt,
        turn.text,
        json_text(turn.value),
        turn.outcome,
        turn.stop_reason,
        turn.error.message if turn.error is not None else None,
        turn.started_us,
        turn.finished_us,
        _milliseconds(turn.started_us, turn.finished_us),
        turn.tool_calls,
        turn.git_before,
        turn.git_after,
        turn.files_changed,
        turn.lines_added,
        turn.lines_removed,
        *_used(usage),
        usage.total_tokens,
        usage.cost_usd,
        usage.source,
        usage.scope,
        usage.context_used,
        usage.context_size,
        turn.first_seq,
        turn.last_seq,
    )


def tool_row(run_id: str, call: ToolCall, latency_ms: float | None, spent: Spent) -> Row:
    """A row of `tool_traces`."""
    output = call.output if call.output is not None else (call.content or None)
    return (
        run_id,
        call.turn,
        call.tool_call_id,
        call.seq,
        call.tool_name,
        call.kind,
        call.title,
        json_text(call.input),
        json_text(output),
        call.started_us if call.told_at_once else None,
        call.finished_us,
        latency_ms if call.told_at_once else None,
        spent.result,
        spent.call_output,
        None,
        None,
        None,
        call.error,
        call.outcome,
        spent.source,
    )


def permission_row(run_id: str, asked: Permission) -> Row:
    """A row of `permissions`."""
    return (
        run_id,
        asked.id,
        asked.turn,
        asked.tool_call_id,
        asked.title,
        asked.kind,
        json_text(asked.input),
        json_text(asked.options),
        asked.outcome,
        asked.option_id,
        asked.by,
        asked.rule,
        asked.message,
        json_text(asked.edited),
        asked.asked_us,
        asked.answered_us,
        _milliseconds(asked.asked_us, asked.answered_us),
    )


def model_call_row(run_id: str, call: ModelCall) -> Row:
    """A row of `model_calls`."""
    return (
        run_id,
        call.turn,
        call.id,
        call.seq,
        call.model,
        *_used(call.usage),
        call.usage.cost_usd,
        call.usage.source,
        call.stop_reason,
        call.error,
        call.started_us,
        call.finished_us,
        call.status,
        _milliseconds(call.started_us, call.first_token_us),
        call.attempt,
    )


def item_row(item: Item) -> Row:
    """A row of a transcript."""
    return (
        item.seq,
        item.turn,
        item.role,
        item.kind,
        item.text,
        item.title,
        item.outcome,
        item.started_us,
        item.finished_us,
    )
