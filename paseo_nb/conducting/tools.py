"""The tools that an agent conducts with: each a typed question (`asked`) and a plain answer.

A conductor is a run (`parent`), which sees and commands the runs below it, or nobody: then the
tools are those of a user, in an MCP client of theirs. Whatever is started here is an ordinary run
with its own pair of processes; nothing is kept in this process. Longer than other files, as it is
the one list of tools.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from .. import preparing, unfinished
from ..drivers import registry
from ..errors import UsageProblem
from ..finding import find_run, live_in
from ..git.commands import Repository
from ..git.worktrees import Worktree, ensure_worktree
from ..handle import AsyncRun, launch
from ..host.local import LocalHost
from ..journal import lock_held
from ..model import BUSY_STATES, MODES, OWN_LABELS, Allow, Deny, Permission, new_run_id, now_us
from ..preparing import Wish
from . import asked, bounds, told
from .asked import Asked
from .told import Json

POLL_S = 0.1
WAIT_S = 30.0
LAUNCH_S = 60.0
NEWS_S = 5.0  # a parent looks into its inbox as often


class Conductor:
    """Carries the tools out for one parent, or for nobody."""

    def __init__(self, host: LocalHost, parent_id: str | None = None) -> None:
        self.host = host
        self.parent = AsyncRun(host, parent_id) if parent_id is not None else None
        self._said: set[tuple[str, str]] = set()
        self._runs: dict[str, AsyncRun] = {}  # what was read of their journals

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Json:
        """Carry a tool out. UsageProblem, and whatever else the library raises."""
        if name not in TOOLS:
            raise UsageProblem(f"no tool {name!r}; there are {', '.join(TOOLS)}")
        kind, work = TOOLS[name]
        given, ignored = asked.read(kind, arguments)
        answer = await work(self, given)
        return {**answer, "ignored": ignored} if ignored else answer

    # ------------------------------------------------------------ starting

    async def create_agent(self, given: asked.CreateAgent) -> Json:
        """See `asked.CreateAgent`."""
        run = await self._create(given)
        if given.background:
            return told.standing(run) | {"lastMessage": None}
        return await self._settled(run, WAIT_S)

    async def spawn_subagent(self, given: asked.SpawnSubagent) -> Json:
        """See `asked.SpawnSubagent`."""
        return told.standing(await self._create(given))

    async def _create(self, given: asked.CreateAgent) -> AsyncRun:
        parent, settings = self.parent, given.settings or asked.Settings()
        base = given.base_branch
        if given.github_pr_number is not None:
            base = f"pr/{given.github_pr_number}"
        mode = given.mode or settings.mode_id
        wish = Wish(
            given.provider,
            given.initial_prompt,
            worktree=given.worktree_name,
            base=base,
            repo=given.cwd or (parent.spec.cwd if parent is not None else None),
            mode=mode if mode in MODES else None,
            agent_mode=None if mode in MODES else mode,
            effort=given.thinking or settings.thinking_option_id,
            title=given.title,
            labels=self._labels() | given.labels,
            deny=given.deny,
            budget=given.budget_usd,
            token_budget=given.token_budget,
            timeout=given.timeout_s,
            conduct=given.conduct,
        )
        if parent is None:
            return await launch(
                self.host, await anyio.to_thread.run_sync(preparing.prepare, wish, self.host)
            )
        wish = bounds.policy(wish, parent)
        wish.receivers = [{"run": parent.id, "prompt": given.notify_on_finish}]
        async with self._one_by_one(parent):
            await self._given_back(parent)
            wish = await anyio.to_thread.run_sync(bounds.limits, wish, parent)
            prepared = await anyio.to_thread.run_sync(preparing.prepare, wish, self.host)
            most, run_id = wish.most, new_run_id()
            assert most is not None
            part = {"child": run_id, "cost_usd": most.cost_usd, "tokens": most.tokens}
            await self._say("expect", part)
            try:
                return await launch(self.host, prepared, run_id)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._say("expect", {"child": run_id, "over": True})
                raise

    async def _given_back(self, parent: AsyncRun) -> None:
        """What children left of their parts is back before the rest is counted: those that never
        came (whoever was launching one was killed), and those that are just over."""
        for child in await anyio.to_thread.run_sync(bounds.unborn, parent):
            await self._say("expect", {"child": child, "over": True})
        with anyio.move_on_after(NEWS_S):
            while await anyio.to_thread.run_sync(bounds.untold, parent):
                await self.host.command(parent.id, "nudge")
                await anyio.sleep(POLL_S)

    def _labels(self) -> dict[str, str]:
        """What a child is found by as its parent is; not whose step its parent is."""
        labels = self.parent.spec.labels if self.parent is not None else {}
        return {name: value for name, value in labels.items() if name not in OWN_LABELS}

    def _one_by_one(self, parent: AsyncRun) -> Any:
        """What a parent has left is counted and taken by one launch at a time."""
        return _Lock(self.host, f"runs/{parent.id}/family.lock")

    async def _say(self, verb: str, args: Json) -> None:
        """Have the parent's supervisor journal something."""
        if self.parent is not None:
            await self.host.command(self.parent.id, verb, args)

    # ------------------------------------------------------------ one agent

    async def wait_for_agent(self, given: asked.WaitForAgent) -> Json:
        """See `asked.WaitForAgent`."""
        return await self._settled(self._any(given.agent_id), given.timeout_s)

    async def _settled(self, run: AsyncRun, within_s: float) -> Json:
        """Where an agent stands when it has finished, failed or asks, or after so long. What it
        tells is not told again."""
        deadline = time.monotonic() + within_s
        while True:
            state = await anyio.to_thread.run_sync(lambda: run.state)
            history, waiting = run.history(), run.pending()
            if waiting or not (state in BUSY_STATES or history.queued or history.turn_open):
                break
            if time.monotonic() > deadline:
                return told.standing(run) | {
                    "lastMessage": None,
                    "message": f"It is still at work after {within_s:g} s: call wait_for_agent"
                    " again, or go on with something else; you will be told.",
                }
            await anyio.sleep(POLL_S)
        answer = told.standing(run) | {"lastMessage": None}
        turn = told.last_turn(run)
        if waiting:
            await self._heard(run, waiting[0].id)
        elif turn is not None:
            answer |= told.outcome(run, turn)
            await self._heard(run, f"t{turn.turn}")
        return answer

    async def _heard(self, run: AsyncRun, key: str) -> None:
        """The parent knows: it is not told again."""
        if self.parent is not None and run.parent == self.parent.id:
            if (run.id, key) in self._said:
                return
            self._said.add((run.id, key))
            await self._say("heard", {"news": [[run.id, key]]})

    async def send_agent_prompt(self, given: asked.SendAgentPrompt) -> Json:
        """See `asked.SendAgentPrompt`."""
        run = self._mine(given.agent_id)
        if given.mode is not None:
            await self._set_mode(run, given.mode)
        if self.parent is None or run.parent != self.parent.id:
            await run.send(given.prompt, when=given.when)
        else:
            receiver = {"run": self.parent.id, "prompt": given.notify_on_finish}
            if receiver not in run.spec.receivers:
                await run.note("on_finish", receiver)
            async with self._one_by_one(self.parent):
                await self._given_back(self.parent)
                part = await anyio.to_thread.run_sync(bounds.may_go_on, run, self.parent)
                await self._say("expect", part)
                await run.send(given.prompt, when=given.when)
        if given.background:
            return told.standing(run) | {"steered": given.when == "steer"}
        return await self._settled(run, WAIT_S) | {"steered": given.when == "steer"}

    async def _set_mode(self, run: AsyncRun, mode: str) -> None:
        if mode not in MODES:
            raise UsageProblem(f"no mode {mode!r}; there are {', '.join(MODES)}")
        held = bounds.mode_of(self.parent) if self.parent is not None else "auto"
        if bounds.WIDTH[mode] > bounds.WIDTH[held]:
            raise UsageProblem(f"mode {mode!r} is wider than yours, {held!r}")
        if bounds.mode_of(run) != mode:
            await run.set_mode(mode)

    async def get_agent_status(self, given: asked.GetAgentStatus) -> Json:
        """See `asked.GetAgentStatus`."""
        run = self._any(given.agent_id)
        facts = await anyio.to_thread.run_sync(told.snapshot, run)
        return {"status": facts["status"], "snapshot": facts}

    async def subagent_status(self, given: asked.SubagentStatus) -> Json:
        """See `asked.SubagentStatus`."""
        run = self._any(given.agent_id)
        turn = told.last_turn(run)
        facts = await anyio.to_thread.run_sync(told.standing, run)
        return facts | {"outcome": turn.outcome if turn is not None else None}

    async def subagent_result(self, given: asked.SubagentResult) -> Json:
        """See `asked.SubagentResult`."""
        run = self._any(given.agent_id)
        turn = told.last_turn(run, given.turn)
        if turn is None:
            raise UsageProblem(f"{run.id} has no such turn that ended; wait_for_agent waits for it")
        page = await anyio.to_thread.run_sync(told.result, run, turn, given.offset, given.limit)
        await self._heard(run, f"t{turn.turn}")
        return page

    async def get_agent_activity(self, given: asked.GetAgentActivity) -> Json:
        """See `asked.GetAgentActivity`."""
        from ..widgets.logs import plain_transcript

        run = self._any(given.agent_id)
        text = await anyio.to_thread.run_sync(lambda: plain_transcript(run.history(), given.limit))
        offset = max(0, len(text) - asked.PAGE) if given.offset is None else given.offset
        page = told.page(text, offset)
        facts = {"agentId": run.id, "updateCount": len(run.history().items)}
        return facts | {"currentModeId": bounds.mode_of(run), "content": page.pop("text"), **page}

    async def cancel_agent(self, given: asked.CancelAgent) -> Json:
        """See `asked.CancelAgent`."""
        await self._mine(given.agent_id).cancel()
        return {"success": True}

    async def kill_agent(self, given: asked.KillAgent) -> Json:
        """See `asked.KillAgent`."""
        await self._mine(given.agent_id).stop()
        return {"success": True}

    async def archive_agent(self, given: asked.ArchiveAgent) -> Json:
        """See `asked.ArchiveAgent`."""
        await self._mine(given.agent_id).archive(children=True)
        return {"success": True}

    async def list_agents(self, given: asked.ListAgents) -> Json:
        """See `asked.ListAgents`."""

        def find() -> list[Json]:
            found: list[Json] = []
            for run in reversed(self._family()):
                since = given.since_hours
                if since is not None and now_us() - run.spec.created_us > since * 3.6e9:
                    continue
                if given.cwd is not None and Path(run.spec.cwd) != Path(given.cwd).resolve():
                    continue
                facts = told.short(run)
                wanted = {facts["status"], facts["state"]} & set(given.statuses)
                away = facts["state"] == "archived" and not given.include_archived
                if away or (given.statuses and not wanted):
                    continue
                found.append(facts)
                if len(found) >= given.limit:
                    break
            return found

        return {"agents": await anyio.to_thread.run_sync(find)}

    # ------------------------------------------------------------ permissions

    async def list_pending_permissions(self, given: asked.ListPendingPermissions) -> Json:
        """See `asked.ListPendingPermissions`."""
        runs = [self._mine(given.agent_id)] if given.agent_id is not None else self._family()
        found = [
            {"agentId": run.id, "status": told.STATUS[run.state], "request": told.permission(one)}
            for run in runs
            if run.state == "waiting"
            for one in run.pending()
        ]
        return {"permissions": found}

    async def respond_to_permission(self, given: asked.RespondToPermission) -> Json:
        """See `asked.RespondToPermission`."""
        run, response = self._mine(given.agent_id), given.response
        waiting = {one.id: one for one in run.pending()}
        if given.request_id not in waiting:
            raise UsageProblem(f"{run.id} waits for no permission {given.request_id!r}")
        by = f"agent {self.parent.id}" if self.parent is not None else "user"
        if response.behavior == "deny":
            answer: Allow | Deny = Deny(response.message, response.interrupt)
        else:
            option = response.selected_action_id
            always = self._always(waiting[given.request_id], option)
            self._check_allowed(waiting[given.request_id], run, always or response.updated_input)
            answer = Allow(option=option, input=response.updated_input, message=response.message)
        await run.answer(answer, given.request_id, by=by)
        return {"success": True}

    def _check_allowed(self, asked_for: Permission, run: AsyncRun, wider: Any) -> None:
        """UsageProblem where the parent's own policy does not let it pass."""
        if self.parent is None:
            return
        decision = bounds.may_answer(asked_for, run, self.parent)
        if decision.verdict == "deny":
            raise UsageProblem(f"your own policy forbids it ({decision.rule}): deny it")
        if decision.verdict == "ask":
            raise UsageProblem(
                f"your own policy leaves this to a person ({decision.rule}), so it waits for one;"
                " you may deny it"
            )
        if wider and bounds.mode_of(self.parent) != "auto":
            raise UsageProblem("allow it once and as it was asked for: more is a person's to give")

    @staticmethod
    def _always(one: Permission, option: str | None) -> bool:
        kinds = [o.get("kind") for o in one.options if o.get("optionId") == option]
        return option is not None and kinds != ["allow_once"]

    # ------------------------------------------------------------ providers

    async def list_providers(self, given: asked.ListProviders) -> Json:
        """See `asked.ListProviders`."""
        from ..examining_agents import look

        project = preparing.project_of(self.host)
        found = await anyio.to_thread.run_sync(lambda: look(project))
        kept = ("models", "mcp", "asks", "problem", "notes")
        return {
            "providers": [
                {"id": facts.provider, "label": facts.provider, "available": facts.problem is None}
                | {name: getattr(facts, name) for name in kept}
                for _, facts in found
            ]
        }

    async def list_models(self, given: asked.ListModels) -> Json:
        """See `asked.ListModels`."""
        from ..examining_agents import look

        project = preparing.project_of(self.host)
        known = registry.providers(project)
        name = given.provider.partition("/")[0]
        if name not in known:
            raise UsageProblem(registry.unknown_provider(name, known))
        found = await anyio.to_thread.run_sync(lambda: look(project, [name]))
        facts = found[0][1]
        models = [{"id": model, "provider": name} for model in facts.models or ()]
        told_of = {"provider": name, "models": models, "modes": facts.modes}
        return told_of | ({"problem": facts.problem} if facts.problem else {})

    # ------------------------------------------------------------ worktrees

    async def create_worktree(self, given: asked.CreateWorktree) -> Json:
        """See `asked.CreateWorktree`."""
        folder, home = self._cwd(given.cwd), self.host.home

        name, nobody = given.worktree_slug, new_run_id()  # whose note a killed making leaves

        def live(path: Path) -> str | None:
            return live_in(self.host, path)

        def note(repository: Repository, commit: str) -> None:
            unfinished.note(self.host, nobody, repository, name, commit)

        def make() -> Worktree:
            with (
                self.host.holding("launch.lock", preparing.LAUNCH_S),
                unfinished.making(self.host, nobody),
            ):
                unfinished.check(self.host, home / "worktrees" / name, nobody)
                return ensure_worktree(folder, name, home, live, given.base_branch, note)

        made = await anyio.to_thread.run_sync(make)
        facts = {"worktreePath": str(made.path), "branchName": made.branch, "head": made.base}
        return facts | {"created": made.created}

    async def list_worktrees(self, given: asked.ListWorktrees) -> Json:
        """See `asked.ListWorktrees`."""
        found = await anyio.to_thread.run_sync(told.worktrees, self._cwd(given.cwd))
        return {"worktrees": found}

    async def archive_worktree(self, given: asked.ArchiveWorktree) -> Json:
        """See `asked.ArchiveWorktree`."""
        ours = (self.host.home / "worktrees").resolve()
        named = given.worktree_path or given.worktree_slug
        if not named:
            raise UsageProblem("name it by worktreePath or worktreeSlug")
        path = (ours / named).resolve()
        if not path.is_relative_to(ours) or not (path / ".git").exists():
            raise UsageProblem(f"{named} is no worktree of this project's")
        folder = self._cwd(given.cwd)

        def remove() -> None:
            with self.host.holding("launch.lock", preparing.LAUNCH_S):  # no run begins in it
                self._check_free(path)
                Repository(folder).run("worktree", "remove", str(path))

        await anyio.to_thread.run_sync(remove)
        return {"success": True}

    def _check_free(self, path: Path) -> None:
        """UsageProblem for a worktree that a run lives in, or one that is not the parent's family's
        has not put away."""
        for run_id in self.host.list():
            run = self._any(run_id)
            if run.path != path or run.history().archived:
                continue
            if lock_held(self.host.folder(run_id).lock):
                raise UsageProblem(f"{run_id} lives in {path}: kill or archive it first")
            if self.parent is not None and run_id != self.parent.id and not self._below(run):
                raise UsageProblem(f"{run_id} works in {path}, and is not one of your agents")

    def _cwd(self, given: str | None) -> Path:
        base = Path(self.parent.spec.cwd) if self.parent is not None else Path.cwd()
        folder = (base / given).resolve() if given else base
        if not folder.is_dir():
            raise UsageProblem(f"{given!r} is no folder")
        return folder

    # ------------------------------------------------------------ steps

    async def next_step(self, given: asked.NextStep) -> Json:
        """See `asked.NextStep`."""
        return await self._step()

    async def step_done(self, given: asked.StepDone) -> Json:
        """See `asked.StepDone`."""
        parent = self._conducting()
        if given.name not in parent.spec.steps:
            raise UsageProblem(f"no step {given.name!r}; there are {parent.spec.steps}")
        if given.name not in {one.name for one in parent.steps if one.begun}:
            raise UsageProblem(f"{given.name!r} was never begun: next_step begins one")
        await self._say("step", {"name": given.name, "done": True, "note": given.note})
        return await self._step()

    async def _step(self) -> Json:
        """The first step that is not done; begun by that."""
        parent = self._conducting()
        steps = parent.steps
        one = next((step for step in steps if not step.done), None)
        if one is not None and not one.begun:
            await self._say("step", {"name": one.name, "done": False})
        left = [step.name for step in steps if not step.done]
        return {"step": one.name if one is not None else None, "left": left}

    # ------------------------------------------------------------ who may be meant

    def _conducting(self) -> AsyncRun:
        if self.parent is None or not self.parent.spec.steps:
            raise UsageProblem("you were given no steps")
        return self.parent

    def _any(self, ident: str) -> AsyncRun:
        run_id = find_run(self.host, ident)
        return self._runs.setdefault(run_id, AsyncRun(self.host, run_id))

    def _mine(self, ident: str) -> AsyncRun:
        """A run that the parent may command: one below it. UsageProblem."""
        run = self._any(ident)
        if self.parent is None or self._below(run):
            return run
        raise UsageProblem(f"{run.id} is not one of your agents")

    def _below(self, run: AsyncRun) -> bool:
        at = run.parent
        while at is not None and self.parent is not None:
            if at == self.parent.id:
                return True
            try:
                at = self.host.spec(at).parent_run_id
            except UsageProblem:
                return False
        return False

    def _family(self) -> list[AsyncRun]:
        """The runs below the parent, oldest first; all of the project's where there is none."""
        found: list[AsyncRun] = []
        above = {self.parent.id} if self.parent is not None else set[str]()
        for run_id in self.host.list():
            try:
                spec = self.host.spec(run_id)
            except UsageProblem:
                continue
            if self.parent is None or spec.parent_run_id in above:
                above.add(run_id)
                found.append(self._any(run_id))
        return found


class _Lock:
    """A project's lock, held over what is awaited."""

    def __init__(self, host: LocalHost, name: str) -> None:
        self._held = host.holding(name, LAUNCH_S)

    async def __aenter__(self) -> None:
        await anyio.to_thread.run_sync(self._held.__enter__)

    async def __aexit__(self, *_: object) -> None:
        self._held.__exit__(None, None, None)


Work = Callable[[Conductor, Any], Awaitable[Json]]
_KINDS: tuple[type[Asked], ...] = (
    asked.CreateAgent, asked.WaitForAgent, asked.SendAgentPrompt, asked.GetAgentStatus,
    asked.GetAgentActivity, asked.ListAgents, asked.CancelAgent, asked.KillAgent,
    asked.ArchiveAgent, asked.ListPendingPermissions, asked.RespondToPermission,
    asked.ListProviders, asked.ListModels, asked.CreateWorktree, asked.ListWorktrees,
    asked.ArchiveWorktree, asked.SpawnSubagent, asked.SubagentStatus, asked.SubagentResult,
    asked.NextStep, asked.StepDone,
)  # fmt: skip


def _name(kind: type[Asked]) -> str:
    """`create_agent` of `CreateAgent`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in kind.__name__).lstrip("_")


TOOLS: dict[str, tuple[type[Asked], Work]] = {
    _name(kind): (kind, getattr(Conductor, _name(kind))) for kind in _KINDS
}
STEPS = frozenset({"next_step", "step_done"})
