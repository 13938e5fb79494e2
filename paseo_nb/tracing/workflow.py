"""A workflow run as a tree: the runs that did its steps, and the steps that have none. Pure, but
for whether an engine is at work.

A step is its run where it has one and went well. One that was taken from before has none here: that
lies elsewhere, and in the past. Runs that no step names any more (an attempt that was tried again)
stand below the workflow itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from ..engine.story import StepRecord, Story
from ..model import Usage
from .spans import Span, place

OUTCOMES = {"done": "completed", "cached": "cached", "failed": "failed", "running": None}


def workflow_span(story: Story, runs: Mapping[str, Span]) -> Span:
    """The tree of a workflow run; `runs`: the trees of the runs that it started, by id."""
    left = dict(runs)
    over = story.state != "running"
    steps: list[Span] = []
    for step in story.steps.values():
        run = left.pop(step.run_id or "", None) if step.state != "cached" else None
        if run is not None and step.state in ("done", "running"):
            steps.append(run)
            continue
        span = _step(story, step, over)
        span.children = [run] if run is not None else []
        steps.append(span)
    ended = story.ended or {}
    failed = story.state in ("failed", "interrupted")
    began = int(story.header["t"])
    told = [one.usage for one in runs.values()]
    used = reduce(Usage.plus, told) if told else Usage()
    root = Span(
        span_id=story.folder.id,
        run_id=story.folder.id,
        kind="workflow",
        name=str(story.header.get("name", "?")),
        detail=story.state,
        started_us=began,
        outcome=OUTCOMES.get(story.state, story.state),
        error=str(ended["message"]) if failed and ended.get("message") else None,
        error_class=str(ended.get("cause") or story.state) if failed else None,
        usage=used,
        children=[*steps, *left.values()],
    )
    if over:
        last = [one.finished_us or one.started_us for one in root.children]
        root.finished_us = int(ended["t"]) if "t" in ended else max([began, *last])
    place(root)
    return root


def _step(story: Story, step: StepRecord, over: bool) -> Span:
    state = "interrupted" if over and step.state == "running" else step.state
    ended = step.ended_us if step.state != "running" else None
    failed = state in ("failed", "interrupted")
    words = (step.phase, step.agent, "taken from before" if state == "cached" else None)
    return Span(
        span_id=f"{story.folder.id}.{step.step}",
        run_id=story.folder.id,
        kind="step",
        name=step.label or step.step,
        detail=" · ".join(one for one in words if one),
        started_us=step.issued_us,
        finished_us=ended,
        outcome=OUTCOMES.get(state, state),
        error=step.message if failed else None,
        error_class=(step.cause or state) if failed else None,
        children=[],
    )
