"""The place where steps are runs on a cluster, with files that come from here and go back here.

The run of a step is placed by the cluster, with the files as they are here; once its turn is over,
its commit is fetched, its journal comes to the project as that of a finished run, and the step
counts as one that was done here. Keys, worktrees' branches and the shared files stay here.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from pathlib import Path
from typing import Any

from .. import carrying, placing
from ..distant import FarRun
from ..errors import GitProblem, PaseoError, UsageProblem
from ..git import snapshots
from ..git.commands import Repository
from ..git.undoing import Change, put_back
from ..handle import AsyncRun
from ..host.cluster import DaskHost, WorkerLost
from ..host.local import LocalHost
from ..model import Usage
from .agents import AgentPlace, why
from .values import Outcome, Wanted


class FarPlace(AgentPlace):
    """Runs of agents on a cluster."""

    def __init__(self, host: LocalHost, on: DaskHost, notebook: str | None = None) -> None:
        super().__init__(host, notebook)
        self.on = on
        self.where: str | None = on.name
        self.places: int | None = on.checked() or None

    # ------------------------------------------------------------ runs

    async def _done(self, wanted: Wanted) -> Outcome:
        if not self._is_home(wanted.run_id):
            try:
                run = await self._placed(wanted)
                await run.wait(check=False)
                turn = run.history().turn
                if turn is None or turn.outcome in (None, "interrupted"):
                    cause, message = why(turn)
                    return Outcome(cause=cause, message=message, usage=run.charged)
                await asyncio.to_thread(self._bring_home, run, wanted)
            except WorkerLost as error:  # also when all was done, but had not come here
                return Outcome(cause="interrupted", message=str(error))
        here = AsyncRun(self.host, wanted.run_id)
        return await asyncio.to_thread(self._outcome, here, wanted)

    def _is_home(self, run_id: str) -> bool:
        return self.host.folder(run_id).spec.exists()

    async def _placed(self, wanted: Wanted) -> FarRun:
        """The run of a step: begun, attached to, or gone on with where its worker was lost."""
        run_id = wanted.run_id
        known = await asyncio.to_thread(self.on.known, run_id)
        if known is None:
            order, values = await asyncio.to_thread(self._order, wanted)
            await self.on.place(run_id, order, values)
        elif known.lost:
            await self.on.again(run_id, [], uuid.uuid4().hex, whole=True)
        run = FarRun(self.on, run_id)
        if known is not None and not known.lost:
            state = await asyncio.to_thread(lambda: run.state)
            if self.on.placement(run_id).lost:
                return await self._placed(wanted)
            if state == "interrupted":
                await run.resume()
        return run

    def _order(self, wanted: Wanted) -> Any:
        call, folder = wanted.call, Path(wanted.call.repo or self.folder)
        commit = wanted.base
        if call.isolation is None and commit is not None:  # the files as they are now
            commit = snapshots.snapshot(folder, ref=f"{self._ref(wanted)}-from")
        if call.isolation == "clone" and commit is None:
            raise UsageProblem("a clone is made of a git repository's files: there is none here")
        wish: dict[str, Any] = {
            "agent": call.agent, "prompt": call.prompt, "mode": call.mode,
            "agent_mode": call.agent_mode, "effort": call.effort, "label": call.label,
            "title": call.label, "mcp": call.mcp, "schema": call.schema, "allow": call.allow,
            "deny": call.deny, "attach": call.attach, "budget": wanted.budget,
            "token_budget": wanted.token_budget, "timeout": wanted.timeout,
            "workflow_run": wanted.workflow_run, "match": call.match,
            "labels": {"workflow": wanted.workflow, "step": wanted.step, **call.labels},
        }  # fmt: skip
        if commit is not None and call.isolation != "clone":
            wish |= {"worktree": wanted.branch or f"wf/{wanted.run_id}", "base": commit}
        more = {"PASEO_STEP_KEY": f"{wanted.workflow_run}/{wanted.step}"}
        room = call.isolation == "clone"
        return placing.order_of(self.on, wish, folder, commit, room=room, more=more)

    def _ref(self, wanted: Wanted) -> str:
        return f"refs/paseo/workflows/{wanted.workflow_run}/{wanted.step}"

    def _bring_home(self, run: FarRun, wanted: Wanted) -> None:
        """First what it did, then its journal: once that is here, the run is not asked again."""
        call = wanted.call
        if run.spec.git_base is not None and (call.isolation is not None or call.mode != "read"):
            repository = Repository(Path(call.repo or self.folder))
            with contextlib.suppress(GitProblem):  # as here: then it has no files to show
                told = carrying.fetch_result(run, repository)
                repository.run("update-ref", self._ref(wanted), told["after"])
                if call.writes:
                    self._put_here(wanted, str(told["after"]), str(told["base"]))
        carrying.carry_home(self.on, run.id, self.host)
        with contextlib.suppress(PaseoError):
            self.on.ask("POST", f"/runs/{run.id}/away", {}, patience_s=0)

    def _put_here(self, wanted: Wanted, after: str, base: str) -> None:
        """What a step did to the files that others see."""
        if after != base:
            ref = f"refs/paseo/workflows/{wanted.workflow_run}/before/{after[:12]}"
            put_back(self.folder, [Change(after, base, ours=True)], ref=ref, leave=[])

    def _outcome(self, run: AsyncRun, wanted: Wanted) -> Outcome:
        history, call = run.history(), wanted.call
        turn, outcome = history.turn, Outcome(usage=history.charged)
        if call.isolation == "worktree":
            outcome.branch = wanted.branch
        if turn is None or turn.outcome != "end_turn":
            outcome.cause, outcome.message = why(turn)
            return outcome
        told = [one.value for one in history.turns if one.value is not None]
        outcome.text = history.text
        outcome.value = told[-1] if told and run.spec.schema is not None else None
        commit = Repository(Path(call.repo or self.folder)).commit(self._ref(wanted))
        if commit is not None:
            with contextlib.suppress(GitProblem):
                outcome.tree = self._tree(commit, call.repo)
                outcome.commit, outcome.base = commit, run.spec.git_base
        return outcome

    async def _cancel(self, run_id: str) -> None:
        await self.on.begun(run_id)
        known = await asyncio.to_thread(self.on.known, run_id)
        if known is not None and not known.lost and not self._is_home(run_id):
            with contextlib.suppress(PaseoError):
                await FarRun(self.on, run_id).stop()

    async def put_away(self, run_id: str) -> None:
        """See `Place`: there is no worktree of it here."""

    async def bring_back(self, run_id: str) -> None:
        """See `Place`."""

    def _seen(self, run_id: str) -> tuple[str, Usage]:
        if not run_id or self._is_home(run_id):
            return super()._seen(run_id)
        if self.on.known(run_id) is None:
            return "none", Usage()
        run = FarRun(self.on, run_id)
        try:
            return run.state, run.charged
        except UsageProblem:  # it has its place, and never began there
            return "none", Usage()
