"""Applying a run: what it changed becomes one commit elsewhere, told by the run in its message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread

from .errors import GitProblem, UsageProblem
from .git.applying import Merge, apply, conflict_text, work_out
from .git.snapshots import snapshot
from .locks import take_lock
from .model import BUSY_STATES, short_id
from .rundiff import RunDiff
from .widgets.render.text import one_line, prose

if TYPE_CHECKING:
    from .handle import AsyncRun

WAIT_S = 60.0


class Applied(RunDiff):
    """What was applied, or would be: the diff, `onto` (the branch), `conflicts` (paths; nothing was
    touched then), `in_the_way` (paths that are changed where the branch is checked out: it could
    not be applied now), `commit` (its id; None for a dry run, and where nothing was committed)."""

    def __init__(self, merge: Merge, commit: str | None, dry_run: bool) -> None:
        super().__init__(merge.summary)
        self.onto, self.conflicts, self.commit = merge.onto, merge.conflicts, commit
        self.in_the_way = merge.in_the_way
        self.dry_run = dry_run
        self._merge = merge

    @property
    def more(self) -> dict[str, Any]:
        names = ("onto", "conflicts", "in_the_way", "commit", "dry_run")
        return {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        if self.conflicts or self.in_the_way:
            return conflict_text(self._merge)
        count = len(self.summary.files)
        if not count:
            return f"{self.onto} has all of it already: nothing to apply"
        files = f"{count} file{'s' if count != 1 else ''}"
        if self.dry_run:
            return f"{files} would change in {self.onto}, without a conflict\n\n{self.patch}"
        where = f"commit {self.commit[:10]}" if self.commit else "staged, not committed"
        return f"{files} changed in {self.onto}: {where}"

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        told = super()._repr_mimebundle_(include, exclude)
        plain = self.conflicts or self.in_the_way or not self.summary.files
        return {"text/plain": str(self)} if plain else told


async def apply_run(
    run: AsyncRun, onto: str | None, dry_run: bool, commit: bool, message: str | None
) -> Applied:
    """See `AsyncRun.apply`."""
    name, spec = f"run {short_id(run.id)}", run.spec
    if spec.git_base is None:
        raise GitProblem(f"{name} works outside a git repository: there is nothing to apply")
    if run.state in BUSY_STATES and not dry_run:
        raise UsageProblem(f"{name} is at work: wait for it, or cancel it first")
    if dry_run:
        return Applied(await anyio.to_thread.run_sync(_work_out, run, onto), None, True)
    told = message_of(run) if message is None else message
    merge, made = await anyio.to_thread.run_sync(_apply, run, onto, told, commit)
    await run.note("applied", {"onto": merge.onto, "commit": made})
    return Applied(merge, made, False)


def _apply(run: AsyncRun, onto: str | None, message: str, commit: bool) -> tuple[Merge, str | None]:
    """One at a time in a project: two would both write before one of them learns it is late."""
    lock = take_lock(run.host.home / "apply.lock", WAIT_S)
    if lock is None:
        raise GitProblem(f"another apply has been at work for {WAIT_S:.0f} s. Nothing was touched.")
    with lock:
        merge = _work_out(run, onto)
        return merge, apply(run.repository, merge, message, commit=commit)


def _work_out(run: AsyncRun, onto: str | None) -> Merge:
    after = snapshot(run.path) if run.there else run.kept
    base = run.base
    if after is None or base is None:
        raise GitProblem(f"the files of run {short_id(run.id)} were not kept")
    merge = work_out(run.repository, base, after, onto)
    if merge.place is not None and run.path.is_dir() and run.path.is_relative_to(merge.place):
        worktrees = run.host.home / "worktrees"
        if not run.path.is_relative_to(worktrees):
            raise UsageProblem(
                f"run {short_id(run.id)} works in {merge.place} itself: its changes are there"
                " already. Commit them with git, or apply them onto another branch with onto=…"
            )
    return merge


def message_of(run: AsyncRun) -> str:
    """A commit message: title, the first prompt, and who did it as trailers."""
    history, spec = run.history(), run.spec
    prompt = history.turns[0].prompt if history.turns else ""
    title = one_line(spec.title or history.title or prompt, 72) or f"Run {short_id(run.id)}"
    model = history.model_answered or spec.model
    agent = one_line(f"{spec.provider}/{model}" if model else spec.provider, 100)
    trailers = [
        f"Paseo-Run: {run.id}",
        f"Paseo-Agent: {agent}",
        f"Co-authored-by: {agent} <paseo_nb@localhost>",
    ]
    body = prose(prompt).strip()[:2000]
    parts = [title, *([body] if body and body != title else []), "\n".join(trailers)]
    return "\n\n".join(parts) + "\n"
