"""Workflow runs that are over and may go: nothing resumes them any more."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import GitProblem, UsageProblem
from ..git.commands import Repository
from ..git.shelving import GONE
from ..model import short_id
from ..unfinished import drop_refs
from .journal import WorkflowFolder, folders
from .story import Story


def done_since(home: Path) -> Iterator[tuple[WorkflowFolder, float, str | None]]:
    """Each workflow run that came to its end, when (in seconds), and why it must stay, if so. One
    that was stopped, failed or was cut off can be gone on with: it is none of these."""
    done: list[WorkflowFolder] = []
    needed: dict[str | None, str] = {}
    for folder in folders(home):
        story = Story(folder)
        if story.state == "done" and not folder.held:
            done.append(folder)
        else:
            needed |= {step.origin: folder.id for step in story.steps.values()}
    for folder in done:
        with contextlib.suppress(OSError):
            user = needed.get(folder.id)
            why = (
                f"workflow run {short_id(user)} took results from it, and is not done"
                if user
                else None
            )
            yield folder, folder.journal.stat().st_mtime, why


def remove(folder: WorkflowFolder, repository: Path) -> None:
    """Its refs, then its files, under its lock. Its steps' runs stay. UsageProblem where it has
    begun again."""
    lock = folder.take()
    if lock is None:
        raise UsageProblem(f"workflow run {short_id(folder.id)} is at work")
    with lock:
        if Story(folder).state != "done":
            raise UsageProblem(f"workflow run {short_id(folder.id)} goes on")
        with contextlib.suppress(GitProblem):  # a repository that is gone has no refs either
            drop_refs(Repository(repository), f"workflows/{folder.id}")
        aside = folder.path.with_name(GONE + folder.id)
        os.rename(folder.path, aside)
    shutil.rmtree(aside)
