"""How a notebook shows our frames: what matters first, in the units that people read.

A frame stays a plain pandas DataFrame. `store.frames` notes in its `attrs` what it is, which
pandas hands on to whatever is filtered, sorted or chosen from it; IPython asks the functions here
how to display a DataFrame, and they pass on all that is not ours.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from ..model import short_id
from ..store.columns import FRAMES, LOOKED_AT, NOTE, SHOWN, names
from ..store.contest_columns import CONTESTS
from .frame_text import cell_text
from .render import style
from .render.as_html import toned
from .render.messages_md import code_span, escaped
from .render.states import sign
from .render.tables import aligned, fit_columns
from .render.text import one_line, prose
from .render.units import duration, money, size, tokens

LONGEST = 80
_IDS = {"run_id", "parent_run_id"}
_AT_ENDS = 5
_TEXT_WIDTH = "min-width:14ch;max-width:44ch"  # else a wide table squeezes prose to a word a line
_WIDTH = 120
_MODULES = ("pandas", "pandas.core.frame")  # where pandas 3 and 2 say a DataFrame is from
_NAMED = 300

Frame = Any  # pandas ships no types


class Shown(NamedTuple):
    """The part of a frame that is displayed, and what is said below it."""

    columns: list[int]
    head: int  # so many rows of its beginning, `tail` of its end; all of it: head, 0
    tail: int
    note: str


def choose(frame: Frame) -> Shown:
    """What to display of one of our frames. Of a whole one, the columns that a terminal shows, as
    far as they hold anything, and the user's own; of one whose columns somebody chose, all."""
    import pandas as pd

    have = [str(name) for name in frame.columns]
    table = str(frame.attrs.get(NOTE, ""))
    declared = names({**FRAMES, **LOOKED_AT}.get(table, []))
    at = list(range(len(have)))
    left: list[str] = []
    if declared and set(declared) <= set(have):
        shown = SHOWN.get(table, " ".join(declared)).split()
        lead = [name for name in shown if not frame[name].isna().all()] or shown
        kept = [*lead, *(name for name in have if name not in declared)]
        at = [have.index(name) for name in kept]
        left = [name for name in have if name not in kept and not frame[name].isna().all()]
    options: Any = cast(Any, pd).options
    rows, most = len(frame), options.display.max_rows or None
    whole = most is None or rows <= max(most, 1)
    head, tail = (rows, 0) if whole else (_AT_ENDS, _AT_ENDS)
    return Shown(at, head, tail, _note(frame, rows, len(have), left))


def _note(frame: Frame, rows: int, columns: int, left: list[str]) -> str:
    parts = [f"{rows:,} {'row' if rows == 1 else 'rows'}, {columns} columns"]
    if left:
        parts.append(f"{len(left)} more have values: {one_line(', '.join(left), _NAMED)}")
    if any(str(kind).endswith("UTC]") for kind in frame.dtypes):
        parts.append("times in UTC")
    return "; ".join(parts) + "."


def is_ours(frame: Frame) -> bool:
    """Whether rows of ours are in it: marked, and with rows counted, not with `describe`'s names
    or a group's."""
    import pandas as pd

    counted: Any = cast(Any, pd).api.types.is_integer_dtype
    return (
        NOTE in frame.attrs
        and frame.columns.nlevels == 1
        and frame.index.nlevels == 1
        and bool(counted(frame.index.dtype))
        and frame.columns.is_unique
    )


def as_html(frame: Frame) -> str:
    """The frame as a static table; a whole leaderboard as a card, with the table in it."""
    table = _table(frame)
    declared = names(CONTESTS["leaderboard"][1])
    if frame.attrs.get(NOTE) != "leaderboard" or [*frame.columns] != declared or not len(frame):
        return table
    from .arena.board import card

    says = frame.attrs.get("paseo_says", ())
    css = f"{style.SUMMARY};font-size:12px;padding:6px 0 0"
    inner = f'<details><summary style="{css}">All numbers</summary>{table}</details>'
    return card(frame, "Leaderboard", says, inner)


def _table(frame: Frame) -> str:
    shown = choose(frame)
    columns = [_column(frame, at) for at in shown.columns]
    head = f'<th style="{style.NUMBER}"></th>' + "".join(
        _tag("th", column, prose(column.name)) for column in columns
    )
    lines: list[str] = []
    for row in _rows(frame, shown):
        if row is None:
            dots = f'<td style="{style.CELL}">⋮</td>' * (len(columns) + 1)
            lines.append(f"<tr>{dots}</tr>\n")
            continue
        first = toned("quiet", prose(one_line(str(frame.index[row]), 20)))
        cells = "".join(_tag("td", c, _html_cell(c, c.values[row])) for c in columns)
        lines.append(f'<tr><td style="{style.NUMBER}">{first}</td>{cells}</tr>\n')
    return (
        f'<table style="{style.TABLE}"><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{''.join(lines)}</tbody></table>\n"
        f'<p style="{style.P};{style.SMALL};{style.TONES["quiet"]}">{prose(shown.note)}</p>'
    )


def as_markdown(frame: Frame) -> str:
    """The frame as a Markdown table."""
    shown = choose(frame)
    columns = [_column(frame, at) for at in shown.columns]
    lines = ["| " + " | ".join(escaped(c.name) for c in columns) + " |"]
    lines.append("|" + "".join(" ---: |" if c.number else " --- |" for c in columns))
    for row in _rows(frame, shown):
        cells = ["⋮" if row is None else _markdown_cell(c, c.values[row]) for c in columns]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{escaped(shown.note)}"


def as_plain(frame: Frame, width: int) -> str:
    """The frame as text of at most `width` columns where that can be; columns at the end that have
    no room are left out, which the last line tells."""
    shown = choose(frame)
    columns = [_column(frame, at) for at in shown.columns]
    rows = _rows(frame, shown)
    texts = [
        [
            one_line(c.name, LONGEST),
            *("⋮" if row is None else _told(c, c.values[row]) for row in rows),
        ]
        for c in columns
    ]
    without = fit_columns(texts, [c.number or c.narrow for c in columns], width)
    kept = len(columns) - len(without)
    table = aligned(
        [list(line) for line in zip(*texts[:kept], strict=True)], [c.number for c in columns[:kept]]
    )
    note = shown.note + (f" No room here: {', '.join(without)}." if without else "")
    return f"{table}\n{one_line(note, _NAMED + width)}"


# ------------------------------------------------------------ cells


class _Column(NamedTuple):
    name: str
    values: list[Any]
    number: bool
    text: Callable[[Any], str]
    code: bool = False
    narrow: bool = False


def _column(frame: Frame, at: int) -> _Column:
    import pandas as pd

    types: Any = cast(Any, pd).api.types
    name, part = str(frame.columns[at]), frame.iloc[:, at]
    number = bool(types.is_numeric_dtype(part.dtype)) and not types.is_bool_dtype(part.dtype)
    moment = bool(types.is_datetime64_any_dtype(part.dtype))
    code = name in _IDS or name in _JSON
    text = _units(name) if number else _ident if name in _IDS else _plain
    return _Column(name, part.tolist(), number, text, code, moment or name in ("run_id", "state"))


_JSON = {c.name for columns in FRAMES.values() for c in columns if c.type == "JSON"}


def _units(name: str) -> Callable[[Any], str]:
    """A number as people read it, by what its name says of its unit."""
    if name.endswith("_usd"):
        return lambda value: money(float(value))
    if name.endswith("_tokens"):
        return lambda value: tokens(round(value)) if value >= 0 else cell_text(value)
    if name.endswith("_ms"):
        return lambda value: duration(value / 1000) if value >= 0 else cell_text(value)
    if name.endswith("bytes"):
        return lambda value: size(round(value)) if value >= 0 else cell_text(value)
    return cell_text


def _ident(value: Any) -> str:
    return one_line(short_id(cell_text(value)), LONGEST)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return cell_text(value)
    return one_line(cell_text(value), LONGEST)


def _told(column: _Column, value: Any) -> str:
    return column.text(value) if cell_text(value) else ""


def _html_cell(column: _Column, value: Any) -> str:
    text = _told(column, value)
    if column.name == "state" and text:
        glyph, word, tone = sign(text)
        return toned(tone, prose(f"{glyph} {word}"))
    return (
        f'<code style="{style.CODE}">{prose(text)}</code>' if column.code and text else prose(text)
    )


def _markdown_cell(column: _Column, value: Any) -> str:
    text = _told(column, value)
    if column.name == "state" and text:
        glyph, word, _ = sign(text)
        return escaped(f"{glyph} {word}")
    return code_span(text).replace("|", "\\|") if column.code else escaped(text)


def _tag(tag: str, column: _Column, inner: str) -> str:
    css = style.NUMBER if column.number else style.CELL
    if column.narrow:
        css += ";white-space:nowrap"
    elif not column.number:
        css += f";{_TEXT_WIDTH};overflow-wrap:break-word"
    return f'<{tag} style="{css}">{inner}</{tag}>'


def _rows(frame: Frame, shown: Shown) -> Sequence[int | None]:
    """The rows' positions; None where some are left out."""
    if not shown.tail:
        return range(shown.head)
    rows = len(frame)
    return [*range(shown.head), None, *range(rows - shown.tail, rows)]


# ------------------------------------------------------------ IPython


def register(shell: Any) -> None:
    """Have IPython display our frames so; a second call does nothing. pandas is not imported."""
    formatters: dict[str, Any] = shell.display_formatter.formatters
    for mime, made in (("text/html", _rich_html), ("text/markdown", _rich_markdown)):
        _put(formatters[mime], made)
    _put(formatters["text/plain"], _pretty)


def _put(formatter: Any, made: Callable[[Any], Any]) -> None:
    """Put a function before the one that a formatter has for DataFrames, if any."""
    before = None
    for module in _MODULES:
        before = formatter.for_type_by_name(module, "DataFrame") or before
    if getattr(before, "__module__", None) == __name__:
        return
    shows = made(before)
    for module in _MODULES:
        formatter.for_type_by_name(module, "DataFrame", shows)
    pandas = sys.modules.get("pandas")
    if pandas is not None:  # a type that was looked up once is found before a name
        formatter.for_type(pandas.DataFrame, shows)


def _rich_html(before: Any) -> Any:
    def shows(frame: Frame) -> str | None:
        if is_ours(frame):
            return as_html(frame)
        return before(frame) if before is not None else frame._repr_html_()

    return shows


def _rich_markdown(before: Any) -> Any:
    def shows(frame: Frame) -> str | None:
        if is_ours(frame):
            return as_markdown(frame)
        return before(frame) if before is not None else None

    return shows


def _pretty(before: Any) -> Any:
    def shows(frame: Frame, printer: Any, cycle: bool) -> None:
        if not is_ours(frame) and before is not None:
            before(frame, printer, cycle)
            return
        lines = (as_plain(frame, _width()) if is_ours(frame) else repr(frame)).split("\n")
        for number, line in enumerate(lines):
            if number:
                printer.break_()
            printer.text(line)

    return shows


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
