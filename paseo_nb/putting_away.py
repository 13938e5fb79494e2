"""Archive and unarchive: a run's worktree goes and comes back with everything that was in it.

One process at a time puts a run away or brings it back, and looks again at how it stands once it
is its turn. While a worktree goes or comes nobody launches, so that no run begins in it. The
journal is written before the worktree goes and after it has come: killed anywhere in between, the
other verb, or the same again, finds either all of it in its place or all of it kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from . import config, preparing
from .errors import GitProblem, UsageProblem
from .git.shelving import (
    check,
    check_same,
    clear_away,
    shelve,
    stands,
    take_away,
    unshelve,
)
from .hints import command
from .model import BroughtBack, PutAway, short_id
from .setting_up import again, tear_down

if TYPE_CHECKING:
    from .runview import RunView

AWAY_S = 120.0


def put_away(run: RunView, keep_worktree: bool) -> None:
    """Journal that a run without processes is archived, what its worktree held first; then the
    worktree goes, unless somebody else needs it. GitProblem where it cannot be kept whole: the run
    is not archived then."""
    host = run.host
    with host.putting(run.id, AWAY_S):
        if run.history().archived:
            return
        if not run.spec.worktree or keep_worktree or not run.path.is_dir():
            host.put(run.id, "archived", {})
            return
        try:
            _with_worktree(run)
        except GitProblem as problem:
            raise GitProblem(
                f"run {short_id(run.id)} is not archived, as its worktree could not be kept whole:"
                f" {problem}. Mend that, or put the run away without it: keep_worktree=True"
                f" ({command(f'archive {short_id(run.id)} --keep-worktree')})"
            ) from None


def _with_worktree(run: RunView) -> None:
    host, worktrees = run.host, run.host.home / "worktrees"
    with host.holding("launch.lock", preparing.LAUNCH_S):
        if _left_to_another(run):
            return
    check(run.path)
    said = tear_down(run.path, run.spec.setup) if run.spec.setup is not None else None
    if said is not None:
        raise GitProblem(said)
    shelved = shelve(run.path, run.id)
    with host.holding("launch.lock", preparing.LAUNCH_S):
        if _left_to_another(run):
            return
        check_same(shelved)
        facts = msgspec.to_builtins(PutAway(shelved))
        try:
            aside = host.put(run.id, "archived", facts, lambda: take_away(shelved, worktrees))
        except GitProblem:
            if run.history().archived:
                host.put(run.id, "unarchived", {})
            raise
    assert aside is not None
    clear_away(run.repository, shelved, aside, worktrees)


def _left_to_another(run: RunView) -> bool:
    other = _other_in(run)
    if other is not None:
        stays = f"its worktree stays: run {short_id(other)} works in it, too"
        run.host.put(run.id, "archived", msgspec.to_builtins(PutAway(stays=stays)))
    return other is not None


def bring_back(run: RunView) -> None:
    """The worktree first, then the journal's word. GitProblem where it cannot be made again."""
    host = run.host
    with host.putting(run.id, AWAY_S), host.holding("launch.lock", preparing.LAUNCH_S):
        if not run.history().archived:
            return
        said: str | None = None
        shelved = run.shelved
        if shelved is not None:
            other = None if stands(shelved, run.id) else _other_in(run)
            if other is not None and (run.path / ".git").exists():
                raise GitProblem(
                    f"in {run.path} is another worktree since, where run {short_id(other)} works:"
                    f" archive that one ({command(f'archive {short_id(other)}')}), then try again"
                )
            said = unshelve(run.repository, shelved, run.id, host.home / "worktrees")
            again(run.path, config.settings(preparing.project_of(host)))
        host.put(run.id, "unarchived", msgspec.to_builtins(BroughtBack(said)))


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
