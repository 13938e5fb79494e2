"""Archive and unarchive: a run's worktree goes and comes back with everything that was in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from . import config, preparing
from .errors import GitProblem, UsageProblem
from .git.shelving import Shelved, remove, shelve, unshelve
from .model import short_id
from .setting_up import again, tear_down

if TYPE_CHECKING:
    from .runview import RunView


def put_away(run: RunView, keep_worktree: bool) -> None:
    """Journal that a run without processes is archived, what its worktree held first; then the
    worktree is removed, unless somebody else needs it or it cannot be kept whole."""
    facts: dict[str, Any] = {}
    shelved: Shelved | None = None
    if run.spec.worktree and not keep_worktree and run.path.is_dir():
        other = _other_in(run)
        if other is not None:
            facts["stays"] = f"its worktree stays: run {short_id(other)} works in it, too"
        else:
            try:
                shelved = shelve(run.path, f"refs/paseo/{run.id}/archived")
                said = tear_down(run.path, run.spec.setup) if run.spec.setup is not None else None
                if said is not None:
                    raise GitProblem(said)
                facts["shelved"] = msgspec.to_builtins(shelved)
            except GitProblem as problem:
                shelved = None
                facts["stays"] = f"its worktree stays: {problem}"
    run.host.put(run.id, "archived", facts)
    if shelved is not None:
        remove(run.repository, shelved, run.host.home / "worktrees")


def bring_back(run: RunView) -> None:
    """The worktree first, then the journal's word. GitProblem where it cannot be made again."""
    put = run.history().put_away
    facts: dict[str, Any] = {}
    if put.get("shelved") and not (Path(run.spec.cwd) / ".git").exists():
        said = unshelve(run.repository, msgspec.convert(put["shelved"], Shelved))
        if said is not None:
            facts["said"] = said
        again(run.path, config.settings(preparing.project_of(run.host)))
    run.host.put(run.id, "unarchived", facts)


def _other_in(run: RunView) -> str | None:
    """Another run that works in the same folder and is not put away."""
    from .handle import AsyncRun

    for run_id in run.host.list():
        if run_id != run.id:
            other = AsyncRun(run.host, run_id)
            try:
                if other.path == run.path and not other.history().archived:
                    return run_id
            except UsageProblem:
                continue
    return None
