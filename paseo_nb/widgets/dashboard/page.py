"""A board without a kernel: static HTML, Markdown and text."""

from __future__ import annotations

from typing import Any

from ..render import RunRow, runs_table, style
from ..render.messages_md import escaped
from ..render.text import one_line, prose
from ..render.units import money, plural
from .board import GROUPS, Board

WORDS = {
    "waiting": "waiting for you",
    "running": "running",
    "review": "to review",
    "interrupted": "interrupted",
    "failed": "failed",
    "done": "done",
    "stopped": "stopped",
}


def bundle_of(board: Board, now_us: int, width: int | None = None) -> dict[str, str]:
    """The board as a mime bundle; `width`: what its text must fit into."""
    lines = sorted(board.lines.values(), key=lambda line: GROUPS.index(line["group"]))
    table = runs_table([_row(line) for line in lines], now_us=now_us, width=width)
    told = summary(board)
    asks = [one_line(f"{ask['question']} {ask['subject']} ({ask['about']})") for ask in board.asks]
    html = f'<p style="{style.P}"><b>{prose(told)}</b></p>' + "".join(
        f'<p style="{style.P};{style.TONES["warn"]}">◆ {prose(ask)}</p>' for ask in asks
    )
    return {
        "text/html": f"<div>{html}{table['text/html']}</div>",
        "text/markdown": "\n\n".join(
            [f"**{escaped(told)}**", *(f"◆ {escaped(ask)}" for ask in asks), table["text/markdown"]]
        ),
        "text/plain": "\n".join([told, *(f"◆ {ask}" for ask in asks), table["text/plain"]]),
    }


def summary(board: Board) -> str:
    """`tidelog: 23 runs, 2 waiting for you, 3 running, $4.32 in all`."""
    head = board.head
    counts = [f"{n} {WORDS[name]}" for name in GROUPS if (n := head["counts"][name])]
    cost = [f"{money(head['cost_usd'])} in all"] if head["cost_usd"] is not None else []
    return f"{head['project']}: " + ", ".join([plural(head["runs"], "run"), *counts, *cost])


def _row(line: dict[str, Any]) -> RunRow:
    title = f"{line['title']}: {line['note']}" if line["note"] else line["title"]
    return RunRow(
        run_id=line["id"],
        state=line["state"],
        agent=line["agent"],
        title=title,
        started_us=line["at_us"],
        tokens=line["tokens"],
        cost_usd=line["cost_usd"],
        branch=line["branch"],
        outcome={"stopped": "cancelled", "failed": "refused"}.get(line["shape"])
        if line["state"] == "idle"
        else None,
    )
