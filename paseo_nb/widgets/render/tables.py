"""Tables of runs, what `paseo ls` prints, as text and as HTML; and of what the doctor found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from unicodedata import east_asian_width

import msgspec

from ...checks import Check
from ...model import short_id
from . import style
from .as_html import toned
from .messages_md import code_span, escaped
from .states import Tone, sign
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
_GAP = 2
_WORD, _NARROWEST = 10, 8


def runs_table(rows: Sequence[RunRow], *, now_us: int, width: int | None = None) -> dict[str, str]:
    """A mime bundle of the runs in the given order; ages are counted to `now_us`, what was not
    reported is empty. `width`: the plain text's, where a window limits it."""
    cells = [[one_line(column.cell(row, now_us)) for column in COLUMNS] for row in rows]
    return {
        "text/html": _html(rows, cells) if rows else f'<p style="{style.P}">{_NONE}</p>',
        "text/markdown": _markdown(cells) if rows else _NONE,
        "text/plain": _plain(cells, width) if rows else _NONE,
    }


_MARKS: dict[bool | None, tuple[str, Tone]] = {
    True: ("✓ ok", "ok"), None: ("○ note", "quiet"), False: ("✗ fails", "bad"),
}  # fmt: skip


def checks_table(checks: Iterable[Check]) -> str:
    """HTML: what was looked at, how it is, what to do about it."""
    rows: list[str] = []
    for check in checks:
        word, tone = _MARKS[check.ok]
        fix = f'<div style="{style.TONES["now"]}">→ {prose(check.fix)}</div>' if check.fix else ""
        name = (
            f'<td style="{style.CELL};white-space:nowrap;font-weight:600">{prose(check.name)}</td>'
        )
        mark = f'<td style="{style.CELL};white-space:nowrap">{toned(tone, word)}</td>'
        rows.append(
            f'<tr>{mark}{name}<td style="{style.CELL}">{prose(check.detail)}{fix}</td></tr>\n'
        )
    return f'<table style="{style.TABLE}"><tbody>{"".join(rows)}</tbody></table>'


def columns_wide(text: str) -> int:
    """How many terminal columns a text takes."""
    return sum(2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def aligned(lines: list[list[str]], numbers: Sequence[bool]) -> str:
    """Lines of cells as columns of text, two spaces between; `numbers` stand to the right."""
    widths = [max(map(columns_wide, column)) for column in zip(*lines, strict=True)]
    out: list[str] = []
    for line in lines:
        parts: list[str] = []
        for number, text, width in zip(numbers, line, widths, strict=True):
            space = " " * (width - columns_wide(text))
            parts.append(space + text if number else text + space)
        out.append("  ".join(parts).rstrip())
    return "\n".join(out)


def fit_columns(columns: list[list[str]], fixed: list[bool], width: int) -> list[str]:
    """Cut the texts of a table's columns (each begins with its name) so that it fits into `width`;
    the names of the columns at the end that even so have no room. `fixed` ones are not cut.
    """
    widths = [max(map(columns_wide, column)) for column in columns]
    least = [w if f else _least(w) for w, f in zip(widths, fixed, strict=True)]
    kept = len(columns)
    while kept > 1 and _total(least[:kept]) > width:
        kept -= 1
    while _total(widths[:kept]) > width:
        at = max(range(kept), key=lambda i: widths[i] - least[i])
        if widths[at] <= least[at]:
            break
        widths[at] -= 1
    for at in range(kept):
        columns[at][:] = [_cut(text, widths[at]) for text in columns[at]]
    return [column[0] for column in columns[kept:]]


def _least(width: int) -> int:
    """How narrow a text may become; a word stays whole."""
    return width if width <= _WORD else _NARROWEST


def _total(widths: list[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _cut(text: str, width: int) -> str:
    if columns_wide(text) <= width:
        return text
    while text and columns_wide(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def _plain(cells: list[list[str]], width: int | None) -> str:
    lines = [[column.name for column in COLUMNS], *cells]
    numbers = [column.number for column in COLUMNS]
    if width is not None:
        columns = [list(column) for column in zip(*lines, strict=True)]
        fit_columns(columns, [c.number or c.name == "run" for c in COLUMNS], width)
        lines = [list(line) for line in zip(*columns, strict=True)]
    return aligned(lines, numbers)


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
