"""A trace as the live view's messages have it: one small row per span, details when asked for.

Pure. Times are milliseconds since the root began, which is 0.
"""

from __future__ import annotations

import json
from typing import Any

from ...tracing import questions
from ...tracing.spans import Span, walk
from ..render.text import clean, one_line
from ..render.units import duration, plural, when
from . import detail_said, hit_rate, numbers_said, said_of, took_said, totals

Json = dict[str, Any]
KINDS = {"waiting": "wait", "sub-agents": "sub", "tools": "tool", "model": "model"}
MAX_TEXT = 200_000


def rows_of(root: Span, at_us: int) -> dict[str, Json]:
    """Every span's row, by its id, parents first."""
    start = root.started_us
    rows: dict[str, Json] = {}
    for order, span in enumerate(walk(root)):
        count, cost = numbers_said(span)
        going_on = span.finished_us is None and span.outcome is None and span.kind != "model_call"
        rows[span.span_id] = {
            "i": span.span_id,
            "p": span.parent_id,
            "o": order,
            "l": span.depth,
            "k": span.kind,
            "tk": span.tool_kind or "other",
            "tn": one_line(span.tool_name or "", 60) if span.kind == "tool_call" else "",
            "n": one_line(span.name, 120),
            "d": detail_said(span),
            "pa": span.parallel,
            "t": count,
            "c": cost,
            "s": (span.started_us - start) / 1000,
            "e": None if span.finished_us is None else (span.finished_us - start) / 1000,
            "g": going_on,
            "u": span.timed,
            "x": span.failed,
            "w": "" if going_on else took_said(span, at_us),
        }
    return rows


def head_of(root: Span, at_us: int, live: bool) -> Json:
    """What stands above the tree."""
    spans = list(walk(root))
    runs = sum(span.kind == "run" for span in spans)
    ends = [span.finished_us for span in spans if span.finished_us is not None]
    end = at_us if live or not ends else max(ends)
    how = "live" if live else f"ended {when(end)}"
    said = [said_of(root), plural(runs, "run") if runs > 1 else "",
            plural(len(spans), "span"), how]  # fmt: skip
    spent = [
        (KINDS.get(what, "gap"), questions_word(what), duration(seconds), share)
        for what, seconds, share in questions.time_spent(root, at_us)
        if seconds > 0
    ]
    return {
        "name": one_line(root.name, 60),
        "said": ", ".join(part for part in said if part),
        "totals": [list(one) for one in totals(root, at_us) if one[1]],
        "spent": [list(one) for one in spent],
        "live": live,
        "at": (at_us - root.started_us) / 1000,
        "end": (end - root.started_us) / 1000,
    }


def questions_word(what: str) -> str:
    """A part of the time, in words."""
    return {"waiting": "Waiting for you"}.get(what, what.capitalize())


def detail_of(root: Span, ident: str) -> Json | None:
    """What is to be known of a span; None where there is none of that id."""
    spans = {span.span_id: span for span in walk(root)}
    span = spans.get(ident)
    if span is None:
        return None
    usage = span.usage
    asked = spans.get(span.asked_by or "")
    first = span.first_token_us
    facts = [
        ("Started", f"{duration((span.started_us - root.started_us) / 1e6)} after start"),
        ("Took", "" if span.took_us is None else duration(span.took_us / 1e6)),
        ("First token", "" if first is None else duration((first - span.started_us) / 1e6)),
        ("Outcome", span.outcome or ""),
        ("Class", span.error_class or ""),
        ("Model", span.model or ""),
        ("Tokens in", _count(usage.input_tokens)),
        ("Cached", _count(usage.cache_read_tokens)),
        ("Hit rate", _hits(root, span)),
        ("Tokens out", _count(usage.output_tokens)),
        ("To ask", _count(span.call_output_tokens)),
        ("To read", _count(span.result_tokens, span.tokens_source)),
        ("Asked by", "" if asked is None else one_line(asked.name, 60)),
        ("Files", ", ".join(span.paths)),
        ("Span", span.span_id),
    ]
    told = [("input", span.input), ("output", span.output), ("error", span.error)]
    parts = [(name, *_text(value)) for name, value in told if value not in (None, "", {}, [])]
    return {
        "k": "detail",
        "i": ident,
        "name": one_line(span.name, 200),
        "error": one_line(span.error or "", 120) if span.failed else "",
        "facts": [[name, value] for name, value in facts if value],
        "parts": [list(part) for part in parts],
    }


def _hits(root: Span, span: Span) -> str:
    """Of a model call or a turn; of the latter also up to and with it, over its run."""
    rate = hit_rate([span]) if span.kind in ("run", "turn", "model_call") else None
    if rate is None or span.kind != "turn":
        return "" if rate is None else f"{rate:.0%}"
    run = next(one for one in walk(root) if span in one.children)
    turns = [one for one in run.children if one.kind == "turn" and one.turn <= span.turn]
    return f"{rate:.0%}, {hit_rate(turns):.0%} so far"


def found_in(root: Span, text: str) -> list[str]:
    """The spans that have a text in name, input, output or error."""
    wanted = questions.matching(list(walk(root)), None, None, None, text)
    return [span.span_id for span in wanted]


def _count(number: int | None, source: str | None = None) -> str:
    if number is None:
        return ""
    return f"~{number:,} (estimated)" if source == "estimated" else f"{number:,}"


def _text(value: Any) -> tuple[str, str]:
    """A value as text that can be looked at, and what was left out."""
    plain = isinstance(value, str)
    said = value if plain else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    note = f"The first {MAX_TEXT:,} of {len(said):,} characters" if len(said) > MAX_TEXT else ""
    return clean(said[:MAX_TEXT]), note
