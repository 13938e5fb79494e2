"""What may be taken instead of run: the own run's steps in bulk, others' when they are asked for.

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
        self._stories = list(others)  # looked into for what is asked for: they may be many
        self._others: dict[str, list[StepRecord]] = {}
        self._numbers: dict[str, int] = {}
        self._labels = Counter(s.label for s in own.steps.values() if s.state in _RANK)
        self._unclaimed: dict[tuple[str, int], StepRecord] = {}
        self._arguments = own.header.get("args_hash")
        self._finished: dict[tuple[str, str | None], list[StepRecord]] | None = None
        self._taken: set[int] = set()
        self._origins: set[str | None] = set()
        ranked = sorted(own.steps.values(), key=lambda s: (_RANK.get(s.state, 9), s.seq))
        self._ranked = [step for step in ranked if step.state in _RANK]
        for step in ranked:
            self._numbers[step.key] = max(self._numbers.get(step.key, 0), step.n + 1)
        for step in self._ranked:
            self._own.setdefault(step.key, []).append(step)
            self._origins.add(step.run_id)
            if step.state == "running":
                self._unclaimed[step.key, step.n] = step

    def _elsewhere(self, key: str) -> list[StepRecord]:
        """What other runs finished under a key; a result that several of them took stands once."""
        found = self._others.get(key)
        if found is None:
            steps = (step for story in self._stories for step in story.of_key(key))
            found = self._others[key] = self._first_of_each(steps)
        return found

    def _first_of_each(self, steps: Iterable[StepRecord]) -> list[StepRecord]:
        """The finished steps whose runs are neither this run's nor of one before."""
        first: dict[str | None, StepRecord] = {}
        for step in steps:
            if step.state in DONE and step.run_id not in self._origins:
                first.setdefault(step.run_id, step)
        return list(first.values())

    def _by_label(self) -> dict[tuple[str, str | None], list[StepRecord]]:
        """Finished steps by label and phase: of this run, then of others with its arguments."""
        if self._finished is None:
            self._finished = {}
            alike = (s for s in self._stories if s.header.get("args_hash") == self._arguments)
            others = self._first_of_each(step for story in alike for step in story.steps.values())
            for step in (*self._ranked, *others):
                if step.label is not None and step.state in DONE:
                    self._finished.setdefault((step.label, step.phase), []).append(step)
        return self._finished

    def beside(self, label: str, phase: str | None) -> StepRecord | None:
        """A step of this label and phase that was finished when the workflow was called with the
        same arguments, and that nobody took: what a call of that name probably was before."""
        known = self._by_label().get((label, phase), ())
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
        others = self._elsewhere(key)
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
