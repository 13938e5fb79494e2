"""The engine: one workflow run at work, on an event loop of its own.

It turns calls into steps: taken from what is known, attached to, or run; it keeps caps and budget,
and it ends the run once, and only once, where no step could get any further. The rules it keeps are
those of docs/workflows.md; who makes it, gives it its lock, and waits for it is `workflows`.
Longer than other files, as it is the whole course of a step.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

import msgspec

from .. import cells
from ..errors import (
    GitProblem,
    NotTrusted,
    PaseoError,
    StorageProblem,
    TreeChanged,
    UsageProblem,
    WorkflowError,
    WorkflowFatal,
)
from ..model import BUSY_STATES, new_run_id
from ..supervisor import cleanup
from . import stopping
from .asking import Asking
from .journal import Facts, StepLine, WorkflowFolder, WorkflowJournal
from .keys import digest
from .place import Base, Place
from .reasons import differences
from .returned import plain_result
from .showing import step_line
from .slots import Slots
from .spending import BudgetUsed, Ledger
from .story import DONE, StepRecord, Story, step_id
from .values import Call, Options, Outcome, Payload, Result, StepFailed, Wanted

# Why a run ended, as far as no other step of the workflow would fare better.
FATAL = {
    "auth": "auth",
    "quota": "balance",
    "not_installed": "usage",
    "model_not_found": "usage",
    "not_held": "usage",
}
OUR_OWN = (UsageProblem, GitProblem, NotTrusted, StorageProblem, TreeChanged)
TRIES = 3  # of a run whose processes die under it
GRACE_S = 1.0
LATE_S = 10.0
HITS = 100  # so many steps are taken from before, or begun, until others have their turn


class Asked(msgspec.Struct, gc=False):
    """A call that is at work: the n-th of its key. found: what is known of it from before."""

    call: Call
    key: str
    n: int
    step: str
    given: Facts
    part: str | None
    refresh: bool
    found: StepRecord | None

    @property
    def agent(self) -> str | None:
        """Whom it asks."""
        return self.given["agent"].get("agent")


class Conductor:
    """One workflow run at work."""

    def __init__(
        self,
        folder: WorkflowFolder,
        journal: WorkflowJournal,
        place: Place,
        story: Story,
        slots: Slots,
        options: Options,
    ) -> None:
        self.folder, self.journal, self.place = folder, journal, place
        self.story, self.slots, self.options = story, slots, options
        self.name: str = story.header["name"]
        self.resumed = journal.epoch > 1
        base = story.header.get("base")
        self.base = None if base is None else msgspec.convert(base, Base)
        self.tip = self.base
        at_once = options.concurrency or place.places or max(4, os.cpu_count() or 1)
        self.gate = asyncio.Semaphore(at_once)
        self._since, self._worked_s = time.monotonic(), story.worked_s
        self.fatal: WorkflowError | None = None
        self.calls = 0
        self.hits = 0
        self.ledger = Ledger(
            self.name, options.budget, options.token_budget, story.cost_usd, story.tokens
        )
        self._asking = Asking(place)
        # A simulation has nobody who watches; in a notebook the run itself is looked at.
        self._tells = place.repository is not None and not cells.in_kernel()
        self._siblings: dict[str, WorkflowFolder] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._apart: list[Result] = []
        self._writing: asyncio.Task[Any] | None = None
        self._tree_known = not self.resumed
        self._body: asyncio.Future[Any] | None = None
        self._draining: asyncio.Task[None] | None = None
        self._values = {name: list(told) for name, told in story.values.items()}

    # ------------------------------------------------------------ the whole run

    async def conduct(self, body: Awaitable[Any], source: str) -> Any:
        """Run the body to its end. What it raises; WorkflowFatal; CancelledError where it was
        stopped, with its running turns cancelled."""
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "boot_id": cleanup.boot_id()}
        options = self.options
        await self.journal.keep(
            "engine", **facts, source=source, budget=options.budget,
            token_budget=options.token_budget, timeout=options.timeout, where=self.place.where,
        )  # fmt: skip
        await self._charge_orphans()
        self._body = asyncio.ensure_future(body)
        obeying = asyncio.create_task(self._obey(self._body))
        left = self._left_s()
        timing = None if left is None else asyncio.get_running_loop().call_later(left, self._late)
        if left == 0:
            self._late()  # before its first step
        try:
            value = await self._body
            if self.fatal is not None:
                raise self.fatal
            told = plain_result(value)
            await self._settle()
            if self.options.worktrees == "archive":
                await asyncio.gather(*map(self._put_away, self._apart))
            await self.journal.keep("workflow_done", **told)
            return value
        except BaseException as error:
            await self._ended_badly(error)
            if self.fatal is not None and not isinstance(error, KeyboardInterrupt):
                raise self.fatal from None
            raise
        finally:
            obeying.cancel()
            if timing is not None:
                timing.cancel()
            if self._draining is not None:
                self._draining.cancel()

    async def _obey(self, body: asyncio.Future[Any]) -> None:
        """End the body when somebody asks for it, from whatever process."""
        await stopping.asked(self.folder, self.journal.epoch)
        body.cancel()

    async def _ended_badly(self, error: BaseException) -> None:
        if self.fatal is not None and self._running:
            await asyncio.wait(self._running)  # what goes on is finished, and kept
        await self._settle()
        stopped = isinstance(error, asyncio.CancelledError) and self.fatal is None
        kind = "workflow_stopped" if stopped else "workflow_failed"
        told = self.fatal or error
        cause = "stopped" if stopped else getattr(told, "cause", type(told).__name__)
        message = "it was stopped" if stopped else str(told)
        await self.journal.keep(kind, cause=cause, message=message)

    async def _settle(self) -> None:
        """Nothing goes on when it is over: steps that nobody waits for are cancelled; those that
        nobody asked for again are taken if they have ended well, else cancelled, too."""
        for task in list(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        if self.fatal is None and self.options.orphans == "cancel":
            for step in self.slots.unclaimed:
                await self._let_go(step)

    async def _put_away(self, result: Result) -> None:
        """A finished step's worktree goes once nothing more comes: its commit is kept."""
        async with self.gate:
            try:
                if result.path is not None and Path(result.path).is_dir():
                    await self.place.put_away(result.run_id)
            except PaseoError as error:
                text = f"the worktree of {result.label or result.step} stays: {error}"
                self.journal.put("log", text=text, phase=None, part=None)

    async def _let_go(self, step: StepRecord) -> None:
        run_id = step.run_id or ""
        state, usage = await self.place.seen(run_id)
        if state != "none" and state not in BUSY_STATES and state != "interrupted":
            wanted = Wanted(run_id, step.step, self.folder.id, self.name, Call(""))
            outcome = await self.place.done(wanted)
            if outcome.cause is None:
                await self._keep_done(step.key, step.n, step.step, run_id, outcome)
                await self.journal.kept()
                return
        if state != "none":
            await self.place.cancel(run_id)
        self.journal.put(
            "step_unclaimed", key=step.key, n=step.n, cause="unclaimed",
            message="the workflow did not ask for it again", usage=usage,
        )  # fmt: skip

    async def _charge_orphans(self) -> None:
        """What steps cost that were going when the last engine died, as far as they tell."""
        for step in self.slots.unclaimed:
            _, usage = await self.place.seen(step.run_id or "")
            self.ledger.spend(step.run_id or "", usage)

    def fail(self, cause: str, message: str) -> WorkflowError:
        """End the workflow: no step starts from now on, those at work are finished and kept, then
        the body is ended. The error to raise."""
        return self.end(WorkflowFatal(cause, message, self.folder.id))

    def end(self, error: WorkflowError) -> WorkflowError:
        """The same, with an error; the first one counts."""
        if self.fatal is None:
            self.fatal = error
            self.journal.put("fatal", message=str(error), running=len(self._running))
            self._draining = asyncio.create_task(self._drain())
        return self.fatal

    def _left_s(self) -> float | None:
        """Seconds that it may yet be at work; None: as many as it takes."""
        if self.options.timeout is None:
            return None
        since = time.monotonic() - self._since
        return max(self.options.timeout - self._worked_s - since, 0.0)

    def _late(self) -> None:
        """Its time is used up: no step starts, and those at work are cancelled."""
        if self.fatal is None:
            self.fail(
                "budget",
                f"the time of {self.name} is used up: it may be at work for"
                f" {self.options.timeout:g} s in all. Call it again with more: options(timeout=…).",
            )
        for task in list(self._running):
            task.cancel()

    async def _drain(self) -> None:
        while self._running:
            await asyncio.wait(self._running)
        assert self._body is not None
        await asyncio.wait([self._body], timeout=GRACE_S)
        self._body.cancel()

    # ------------------------------------------------------------ one step

    async def step(self, call: Call, part: str | None = None) -> Result | StepFailed:
        """What a call gives: from before, or of an agent that runs now."""
        if self.fatal is not None:
            raise self.fatal
        self.calls += 1
        if self.calls > self.options.max_steps:
            raise self.fail(
                "cap",
                f"{self.name} asked for more than {self.options.max_steps} steps; more are let"
                " by options(max_steps=…)",
            )
        try:
            given = self._asking.given(call, self.tip)
            key = digest(given)
        except OUR_OWN as error:
            raise self.fail("usage", str(error)) from error
        refresh = call.refresh or bool(self.options.refresh and self._refreshed(call.label))
        found = self.slots.take(key, refresh)
        if found is not None and found.state in DONE:
            taken = self._taken(found, call, key, part)
            if taken is not None:
                if taken.branch is not None and taken.commit is not None:
                    await self.place.pin(self.folder.id, taken.step, taken.commit, taken.branch)
                if self.hits % HITS == 0:
                    await asyncio.sleep(0)
                return taken
            found = None
        if found is None and call.label is not None and not refresh:
            self._warn(call, call.label, given, part)
        if call.writes and self._writing is not None:
            raise self.fail(
                "usage",
                f"two steps would write to the same files at once: the second is"
                f" {call.label or call.prompt[:40]!r} (mode={call.mode!r}). Give each"
                " isolation='worktree', or await one before the other.",
            )
        n = found.n if found is not None else self.slots.number(key)
        work = self._live(Asked(call, key, n, step_id(key, n), given, part, refresh, found))
        try:
            first = work.send(None)  # as far as it goes without waiting, no task is needed
        except StopIteration as over:
            done = over.value
        else:
            done = await self._at_work(asyncio.create_task(rest(work, first)), call.writes)
        if self.options.durable:
            try:
                await self.journal.kept()
            except StorageProblem as error:
                raise self.fail("usage", str(error)) from error
        return done

    async def _at_work(self, task: asyncio.Task[Any], writes: bool) -> Any:
        self._writing = task if writes else self._writing
        self._running.add(task)
        task.add_done_callback(self._over)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if self.fatal is None:
                task.cancel()
                await asyncio.wait([task])
            raise

    def _warn(self, call: Call, label: str, given: Facts, part: str | None) -> None:
        """Say in what a call differs from the one of its name that was finished before: its prompt
        may have something in it that is another one each time."""
        before = self.slots.beside(label, call.phase)
        told = [] if before is None else differences(before.given, given)
        if told:
            text = f"{label} is not taken from before, as it differs in\n" + "\n".join(told)
            self.journal.put("log", text=text, phase=call.phase, part=part)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if self._writing is task:
            self._writing = None
        if not task.cancelled():
            task.exception()  # whoever waits for it has it; if nobody does, it is not complained of

    def _refreshed(self, label: str | None) -> bool:
        refresh = self.options.refresh
        return refresh is True or (isinstance(refresh, tuple) and label in refresh)

    def _taken(self, found: StepRecord, call: Call, key: str, part: str | None) -> Result | None:
        """A finished step's result, at no cost; None where it is not to be had any more."""
        end = found.end
        assert end is not None
        origin = found.origin or found.workflow_run
        home = self.folder if origin == self.folder.id else self._sibling(origin)
        payload = home.payload(end)
        if payload is None:
            return None
        n = found.n
        if found.workflow_run != self.folder.id:
            n = self.slots.number(key)
            facts = _files_of(end)
            facts |= {"blob": end.blob} if end.blob is not None else {"result": end.result}
            saved = (sum(found.costs) if found.usage else 0.0) or end.saved_usd
            if saved:
                facts["saved_usd"] = saved
            self.journal.put(
                "step_cached", key=key, n=n, origin=origin, run_id=end.run_id, label=call.label,
                phase=call.phase, part=part, agent=found.agent, given=found.asked, **facts,
            )  # fmt: skip
        self.hits += 1
        return self._result(payload, call, step_id(key, n), end.run_id or "", end, cached=True)

    def _sibling(self, workflow_run: str) -> WorkflowFolder:
        known = self._siblings.get(workflow_run)
        if known is None:
            known = WorkflowFolder(self.folder.path.with_name(workflow_run))
            self._siblings[workflow_run] = known
        return known

    def _result(
        self,
        payload: Payload,
        call: Call,
        step: str,
        run_id: str,
        end: StepLine | Outcome,
        cached: bool,
    ) -> Result:
        if call.writes and end.commit is not None and end.tree is not None:
            self.tip = Base(end.commit, end.tree)
        if end.path is not None:
            for name in (end.path, end.branch):
                if name is not None:
                    self._asking.moved[name] = f"<the worktree of {step}>"
        result = Result(
            payload, step=step, run_id=run_id, label=call.label, wanted=call.schema,
            commit=end.commit, tree=end.tree, base=end.base, branch=end.branch, path=end.path,
            repository=call.repo or self.place.repository, cached=cached,
        )  # fmt: skip
        if call.isolation == "worktree" and end.commit is not None:
            self._apart.append(result)
        return result

    async def _live(self, asked: Asked) -> Result | StepFailed:
        call = asked.call
        old = self.slots.superseded(call.label, asked.key)
        if old is None and call.writes:
            old = self.slots.writing()
        if old is not None:
            await self._supersede(old)
        async with self.gate:
            if self.fatal is not None:
                raise self.fatal
            try:
                usd, tokens = self.ledger.admit(call)
            except BudgetUsed as error:
                raise self.fail("budget", str(error)) from None
            try:
                return await self._attempts(asked)
            except TreeChanged as error:
                raise self.end(error) from None
            except OUR_OWN as error:
                raise self.fail("usage", str(error)) from error
            finally:
                self.ledger.release(usd, tokens)

    async def _attempts(self, asked: Asked) -> Result | StepFailed:
        call, key, n, found = asked.call, asked.key, asked.n, asked.found
        attempt, run_id, state, deaths = 0, "", "", 0
        if found is not None:
            attempt, run_id = found.attempt, found.run_id or ""
            state, _ = await self.place.seen(run_id)
            self.journal.put("attached", key=key, n=n, run_id=run_id, state=state)
            if call.effects == "outward" and state in ("interrupted", "error", "stopped"):
                raise _not_known(asked.step, run_id)
        over = state not in ("", "none") and state not in BUSY_STATES
        left = call.retries + over  # what ended badly before it was asked for again counts once
        begins = state in ("", "none", "interrupted")
        while True:
            if begins:
                if state != "interrupted":
                    await self._check_tree(call)
                attempt += 1
                run_id = run_id or new_run_id()
                facts: Facts = {"refreshed": True} if asked.refresh else {}
                self.journal.put(
                    "step_issued", key=key, n=n, attempt=attempt, run_id=run_id, label=call.label,
                    phase=call.phase, part=asked.part, agent=asked.agent, given=asked.given,
                    effects=call.effects, **facts,
                )  # fmt: skip
                if self.place.lasting:
                    await self.journal.kept()
            outcome = await self._outcome(asked, run_id)
            begins, was_over, over = True, over, False
            if outcome.cause == "interrupted" and deaths < TRIES and call.effects != "outward":
                deaths, state = deaths + 1, "interrupted"
                continue  # the same run, brought back by its agent's own session
            self.ledger.spend(run_id, outcome.usage)
            if outcome.cause is None:
                payload = await self._keep_done(key, n, asked.step, run_id, outcome)
                if self._tells:
                    await self._say(asked, "done", outcome)
                return self._result(payload, call, asked.step, run_id, outcome, cached=False)
            self.journal.put(
                "step_failed", key=key, n=n, attempt=attempt, run_id=run_id, cause=outcome.cause,
                message=outcome.message, usage=outcome.usage,
            )  # fmt: skip
            if self._tells:
                await self._say(asked, f"failed: {outcome.message}", outcome)
            if outcome.cause in FATAL and not was_over and call.match is None:
                name = call.label or asked.step
                raise self.fail(FATAL[outcome.cause], f"step {name}: {outcome.message}")
            if left <= 0 or (outcome.cause == "cancelled" and not was_over):
                return StepFailed(
                    outcome.cause, outcome.message, step=asked.step, run_id=run_id,
                    label=call.label,
                )  # fmt: skip
            left, run_id, state = left - 1, "", ""

    async def _say(self, asked: Asked, how: str, outcome: Outcome) -> None:
        """Tell whoever watches that a step is over."""
        if asked.call.match is not None:
            return
        await self.journal.kept()
        words = " ".join(asked.call.prompt[:200].split())[:40]
        shown = "".join(letter for letter in words if letter.isprintable())
        label = asked.call.label or f"{asked.step} {shown!r}"
        line = step_line(self.name, label, asked.agent or "", how, outcome.usage.cost_usd)
        print(line, file=sys.stderr, flush=True)

    async def _outcome(self, asked: Asked, run_id: str) -> Outcome:
        call = asked.call
        needed = self._asking.needed(call) if call.needs else None
        tip = call.at or self.tip
        base = tip.commit if tip is not None else None
        wanted = Wanted(
            run_id, asked.step, self.folder.id, self.name, call,
            base=needed.commit if needed is not None else base,
            branch=f"wf/{run_id}" if call.isolation == "worktree" else None,
            budget=self.ledger.left_usd(call), token_budget=self.ledger.left_tokens(call),
            timeout=self._turn_s(call),
        )  # fmt: skip
        try:
            return await self.place.done(wanted)
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await asyncio.shield(asyncio.ensure_future(self.place.cancel(run_id)))
            _, usage = await self.place.seen(run_id)
            self.ledger.spend(run_id, usage)
            self.journal.put(
                "step_cancelled", key=asked.key, n=asked.n, run_id=run_id, cause="cancelled",
                message="it was stopped", usage=usage,
            )  # fmt: skip
            raise

    def _turn_s(self, call: Call) -> float | None:
        """Seconds that a step's turn may take; of the workflow's own, some more than are left: they
        hold where its engine dies, else that is the first to end it."""
        left = self._left_s()
        mine = call.timeout
        return mine if left is None else min(left + LATE_S, mine or left + LATE_S)

    async def _keep_done(
        self, key: str, n: int, step: str, run_id: str, outcome: Outcome
    ) -> Payload:
        """Write down what a run gave, its files kept first; `kept` says when it counts."""
        payload = Payload(outcome.text, outcome.value)
        facts = self.folder.keep_payload(payload) | _files_of(outcome)
        if outcome.commit is not None:
            await self.place.pin(self.folder.id, step, outcome.commit, outcome.branch)
        self.journal.put("step_done", key=key, n=n, run_id=run_id, usage=outcome.usage, **facts)
        return payload

    async def _supersede(self, step: StepRecord) -> None:
        await self.place.cancel(step.run_id or "")
        _, usage = await self.place.seen(step.run_id or "")
        await self.journal.keep(
            "step_superseded", key=step.key, n=step.n, cause="superseded",
            message="it was asked for otherwise", usage=usage,
        )  # fmt: skip

    # ------------------------------------------------------------ what a step may

    async def _check_tree(self, call: Call) -> None:
        """Before the first step of a resumed run that works on the shared files: they are as the
        last finished one left them."""
        if self._tree_known or self.tip is None or call.isolation or not call.reads:
            return
        self._tree_known = True
        if self.options.changed_tree == "accept":
            return
        now = await self.place.base(None)
        if now is None or now.tree == self.tip.tree:
            return
        if self.options.changed_tree == "restore":
            kept = await self.place.restore(self.tip, self.folder.id)
            if kept is not None:
                text = f"the files are put back; what was there is kept as commit {kept[:10]}"
                self.journal.put("log", text=text, phase=call.phase, part=None)
        else:
            raise TreeChanged(
                f"the files are not as the last finished step of {self.name} left them"
                f" (git diff {self.tip.commit[:10]}). Have them put back by"
                " options(changed_tree='restore'), which keeps what is there now as a commit; go on"
                " with them as they are by 'accept'; or begin anew by options(refresh=True).",
                self.folder.id,
            )

    # ------------------------------------------------------------ what is no step

    def once(self, name: str, make: Any) -> Any:
        """A value that differs each time, as it was the first time."""
        known = self._values.get(name)
        if known:
            return known.pop(0)
        value = make()
        self.journal.put("value", name=name, value=value)
        return value

    async def kept(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """The same for what takes its time to make; it is on the disk before it counts."""
        known = self._values.get(name)
        if known:
            return known.pop(0)
        value = await make()
        await self.journal.keep("value", name=name, value=value)
        return value

    async def recalled(self, name: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """The same, worked out once; `name` is its own."""
        if not self._values.get(name):
            self._values[name] = [await self.kept(name, make)]
        return self._values[name][-1]


def _files_of(end: StepLine | Outcome) -> Facts:
    """What a step left of files, as a line has it."""
    if end.commit is None and end.path is None:
        return {}
    names = ("commit", "tree", "base", "branch", "path")
    return {name: told for name in names if (told := getattr(end, name)) is not None}


def _not_known(step: str, run_id: str) -> UsageProblem:
    return UsageProblem(
        f"step {step} acts outside (effects='outward') and was cut off: whether it had acted is not"
        f" known, so it is not repeated. Look at run {run_id}, then say mark_done({step!r}, value)"
        " of the workflow run, or give the step another key= to have it done again."
    )


async def rest(work: Coroutine[Any, Any, Any], waits_for: Any) -> Any:
    """What a coroutine comes to that was begun without a task, and now waits for something."""
    return await _continued(work, waits_for)


@types.coroutine
def _continued(work: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:
            step, given = work.throw, error
        else:
            step, given = work.send, sent
        try:
            waits_for = step(given)
        except StopIteration as over:
            return over.value
