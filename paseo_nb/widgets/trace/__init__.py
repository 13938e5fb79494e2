"""A trace as static HTML and text, from spans of `tracing`. Pure.

Each span is a line with a bar on the run's time; what has something below it, or an input and
output, is a `<details>` that opens without a script. Nothing but inline styles from JupyterLab's
variables, so that it looks the same in a saved notebook, light and dark; names, inputs and outputs
are hostile text here, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ...model import short_id
from ...tracing import questions
from ...tracing.spans import Span, walk
from ..render import style
from ..render.states import Tone
from ..render.text import excerpt, literal, one_line, prose
from ..render.units import duration, money, plural, tokens, when

MAX_ROWS = 1500  # lines of HTML; a filter shows the others
MAX_BODIES = 400  # of them with input and output
OPEN_DEPTH = 1
GLYPHS = {
    "workflow": "❖", "step": "○", "run": "▷", "turn": "❯", "model_call": "⬡", "tool_call": "▪",
    "permission": "◆", "retry": "↻", "compaction": "⊟",
}  # fmt: skip
COLOURS = {
    "model_call": "var(--jp-brand-color1,#1976d2)",
    "tool_call": "color-mix(in srgb,currentColor 55%,transparent)",
    "permission": "repeating-linear-gradient(45deg,var(--jp-warn-color1,#f57c00) 0 3px,"
    "transparent 3px 5px)",
}
PARTS = {
    "waiting": COLOURS["permission"],
    "sub-agents": "color-mix(in srgb,var(--jp-brand-color1,#1976d2) 55%,transparent)",
    "tools": COLOURS["tool_call"],
    "model": COLOURS["model_call"],
    "between turns": "rgba(128,128,128,.2)",
}
WORDS = {"waiting": "Waiting for you", "model": "Model"}
_BASE = "color-mix(in srgb,currentColor 25%,transparent)"
_GRID = (
    "display:grid;grid-template-columns:minmax(14ch,5fr) minmax(0,3fr) 6ch 8ch minmax(60px,6fr);"
    "gap:0 8px;align-items:baseline;padding:1px 0"
)
_CUT = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap;min-width:0"
_RIGHT = "text-align:right;white-space:nowrap"
_NUMBER = f"{_RIGHT};{style.SMALL};{style.TONES['quiet']}"


def html(shown: Span, root: Span, at_us: int, *, filtered: bool = False) -> str:
    """The whole picture."""
    spans = list(walk(shown))
    body = _Rows(root, at_us, open_all=filtered and len(spans) <= 200).row(shown)
    left = len(spans) - MAX_ROWS
    if left > 0:
        body += f'<p style="{style.P}">{plural(left, "further span")}: filter by tool=, errors=, '
        body += "slower_than= or search= to see them.</p>"
    whole = sum(1 for _ in walk(root))
    count = f"{len(spans):,} of {plural(whole, 'span')}" if filtered else plural(whole, "span")
    title = (
        f'<p style="{style.P};font-weight:600">Trace of {prose(one_line(root.name, 60))} '
        f'<span style="font-weight:400;{style.TONES["quiet"]}">'
        f"{prose(f'{said_of(root)} · {when(root.started_us)} · {count}')}</span></p>"
    )
    return (
        f'<div style="{style.ROOT};font-size:13px">{title}{_totals(root, at_us)}'
        f"{_spent(root, at_us)}{body}</div>"
    )


def said_of(root: Span) -> str:
    """What a trace is of."""
    what = "workflow run" if root.kind == "workflow" else "run"
    return f"{what} {short_id(root.run_id)}"


def plain(shown: Span, root: Span, at_us: int) -> str:
    """The tree as text, at most 200 lines of it."""
    lines: list[str] = []
    for number, span in enumerate(walk(shown)):
        if number == 200:
            lines.append("…")
            break
        facts = " · ".join(
            filter(None, [detail_said(span), *numbers_said(span), took_said(span, at_us)])
        )
        mark = "✗" if span.failed else GLYPHS.get(span.kind, "·")
        said = f"{'  ' * span.depth}{mark} {one_line(span.name, 80)}"
        lines.append(f"{said}  ({facts})" if facts else said)
    return "\n".join(lines)


def totals(root: Span, at_us: int) -> list[tuple[str, str, str]]:
    """The figures above a trace: what, how much, more."""
    spans = list(walk(root))
    runs = [span for span in spans if span.kind == "run"]
    tools = [span for span in spans if span.kind == "tool_call"]
    ends = [one.finished_us for one in spans if one.finished_us is not None]
    end = at_us if root.finished_us is None else max(ends)
    known = [one.usage for one in runs]
    into, cached, out = (
        _sum(getattr(usage, name) for usage in known)
        for name in ("input_tokens", "cache_read_tokens", "output_tokens")
    )
    first = sorted(row[3] for row in questions.first_tokens(spans))
    failed = sum(tool.failed for tool in tools)
    return [
        ("Wall", duration((end - root.started_us) / 1e6), ""),
        ("Tokens in", tokens(into), f"{cached / into:.0%} cached" if into and cached else ""),
        ("Tokens out", tokens(out), ""),
        ("Cost", money(_sum(usage.cost_usd for usage in known)), "as the agent tells"),
        ("Tool calls", f"{len(tools):,}", plural(failed, "error") if failed else ""),
        (
            "First token",
            duration(first[len(first) // 2] / 1e3) if first else "",
            "median" if first else "",
        ),
    ]


def _totals(root: Span, at_us: int) -> str:
    cells = "".join(
        f'<span><span style="{style.SMALL};{style.TONES["quiet"]}">{name}</span><br>'
        f"<b>{prose(value)}</b> "
        f'<span style="{style.SMALL};{style.TONES["quiet"]}">{prose(more)}</span></span>'
        for name, value, more in totals(root, at_us)
        if value
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:6px 28px;margin:0 0 10px">{cells}</div>'


def _spent(root: Span, at_us: int) -> str:
    rows = [row for row in questions.time_spent(root, at_us) if row[1] > 0]
    if not rows:
        return ""
    bar = "".join(
        f'<span title="{what}" style="flex:{share:.4f};background:{PARTS[what]}"></span>'
        for what, _, share in rows
    )
    words = " · ".join(
        f"{WORDS.get(what, what.capitalize())} <b>{duration(seconds)}</b> {share:.0%}"
        for what, seconds, share in rows
    )
    return (
        f'<div style="display:flex;height:8px;margin:0 0 2px">{bar}</div>'
        f'<p style="{style.P};{style.SMALL}">{words}</p>'
    )


class _Rows:
    def __init__(self, root: Span, at_us: int, open_all: bool) -> None:
        self.at_us = at_us
        self.start = root.started_us
        ends = [_end(span, at_us) for span in walk(root)]
        self.whole = max(max(ends) - self.start, 1)
        self.rows = self.bodies = 0
        self.open_all = open_all

    def row(self, span: Span) -> str:
        """The line of a span with all below it."""
        if self.rows >= MAX_ROWS:
            return ""
        self.rows += 1
        line = self._line(span)
        inner = self._body(span) + "".join(self.row(child) for child in span.children)
        if not inner:
            return f'<div style="{_GRID};padding-left:{self._inset(span) + 13}px">{line}</div>'
        # A triangle is an item of its own where the summary is a grid: so the grid lies within.
        is_open = span.children and (span.depth <= OPEN_DEPTH or self.open_all)
        return (
            f'<details{" open" if is_open else ""}><summary style="cursor:pointer;'
            f'padding-left:{self._inset(span)}px;display:flex;gap:4px;align-items:baseline">'
            f'<span style="{style.SMALL}">▸</span><span style="flex:1;min-width:0;{_GRID}">{line}'
            f"</span></summary>{inner}</details>"
        )

    def _inset(self, span: Span) -> int:
        return 14 * min(span.depth, 12)

    def _line(self, span: Span) -> str:
        tone: Tone = "bad" if span.failed else ""
        mark = f'<span style="{style.TONES[tone]}">{GLYPHS.get(span.kind, "·")}</span>'
        pill = f' <span style="{style.PILL}">parallel</span>' if span.parallel else ""
        count, cost = numbers_said(span)
        said = prose(detail_said(span))
        detail = style.TONES["bad" if span.failed else "quiet"]
        return (
            f'<span style="{_CUT}">{mark} {prose(one_line(span.name, 100))}{pill}</span>'
            f'<span style="{_CUT};{_RIGHT};{style.SMALL};{detail}">{said}</span>'
            f'<span style="{_NUMBER}">{prose(count)}</span>'
            f'<span style="{_NUMBER}">{prose(cost)}</span>{self._bar(span)}'
        )

    def _bar(self, span: Span) -> str:
        if not span.timed:
            return f'<span style="{style.SMALL};{style.TONES["quiet"]}">told when over</span>'
        left = (span.started_us - self.start) * 100 / self.whole
        wide = max((_end(span, self.at_us) - span.started_us) * 100 / self.whole, 0.2)
        left, wide = min(max(left, 0), 99.8), min(wide, 100 - min(max(left, 0), 99.8))
        ground = style.EDGES["bad"] if span.failed else COLOURS.get(span.kind, _BASE)
        part = f"display:block;height:8px;margin-left:{left:.2f}%;width:{wide:.2f}%"
        said = prose(took_said(span, self.at_us))
        small = f"display:block;{style.SMALL};line-height:1.2"
        where = f"padding-left:{left:.2f}%" if left < 70 else "text-align:right"
        return (
            f'<span style="min-width:0"><span style="{part};background:{ground}"></span>'
            f'<span style="{small};{where}">{said}</span></span>'
        )

    def _body(self, span: Span) -> str:
        told = [("Input", span.input), ("Output", span.output), ("Error", span.error)]
        parts = [(name, value) for name, value in told if value not in (None, "", {}, [])]
        if span.kind not in ("tool_call", "turn", "model_call") or not parts:
            return ""
        if self.bodies >= MAX_BODIES:
            return ""
        self.bodies += 1
        inset = self._inset(span) + 26
        quiet = f"margin-left:{inset}px;{style.SMALL};{style.TONES['quiet']}"
        body = "".join(
            f'<div style="{quiet}">{name}</div>'
            f'<pre style="{style.PRE};margin-left:{inset}px">{_text(value)}</pre>'
            for name, value in parts
        )
        if not span.children:
            return body
        said = " and ".join(name.lower() for name, _ in parts).capitalize()
        return f'<details><summary style="cursor:pointer;{quiet}">{said}</summary>{body}</details>'


def _text(value: Any) -> str:
    said = (
        value
        if isinstance(value, str)
        else msgspec.json.format(msgspec.json.encode(value)).decode()
    )
    cut = excerpt(said, 12, 6, 300)
    return literal("\n".join(cut.lines) + (f"\n[{cut.note}]" if cut.note else ""))


def _end(span: Span, at_us: int) -> int:
    if span.finished_us is not None:
        return max(span.finished_us, span.started_us)
    going_on = span.outcome is None and span.kind != "model_call"
    return max(at_us, span.started_us) if going_on else span.started_us


def took_said(span: Span, at_us: int) -> str:
    if span.took_us is not None:
        return duration(span.took_us / 1e6) if span.kind not in ("retry", "compaction") else ""
    if span.finished_us is None and span.outcome is None and span.kind != "model_call":
        return f"{duration((at_us - span.started_us) / 1e6)}, goes on"
    return ""


def detail_said(span: Span) -> str:
    if span.failed and span.kind in ("tool_call", "model_call", "turn"):
        return str(span.error_class)
    if span.kind == "run":
        return one_line(span.agent, 60)
    if span.kind == "turn":
        rate = hit_rate([span])
        cached = "" if rate is None else f"{rate:.0%} cached"
        return " · ".join(filter(None, [cached, one_line(span.detail, 80)]))
    if span.kind == "model_call" and span.first_token_us is not None:
        return f"{duration((span.first_token_us - span.started_us) / 1e6)} to first token"
    if span.kind == "tool_call":
        new = (path for path in span.paths if path.rpartition("/")[2] not in span.name)
        return one_line(", ".join(new), 80)
    return one_line(span.detail, 80)


def hit_rate(spans: Iterable[Span]) -> float | None:
    """What share of their input came from the provider's cache; None where that is not told."""
    told = [one.usage for one in spans if one.usage.cache_read_tokens is not None]
    into = sum(one.input_tokens or 0 for one in told)
    return sum(one.cache_read_tokens or 0 for one in told) / into if into else None


def numbers_said(span: Span) -> tuple[str, str]:
    """Tokens and cost. Of a tool call: to ask for it and to read its result; `~` is estimated."""
    if span.kind == "tool_call":
        told = [one for one in (span.call_output_tokens, span.result_tokens) if one is not None]
        sign = "~" if span.tokens_source == "estimated" else ""
        return (f"{sign}{tokens(sum(told))}" if told else ""), ""
    used = [one for one in (span.usage.input_tokens, span.usage.output_tokens) if one is not None]
    return (tokens(sum(used)) if used else ""), money(span.usage.cost_usd)


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
