"""Python values as an agent can read them, bounded: tables as Markdown, pictures as PNG, anything
else as JSON, source or repr. Pure: no IPython, nothing of a run."""

from __future__ import annotations

import base64
import importlib.util
import inspect
import io
import json
import pprint
import sys
import traceback
from typing import Any, cast

import msgspec

ROWS, COLUMNS, CELL, TEXT, POINTS = 40, 30, 80, 20_000, 200
PNG = "image/png"


class Picture(msgspec.Struct, frozen=True):
    """An image's bytes."""

    data: bytes
    mime: str = PNG


def cut(text: str, limit: int = TEXT) -> str:
    """The text; where it has more than `limit` characters its beginning and end, and between them
    how much was left out."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    left = f"… {len(text) - limit:,} of {len(text):,} characters left out …"
    return f"{text[: limit - tail]}\n{left}\n{text[len(text) - tail :]}"


def is_table(value: Any) -> bool:
    """Whether it is a pandas DataFrame or Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series))


def table(value: Any) -> str:
    """A DataFrame or Series as Markdown: its first and last rows and first columns, and a line that
    says how much was left out."""
    frame: Any = value.to_frame() if value.ndim == 1 else value
    height, width = frame.shape
    shown = frame.iloc[:, :COLUMNS]
    head = height if height <= ROWS else ROWS - ROWS // 4
    plain = type(frame.index).__name__ == "RangeIndex" and frame.index.name is None
    names = [] if plain and height <= ROWS else [frame.index.name or ""]

    def line(cells: list[Any]) -> str:
        return "| " + " | ".join(_cell(cell) for cell in cells) + " |"

    def rows(part: Any) -> list[str]:
        told = cast(list[Any], part.astype(object).to_numpy().tolist())
        labels = list(part.index) if names else []
        return [line([*labels[number : number + 1], *cells]) for number, cells in enumerate(told)]

    columns = [*names, *shown.columns]
    lines = [line(columns), "|" + " --- |" * len(columns), *rows(shown.iloc[:head])]
    if head < height:
        lines += [line(["…"] * len(columns)), *rows(shown.iloc[height - ROWS // 4 :])]
    parts = [f"{ROWS} of {height:,} rows"] if head < height else []
    parts += [f"{COLUMNS} of {width:,} columns"] if width > COLUMNS else []
    note = f"\n\n({' and '.join(parts)} shown)" if parts else ""
    return "\n".join(lines) + note


def _cell(value: Any) -> str:
    text = " ".join(str(value).split()).replace("|", "\\|")
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def text_of(value: Any) -> tuple[str, str]:
    """What a value is in words, and its MIME type: see the module's docstring."""
    if isinstance(value, str):
        return cut(value), "text/plain"
    if is_table(value):
        return _table_told(value), "text/markdown"
    if isinstance(value, BaseException):
        return cut("".join(traceback.format_exception(value))), "text/plain"
    if hasattr(value, "to_plotly_json"):
        return cut(str(value.to_json())), "application/json"
    if is_figure(value):
        return cut(_plotted(value)), "application/json"
    if isinstance(value, (dict, list, tuple)):
        try:
            return cut(json.dumps(value, ensure_ascii=False, indent=1)), "application/json"
        except (TypeError, ValueError):
            return cut(pprint.pformat(cast(Any, value), width=100)), "text/plain"
    if inspect.isfunction(value) or inspect.isclass(value):
        try:
            return cut(inspect.getsource(value)), "text/x-python"
        except (OSError, TypeError):
            pass
    return cut(repr(value)), "text/plain"


def _table_told(value: Any) -> str:
    if value.ndim == 1:
        head = f"Series of {len(value):,} values, {value.dtype}"
        return f"{head}\n\n{table(value)}"
    height, width = value.shape
    kinds = [f"{name} {kind}" for name, kind in list(value.dtypes.items())[: COLUMNS * 4]]
    more = f", and {width - len(kinds):,} more" if width > len(kinds) else ""
    head = f"DataFrame, {height:,} rows × {width:,} columns: {', '.join(kinds)}{more}"
    return f"{head}\n\n{table(value)}"


NO_KALEIDO = "plotly makes pictures with kaleido, which is not installed"


def is_figure(value: Any) -> bool:
    """Whether a value is a plot, whose data say more than its picture."""
    artist: Any = getattr(sys.modules.get("matplotlib.artist"), "Artist", None)
    drawn = artist is not None and isinstance(value, artist) and value.figure is not None
    return drawn or (hasattr(value, "to_plotly_json") and hasattr(value, "to_image"))


def shown(value: Any) -> tuple[Picture | None, str | None]:
    """A value as a picture, and why a plotly figure cannot be made one."""
    if not (hasattr(value, "to_plotly_json") and hasattr(value, "to_image")):
        return picture_of(value), None
    if importlib.util.find_spec("kaleido") is None:
        return None, NO_KALEIDO
    try:
        return picture_of(value), None
    except Exception as error:  # kaleido needs a browser
        return None, f"plotly made no picture: {error}"


def _plotted(artist: Any) -> str:
    """What a matplotlib figure, or one of its axes, shows, in numbers."""
    figure: Any = artist.figure
    axes: list[Any] = [artist] if artist in figure.axes else figure.axes
    told: list[Any] = []
    for one in axes:
        lines = [_points(line.get_label(), *line.get_data()) for line in one.get_lines()]
        for points in one.collections:
            at: list[Any] = list(getattr(points, "get_offsets", list)())
            lines.append(_points(points.get_label(), [p[0] for p in at], [p[1] for p in at]))
        bars = [_bars(group) for group in one.containers if hasattr(group, "patches")]
        names = {"title": one.get_title(), "x": one.get_xlabel(), "y": one.get_ylabel()}
        told.append({**names, "lines": [line for line in lines if line], "bars": bars})
    return json.dumps({"matplotlib": told}, ensure_ascii=False, default=str)


def _points(label: Any, x: Any, y: Any) -> Any:
    if not len(x):
        return None
    every = max(len(x) // POINTS, 1)
    few = {"every": every} if every > 1 else {}
    return {"label": str(label), **few, "x": _few(x, every), "y": _few(y, every)}


def _few(values: Any, every: int) -> list[Any]:
    return [value.item() if hasattr(value, "item") else value for value in list(values)[::every]]


def _bars(group: Any) -> Any:
    return {"label": str(group.get_label()), "heights": [bar.get_height() for bar in group.patches]}


def picture_of(value: Any) -> Picture | None:
    """A matplotlib figure (also that of axes), an image (PIL's, IPython's), or a plotly figure
    where kaleido is installed, as a picture; None for anything else."""
    if isinstance(value, Picture):
        return value
    if isinstance(value, type):
        return None
    thing: Any = value
    matplotlib: Any = sys.modules.get("matplotlib.artist")
    if matplotlib is not None and isinstance(thing, matplotlib.Artist):
        if thing.figure is None:
            return None
        file = io.BytesIO()
        thing.figure.savefig(file, format="png", bbox_inches="tight")
        return Picture(file.getvalue())
    if hasattr(thing, "to_plotly_json") and hasattr(thing, "to_image"):
        # Without kaleido plotly makes no pictures; the figure's own data tell as much.
        has_kaleido = importlib.util.find_spec("kaleido") is not None
        return Picture(thing.to_image(format="png")) if has_kaleido else None
    for name, mime in (("_repr_png_", PNG), ("_repr_jpeg_", "image/jpeg")):
        made = cast(Any, getattr(thing, name)() if hasattr(thing, name) else None)
        if isinstance(made, tuple):  # with its metadata
            made = cast(tuple[Any, ...], made)[0]
        if isinstance(made, str):
            made = base64.b64decode(made)
        if isinstance(made, bytes):
            return Picture(made, mime)
    return None
