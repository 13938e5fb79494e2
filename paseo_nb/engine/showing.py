"""A workflow run as text: its phases and steps, what they cost, how it ended. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model import short_id
from .story import StepRecord, Story

MARKS = {"running": "▶", "done": "✓", "cached": "↺", "failed": "✗", "cancelled": "■"}
LONG = 80


def as_text(story: Story) -> str:
    """The whole run."""
    header = f"Workflow {story.header['name']} {short_id(story.folder.id)}: {_ended(story)}"
    groups: dict[str, list[list[str]]] = {}
    for step in story.steps.values():
        title = " / ".join(part for part in (step.part, step.phase) if part)
        groups.setdefault(title, []).append(_row(step))
    lines = [header]
    for title, rows in groups.items():
        lines += [f"  {title or '(no phase)'}"] if title or len(groups) > 1 else []
        lines += ["    " + "  ".join(cell for cell in row if cell) for row in rows]
    return "\n".join(lines)


def _ended(story: Story) -> str:
    steps = story.steps.values()
    cached = sum(step.state == "cached" for step in steps)
    told = [story.state, f"{len(steps)} steps"]
    told += [f"{cached} from before"] if cached else []
    told.append(f"${story.cost_usd:.2f}")
    budget = story.engine.get("budget")
    told[-1] += "" if budget is None else f" of ${budget:.2f}"
    ended: Mapping[str, Any] = story.ended or {}
    return ", ".join(told) + (f": {ended['message']}" if ended.get("message") else "")


def _row(step: StepRecord) -> list[str]:
    took = "" if step.ended_us is None else f"{(step.ended_us - step.issued_us) / 1e6:.1f} s"
    told = step.costs
    message = " ".join((step.message or "").split())
    return [
        MARKS.get(step.state, "–"),
        step.label or step.step,
        step.agent or "",
        step.state + (f" ({step.attempt})" if step.attempt > 1 else ""),
        "" if step.state == "cached" else took,
        f"${sum(told):.2f}" if told else "",
        message if len(message) <= LONG else message[: LONG - 1] + "…",
    ]


def step_line(name: str, label: str, agent: str, how: str, cost_usd: float | None) -> str:
    """What is told when a step is over."""
    cost = "" if cost_usd is None else f", ${cost_usd:.2f}"
    return f"{name}: {label} ({agent}{cost}): {how}"
