"""A workflow run as it lies on the disk: what happened in it, how it ended, and what may be done
with it from any process. `workflows.WorkflowRun` is one that this process called."""

from __future__ import annotations

import asyncio
import contextlib
import dis
import threading
import time
import types
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from .. import _portal, cells, config
from ..errors import PaseoError, WorkflowError, WorkflowFatal
from ..host.local import LocalHost
from ..model import short_id
from . import stopping
from .journal import Facts, WorkflowFolder, find_folder, folders
from .returned import as_declared
from .story import Story

if TYPE_CHECKING:
    import pandas as pd

LOOK_S = 0.1
FATAL_CAUSES = frozenset({"auth", "balance", "budget", "cap", "usage"})


@contextlib.contextmanager
def watched(run: WorkflowHandle) -> Generator[Callable[[], None] | None]:
    """A function to call now and then while somebody waits for a run in a notebook: its display is
    refreshed; None elsewhere."""
    if not cells.in_kernel():
        yield None
        return
    from ..widgets.workflow.live import WorkflowOutput

    output = WorkflowOutput(run)
    try:
        yield output.refresh
    finally:
        with contextlib.suppress(PaseoError, OSError):
            output.freeze()


def awaited(frame: types.FrameType) -> bool:
    """Whether what a frame calls just now is awaited by it as it stands: `await review(…)`. An
    `async def` under a decorator invites that, and a value that was waited for could not be."""
    after = (one for one in dis.get_instructions(frame.f_code) if one.offset > frame.f_lasti)
    return next((one.opname for one in after if one.opname != "CACHE"), None) == "GET_AWAITABLE"


class WorkflowHandle:
    """A workflow run: look at it, wait for it, stop it."""

    def __init__(
        self,
        host: LocalHost,
        folder: WorkflowFolder | None,
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.host, self._function = host, function
        self._folder: WorkflowFolder | None = folder
        self._seen: Story | None = None
        self._looking = threading.RLock()

    @property
    def folder(self) -> WorkflowFolder:
        """Its files."""
        assert self._folder is not None
        return self._folder

    @property
    def id(self) -> str:
        """Its id."""
        return self.folder.id

    @property
    def name(self) -> str:
        """Its workflow's name."""
        header = self.folder.header()
        return "?" if header is None else header["name"]

    def story(self) -> Story:
        """What happened so far."""
        return Story(self.folder)

    @contextlib.contextmanager
    def looked_at(self) -> Generator[Story]:
        """What happened so far, to be looked at here only: it is read on from where the last look
        ended, so that a look costs what is new."""
        with self._looking:
            story, self._seen = self._seen, None  # not kept where reading it is cut off
            if story is None:
                story = Story(self.folder)
            else:
                story.catch_up()
            self._seen = story
            yield story

    @property
    def state(self) -> str:
        """running, done, failed, stopped or interrupted."""
        with self.looked_at() as story:
            return story.state

    def wait(self, timeout: float | None = None) -> Any:
        """What its body returned, as it is kept; raises as it did. ■ ends the waiting, not the
        workflow. TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with watched(self) as refresh:
            while (told := self._look()) is None:
                if deadline is not None and time.monotonic() > deadline:
                    raise TimeoutError(f"{self.name} (run {short_id(self.id)}) goes on")
                time.sleep(LOOK_S)
                if refresh is not None:
                    refresh()
        return self._told(told)

    async def _awaited(self) -> Any:
        with watched(self) as refresh:
            while (told := self._look()) is None:
                await asyncio.sleep(LOOK_S)
                if refresh is not None:
                    refresh()
        return self._told(told)

    def _told(self, ended: Facts) -> Any:
        told = outcome(ended, self.id, self.name)
        return told if self._function is None else as_declared(self._function, told)

    def _look(self) -> Facts | None:
        """How it ended; None while it goes on. WorkflowError where its process died."""
        held = self.folder.held
        with self.looked_at() as story:
            ended = story.ended
        if ended is None and not held:
            raise WorkflowError(
                f"{self.name}: its process died. `%paseo workflow resume {short_id(self.id)}`, or"
                " the same call, goes on with it.",
                self.id,
            )
        return ended

    def __await__(self) -> Generator[Any, None, Any]:
        return self._awaited().__await__()

    def stop(self) -> None:
        """Stop it, wherever it is at work, and cancel its running turns; the same call goes on.
        WorkflowBusy where its process does not react."""
        _portal.call(stopping.stop, self.host, self.folder)

    def steps(self) -> pd.DataFrame:
        """One row per step: see `paseo.steps`."""
        from .frames import steps_frame

        with self.looked_at() as story:
            return steps_frame([story])

    def why_rerun(self, step: str) -> str:
        """Why a step was run and not taken from before: what it asked for that no finished one did.

        step: its id, or its label
        """
        from .reasons import why_rerun

        with self.looked_at() as story:
            return why_rerun(self.host.home, story, step)

    def mark_done(self, step: str, value: Any) -> None:
        """Say what a step came to that acted outside and was cut off, so that it is not repeated.
        UsageProblem while the workflow is at work."""
        from .marking import mark_done

        mark_done(self.folder, step, value)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from ..widgets.workflow.live import bundle

        with self.looked_at() as story:
            return bundle(story)

    def _ipython_display_(self) -> None:
        from ..widgets.workflow.live import show

        show(self)

    def __repr__(self) -> str:
        from .showing import as_text

        with self.looked_at() as story:
            return as_text(story)


def workflow_run(known_as: str) -> WorkflowHandle:
    """A workflow run, from an id, any beginning of one, or a workflow's name (its newest run).
    UsageProblem where there is none."""
    host = LocalHost(config.home())
    for folder in reversed(folders(host.home)):
        if (folder.header() or {}).get("name") == known_as:
            return WorkflowHandle(host, folder)
    return WorkflowHandle(host, find_folder(host.home, known_as))


def outcome(ended: Facts, workflow_run: str, name: str) -> Any:
    """What a workflow run came to for whoever did not conduct it."""
    if ended["kind"] == "workflow_done":
        if "unkept" in ended:
            raise WorkflowError(
                f"{name} is done; what it returned, a {ended['unkept']}, cannot be handed to"
                " another process. Its steps are all there: the same call takes them.",
                workflow_run,
            )
        return ended["result"]
    cause, message = ended["cause"], ended["message"]
    if cause in FATAL_CAUSES:
        raise WorkflowFatal(cause, message, workflow_run)
    raise WorkflowError(f"{name} did not come to its end: {cause}: {message}", workflow_run)
