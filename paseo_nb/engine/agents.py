"""The place where steps are runs of agents on this machine.

It works on the library's own loop, where streams are read; a workflow's body has another one, so
that it cannot stall them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

from .. import _portal, attaching, config, preparing
from ..drivers import registry
from ..errors import GitProblem, NotTrusted, PaseoError, UsageProblem
from ..git import rooms, snapshots
from ..git.commands import Repository
from ..git.undoing import Change, put_back
from ..handle import AsyncRun, launch
from ..host.local import LocalHost
from ..model import Turn, Usage
from ..preparing import Wish
from .place import Base
from .values import Outcome, Wanted

DEFINED_IN = ("/paseo_workflows", "/.claude/workflows", "/paseo_prompts")


class AgentPlace:
    """Runs of agents, in a repository (default: the current folder's)."""

    lasting = True
    where: str | None = None
    places: int | None = None

    def __init__(self, host: LocalHost, notebook: str | None = None) -> None:
        self.host = host
        self.project = preparing.project_of(host)
        self.folder = config.git_top(config.here())
        self.repository: str | None = str(self.folder)
        self._notebook = notebook

    # ------------------------------------------------------------ what keys need

    async def base(self, workflow_run: str | None) -> Base | None:
        """See `Place`. Without what is edited between two calls: see `_ours`."""
        return await asyncio.to_thread(self._base, workflow_run)

    def _base(self, workflow_run: str | None) -> Base | None:
        ref = None if workflow_run is None else f"refs/paseo/workflows/{workflow_run}/base"
        try:
            commit = snapshots.snapshot(self.folder, ref=ref)
            return Base(commit, self._tree(commit))
        except GitProblem:
            return None

    async def restore(self, base: Base, workflow_run: str) -> str | None:
        """See `Place`."""
        return await asyncio.to_thread(self._restore, base, workflow_run)

    def _restore(self, base: Base, workflow_run: str) -> str | None:
        now = snapshots.snapshot(self.folder)
        repository = Repository(self.folder)
        names = repository.run("diff", "--name-only", "-z", base.commit, now).decode().split("\0")
        ours = self._ours(repository, now)
        undone = put_back(
            self.folder,
            [Change(base.commit, now, ours=True)],
            ref=f"refs/paseo/workflows/{workflow_run}/before/{now[:12]}",
            leave=[name for name in names if f"{name}/".startswith(ours)],
        )
        return undone.kept if undone.files else None

    def _ours(self, repository: Repository, commit: str) -> tuple[str, ...]:
        """What is no input of an agent, and is edited between two calls, as folders from the top of
        the repository: the notebook that this is called in, and where workflows are defined."""
        known = repository.run("ls-tree", "-r", "-d", "-z", "--name-only", "--full-tree", commit)
        ours = [f"{one}/" for one in known.decode().split("\0") if f"/{one}".endswith(DEFINED_IN)]
        if self._notebook is not None and repository.top is not None:
            top = os.path.realpath(repository.top)
            path = os.path.relpath(os.path.realpath(self._notebook), top)
            ours += [] if path.startswith("..") else [f"{path}/"]
        return tuple(ours)

    def _tree(self, commit: str, repo: str | None = None) -> str:
        repository = Repository(self.folder if repo is None else Path(repo))
        tree = repository.line("rev-parse", f"{commit}^{{tree}}")
        ours = self._ours(repository, commit) if repo is None else ()
        if not ours:
            return tree
        paths = [f":(top,literal){one[:-1]}" for one in ours]
        with repository.temporary_index() as index:
            repository.run("read-tree", tree, index=index)
            repository.run(
                "rm", "-r", "-f", "-q", "--cached", "--ignore-unmatch", "--", *paths, index=index
            )
            return repository.line("write-tree", index=index)

    def identity(self, agent: str | None) -> dict[str, Any]:
        """See `Place`. A CLI that is missing matters only where a step has to run."""
        named = agent or config.settings(self.project).agent
        if not named:
            raise UsageProblem(
                "no agent named: agent(prompt, 'provider/model'), or set `agent` in the"
                " configuration (PASEO_NB_AGENT)"
            )
        try:
            known = registry.resolve(named, self.project, os.environ)
        except (UsageProblem, NotTrusted):
            return {"agent": named}
        model = f"/{known.model}" if known.model else ""
        told = {"agent": known.provider + model, "effort": known.effort, "mode": known.mode}
        told |= {"mcp": known.mcp_set or None}
        return {name: value for name, value in told.items() if value is not None}

    def attached(self, things: Any) -> list[Any]:
        """See `Place`."""
        return attaching.blocks_of(things, self.host)

    # ------------------------------------------------------------ runs

    async def done(self, wanted: Wanted) -> Outcome:
        """See `Place`."""
        return await asyncio.wrap_future(_portal.start_soon(self._done, wanted))

    async def _done(self, wanted: Wanted) -> Outcome:
        run = AsyncRun(self.host, wanted.run_id)
        if not self.host.folder(wanted.run_id).spec.exists():
            run = await self._start(wanted)
        elif run.state == "interrupted":
            await run.resume()
        await run.wait(check=False)
        return await asyncio.to_thread(self._outcome, run, wanted)

    async def _start(self, wanted: Wanted) -> AsyncRun:
        call = wanted.call
        repo = call.repo or self.repository
        if call.isolation == "clone":
            repo = str(await asyncio.to_thread(self._room, wanted))
        wish = Wish(
            call.agent,
            call.prompt,
            worktree=wanted.branch,
            base=wanted.base if wanted.branch is not None else None,
            repo=repo,
            mode=call.mode,
            agent_mode=call.agent_mode,
            effort=call.effort,
            label=call.label,
            title=call.label,
            labels={"workflow": wanted.workflow, "step": wanted.step, **call.labels},
            mcp=call.mcp,
            schema=call.schema,
            allow=call.allow,
            deny=call.deny,
            attach=call.attach,
            budget=wanted.budget,
            token_budget=wanted.token_budget,
            timeout=wanted.timeout,
            workflow_run=wanted.workflow_run,
            match=call.match,
        )
        prepared = await asyncio.to_thread(preparing.prepare, wish, self.host)
        idempotency = {"PASEO_STEP_KEY": f"{wanted.workflow_run}/{wanted.step}"}
        return await launch(self.host, prepared, wanted.run_id, idempotency)

    def _room(self, wanted: Wanted) -> Path:
        """A clone for a contestant: see `git.rooms`."""
        if wanted.base is None:
            raise UsageProblem("a clone is made of a git repository's files: there is none here")
        return rooms.make_room(wanted.run_id, Path(wanted.call.repo or self.folder), wanted.base)

    def _brought(self, run: AsyncRun, wanted: Wanted, commit: str) -> None:
        """What was made in a clone, in the repository that it is of."""
        repository = Repository(Path(wanted.call.repo or self.folder))
        rooms.carry(Path(run.spec.cwd), repository.folder, commit, without=wanted.base)
        ref = f"refs/paseo/workflows/{wanted.workflow_run}/{wanted.step}"
        repository.run("update-ref", ref, commit)

    def _outcome(self, run: AsyncRun, wanted: Wanted) -> Outcome:
        history, spec = run.history(), run.spec
        turn = history.turn
        ours = spec.worktree is not None
        outcome = Outcome(usage=history.charged)
        if ours:
            outcome.branch, outcome.path = spec.branch, spec.cwd
        if turn is None or turn.outcome != "end_turn":
            outcome.cause, outcome.message = why(turn)
            return outcome
        told = [one.value for one in history.turns if one.value is not None]
        outcome.text = history.text
        outcome.value = told[-1] if told and spec.schema is not None else None
        if (ours or spec.mode != "read") and turn.git_after is not None:
            with contextlib.suppress(GitProblem):
                if wanted.call.isolation == "clone":
                    self._brought(run, wanted, turn.git_after)
                    outcome.path = spec.cwd
                outcome.tree = self._tree(turn.git_after, wanted.call.repo)
                outcome.commit, outcome.base = turn.git_after, run.base
        return outcome

    async def cancel(self, run_id: str) -> None:
        """See `Place`."""
        await asyncio.wrap_future(_portal.start_soon(self._cancel, run_id))

    async def _cancel(self, run_id: str) -> None:
        if self.host.folder(run_id).spec.exists():
            with contextlib.suppress(PaseoError):
                await AsyncRun(self.host, run_id).stop()

    async def put_away(self, run_id: str) -> None:
        """See `Place`."""
        await asyncio.wrap_future(_portal.start_soon(AsyncRun(self.host, run_id).archive))

    async def bring_back(self, run_id: str) -> None:
        """See `Place`."""
        await asyncio.wrap_future(_portal.start_soon(AsyncRun(self.host, run_id).unarchive))

    async def seen(self, run_id: str) -> tuple[str, Usage]:
        """See `Place`."""
        return await asyncio.to_thread(self._seen, run_id)

    def _seen(self, run_id: str) -> tuple[str, Usage]:
        if not run_id or not self.host.folder(run_id).spec.exists():
            return "none", Usage()
        run = AsyncRun(self.host, run_id)
        return run.state, run.charged

    async def pin(self, workflow_run: str, step: str, commit: str, branch: str | None) -> None:
        """See `Place`."""
        await asyncio.to_thread(self._pin, workflow_run, step, commit, branch)

    def _pin(self, workflow_run: str, step: str, commit: str, branch: str | None) -> None:
        with contextlib.suppress(GitProblem):  # the files are of use where git still has them
            repository = Repository(self.folder)
            repository.run("update-ref", f"refs/paseo/workflows/{workflow_run}/{step}", commit)
            if branch is not None and repository.commit(f"refs/heads/{branch}") is None:
                repository.run("branch", "--no-track", branch, commit)


def why(turn: Turn | None) -> tuple[str, str]:
    """What a turn that did not end well is told as: cause, message."""
    if turn is None or turn.outcome in (None, "interrupted"):
        return "interrupted", "its processes died in mid-turn"
    if turn.error is not None:
        return turn.error.code, turn.error.message
    return str(turn.outcome), f"the turn ended as {turn.outcome}"
