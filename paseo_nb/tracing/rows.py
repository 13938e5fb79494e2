"""From values of this room to rows, and rows to DataFrames of the declared columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..store.columns import TRACED
from ..store.rows import json_text, schema, table
from .spans import Span

if TYPE_CHECKING:
    import pandas as pd


def listed(name: str, rows: Sequence[Any]) -> pd.DataFrame:
    """The frame of `columns.TRACED` of that name, from rows in the order of its columns."""
    from ..store.frames import to_frame

    return to_frame(table(schema(TRACED[name]), rows), name)


def span_row(span: Span) -> tuple[Any, ...]:
    """A row of `trace`."""
    usage, took = span.usage, span.took_us
    first = span.first_token_us
    return (
        span.run_id,
        span.span_id,
        span.parent_id,
        span.depth,
        span.turn,
        span.kind,
        span.name,
        span.detail or None,
        span.agent,
        span.model,
        span.tool_name,
        span.tool_kind,
        span.tool_call_id,
        span.asked_by,
        span.parallel if span.kind == "tool_call" else None,
        span.started_us if span.timed else None,
        span.finished_us,
        None if took is None else took / 1000,
        None if first is None else (first - span.started_us) / 1000,
        span.outcome,
        span.error_class,
        span.error,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        usage.cost_usd,
        span.call_output_tokens,
        span.result_tokens,
        span.tokens_source,
        json_text(span.paths or None),
        json_text(span.input),
        json_text(span.output),
    )
