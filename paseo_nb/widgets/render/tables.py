"""Tables of runs: what `paseo ls` prints, as text and as HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unicodedata import east_asian_width

import msgspec

from ...model import short_id
from . import style
from .as_html import toned
from .messages_md import code_span, escaped
from .states import sign
from .text import one_line, prose
from .units import age, money, tokens


class RunRow(msgspec.Struct):
    """One run in a list."""

    run_id: str
    state: str
    agent: str
    title: str
    started_us: int | None = None
    tokens: int | None = None
    cost_usd: float | None = None
    branch: str | None = None
    outcome: str | None = None


class _Column(msgspec.Struct, frozen=True):
    name: str
    cell: Callable[[RunRow, int], str]
    number: bool = False


def _state(row: RunRow, now_us: int) -> str:
    glyph, word, _ = sign(row.state, row.outcome)
    return f"{glyph} {word}"


def _age(row: RunRow, now_us: int) -> str:
    return "" if row.started_us is None else age(row.started_us, now_us)


COLUMNS = [
    _Column("run", lambda row, now_us: short_id(row.run_id)),
    _Column("state", _state),
    _Column("agent", lambda row, now_us: one_line(row.agent, 32)),
    _Column("title", lambda row, now_us: one_line(row.title, 44)),
    _Column("age", _age, number=True),
    _Column("tokens", lambda row, now_us: tokens(row.tokens), number=True),
    _Column("cost", lambda row, now_us: money(row.cost_usd), number=True),
    _Column("branch", lambda row, now_us: one_line(row.branch or "", 40)),
]
_NONE = "No runs yet."


def runs_table(rows: Sequence[RunRow], *, now_us: int) -> dict[str, str]:
    """A mime bundle of the runs in the given order; ages are counted to `now_us`, what was not
    reported is empty."""
    cells = [[one_line(column.cell(row, now_us)) for column in COLUMNS] for row in rows]
    return {
        "text/html": _html(rows, cells) if rows else f'<p style="{style.P}">{_NONE}</p>',
        "text/markdown": _markdown(cells) if rows else _NONE,
        "text/plain": _plain(cells) if rows else _NONE,
    }


def columns_wide(text: str) -> int:
    """How many terminal columns a text takes."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _plain(cells: list[list[str]]) -> str:
    lines = [[column.name for column in COLUMNS], *cells]
    widths = [max(columns_wide(line[i]) for line in lines) for i in range(len(COLUMNS))]
    out: list[str] = []
    for line in lines:
        parts: list[str] = []
        for column, text, width in zip(COLUMNS, line, widths, strict=True):
            space = " " * (width - columns_wide(text))
            parts.append(space + text if column.number else text + space)
        out.append("  ".join(parts).rstrip())
    return "\n".join(out)


def _html(rows: Sequence[RunRow], cells: list[list[str]]) -> str:
    head = "".join(_cell("th", column, prose(column.name)) for column in COLUMNS)
    body: list[str] = []
    for row, line in zip(rows, cells, strict=True):
        shown = [prose(text) for text in line]
        shown[0] = f'<code style="{style.CODE}">{shown[0]}</code>'
        shown[1] = toned(sign(row.state, row.outcome).tone, shown[1])
        body.append("".join(_cell("td", c, text) for c, text in zip(COLUMNS, shown, strict=True)))
    rest = "".join(f"<tr>{line}</tr>\n" for line in body)
    return (
        f'<table style="{style.TABLE}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rest}</tbody></table>"
    )


def _cell(tag: str, column: _Column, inner: str) -> str:
    css = style.NUMBER if column.number else style.CELL
    if column.name in ("run", "state", "age"):
        css += ";white-space:nowrap"
    return f'<{tag} style="{css}">{inner}</{tag}>'


def _markdown(cells: list[list[str]]) -> str:
    lines = ["| " + " | ".join(column.name for column in COLUMNS) + " |"]
    lines.append("|" + "".join(" ---: |" if column.number else " --- |" for column in COLUMNS))
    for line in cells:
        shown = [code_span(line[0]), *(escaped(text) for text in line[1:])]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)
