"""A call of a workflow where PASEO_NB_REPLAY is set: what its journals tell, and never an agent.

The newest run of the same name and arguments that is done answers, else the newest that ended in
another way, as it did; also one that came in a bundle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import config, preparing
from ..errors import ReplayMiss
from ..host.local import LocalHost
from . import words
from .handles import WorkflowHandle
from .journal import WorkflowFolder, folders
from .keys import VERSION, digest
from .story import known_story

if TYPE_CHECKING:
    from .workflows import Workflow


def known(
    workflow: Workflow, arguments: Mapping[str, Any], host: LocalHost
) -> WorkflowHandle | None:
    """The run that answers a call; None where replay is not set. ReplayMiss where there is none."""
    if not config.settings(preparing.project_of(host)).replay:
        return None
    call = workflow.name, digest({"v": VERSION, "args": words.plain_arguments(arguments)})
    found: WorkflowFolder | None = None
    for folder in reversed(folders(host.home)):
        header = folder.header() or {}
        if (header.get("name"), header.get("args_hash")) != call:
            continue
        story = known_story(folder)
        if story.state == "done":
            return WorkflowHandle(host, folder, workflow.function)
        found = found or (folder if story.ended is not None else None)
    if found is None:
        raise ReplayMiss(
            "PASEO_NB_REPLAY=1 answers from journals only, and no finished run of the workflow"
            f" {workflow.name!r} with these arguments is in {host.home}. Open its bundle"
            " (paseo.open_bundle), or unset it."
        )
    return WorkflowHandle(host, found, workflow.function)
