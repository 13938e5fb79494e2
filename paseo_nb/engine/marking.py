"""Saying what a step came to of which nobody knows: it acted outside and was cut off."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import UsageProblem, WorkflowBusy
from ..model import short_id
from .journal import WorkflowFolder, WorkflowJournal
from .keys import plain
from .reasons import find
from .story import Story
from .values import Payload


def mark_done(folder: WorkflowFolder, step: str, value: Any) -> None:
    """Record a step's result as its own. WorkflowBusy while an engine is at work."""
    found = find(Story(folder), step)
    if found.state != "running" or found.run_id is None:
        raise UsageProblem(f"step {step} is not open: it is {found.state}")
    told = plain(value, "the value")
    payload = Payload(told, None) if isinstance(told, str) else Payload("", told)
    lock = folder.take()
    if lock is None:
        raise WorkflowBusy(f"workflow run {short_id(folder.id)} is at work: stop it first")

    async def keep() -> None:
        journal = WorkflowJournal(folder, lock)
        try:
            journal.epoch -= 1  # no engine begins
            facts = {"key": found.key, "n": found.n, "run_id": found.run_id, "by": "user"}
            await journal.keep("step_done", **facts, **folder.keep_payload(payload))
        finally:
            journal.close()

    asyncio.run(keep())
