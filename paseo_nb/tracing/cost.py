"""What runs cost, by model call, turn and run: computed beside what the agent reports. Pure.

A turn whose model calls tell all of its tokens costs what they cost together; else its own tokens
are priced. A sum is not told where a part of it has no price.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..model import Rates, Usage
from ..pricing import Priced, priced
from .prices import Book
from .spans import Span, walk

TOLERANCE = 0.01  # of the larger: a difference below it is one of rounding
LEAST_USD = 0.0001


class Cost(msgspec.Struct):
    """One row: a run, turn or model call. `why`: of what is not computed."""

    span: Span
    rates: Rates | None = None
    priced: Priced | None = None
    why: str | None = None

    @property
    def differs(self) -> bool | None:
        """Whether what the agent reports is another amount; None where one is not known."""
        told = self.span.usage.cost_usd
        if told is None or self.priced is None:
            return None
        apart = abs(told - self.priced.usd)
        return apart > max(LEAST_USD, TOLERANCE * max(told, self.priced.usd))

    def row(self) -> tuple[Any, ...]:
        """In the order of `columns.TRACED["cost"]`."""
        span, usage, found = self.span, self.span.usage, self.priced
        told = usage.cost_usd
        return (
            span.run_id, span.kind, span.turn or None, span.span_id, span.agent, span.model,
            span.started_us,
            usage.input_tokens, usage.output_tokens, usage.cache_read_tokens,
            usage.cache_write_tokens, usage.reasoning_tokens,
            found.usd if found else None,
            told,
            None if told is None or found is None else told - found.usd,
            self.differs,
            found.without_cache_usd if found else None,
            found.saved_usd if found else None,
            self.rates.source if found and self.rates else None,
            self.why,
        )  # fmt: skip


def costs(roots: Iterable[Span], book: Book) -> list[Cost]:
    """The rows of some traces: each run, then its turns, each before its model calls."""
    return [row for root in roots for run in walk(root) if run.kind == "run"
            for row in _run(run, book)]  # fmt: skip


def _run(run: Span, book: Book) -> list[Cost]:
    rows: list[Cost] = []
    turns: list[Cost] = []
    for turn in (one for one in run.children if one.kind == "turn"):
        turn.model = turn.model or run.model
        calls = [_call(one, run, book) for one in turn.children if one.kind == "model_call"]
        found = _turn(turn, calls, run, book)
        turns.append(found)
        rows += [found, *calls]
    by_call = any(row.span.kind == "model_call" and row.span.usage.counted for row in rows)
    counted = [one for one in turns if not (by_call and _came_to_nothing(one.span))]
    return [_sum(run, counted or turns), *rows]


def _came_to_nothing(turn: Span) -> bool:
    """Whether a turn failed before a model call was told, of an agent that tells of each."""
    called = any(one.kind == "model_call" for one in turn.children)
    return turn.failed and not called and turn.usage.input_tokens is None


def _call(span: Span, run: Span, book: Book) -> Cost:
    return _own(span, run, book, span.model or run.model, one_request=True)


def _turn(turn: Span, calls: list[Cost], run: Span, book: Book) -> Cost:
    if calls and _covers([one.span.usage for one in calls], turn.usage):
        return _sum(turn, calls)
    return _own(turn, run, book, turn.model, one_request=False)


def _own(span: Span, run: Span, book: Book, model: str | None, *, one_request: bool) -> Cost:
    rates, why = book.rates(run.agent.partition("/")[0], model, span.started_us)
    if rates is None:
        return Cost(span, None, None, why)
    found = priced(span.usage, rates, one_request=one_request)
    return Cost(span, rates, found, None if found else "its tokens were not told")


def _covers(calls: list[Usage], whole: Usage) -> bool:
    """Whether the calls are all of the turn. Retried and failed ones may have told nothing."""
    for name in ("input_tokens", "output_tokens"):
        told = getattr(whole, name)
        if told is not None and told != sum(getattr(one, name) or 0 for one in calls):
            return False
    return any(one.input_tokens is not None for one in calls)


def _sum(span: Span, parts: list[Cost]) -> Cost:
    """What the parts cost together. A model call that failed and told no tokens cost none."""
    counted = [
        one for one in parts if not (one.span.kind == "model_call" and one.span.failed
                                     and one.span.usage.input_tokens is None)
    ]  # fmt: skip
    missing = next((one for one in counted if one.priced is None), None)
    if missing is not None or not counted:
        return Cost(span, None, None, missing.why if missing else "nothing was used")
    known = [one.priced for one in counted if one.priced is not None]
    total = Priced(
        sum(one.usd for one in known),
        sum(one.input_usd for one in known),
        sum(one.without_cache_usd for one in known),
    )
    return Cost(span, counted[0].rates, total)
