"""Why a step was run and not taken: where it differs from what was finished before."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import UsageProblem
from .journal import Facts, folders
from .keys import differing
from .story import DONE, StepRecord, Story

LINES = 6
WORDS = {
    "base": "the files that it begins with",
    "prompt": "the prompt",
    "agent": "the agent",
    "schema": "the schema",
    "isolation": "the isolation",
    "attach": "what goes along",
    "v": "the version of keys",
}


def why_rerun(home: Path, story: Story, step: str) -> str:
    """Why a step of a workflow run was not taken from before. UsageProblem where there is none."""
    found = find(story, step)
    if found.state == "cached":
        return f"{step} was not run: it was taken from {found.origin}"
    name = story.header["name"]
    known = [
        one
        for folder in folders(home)
        if folder.id != story.folder.id and (folder.header() or {}).get("name") == name
        for one in Story(folder).steps.values()
    ]
    known += [one for one in story.steps.values() if one.seq < found.seq]
    same = [one for one in known if one.key == found.key]
    if found.refreshed:
        return f"{step} was run anew as refresh= asked for it"
    if same:
        last = same[-1]
        if last.state in DONE:
            return f"{step} was asked for more often than it had been run"
        return f"{step} had not been finished: {last.state}: {last.cause}: {last.message}"
    alike = _most_alike(found, known)
    if alike is None:
        return f"{step} was run for the first time"
    told = differences(alike.given, found.given)
    whom = f"{alike.label or alike.step} of {alike.workflow_run}"
    return "\n".join([f"{step} differs from {whom} in:", *told])


def differences(before: Facts, now: Facts) -> list[str]:
    """The fields in which two calls differ, a text each."""
    differ = differing(before, now)
    return [_field(name, old, new) for name, (old, new) in differ.items()]


def find(story: Story, step: str) -> StepRecord:
    """The step that an id, a beginning of one, or a label means; the newest of several."""
    found = [
        one
        for one in story.steps.values()
        if one.label == step or one.step == step or one.key.startswith(step)
    ]
    if not found:
        known = ", ".join(one.label or one.step for one in story.steps.values()) or "none"
        raise UsageProblem(f"no step {step!r} in this workflow run; it has {known}")
    return max(found, key=lambda one: one.seq)


def _most_alike(step: StepRecord, known: Iterable[StepRecord]) -> StepRecord | None:
    """The one that it probably was before: of its label and phase if there is one, and with the
    fewest fields that differ; of those the newest."""
    best: tuple[Any, StepRecord] | None = None
    for one in known:
        named = one.label is not None and one.label == step.label
        differ = differing(one.given, step.given)
        if not named and ("prompt" in differ or step.label is not None):
            continue
        rank = (named, one.phase == step.phase, -len(differ), one.workflow_run, one.seq)
        if best is None or rank > best[0]:
            best = rank, one
    return None if best is None else best[1]


def _field(name: str, old: Any, new: Any) -> str:
    told = WORDS.get(name, name)
    if isinstance(old, str) and isinstance(new, str) and name == "prompt":
        lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
        changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        more = f"\n    … {len(changed) - LINES} lines more" if len(changed) > LINES else ""
        shown = "\n".join(f"    {line[:160]}" for line in changed[:LINES])
        return f"  {name}: {told}\n{shown}{more}"
    return f"  {name}: {told}: {_short(old)} before, {_short(new)} now"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
