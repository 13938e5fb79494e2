"""`@paseo.workflow`, and a call of one: which workflow run it is, who conducts it, who follows.

A call finds the newest run of the same name and arguments. One that is done is done: a new run
begins, and takes what is known. One that was cut off, stopped or failed goes on. One that is at
work, here or in another process, is followed to its end, and taken over if its process dies.
Longer than other files, as these three are one decision.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
import functools
import hashlib
import inspect
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from .. import _portal, cells, config
from ..errors import UsageProblem, WorkflowBusy, WorkflowError
from ..host.local import LocalHost
from ..locks import HeldLock
from ..model import new_run_id, short_id
from . import replaying, words
from .conductor import Conductor
from .handles import LOOK_S, WorkflowHandle, awaited, outcome, watched
from .journal import WorkflowFolder, WorkflowJournal, folders
from .keys import VERSION, digest
from .place import Place
from .returned import as_declared
from .slots import Slots
from .standing_alone import module_of
from .story import Story, known_story, stories
from .values import Options, Origin, changed

HOLD_S = 120.0
STOP_S = 30.0
Body = Callable[..., Any]
defined: dict[str, Any] = {}  # workflows of cells, by name; the last one counts
_OF_FILES = ("paseo_nb.", "paseo_workflow_")  # those are looked up by name, and may change


class Workflow:
    """A workflow: call it to run it and wait, `start` it to go on meanwhile."""

    def __init__(
        self,
        function: Body,
        name: str,
        options: Options = Options(),  # noqa: B008 frozen
        place: Callable[[], Place] | None = None,
        text: str | None = None,
    ) -> None:
        if not inspect.iscoroutinefunction(function):
            raise UsageProblem(
                f"@paseo.workflow is for an `async def`; {getattr(function, '__name__', '?')} is"
                " none: write `async def`, and await agent(…) in it"
            )
        self.function, self.name, self._options, self.place = function, name, options, place
        self._text, self._origin = text, cast(Origin | None, None)
        self._host: Any = None
        self._waits = True
        functools.update_wrapper(self, function)

    def _changed(self, **changes: Any) -> Workflow:
        other = copy.copy(self)
        vars(other).update(changes)
        return other

    def options(self, **changes: Any) -> Workflow:
        """The same workflow with other options: refresh (True, or the labels of steps to run
        anew), cache ("run", "workflow" or "project": whose finished steps are taken), budget
        (US dollars in all), token_budget, timeout (seconds at work in all), concurrency,
        max_steps, orphans ("cancel" or "keep"),
        changed_tree ("error", "accept" or "restore"), worktrees (of finished steps, when it is
        done: "archive" or "keep"), bg (True: in a process of its own, which goes
        on without this one; a call then gives the workflow run at once), host (a Dask cluster, by
        its name or what `connect` gave: its steps run there)."""
        if "host" in changes:
            return self._on(changes.pop("host")).options(**changes)
        return self._changed(_options=changed(self._options, changes))

    def _on(self, host: Any) -> Workflow:
        from .. import connecting
        from ..host.cluster import DaskHost

        on = None if host is None else connecting.host_of(host)
        if on is not None and not isinstance(on, DaskHost):
            raise UsageProblem(
                f"the steps of a workflow run here or on a Dask cluster; {on.name} is a machine:"
                " call the workflow there"
            )
        return self._changed(_host=on)

    def at(self, place: Callable[[], Place]) -> Workflow:
        """The same workflow, its steps in another place (a simulation)."""
        return self._changed(place=place)

    def with_text(self, text: str, origin: Origin | None = None) -> Workflow:
        """The same workflow, which a text made, and how another process gets it."""
        return self._changed(_text=text, _origin=origin or self._origin)

    def origin(self) -> Origin:
        """How another process gets it. UsageProblem where it needs what only this one has."""
        if self._origin is not None:
            return self._origin
        known = {**self.function.__globals__, **inspect.getclosurevars(self.function).nonlocals}
        text = module_of(inspect.getsource(self.function), known, self.name)
        return Origin(text, self.function.__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run it, or go on with it, and wait: what its body returns. Written `await review(…)`, it
        is awaited, so that the loop is free meanwhile."""
        run = self.start(*args, **kwargs)
        at_once = self._options.bg or not self._waits or awaited(sys._getframe(1))  # pyright: ignore[reportPrivateUsage]
        return run if at_once else run.wait()

    def start(self, *args: Any, **kwargs: Any) -> WorkflowHandle:
        """The same at once: the workflow run, to `wait()` for or to await."""
        if words._at_work.get() is not None:  # pyright: ignore[reportPrivateUsage]
            raise UsageProblem(
                f"{self.name} was called inside a workflow: `await run_workflow({self.name}, …)`"
            )
        signature = inspect.signature(self.function)
        if "host" in kwargs and "host" not in signature.parameters:
            raise UsageProblem(
                f"host= is none of {self.name}'s arguments: where the steps of a workflow run is an"
                f" option, {self.name}.options(host=…)"
            )
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        host = LocalHost(config.home())
        known = None if self.place is not None else replaying.known(self, bound.arguments, host)
        if known is not None:
            return known
        if not self._options.bg:
            return self.begin(bound, host)
        from . import detached

        return detached.start(self, bound.arguments, host, self._options, self._host)

    def begin(self, bound: inspect.BoundArguments, host: LocalHost) -> WorkflowRun:
        """Call it in this process, with arguments that are bound."""
        run = WorkflowRun(self, bound, host, self._options)
        run._begin(self.place or _agents(host, self._host))  # pyright: ignore[reportPrivateUsage]
        return run

    def source(self) -> str:
        """Its text, as far as there is one."""
        if self._text is not None:
            return self._text
        try:
            return textwrap.dedent(inspect.getsource(self.function))
        except (OSError, TypeError):
            return ""

    @property
    def suffix(self) -> str:
        """What a file of its text ends in."""
        return getattr(self.function, "suffix", ".py")

    def source_hash(self) -> str:
        """What tells two versions of it apart."""
        text = self.source().encode() or self.function.__code__.co_code
        return hashlib.sha256(text).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"<Workflow {self.name}>"


def _agents(host: LocalHost, on: Any = None) -> Callable[[], Place]:
    from .agents import AgentPlace

    notebook = cells.current().notebook
    if on is not None:
        from .far import FarPlace

        return lambda: FarPlace(host, on, notebook)
    return lambda: AgentPlace(host, notebook)


def _check_where(story: Story, place: Place) -> None:
    """UsageProblem where steps are at work on a cluster, and would be run here besides."""
    where = story.engine.get("where")
    going = any(step.state == "running" for step in story.steps.values())
    if going and where is not None and where != place.where:
        raise UsageProblem(
            f"steps of workflow run {short_id(story.folder.id)} were placed on the cluster"
            f" {where!r}: connect(client, name={where!r}), then call it with"
            f" options(host={where!r}); or begin anew here by options(refresh=True)"
        )


def workflow(
    function: Body | None = None, *, name: str | None = None, waits: bool = True, **options: Any
) -> Any:
    """Make an `async def` a workflow: each `agent()` in it is a step that is run once, and found
    again whenever it is called again.

    name: default: the function's. waits: False: a call gives the run at once, to await (as of
    `aio.workflow`). Options as of `Workflow.options`.
    """

    def make(body: Body) -> Workflow:
        made = Workflow(body, name or body.__name__)._changed(_waits=waits)  # pyright: ignore[reportPrivateUsage]
        made = made.options(**options) if options else made
        if not body.__module__.startswith(_OF_FILES):
            defined[made.name] = made
        return made

    return make if function is None else make(function)


def workflow_of(name: str) -> Any:
    """The workflow, or flow, in a file of that name: call it, `start` it. UsageProblem where there
    is none; NotTrusted where its file was not trusted as it is."""
    from .discovery import named

    return named(name)


class WorkflowRun(WorkflowHandle):
    """A call of a workflow, at work here or followed."""

    def __init__(
        self, workflow: Workflow, bound: inspect.BoundArguments, host: LocalHost, options: Options
    ) -> None:
        super().__init__(host, None)
        self.workflow, self._bound, self._options = workflow, bound, options
        self._plain = words.plain_arguments(bound.arguments)
        self._hash = digest({"v": VERSION, "args": self._plain})
        self._done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._found = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self.hits = 0
        self.follows = False

    # ------------------------------------------------------------ for whoever called it

    @property
    def folder(self) -> WorkflowFolder:
        """Its files."""
        self._found.wait()
        if self._folder is None:
            self._done.result()
            raise WorkflowError(f"{self.workflow.name} was never begun")
        return self._folder

    def wait(self, timeout: float | None = None) -> Any:
        """What its body returns, or raises. ■ stops it, with its running turns; it can go on later.
        TimeoutError after `timeout` seconds; it goes on."""
        try:
            simulated = self.workflow.place is not None
            with contextlib.nullcontext() if simulated else watched(self) as refresh:
                self._wait(timeout, refresh)
            return self._done.result(0)
        except KeyboardInterrupt:
            if not cells.is_ending():
                self.stop()
            raise

    def _wait(self, timeout: float | None, refresh: Callable[[], None] | None) -> None:
        if refresh is None:
            concurrent.futures.wait([self._done], timeout)
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._done.done() and (deadline is None or time.monotonic() < deadline):
            concurrent.futures.wait([self._done], LOOK_S)
            refresh()

    async def _awaited(self) -> Any:
        """The same for who awaits it; ■, or a cancelled task, stops it."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()

        def tell(_: Any) -> None:
            with contextlib.suppress(RuntimeError):  # that loop is closed
                loop.call_soon_threadsafe(over.set)

        self._done.add_done_callback(tell)
        try:
            simulated = self.workflow.place is not None
            with contextlib.nullcontext() if simulated else watched(self) as refresh:
                while not over.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), None if refresh is None else LOOK_S)
                    if refresh is not None:
                        refresh()
            return self._done.result(0)
        except asyncio.CancelledError:
            if not cells.is_ending():
                await asyncio.to_thread(self.stop)
            raise

    def stop(self) -> None:
        """Stop it, and cancel its running turns; the same call goes on. Where it is followed only,
        the watching ends."""
        if self._done.done():
            return
        self._found.wait(STOP_S)
        loop, task = self._loop, self._task
        if loop is not None and task is not None and not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)
            concurrent.futures.wait([self._done], STOP_S)

    # ------------------------------------------------------------ at work

    def _begin(self, place: Callable[[], Place]) -> None:
        # A daemon: a kernel that ends does not wait for its workflows. What they had finished is
        # on the disk, their agents go on, and the lock is free once the process is gone.
        name = f"paseo workflow {self.workflow.name}"
        made = place()
        threading.Thread(target=self._work, args=(made,), name=name, daemon=True).start()
        self._found.wait()
        if self._folder is None:
            self._done.result()

    def _work(self, place: Place) -> None:
        thread = threading.get_ident()
        _portal.keep_out(thread)
        try:
            value = asyncio.run(self._main(place))
        except asyncio.CancelledError:
            said = f"{self.workflow.name} was stopped; the same call goes on with it"
            self._done.set_exception(WorkflowError(said, self._folder and self._folder.id))
        except BaseException as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(value)
        finally:
            _portal.keep_out(thread, False)
            self._found.set()

    async def _main(self, place: Place) -> Any:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        while True:
            folder, lock = await self._find(place)
            self._folder = folder
            if lock is not None:
                return await self._conduct(folder, lock, place)
            self.follows = True
            self._found.set()
            ended = await self._follow(folder)
            if ended is not None:
                told = outcome(ended, folder.id, self.workflow.name)
                return as_declared(self.workflow.function, told)

    async def _find(self, place: Place) -> tuple[WorkflowFolder, HeldLock | None]:
        """The workflow run of this call, and its lock, where nobody else has it."""
        with self.host.holding("workflows.lock", HOLD_S):
            known = self._newest()
            if known is not None:
                lock = known.folder.take()
                if lock is not None:
                    return known.folder, lock
                if known.engine.get("source") not in (None, self.workflow.source_hash()):
                    raise WorkflowBusy(
                        f"{self.workflow.name} is at work with these arguments, from other source"
                        f" (run {short_id(known.folder.id)}). Wait for it, stop it, or call it with"
                        " other arguments.",
                        known.folder.id,
                    )
                if self._options.refresh and not self.follows:
                    raise WorkflowBusy(
                        f"{self.workflow.name} is at work with these arguments (run"
                        f" {short_id(known.folder.id)}), so nothing can be refreshed: wait for it,"
                        " or stop it first.",
                        known.folder.id,
                    )
                return known.folder, None
            return await self._new(place)

    def _newest(self) -> Story | None:
        """The newest run of this name and arguments, if it can be gone on with."""
        name = self.workflow.name
        for folder in reversed(folders(self.host.home)):
            header = folder.header()
            if header is None or (header["name"], header["args_hash"]) != (name, self._hash):
                continue
            if header.get("bundled"):
                continue
            story = known_story(folder)
            if story.state == "done":
                return None
            anew = self._options.refresh is True and header.get("refresh") is not True
            return None if anew and not folder.held else story
        return None

    async def _new(self, place: Place) -> tuple[WorkflowFolder, HeldLock]:
        folder = WorkflowFolder(self.host.home / "workflow_runs" / new_run_id())
        folder.make(self.workflow.source(), self.workflow.suffix)
        lock = folder.take()
        assert lock is not None
        base = await place.base(folder.id)
        journal = WorkflowJournal(folder, HeldLock(-1), self._options.durable)
        journal.epoch = 0
        await journal.keep(
            "workflow_started", version=VERSION, id=folder.id, name=self.workflow.name,
            args=self._plain, args_hash=self._hash, refresh=self._options.refresh,
            base=None if base is None else msgspec.to_builtins(base),
        )  # fmt: skip
        journal.close()
        return folder, lock

    async def _conduct(self, folder: WorkflowFolder, lock: HeldLock, place: Place) -> Any:
        story = Story(folder)
        _check_where(story, place)
        journal = WorkflowJournal(folder, lock, self._options.durable)
        options = self._options
        if story.header.get("refresh") and not options.refresh:
            refresh = story.header["refresh"]
            kept = tuple(cast(list[str], refresh)) if isinstance(refresh, list) else refresh
            options = msgspec.structs.replace(options, refresh=kept)
        for total in ("budget", "token_budget", "timeout"):  # one that is not given stays
            before = story.engine.get(total)
            if getattr(options, total) is None and before is not None:
                options = msgspec.structs.replace(options, **{total: before})
        try:
            slots = Slots(story, reversed(self._others(folder, options)))
            conductor = Conductor(folder, journal, place, story, slots, options)
            self._found.set()
            try:
                return await conductor.conduct(self._body(conductor), self.workflow.source_hash())
            finally:
                self.hits = conductor.hits
        finally:
            journal.close()

    async def _body(self, conductor: Conductor) -> Any:
        words.enter(conductor, cast(Mapping[str, Any], self._bound.arguments))
        return await self.workflow.function(*self._bound.args, **self._bound.kwargs)

    def _others(self, own: WorkflowFolder, options: Options) -> list[Story]:
        if options.cache == "run":
            return []
        known = [one for one in folders(self.host.home) if one.id != own.id]
        headers = ((one, one.header() or {}) for one in known)
        whole = options.cache != "workflow"
        return stories(
            one
            for one, header in headers
            if not header.get("bundled") and (whole or header.get("name") == self.workflow.name)
        )

    async def _follow(self, folder: WorkflowFolder) -> dict[str, Any] | None:
        """How it ended; None where its engine died before it had."""
        story = Story(folder)
        while True:
            held = folder.held
            story.catch_up()
            if story.ended is not None:
                return story.ended
            if not held:
                return None
            await asyncio.sleep(LOOK_S)
