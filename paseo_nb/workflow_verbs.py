"""The verbs of workflows; `verbs` has the others. What a body calls is in `engine.words`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread

from .verb_table import current_host, verb

if TYPE_CHECKING:
    import pandas as pd


@verb
async def workflows() -> pd.DataFrame:
    """The workflows that lie in `paseo_workflows/` and `.claude/workflows/`, yours, and ours.

    Columns: name, source (project, user or built-in), trusted, description, path.
    """
    import pandas as pd

    from .engine import discovery

    known = await anyio.to_thread.run_sync(discovery.found)
    rows = [(one.name, one.source, one.trusted, one.description, str(one.path)) for one in known]
    return pd.DataFrame(rows, columns=["name", "source", "trusted", "description", "path"])


@verb
async def workflow_runs(name: str | None = None) -> pd.DataFrame:
    """The workflow runs of the project, newest first: how each stands, what it cost.

    name: only those of the workflow of this name
    """
    from .engine import frames

    return await anyio.to_thread.run_sync(frames.workflow_runs, current_host().home, name)


@verb
async def stop_workflow(workflow_run: str) -> str:
    """Stop a workflow run, in whatever process it is at work, with its running turns; its state
    then. What is finished is kept: the same call, or `workflow resume`, goes on with it.

    workflow_run: its id, or any beginning of one
    """
    from .engine import stopping
    from .engine.journal import find_folder

    host = current_host()
    return await stopping.stop(host, find_folder(host.home, workflow_run))


@verb
async def steps(workflow_run: str | None = None, *, name: str | None = None) -> pd.DataFrame:
    """The steps of workflow runs: what each asked for, how it ended, what it cost.

    workflow_run: an id, or any beginning of one (default: all of the project)
    name: only those of the workflow of this name
    """
    from .engine import frames

    return await anyio.to_thread.run_sync(frames.steps, current_host().home, workflow_run, name)


@verb
async def approve(
    workflow_run: str, gate: str, *, deny: str | None = None, reason: str = ""
) -> str:
    """Let a flow's gate pass that waits for a person, or deny it; what was answered.

    workflow_run: its id, or any beginning of one
    gate: its name
    deny: why it is denied
    reason: what to keep with a yes
    """
    from .engine import gates
    from .engine.journal import find_folder

    folder = find_folder(current_host().home, workflow_run)
    said = deny if deny is not None else reason
    await anyio.to_thread.run_sync(gates.answer, folder, gate, deny is None, said)
    return f"gate {gate} was {'approved' if deny is None else 'denied'}"
