"""`paseo.cache_shape(run)`: what a run's requests shared, what was reused, and why not more.

Requests are exact where the agent tells what it sent (our own does); else what the journal tells of
its model calls is judged, and labelled so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..history import History
from ..model import ModelCall, Rates, RunSpec, Segment, Usage
from ..pricing import Priced, priced
from .prices import Book
from .shape import Judged, Request, hit_rates, judge

if TYPE_CHECKING:
    import pandas as pd


def requests_of(history: History) -> list[Request]:
    """The model requests that a journal tells of."""
    cuts = sorted(one.started_us for one in history.items if one.title == "compaction")
    found: list[Request] = []
    calls = sorted(history.model_calls.values(), key=lambda one: (one.started_us, one.seq))
    last_us = 0
    for call in calls:
        usage = call.usage
        told = usage.input_tokens is not None
        found.append(
            Request(
                ident=call.id,
                model=call.model,
                at_us=call.started_us,
                ended_us=call.finished_us,
                turn=call.turn,
                input_tokens=usage.input_tokens,
                read=usage.cache_read_tokens if told else None,
                written=usage.cache_write_tokens,
                output_tokens=usage.output_tokens,
                segments=call.segments,
                compacted=any(last_us < at <= call.started_us for at in cuts),
                conversation=call.parent or _aside(call),
            )
        )
        last_us = call.started_us
    return [one for one in found if one.input_tokens is not None]


def _aside(call: ModelCall) -> str | None:
    """A request without tools is one on the side (a title, a summary), where the others have any:
    it is held against its like."""
    told = call.segments
    return "aside" if told and not any(one.kind == "tool" for one in told) else None


class Line(msgspec.Struct):
    """A judged request with its price. lost_usd: what the miss cost more than a hit."""

    number: int
    judged: Judged
    cumulative: float | None
    priced: Priced | None = None
    saved_so_far: float | None = None
    lost_usd: float | None = None


class CacheShape:
    """The shape of a run's prompt cache: to look at, and as `.frame`; `.misses` has those requests
    that were billed again for what had been sent before."""

    def __init__(self, spec: RunSpec, history: History, book: Book | None = None) -> None:
        self.run_id = spec.run_id
        self.agent = f"{spec.provider}/{spec.model}" if spec.model else spec.provider
        self.title = spec.title or history.title
        self.lines = _priced(spec, judge(requests_of(history)), book or Book(), history)

    @property
    def exact(self) -> bool:
        """Whether all requests were seen."""
        return bool(self.lines) and all(line.judged.exact for line in self.lines)

    @property
    def frame(self) -> pd.DataFrame:
        """One row per model request; columns in docs/frames.md."""
        from .rows import listed

        return listed("cache_shape", [self._row(line) for line in self.lines])

    @property
    def misses(self) -> pd.DataFrame:
        """The rows of `.frame` that have a cause."""
        from .rows import listed

        rows = [self._row(line) for line in self.lines if line.judged.cause is not None]
        return listed("cache_misses", rows)

    def rows(self, *, misses: bool = False) -> list[Any]:
        """The rows of `.frame`, or of `.misses`."""
        return [
            self._row(line) for line in self.lines if not misses or line.judged.cause is not None
        ]

    def turns(self) -> pd.DataFrame:
        """The hit rate by turn: turn, requests, input_tokens, cache_read_tokens, hit_rate,
        cumulative_hit_rate."""
        from .rows import listed

        rows: list[Any] = []
        for turn in dict.fromkeys(line.judged.request.turn for line in self.lines):
            mine = [line for line in self.lines if line.judged.request.turn == turn]
            known = [x.judged.request for x in mine if x.judged.request.read is not None]
            into = sum(one.input_tokens or 0 for one in known)
            read = sum(one.read or 0 for one in known)
            rate = read / into if into else None
            rows.append((self.run_id, turn, len(mine), into, read, rate, mine[-1].cumulative))
        return listed("cache_turns", rows)

    def to_json(self, **how: Any) -> str:
        """The frame as JSON, for the terminal."""
        frame: Any = self.frame
        return str(frame.to_json(**how))

    def _row(self, line: Line) -> tuple[Any, ...]:
        from ..store.rows import json_text

        one, request = line.judged, line.judged.request
        found = line.priced
        return (
            self.run_id, request.turn, line.number, request.ident, request.model, request.at_us,
            request.input_tokens, request.read, request.written, one.hit_rate, line.cumulative,
            one.shared, one.reusable if one.before is not None else None, one.lost or None,
            one.cause, one.reason or None, one.changed, one.diff,
            "exact" if one.exact else "estimated",
            found.input_usd if found else None,
            found.input_usd + found.saved_usd if found else None,
            found.saved_usd if found else None,
            line.saved_so_far, line.lost_usd,
            json_text(_short(request.segments)),
        )  # fmt: skip

    def __str__(self) -> str:
        from ..widgets.trace.cache import plain

        return plain(self)

    __repr__ = __str__

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        from ..widgets.trace.cache import html, plain

        return {"text/html": html(self), "text/plain": plain(self)}


def _short(segments: Any) -> list[dict[str, Any]] | None:
    if segments is None:
        return None
    kept = ("kind", "name", "hash", "size")
    given: list[Segment] = list(segments)
    return [{name: getattr(one, name) for name in kept} for one in given]


def _priced(spec: RunSpec, judged: list[Judged], book: Book, history: History) -> list[Line]:
    saved: float | None = 0.0
    lines: list[Line] = []
    for number, (one, rate) in enumerate(zip(judged, hit_rates(judged), strict=True), 1):
        request = one.request
        model = request.model or history.model_answered or spec.model
        rates, _ = book.rates(spec.provider, model, request.at_us)
        found = None if rates is None else priced(_usage(request), rates)
        saved = None if saved is None or found is None else saved + found.saved_usd
        lost = None if rates is None else _lost_usd(one, rates)
        lines.append(Line(number, one, rate, found, saved, lost))
    return lines


def _usage(request: Request) -> Usage:
    return Usage(
        input_tokens=request.input_tokens,
        output_tokens=request.output_tokens or 0,
        cache_read_tokens=request.read,
        cache_write_tokens=request.written,
    )


def _lost_usd(one: Judged, rates: Rates) -> float | None:
    into = one.request.input_tokens or 0
    if not one.lost or rates.cache_read is None:
        return None
    more = rates.input.at(into, True) - rates.cache_read.at(into, True)
    return one.lost * more / 1e6
