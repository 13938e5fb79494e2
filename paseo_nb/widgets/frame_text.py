"""A frame as a table for a terminal: one line a row, made to fit the window's width."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from ..model import short_id
from .render.tables import aligned, fit_columns
from .render.text import one_line

LONGEST = 300
_IDS = {"run_id", "parent_run_id"}


def frame_text(frame: Any, width: int | None) -> str:
    """The table. `width`: columns of the window; long texts are cut with `…` until it fits, run
    ids shortened, and columns at the end left out, which the last line tells. None: all of it.
    """
    import pandas

    pd: Any = pandas
    names = [str(name) for name in frame.columns]
    parts = [frame.iloc[:, at] for at in range(len(names))]
    numbers = [bool(pd.api.types.is_numeric_dtype(part.dtype)) for part in parts]
    fixed = [
        number or bool(pd.api.types.is_datetime64_any_dtype(part.dtype))
        for number, part in zip(numbers, parts, strict=True)
    ]
    columns = [
        [name, *map(cell_text, part.tolist())] for name, part in zip(names, parts, strict=True)
    ]
    left_out: list[str] = []
    if width is not None:
        for at, name in enumerate(names):
            if name in _IDS:
                columns[at][1:] = [short_id(one) for one in columns[at][1:]]
                fixed[at] = True
        left_out = fit_columns(columns, fixed, width)
    kept = len(names) - len(left_out)
    table = aligned([list(line) for line in zip(*columns[:kept], strict=True)], numbers[:kept])
    if left_out:
        some = one_line(", ".join(left_out), 2 * (width or LONGEST))
        table += f"\n({len(left_out)} more columns, by --columns or --json: {some})"
    return table if len(frame) else f"{table}\n(no rows)"


def cell_text(value: Any) -> str:
    """A value on one line; what was not reported is empty."""
    import pandas

    if isinstance(value, (list, dict, tuple)):
        return one_line(str(cast(object, value)), LONGEST)
    missing = value is None or cast(Any, pandas).isna(value)
    if missing is True:  # of an array it is an array
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 100 else f"{value:.4g}"
    return one_line(str(value), LONGEST)
