"""A run in one line: its title, its agent, and the figures under the title."""

from __future__ import annotations

import re

from ...drivers.acp_reading import blocks_text
from ...git.values import DiffSummary
from ...history import History
from ...model import RunSpec, Usage
from .blocks import Span, counts
from .text import one_line
from .units import duration, money, plural, tokens

_STRONG = re.compile(r"(?<!\w)\*\*(\S(?:[^*]*\S)?)\*\*(?!\w)")


def title_of(history: History, spec: RunSpec) -> str:
    """What the user or the agent called the run, else its first prompt's first line."""
    prompt = history.turns[0].prompt if history.turns else blocks_text(spec.prompt)
    first = prompt.strip().split("\n", 1)[0]
    title = spec.title or history.title or _STRONG.sub(r"\1", first[:600]).replace("`", "")
    return one_line(title, 70) or "Untitled run"


def agent_of(history: History, spec: RunSpec) -> str:
    """`provider/model`, as asked for, else as answered."""
    model = history.asked.get("model", spec.model) or history.model_answered
    return f"{spec.provider}/{model}" if model else spec.provider


def meta_of(
    history: History,
    spec: RunSpec,
    *,
    state: str,
    diff: DiffSummary | None,
    now_us: int,
    live: bool,
) -> list[list[Span]]:
    """Agent, branch, time, tokens, cost, files: what is not known is left out."""
    out: list[list[Span]] = [[("", one_line(agent_of(history, spec), 80))]]
    if spec.branch:
        off = f" off {spec.git_base[:8]}" if spec.git_base else ""
        out.append([("", "branch "), ("code", one_line(spec.branch, 80)), ("", off)])
    if len(history.turns) > 1:
        out.append([("", plural(len(history.turns), "turn"))])
    if history.turns:
        out.append([("", duration(worked_s(history, now_us if live else history.last_us)))])
    usage = history.usage
    total = total_tokens(usage)
    if total is not None:
        out.append([("", f"{tokens(total)} tokens")])
    if usage.cost_usd is not None:
        out.append([("", money(usage.cost_usd))])
    if live and usage.context_used is not None and usage.context_size:
        out.append([("", f"context {usage.context_used / usage.context_size:.0%}")])
    if diff is not None:
        files: list[Span] = [("", plural(len(diff.files), "file") + " ")]
        files += counts(diff.added, diff.removed)
        out.append(files if diff.files else [("", "no file changed")])
    if state == "unknown" and history.host:
        out.append([("", f"on {one_line(history.host, 60)}")])
    return out


def worked_s(history: History, until_us: int) -> float:
    """Seconds spent in turns; an open one counts until now."""
    return sum(max((t.finished_us or until_us) - t.started_us, 0) for t in history.turns) / 1e6


def total_tokens(usage: Usage) -> int | None:
    """Input and output together; None where neither was reported."""
    if usage.total_tokens is not None:
        return usage.total_tokens
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    return (usage.input_tokens or 0) + (usage.output_tokens or 0)
