"""What may be taken instead of run: looked up once, in bulk, when an engine begins.

Per key: the own run's steps in the order they were issued (finished, else still going, else cut
off), then finished ones of other runs of the workflow, the newest run first. Each is taken once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .story import DONE, StepRecord, Story

_RANK = {"done": 0, "cached": 0, "running": 1}


class Slots:
    """The steps that one engine may take."""

    def __init__(self, own: Story, others: Iterable[Story] = ()) -> None:
        self._own: dict[str, list[StepRecord]] = {}
        self._others: dict[str, list[StepRecord]] = {}
        self._numbers: dict[str, int] = {}
        self._labels = Counter(s.label for s in own.steps.values() if s.state in _RANK)
        self._unclaimed: dict[tuple[str, int], StepRecord] = {}
        self._finished: dict[tuple[str, str | None], list[StepRecord]] = {}
        self._taken: set[int] = set()
        origins: set[str | None] = set()
        ranked = sorted(own.steps.values(), key=lambda s: (_RANK.get(s.state, 9), s.seq))
        for step in ranked:
            self._numbers[step.key] = max(self._numbers.get(step.key, 0), step.n + 1)
            if step.state in _RANK:
                self._own.setdefault(step.key, []).append(step)
                origins.add(step.run_id)
                self._note(step)
            if step.state == "running":
                self._unclaimed[step.key, step.n] = step
        arguments = own.header.get("args_hash")
        for story in others:
            same = story.header.get("args_hash") == arguments
            for step in sorted(story.steps.values(), key=lambda s: s.seq):
                if step.state in DONE and step.run_id not in origins:
                    origins.add(step.run_id)
                    self._others.setdefault(step.key, []).append(step)
                    if same:
                        self._note(step)

    def _note(self, step: StepRecord) -> None:
        if step.label is not None and step.state in DONE:
            self._finished.setdefault((step.label, step.phase), []).append(step)

    def beside(self, label: str, phase: str | None) -> StepRecord | None:
        """A step of this label and phase that was finished when the workflow was called with the
        same arguments, and that nobody took: what a call of that name probably was before."""
        known = self._finished.get((label, phase), ())
        return next((step for step in known if id(step) not in self._taken), None)

    def take(self, key: str, refresh: bool) -> StepRecord | None:
        """The next step with this key, once; None where it is to be run. refresh: only what this
        run has itself run anew."""
        own = self._own.get(key)
        while own:
            step = own.pop(0)
            if step.refreshed or not refresh:
                self._unclaimed.pop((step.key, step.n), None)
                return self._noted(step)
        others = self._others.get(key)
        return self._noted(others.pop(0)) if others and not refresh else None

    def _noted(self, step: StepRecord) -> StepRecord:
        if step.label is not None:
            self._taken.add(id(step))
        return step

    def number(self, key: str) -> int:
        """The next n of a key; never one that was used before."""
        n = self._numbers.get(key, 0)
        self._numbers[key] = n + 1
        return n

    def superseded(self, label: str | None, key: str) -> StepRecord | None:
        """The step still going that this call takes the place of: of the same label, which only it
        has, and of another key."""
        if label is None or self._labels[label] != 1:
            return None
        for place, step in self._unclaimed.items():
            if step.label == label and step.key != key:
                return self._unclaimed.pop(place)
        return None

    def writing(self) -> StepRecord | None:
        """A step still going that nobody asked for yet, and that writes to the shared files: it
        may not go on beside another one that does."""
        for place, step in self._unclaimed.items():
            if "mode" in step.given and "isolation" not in step.given:
                return self._unclaimed.pop(place)
        return None

    @property
    def unclaimed(self) -> list[StepRecord]:
        """Steps that were going when the last engine died, and that nobody asked for again."""
        return list(self._unclaimed.values())
