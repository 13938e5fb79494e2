"""Stopping a workflow run from any process: a file beside its journal, that its engine looks for.

The file is for one epoch: what was asked of an engine that died is not held against the next one.
Where no engine is at work, what its steps left running is ended here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

from ..errors import PaseoError, WorkflowBusy
from ..handle import AsyncRun
from ..host.local import LocalHost
from ..locks import HeldLock
from ..model import short_id
from .journal import WorkflowFolder, WorkflowJournal
from .story import Story

LOOK_S = 0.2
WAIT_S = 30.0


def request(folder: WorkflowFolder, epoch: int) -> Path:
    """The file that asks an engine to stop."""
    return folder.path / f"stop-{epoch}"


async def asked(folder: WorkflowFolder, epoch: int) -> None:
    """Return once somebody asks the engine of this epoch to stop."""
    path = request(folder, epoch)
    while not path.exists():
        await asyncio.sleep(LOOK_S)


async def stop(host: LocalHost, folder: WorkflowFolder, timeout: float = WAIT_S) -> str:
    """Stop a workflow run, wherever it is at work, with its running turns; its state then.
    WorkflowBusy where its engine does not react."""
    deadline = time.monotonic() + timeout
    while True:
        lock = folder.take()
        if lock is not None:
            return await _left_behind(host, folder, lock)
        request(folder, Story(folder).engine.get("epoch", 1)).touch()
        if time.monotonic() > deadline:
            engine = Story(folder).engine
            raise WorkflowBusy(
                f"workflow run {short_id(folder.id)} does not stop: its process"
                f" ({engine.get('pid')} on {engine.get('host')}) does not come to look, as code of"
                " its body does not await. End that process; its finished steps are kept.",
                folder.id,
            )
        await asyncio.sleep(LOOK_S)


async def _left_behind(host: LocalHost, folder: WorkflowFolder, lock: HeldLock) -> str:
    """End what the steps of a dead engine left running, and say that it was stopped."""
    journal = WorkflowJournal(folder, lock)
    try:
        story = Story(folder)
        if story.ended is not None or not story.header:
            return story.ended["kind"].removeprefix("workflow_") if story.ended else "none"
        journal.epoch -= 1  # no engine begins
        for step in story.steps.values():
            if step.state == "running" and step.run_id is not None:
                if host.folder(step.run_id).spec.exists():
                    with contextlib.suppress(PaseoError):
                        await AsyncRun(host, step.run_id).stop()
                journal.put(
                    "step_cancelled", key=step.key, n=step.n, run_id=step.run_id,
                    cause="cancelled", message="it was stopped",
                )  # fmt: skip
        await journal.keep("workflow_stopped", cause="stopped", message="it was stopped")
        return "stopped"
    finally:
        journal.close()
