"""What a trace is of, read from the disk: a run with the runs that it started, or a workflow run.
Starts nothing, writes nothing."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import TYPE_CHECKING

from ..errors import UsageProblem
from ..model import BUSY_STATES
from .spans import Seen, Span, run_span

if TYPE_CHECKING:
    from ..engine.journal import WorkflowFolder
    from ..host.local import LocalHost
    from ..runview import RunView


class TracedRun:
    """A run, with those below it."""

    def __init__(self, run: RunView) -> None:
        self.run, self.id = run, run.id

    @property
    def busy(self) -> bool:
        """Whether it, or one that it started, may tell more."""
        return self.run.state in BUSY_STATES

    @property
    def host(self) -> LocalHost:
        """Where it lives."""
        return self.run.host

    def seen(self) -> list[Seen]:
        """The run, with those below it."""
        return [seen_of(self.run)]

    def read(self) -> tuple[Span, dict[str, str | None]]:
        """Its tree, true now, and the agents' own conversation ids, by run."""
        [seen] = self.seen()
        return run_span(seen), sessions_of(seen)


class TracedWorkflow:
    """A workflow run, with the runs of its steps."""

    def __init__(self, host: LocalHost, folder: WorkflowFolder) -> None:
        self.host, self.folder, self.id = host, folder, folder.id

    @property
    def busy(self) -> bool:
        """Whether it is at work."""
        from ..engine.story import known_story

        return known_story(self.folder).state == "running"

    def seen(self) -> list[Seen]:
        """The runs of its steps, with those below them."""
        runs = _children(self.host, self.id)
        return [_whole(one, runs) for one in runs.pop(self.id, [])]

    def read(self) -> tuple[Span, dict[str, str | None]]:
        """Its tree, true now, and the agents' own conversation ids, by run. UsageProblem where its
        journal tells nothing."""
        from ..engine.story import Story
        from .workflow import workflow_span

        story = Story(self.folder)
        if not story.header:
            raise UsageProblem(f"of workflow run {self.id} nothing is known yet")
        mine = self.seen()
        sessions: dict[str, str | None] = {}
        for seen in mine:
            sessions |= sessions_of(seen)
        return workflow_span(story, {one.spec.run_id: run_span(one) for one in mine}), sessions


Traced = TracedRun | TracedWorkflow


def all_of(host: LocalHost) -> list[Traced]:
    """All workflow runs of a project, and the runs that nothing else started."""
    from ..engine.journal import folders
    from ..engine.story import stories

    flows = [story.folder for story in stories(folders(host.home))]
    known = {one.id for one in flows}
    found: list[Traced] = [TracedWorkflow(host, one) for one in flows]
    for one in readable(host):
        if one.spec.parent_run_id is None and one.spec.workflow_run_id not in known:
            found.append(TracedRun(one))
    return found


def seen_of(run: RunView) -> Seen:
    """A run with all that is below it."""
    return _whole(run, _children(run.host, run.id))


def _whole(run: RunView, below: dict[str, list[RunView]]) -> Seen:
    return Seen(run.spec, run.history(), [_whole(child, below) for child in below[run.id]])


def _children(host: LocalHost, after: str) -> dict[str, list[RunView]]:
    """The runs that came after one, by what started them: a run, else a workflow run."""
    below: dict[str, list[RunView]] = defaultdict(list)
    for one in readable(host, after):
        above = one.spec.parent_run_id or one.spec.workflow_run_id
        if above is not None:
            below[above].append(one)
    return below


def readable(host: LocalHost, after: str = "") -> list[RunView]:
    """The runs of a project, that came after one, but for those that a kill or a damaged disk left
    without a spec: they have nothing to tell, and cost the others nothing."""
    from ..runview import RunView

    found: list[RunView] = []
    for run_id in host.list():
        if run_id <= after:
            continue
        one = RunView(host, run_id)
        with contextlib.suppress(UsageProblem):
            if one.spec:
                found.append(one)
    return found


def alone(run: RunView) -> Seen:
    """A run without those below it."""
    return Seen(run.spec, run.history())


def sessions_of(seen: Seen) -> dict[str, str | None]:
    """The agents' own conversation ids, by run."""
    found = {seen.spec.run_id: seen.history.session_id}
    for child in seen.children:
        found |= sessions_of(child)
    return found
