"""A flow as a graph, before and while it runs: its steps in the columns in which they can begin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from . import gates
from .story import DONE, Story

Shown = tuple[str, str, Sequence[str]]
MARKS = {
    "not begun": "·",
    "running": "▶",
    "done": "✓",
    "failed": "✗",
    "skipped": "–",
    "waiting": "?",
}
WIDTH, HEIGHT, GAP_X, GAP_Y = 150, 34, 50, 14


def states(names: Iterable[str], story: Story | None) -> dict[str, str]:
    """How far each step is in a workflow run."""
    told = dict.fromkeys(names, "not begun")
    if story is None:
        return told
    for name in told:
        steps = [one.state for one in story.steps.values() if one.phase == name]
        if any(state == "running" for state in steps):
            told[name] = "running"
        elif steps:
            told[name] = "done" if all(state in DONE for state in steps) else "failed"
    told |= dict.fromkeys(story.skipped, "skipped")
    for line in story.gates:
        if line["kind"] == "gate_answered":
            told[line["gate"]] = "done" if line["approved"] else "failed"
    return told | dict.fromkeys(gates.waiting(story), "waiting")


def levels(shown: Sequence[Shown]) -> dict[str, int]:
    """The column of each step: one after the last of those that it depends on."""
    found: dict[str, int] = {}
    for name, _, needs in shown:
        found[name] = max((found[one] + 1 for one in needs), default=0)
    return found


def bundle(title: str, shown: Sequence[Shown], told: Mapping[str, str]) -> dict[str, str]:
    """The graph as text and as HTML."""
    lines = [f"Flow {title}"]
    for name, kind, needs in shown:
        after = f"  after {', '.join(needs)}" if needs else ""
        lines.append(f"  {MARKS[told[name]]} {name} ({kind}, {told[name]}){after}")
    return {"text/plain": "\n".join(lines), "text/html": _svg(title, shown, told)}


def _svg(title: str, shown: Sequence[Shown], told: Mapping[str, str]) -> str:
    column = levels(shown)
    rows: dict[int, int] = {}
    at: dict[str, tuple[int, int]] = {}
    for name, _, _ in shown:
        x, y = column[name], rows.get(column[name], 0)
        rows[x] = y + 1
        at[name] = (x * (WIDTH + GAP_X) + 2, y * (HEIGHT + GAP_Y) + 2)
    width = (max(column.values(), default=0) + 1) * (WIDTH + GAP_X)
    height = max(rows.values(), default=0) * (HEIGHT + GAP_Y) + 4
    parts: list[str] = []
    for name, kind, needs in shown:
        x, y = at[name]
        for one in needs:
            a, b = at[one][0] + WIDTH, at[one][1] + HEIGHT // 2
            parts.append(
                f'<path d="M{a} {b} C{a + 25} {b} {x - 25} {y + HEIGHT // 2} {x}'
                f' {y + HEIGHT // 2}" fill="none" stroke="currentColor" stroke-opacity=".4"/>'
            )
        corner = HEIGHT // 2 if kind == "gate" else 4
        dashed = ' stroke-dasharray="4 3"' if told[name] == "not begun" else ""
        parts.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="{corner}" fill="none"'
            f' stroke="currentColor"{dashed}/><text x="{x + 10}" y="{y + HEIGHT // 2 + 4}"'
            f' fill="currentColor" font-size="12">{MARKS[told[name]]} {escape(name[:18])}</text>'
        )
    label = escape(f"Flow {title}: " + ", ".join(f"{n} {told[n]}" for n, _, _ in shown))
    return (
        f'<svg role="img" aria-label="{label}" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" style="max-width:100%">{"".join(parts)}</svg>'
    )
