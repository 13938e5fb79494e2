"""The Run handle, what a user holds: a `RunView` with its verbs, which go through the host.

The synchronous `Run` of `import paseo_nb` is `_sync.Run`, generated from `AsyncRun`.
Longer than other files, as it is the one list of what a run can do.
"""

from __future__ import annotations

import inspect
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from . import budgets, config, forking, preparing, refusing, undoing
from .answering import Answer, OnPermission, answer_of, arguments, checked_on_permission
from .applying import Applied, apply_run
from .attaching import Attachments, blocks_of
from .drivers import registry
from .environments import environment_again
from .errors import RunTimeout, UsageProblem
from .finding import session_run
from .history import History
from .host.local import LocalHost
from .journal import lock_held
from .model import BUSY_STATES, Allow, Deny, Event, Permission, When, new_run_id, short_id
from .putting_away import bring_back, put_away
from .rundiff import RunDiff
from .runview import RunView, Watch, permission_needed, raise_for
from .unfinished import making

POLL_S = 0.03
CHECK_S = 0.25
STOP_S = 30.0
FORCE_S = 8.0  # longer than an agent has to leave when its run is stopped


class AsyncRun(RunView):
    """A run with its verbs, to await."""

    def __init__(self, host: LocalHost, run_id: str, cached: bool = False) -> None:
        super().__init__(host, run_id)
        self.cached = cached
        self._owed: set[str] = set()

    def _ipython_display_(self) -> None:
        """Live where a browser shows widgets, else as `_repr_mimebundle_` has it."""
        from .widgets.live import show_run

        if not show_run(self):
            raise NotImplementedError  # IPython's word for: show it the other way

    def environment(self) -> dict[str, str]:
        """What its agent gets from whoever brings it back."""
        return environment_again(self.spec, preparing.project_of(self.host))

    def _check_awake(self) -> None:
        """UsageProblem for an archived run, ReplayMiss where no agent is to be started."""
        if self.history().archived:
            raise UsageProblem(f"run {short_id(self.id)} is archived: unarchive it first")
        preparing.check_no_replay(self.host)

    # ------------------------------------------------------------ turns

    async def send(
        self, prompt: str, *, when: When = "queue", attach: Attachments | None = None
    ) -> AsyncRun:
        """Give the run another prompt; returns once it is kept, not when it is answered.

        when: "queue" (after the running turn), "interrupt" (cancel the running turn first) or
        "steer" (into the running turn, where the agent can; else queued, and said so). A run
        without processes is brought back by the agent's own session first.
        """
        return await self.send_once(uuid.uuid4().hex, prompt, when=when, attach=attach)

    async def send_once(
        self,
        ident: str,
        prompt: str,
        *,
        when: When = "queue",
        attach: Attachments | None = None,
        most: Mapping[str, float] | None = None,
    ) -> AsyncRun:
        """The same under an id of the caller's: sent again with it, it counts once. most: limits of
        its turn in place of the run's: timeout_s, cost_usd."""
        prompt = refusing.checked_prompt(prompt)
        self._check_awake()
        if when not in ("queue", "steer", "interrupt"):
            raise UsageProblem(f"when={when!r}: use queue, steer or interrupt")
        blocks = [{"type": "text", "text": prompt}]
        blocks += await anyio.to_thread.run_sync(blocks_of, attach, self.host)
        if any(block["type"] == "image" for block in blocks):
            known = registry.providers(preparing.project_of(self.host))
            if self.spec.provider in known:
                refusing.check_images(known[self.spec.provider], blocks)
        await self.host.command(
            self.id,
            "send",
            {"prompt": blocks, "when": when, **self._bounds(most)},
            command_id=ident,
            environment=self.environment(),
        )
        self._owed.add(ident)
        return self

    def _bounds(self, most: Mapping[str, float] | None) -> dict[str, Any]:
        """What goes with a prompt: its turn's own limits, and the budgets that all runs share as
        the settings have them now."""
        given: dict[str, Any] = {"most": dict(most)} if most else {}
        common = budgets.common(config.settings(preparing.project_of(self.host)))
        if common or self.spec.limits.common:
            given["common"] = msgspec.to_builtins(common)
        return given

    async def wait(
        self,
        timeout: float | None = None,
        *,
        on_permission: OnPermission = "wait",
        check: bool = True,
        watch: Watch | None = None,
    ) -> AsyncRun:
        """Wait until its turn, and whatever this handle sent, is done; returns the run.

        Raises RunTimeout after `timeout` seconds (the run goes on), PermissionNeeded where the
        agent asks and `on_permission="raise"`, and with `check` RunFailed, RunInterrupted or
        RunCancelled for a turn that did not end well. `watch` is called about every 30 ms.
        `on_permission` may also be a function: it is called with each question, once, and returns
        `Allow(…)`, `Deny(…)`, True, False, a reason to deny, or None to leave it to others; while
        it thinks, the permission's time does not run out.
        """
        on_permission = checked_on_permission(on_permission)
        asked: set[str] = set()
        deadline = None if timeout is None else time.monotonic() + timeout
        looked = 0.0
        while True:
            history = self.history()
            if watch is not None:
                watch(self)
            if self._settled(history):
                break
            now = time.monotonic()
            for permission in history.open_permissions():
                if on_permission == "raise":
                    raise permission_needed(self, permission)
                if callable(on_permission) and permission.id not in asked:
                    asked.add(permission.id)
                    await self._ask(on_permission, permission)
            if deadline is not None and now > deadline:
                raise RunTimeout(
                    f"run {short_id(self.id)} is still at work after {timeout:g} s; it goes on",
                    self,
                )
            if now - looked > CHECK_S:
                looked = now
                state = await anyio.to_thread.run_sync(self.host.state, self.id, history.state)
                if state not in BUSY_STATES and not self._alive():
                    if not self._owed - self.history().commands_done:
                        break
                    # Kept, but its pair died before the turn began: bring it back, once a look.
                    await self.host.ensure(self.id, None, self.environment())
            await anyio.sleep(POLL_S)
        self._owed.clear()
        if check:
            raise_for(self)
        return self

    def _alive(self) -> bool:
        return self.host.alive(self.id)

    def _settled(self, history: History) -> bool:
        if history.turn_open or not history.turns:
            return history.ended is not None and not self._alive()
        return not (self._owed - history.commands_done)

    async def stream(self, *, follow: bool = True) -> AsyncIterator[Event]:
        """Its events from the first on, then live until the turn ends (`follow=False`: what is
        there now)."""
        offset, turn_end = 0, False
        reading = self.history().reading
        while True:
            lines, offset = self.host.events(self.id, offset)
            for line in lines:
                yield reading.event(line)
                turn_end = line.dir == "own" and line.kind in ("turn_end", "state", "run_ended")
            if not follow or (turn_end and not lines and self._settled(self.history())):
                return
            if not lines:
                if self.state not in BUSY_STATES and self._settled(self.history()):
                    turn_end = True
                    continue
                await anyio.sleep(POLL_S)

    async def cancel(self) -> AsyncRun:
        """End the running turn; the run stays. Nothing to do where none runs."""
        await self.host.command(self.id, "cancel", {"by": "user"})
        return self

    async def stop(self, *, force: bool = False) -> AsyncRun:
        """End the agent's processes; `resume` or `send` bring the run back. Returns when they
        are gone, or raises Unreachable after 30 s; `force` kills what does not leave by itself (a
        suspended pair; the run is then interrupted)."""
        folder = self.host.folder(self.id)
        if not (force and self.state == "unresponsive"):
            await self.host.command(self.id, "stop")
            with anyio.move_on_after(FORCE_S if force else STOP_S):
                while lock_held(folder.lock):
                    await anyio.sleep(POLL_S)
        if lock_held(folder.lock):
            if not force:
                raise self.host.unreachable(self.id)
            await anyio.to_thread.run_sync(self.host.kill, self.id)
        return self

    async def resume(
        self, prompt: str | None = None, *, most: Mapping[str, float] | None = None
    ) -> AsyncRun:
        """Bring the run back in the agent's own session. An interrupted turn is gone on with (a
        prompt tells the agent so, or yours does); otherwise it just stands ready. most: limits of
        its turn in place of the run's: timeout_s, cost_usd."""
        blocks = [{"type": "text", "text": refusing.checked_prompt(prompt)}] if prompt else []
        self._check_awake()
        ident, args = uuid.uuid4().hex, {"prompt": blocks, **self._bounds(most)}
        await self.host.command(
            self.id, "resume", args, command_id=ident, environment=self.environment()
        )
        self._owed.add(ident)
        return self

    async def unqueue(self, queued: str) -> AsyncRun:
        """Take back a message that waits for its turn, by the id that `history().queued` has for
        it. UsageProblem where its turn has begun."""
        done = await self.host.command(self.id, "unqueue", {"command": queued})
        if not done["alive"]:
            raise UsageProblem(f"run {short_id(self.id)} has no processes, so nothing is queued")
        self._owed.discard(queued)
        return self

    # ------------------------------------------------------------ permissions and options

    async def allow(
        self,
        permission: str | None = None,
        *,
        always: bool = False,
        option: str | None = None,
        input: Any = None,  # noqa: A002
        message: str | None = None,
    ) -> AsyncRun:
        """Allow what waits: the oldest question, or the one named.

        always: not only this once, but for the rest of the run: the same command, edits in its
        folder, the same tool. option: the id of one of the agent's options instead. input: the
        tool's whole input as it shall be used in place of the agent's own; an agent whose protocol
        cannot take it (all but claude) is told no, and to do it in that form: in mid-turn where it
        can hear, else by the next prompt. UsageProblem.
        """
        answer = Allow(always=always, option=option, input=input, message=message)
        return await self.answer(answer, permission)

    async def deny(
        self,
        permission: str | None = None,
        message: str | None = None,
        *,
        cancel: bool = False,
    ) -> AsyncRun:
        """Deny what waits. `message`, the reason, is kept, and told to an agent that can hear in
        mid-turn; `cancel` ends the turn, too."""
        return await self.answer(Deny(message, cancel), permission)

    async def answer(
        self, answer: Answer, permission: str | None = None, *, by: str = "user"
    ) -> AsyncRun:
        """Answer what waits (the oldest question, or the one named) with `Allow(…)` or `Deny(…)`.
        by: who does, as the permissions frame tells it."""
        waiting = self.pending()
        if permission is None and not waiting:
            raise UsageProblem(f"run {short_id(self.id)} asks for nothing")
        args = arguments(permission or waiting[0].id, answer, by)
        ident = uuid.uuid4().hex
        done = await self.host.command(self.id, "answer", args, command_id=ident)
        if not done["alive"]:
            raise UsageProblem(f"run {short_id(self.id)} has no processes that could be answered")
        if "input" in args:  # where it goes on as a prompt, `wait` waits for that
            self._owed.add(ident)
        return self

    async def _ask(self, function: Callable[[Permission], Any], permission: Permission) -> None:
        """Have a function answer a question. It may take its time, and block."""
        answer: Answer | None = None
        failure: Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(self.hold)
            try:
                given = await anyio.to_thread.run_sync(function, permission, abandon_on_cancel=True)
                answer = answer_of(await given if inspect.isawaitable(given) else given)
            except Exception as error:  # raised below, as it is: a group would wrap it
                failure = error
            group.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if answer is not None and any(one.id == permission.id for one in self.pending()):
            await self.answer(answer, permission.id, by="callback")

    async def hold(self) -> None:
        """Hold the permission clock, as a front end that can answer, until cancelled."""
        await self.host.hold(self.id)

    async def set_mode(self, mode: str) -> AsyncRun:
        """Change the permission policy from now on: ask, edit, auto or read."""
        return await self._live("set_mode", mode=mode)

    async def set_agent_mode(self, agent_mode: str) -> AsyncRun:
        """Change the agent's own mode."""
        return await self._live("set_agent_mode", value=agent_mode)

    async def set_model(self, model: str) -> AsyncRun:
        """Change the model from the next turn on."""
        return await self._live("set_model", value=model)

    async def set_effort(self, effort: str) -> AsyncRun:
        """Change the reasoning effort from the next turn on."""
        return await self._live("set_effort", value=effort)

    async def note(self, verb: str, facts: dict[str, Any]) -> None:
        """Have a fact journaled; the agent hears of it with the next prompt."""
        await self.host.command(self.id, verb, facts, environment=self.environment())

    async def _live(self, verb: str, **args: Any) -> AsyncRun:
        await self.host.command(self.id, verb, args, environment=self.environment())
        return self

    # ------------------------------------------------------------ putting away

    async def archive(self, *, children: bool = False, keep_worktree: bool = False) -> AsyncRun:
        """Put it away (its processes end first); `unarchive` undoes it.

        Its worktree is removed: the branch stays, and what is staged, changed and untracked in it
        is kept under `refs/paseo/` of the repository, byte for byte. Files that git ignores go with
        it. It stays with `keep_worktree`, and where another run works in it. GitProblem, and it is
        not put away, where it holds something that cannot be kept so (a merge under way, submodules
        and repositories of their own, files over 64 MB, what cannot be read, what git was told not
        to look at), where its teardown fails, and where it changes meanwhile.
        """
        if not self.history().archived:
            await self.stop()
            await anyio.to_thread.run_sync(put_away, self, keep_worktree)
        for child in self.children if children else ():
            run = AsyncRun(self.host, child)
            await run.archive(children=True, keep_worktree=keep_worktree)
        return self

    async def unarchive(self) -> AsyncRun:
        """Bring it back among the others, with its worktree as it was. GitProblem where something
        else is in its place: another run's worktree, for one."""
        if self.history().archived:
            await anyio.to_thread.run_sync(bring_back, self)
        return self

    async def inspect(self) -> dict[str, Any]:
        """Everything known about it: identity, place, state, session, usage, processes."""
        return await anyio.to_thread.run_sync(self.known)

    async def diff(self, turn: int | None = None) -> RunDiff:
        """What changed in its folder since it started, or during one turn (1, 2, …): `.files`
        (frame), `.patch` (text)."""
        return RunDiff(await anyio.to_thread.run_sync(self.diff_summary, turn))

    async def undo(self, turn: int | None = None, *, force: bool = False) -> RunDiff:
        """Put back the files that a turn (default: the last) and those after it changed; what was
        put back, as a diff. Files that were changed since stay as they are, and all others with
        them, unless `force`. The agent is told with the next prompt."""
        return await undoing.undo(self, turn, force)

    async def fork(
        self,
        turn: int | None = None,
        prompt: str | None = None,
        *,
        agent: str | None = None,
        worktree: str | None = None,
    ) -> AsyncRun:
        """A new run that goes on from the end of a turn (default: the last one that ended), beside
        this one, which stays as it is.

        Its files are as they were then, in a worktree of its own: committed what was committed,
        the rest uncommitted. Its `diff()` and `apply()` count from where this run began. Its agent
        knows the conversation: by its own fork of the session where it can fork it there, else it
        is told it in short; the transcript and the `runs` frame say which. prompt: what it shall
        do; without one it stands ready for `send`. agent: another one. Outside git the conversation
        only is forked. UsageProblem, GitProblem.
        """
        return AsyncRun(self.host, await forking.fork(self, turn, prompt, agent, worktree))

    async def apply(
        self,
        onto: str | None = None,
        *,
        dry_run: bool = False,
        commit: bool = True,
        message: str | None = None,
    ) -> Applied:
        """Put what it changed, committed or not, onto a branch as one commit.

        onto: a branch (default: what the repository that it was started for has checked out).
        dry_run: only say what would change, and where both sides changed the same. commit=False
        leaves it staged. message: default is made from the run. GitProblem, with nothing touched,
        where there are conflicts or changes in the way.
        """
        return await apply_run(self, onto, dry_run, commit, message)


def _launch(
    prepared: preparing.Prepared, host: LocalHost, run_id: str, more: dict[str, str]
) -> str:
    """Make the worktree and the spec, one launch at a time: two that want the same worktree or
    session must see each other; then start the run. Its id, or that of the run that has the session
    already."""
    session = prepared.wish.session
    with host.entry(run_id) as entry:
        with host.holding("launch.lock", preparing.LAUNCH_S), making(host, run_id):
            known = session_run(host, session) if session else None
            if known is not None:
                return known
            one = preparing.make(prepared, host, run_id)
            host.make(one.spec)
        entry.go({str(host.folder(run_id).path): {**one.environment, **more}})
    return run_id


async def launch(
    host: LocalHost,
    prepared: preparing.Prepared,
    run_id: str | None = None,
    more: dict[str, str] | None = None,
) -> AsyncRun:
    """Make and start a run; returns when its processes have been forked off. more: variables for
    its agent that it can do without when it is brought back."""
    preparing.check_no_replay(host)
    run_id = run_id or new_run_id()
    made = await anyio.to_thread.run_sync(_launch, prepared, host, run_id, more or {})
    run = AsyncRun(host, made)
    if run.id != run_id:
        await run.send(prepared.wish.prompt, attach=prepared.wish.attach)
    return run
