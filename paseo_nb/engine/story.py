"""The fold from a workflow run's lines to its story: its steps, values, logs, and how it ended.

The engine resumes from it, followers and frames read it.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ..model import BUSY_STATES
from .journal import NOTHING, Facts, StepLine, WorkflowFolder, any_line, step_line

# What ended a step for good; of these only a done or cached one is ever taken again.
DONE = frozenset({"done", "cached"})


class StepRecord(msgspec.Struct, gc=False):
    """What is known of one step: the n-th of its key in its workflow run."""

    key: str
    n: int
    workflow_run: str
    seq: int
    state: str = "running"
    attempt: int = 1
    run_id: str | None = None
    agent: str | None = None
    label: str | None = None
    phase: str | None = None
    part: str | None = None
    issued_us: int = 0
    ended_us: int | None = None
    cause: str | None = None
    message: str | None = None
    origin: str | None = None
    refreshed: bool = False
    attached: bool = False
    effects: str = "tree"
    asked: msgspec.Raw = NOTHING
    usage: tuple[Facts, ...] = ()
    end: StepLine | None = None

    @property
    def given(self) -> Facts:
        """What it is found again by."""
        return msgspec.json.decode(self.asked) if self.asked else {}

    @property
    def costs(self) -> list[float]:
        """US dollars that its attempts told."""
        return [one["cost_usd"] for one in self.usage if one.get("cost_usd") is not None]

    @property
    def step(self) -> str:
        """Its id within the run."""
        return step_id(self.key, self.n)


def step_id(key: str, n: int) -> str:
    """What people read and type for a step."""
    return f"{key[:10]}.{n}"


class Story:
    """What happened in one workflow run so far."""

    def __init__(self, folder: WorkflowFolder) -> None:
        self.folder = folder
        self.header: Facts = {}
        self.engine: Facts = {}
        self.ended: Facts | None = None
        self.steps: dict[tuple[str, int], StepRecord] = {}
        self._last: dict[str, int] = {}
        self.values: dict[str, list[Any]] = {}
        self.logs: list[Facts] = []
        self.phases: list[Facts] = []
        self.flow: list[tuple[str, str, list[str]]] = []
        self.gates: list[Facts] = []
        self.skipped: list[str] = []
        self._offset = self._epoch = 0
        self._begun_us = self._last_us = self._worked_us = 0
        self._id = folder.id
        self.catch_up()

    def catch_up(self) -> None:
        """Read what was written since the last time."""
        data = self.folder.read(self._offset)
        for line in data.splitlines():
            try:
                self._read(line)
            except (msgspec.DecodeError, KeyError):
                continue  # a damaged disk costs that line only
        self._offset += len(data)

    def _read(self, line: bytes) -> None:
        try:
            step = step_line(line)
        except msgspec.ValidationError:
            step = None  # of something else
        if step is not None and step.kind.startswith("step_"):
            if step.epoch >= self._epoch:
                self._epoch, self._last_us = step.epoch, step.t
                self._step(step)
            return
        told = any_line(line)
        if told["epoch"] >= self._epoch:
            self._epoch = told["epoch"]
            self._take(told)

    def _take(self, line: Facts) -> None:
        kind = line["kind"]
        if kind == "engine":
            self._worked_us += self._last_us - self._begun_us
            self._begun_us = line["t"]
        self._last_us = line["t"]
        if kind == "workflow_started":
            self.header = line
            self._begun_us = line["t"]
        elif kind == "engine":
            self.engine, self.ended = line, None
            for step in self.steps.values():
                step.attached = False
        elif kind == "attached":
            step = self.steps.get((line["key"], line["n"]))
            if step is not None:
                step.attached = line["state"] in BUSY_STATES
        elif kind == "flow":
            self.flow = [(name, what, needs) for name, what, needs in line["steps"]]
        elif kind in ("workflow_done", "workflow_failed", "workflow_stopped"):
            self.ended = line
        elif kind == "value":
            self.values.setdefault(line["name"], []).append(line["value"])
        elif kind in ("gate_waits", "gate_answered"):
            self.gates.append(line)
        elif kind == "skipped":
            self.skipped.append(line["name"])
        elif kind == "log":
            self.logs.append(line)
        elif kind == "phase":
            self.phases.append(line)

    def _step(self, line: StepLine) -> None:
        place = (line.key, line.n)
        step = self.steps.get(place)
        if step is None:
            step = StepRecord(line.key, line.n, self._id, line.seq, issued_us=line.t)
            self.steps[place] = step
            if line.n:  # most keys are asked for once
                self._last[line.key] = max(line.n, self._last.get(line.key, 0))
        if line.run_id is not None:
            step.run_id = line.run_id
        if line.given:  # asked for, or taken: what it is
            step.asked, step.label, step.phase = line.given, line.label, line.phase
            step.part, step.agent = line.part, line.agent
        if line.usage:
            step.usage = (*step.usage, line.usage)
        if line.attempt is not None:
            step.attempt = line.attempt
        if line.kind == "step_issued":
            step.effects = line.effects
            step.refreshed = step.refreshed or line.refreshed
            step.state, step.end, step.ended_us = "running", None, None
            return
        step.state = line.kind[5:]
        step.end, step.ended_us = line, line.t
        step.cause, step.message = line.cause, line.message
        if line.origin is not None:
            step.origin = line.origin

    def of_key(self, key: str) -> Iterator[StepRecord]:
        """The steps of a key, in the order of their numbers."""
        for n in range(self._last.get(key, 0) + 1):
            step = self.steps.get((key, n))
            if step is not None:
                yield step

    @property
    def state(self) -> str:
        """running, done, failed, stopped, or interrupted (its process died)."""
        if self.ended is not None:
            return self.ended["kind"].removeprefix("workflow_")
        return "running" if self.folder.held else "interrupted"

    @property
    def worked_s(self) -> float:
        """Seconds that engines were at work on it, as far as their lines tell."""
        return (self._worked_us + self._last_us - self._begun_us) / 1e6

    @property
    def cost_usd(self) -> float:
        """US dollars that all attempts of its steps told so far."""
        return sum(sum(step.costs) for step in self.steps.values() if step.usage)

    @property
    def tokens(self) -> int:
        """Tokens that all attempts of its steps told so far, in and out."""
        counted = ("input_tokens", "output_tokens")
        told = (one for step in self.steps.values() for one in step.usage)
        return sum(one.get(name) or 0 for one in told for name in counted)


_MOST_KNOWN = 64
_known: OrderedDict[str, tuple[tuple[int, int], Story]] = OrderedDict()


def known_story(folder: WorkflowFolder) -> Story:
    """A run's story, to be looked at only; read again where its journal has changed since."""
    path = str(folder.path)
    try:
        stat = folder.journal.stat()
    except FileNotFoundError:
        return Story(folder)
    stamp = stat.st_size, stat.st_mtime_ns
    known = _known.pop(path, None)
    story = known[1] if known is not None and known[0] == stamp else Story(folder)
    _known[path] = stamp, story
    while len(_known) > _MOST_KNOWN:
        with contextlib.suppress(KeyError):  # another thread was quicker
            _known.popitem(last=False)
    return story


def stories(folders: Iterable[WorkflowFolder]) -> list[Story]:
    """Those that can be read, to be looked at only."""
    return [story for story in map(known_story, folders) if story.header]
