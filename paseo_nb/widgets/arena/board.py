"""A leaderboard as one card: a row per agent with its interval on a common scale, and who cannot
be told apart yet. Inline styles, no script; the numbers stand in words, too. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..render import style
from ..render.text import literal, one_line, prose
from ..render.units import money, plural

Frame = Any  # a DataFrame: what pandas says of its types is not all there
QUIET = style.TONES["quiet"]
COLUMNS = "auto fit-content(26ch) minmax(120px,1fr) max-content max-content max-content"
NAMED = 60
HAIR = "linear-gradient(rgba(128,128,128,.25),rgba(128,128,128,.25))"
INKS = {
    True: "var(--jp-brand-color1,#1976d2)",
    False: "color-mix(in srgb,currentColor 60%,transparent)",
}  # of whether it is among the first


class _Scale:
    """What the intervals are drawn on: shares of tasks, or strengths around 0."""

    def __init__(self, board: Frame) -> None:
        self.shares = not board["solve_rate"].isna().any()
        self.name = "solve" if self.shares else "strength"
        self.middle = "solve_rate" if self.shares else "strength"
        ends = [abs(float(x)) for side in ("low", "high") for x in board[f"{self.name}_{side}"]]
        self.most = 1.0 if self.shares else max(1.0, math.ceil(max(ends, default=1.0)))
        self.least = 0.0 if self.shares else -self.most

    @property
    def said(self) -> str:
        """What it is."""
        if self.shares:
            return "Tasks solved, 95% interval over tasks"
        return "Bradley–Terry strength in log odds, 95% bootstrap interval; 0 is the mean of all"

    def at(self, value: float) -> str:
        """Where a value stands, in percent of the width."""
        share = (value - self.least) / (self.most - self.least)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}%"

    def told(self, value: float) -> str:
        """A value in words."""
        return f"{value:.0%}" if self.shares else f"{value:+.2f}"

    def ends(self, row: Any) -> tuple[float, float, float]:
        """Low end, estimate, high end."""
        names = (f"{self.name}_low", self.middle, f"{self.name}_high")
        low, mid, high = (float(getattr(row, name)) for name in names)
        return low, mid, high

    def steps(self) -> list[float]:
        """What the scale is marked by."""
        return [self.least + (self.most - self.least) * at / 4 for at in range(5)]


def as_text(board: Frame, head: str, says: Sequence[str] = ()) -> str:
    """The same as lines of text."""
    lines = [head]
    if len(board):
        scale = _Scale(board)
        for row in board.itertuples():
            low, mid, high = (scale.told(one) for one in scale.ends(row))
            parts = (f"{row.rank}", str(row.agent), f"{mid} ({low} to {high})", *_facts(row, scale))
            lines.append("  " + "  ".join(part for part in parts if part))
    return "\n".join([*lines, *says])


def card(board: Frame, head: str, says: Sequence[str] = (), more: str = "") -> str:
    """The card. more: HTML that stands at its end."""
    parts = [f'<b style="font-weight:600">{prose(head)}</b>']
    if len(board):
        scale = _Scale(board)
        note = f"{scale.said}. Who is not told apart from the one above shares its rank."
        parts.append(f'<div style="{style.SMALL};{QUIET}">{prose(note)}</div>')
        rows = "".join(_row(one, scale) for one in board.itertuples())
        grid = f"display:grid;grid-template-columns:{COLUMNS};gap:0 14px;align-items:center"
        parts.append(
            f'<div style="overflow-x:auto;margin:8px 0"><div role="table" style="{grid};'
            f'min-width:620px">{rows}{_marks(scale)}</div></div>'
        )
    parts += [f'<div style="font-size:13px">{_said(one)}</div>' for one in says]
    return f'<div data-paseo-board style="{style.ROOT}">{"".join(parts)}{more}</div>'


def _facts(row: Any, scale: _Scale) -> tuple[str, str]:
    kind = "trial" if scale.shares else "match"
    counted = (
        f"{row.trials} matches" if kind == "match" and row.trials != 1 else plural(row.trials, kind)
    )
    cost = "" if row.cost_usd != row.cost_usd or row.cost_usd is None else money(row.cost_usd)
    front = " ● on the front" if cost and str(row.on_front) == "True" else ""
    return counted, f"{cost} a trial{front}" if cost else ""


def _row(row: Any, scale: _Scale) -> str:
    low, mid, high = scale.ends(row)
    name = f"{scale.told(mid)}, {scale.told(low)} to {scale.told(high)}"
    ink = INKS[int(row.rank) == 1]
    bar = (
        f"position:absolute;left:{scale.at(low)};right:calc(100% - {scale.at(high)});top:10px;"
        f"height:10px;box-sizing:border-box;border:solid {ink};border-width:0 2px;"
        f"background:linear-gradient({ink},{ink}) 0 4px/100% 2px no-repeat"
    )
    dot = (
        f"position:absolute;left:calc({scale.at(mid)} - 5px);top:10px;width:10px;height:10px;"
        f"border-radius:5px;background:{ink}"
    )
    lines = ",".join(f"{HAIR} {scale.at(x)} 0/1px 100% no-repeat" for x in scale.steps())
    track = (
        f'<div role="img" aria-label="{name}" style="position:relative;height:30px;margin:0 6px;'
        f'background:{lines}"><span style="{bar}"></span><span style="{dot}"></span></div>'
    )
    counted, cost = _facts(row, scale)
    shown = (
        f'{scale.told(mid)} <span style="{QUIET}">{scale.told(low)} to {scale.told(high)}</span>'
    )
    cells = (
        f'<span style="{QUIET}">{int(row.rank)}</span>',
        f'<b style="font-weight:600">{literal(one_line(str(row.agent), NAMED))}</b>',
        track, shown, f'<span style="{QUIET}">{counted}</span>', prose(cost),
    )  # fmt: skip
    return "".join(f'<div role="cell" style="font-size:13px">{cell}</div>' for cell in cells)


def _marks(scale: _Scale) -> str:
    css = "position:absolute;transform:translateX(-50%);white-space:nowrap"
    marks = "".join(
        f'<span style="{css};left:{scale.at(x)}">'
        f"{scale.told(x) if scale.shares else f'{x:+g}' if x else '0'}</span>"
        for x in scale.steps()
    )
    css = f"position:relative;height:18px;margin:0 6px;font-size:11px;{QUIET}"
    return (
        f'<span></span><span></span><div aria-hidden="true" style="{css}">{marks}</div>'
        + "<span></span>" * 3
    )


def _said(sentence: str) -> str:
    lead = "Not separable yet."
    if sentence.startswith(lead):
        return f"◌ <b>{lead}</b>{prose(sentence.removeprefix(lead))}"
    return prose(sentence)
