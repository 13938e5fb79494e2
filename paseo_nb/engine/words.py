"""What a workflow's body calls: agent, parallel, pipeline, phase, log, budget, args, and values
that stay the same when it is resumed.

They find the workflow that they are called in by a context variable, which tasks inherit.
"""

from __future__ import annotations

import asyncio
import datetime
import inspect
import random as _random
import sys
import uuid as _uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import CoroutineType
from typing import Any, cast

from .. import cells
from ..errors import UsageProblem, WorkflowError
from ..git.rooms import remove_room
from .conductor import HITS, Conductor, rest
from .keys import plain
from .values import Base, Call, Result, StepFailed

MOST_ITEMS = 4096

_at_work: ContextVar[Conductor | None] = ContextVar("workflow", default=None)
_phase: ContextVar[str | None] = ContextVar("phase", default=None)
_part: ContextVar[str | None] = ContextVar("part", default=None)
_args: ContextVar[Mapping[str, Any]] = ContextVar("args")


def current(word: str) -> Conductor:
    """The workflow that this is called in. UsageProblem outside one."""
    conductor = _at_work.get()
    if conductor is None:
        raise UsageProblem(
            f"{word} is for the body of a workflow: an `async def` under @paseo.workflow. Outside"
            " one, start runs by paseo.run(agent, prompt)."
        )
    return conductor


def enter(conductor: Conductor, arguments: Mapping[str, Any], part: str | None = None) -> None:
    """Make this context that of a workflow's body."""
    _at_work.set(conductor)
    _args.set(arguments)
    _phase.set(None)
    _part.set(part)


def part() -> str | None:
    """The names of the nested workflows that this is in, joined by `/`."""
    return _part.get()


async def agent(
    prompt: str,
    agent: str | None = None,
    *,
    schema: Any = None,
    label: str | None = None,
    phase: str | None = None,
    isolation: str | None = None,
    mode: str | None = None,
    agent_mode: str | None = None,
    effort: str | None = None,
    attach: Any = None,
    mcp: Mapping[str, Any] | None = None,
    allow: Sequence[str] | None = None,
    deny: Sequence[str] | None = None,
    budget: float | None = None,
    token_budget: int | None = None,
    timeout: float | None = None,
    retries: int = 0,
    key: Any = None,
    needs: Sequence[Any] | Result = (),
    reads: bool = True,
    effects: str = "tree",
    refresh: bool = False,
) -> Result | StepFailed:
    """A step: have an agent do something, once. Its result, whole; StepFailed, which is false,
    where it did not end well.

    prompt: what it shall do
    agent: `provider/model` or a profile (default: the configured one)
    schema: what `.value` must be: a JSON Schema or a type
    label, phase: how it is shown; no part of what it is found again by
    isolation: "worktree": in a worktree of its own; its result has the branch and the commit.
        "clone": in a clone that leads to nothing else; its result has the commit
    mode: what passes without a question (default: edit in a worktree of its own, else read)
    budget, token_budget: what it may spend; reserved before it starts
    timeout: seconds that its turn may take
    retries: how often it is tried again after a failure
    key: tells it apart from a step that asks for the same, as a trial's number
    needs: a result whose files it begins with (with isolation)
    reads: False: it does not look at the files, so that changes of them are none of it
    effects: tree; "none": it changes no files, whatever its mode; "outward": it acts on the world,
        so it is never repeated by itself
    refresh: not from another run of the workflow
    attach, mcp, allow, deny, agent_mode, effort: as in `paseo.start`
    """
    conductor = current("agent()")
    needed = (needs,) if isinstance(needs, Result) else tuple(needs)
    call = Call(
        str(prompt), agent, schema, label, phase or _phase.get(), isolation, mode, agent_mode,
        effort, attach, mcp, allow, deny, budget, token_budget, timeout, retries, key, needed,
        reads, effects, refresh,
    )  # fmt: skip
    return await conductor.step(call, _part.get())


async def contestant(
    prompt: str,
    agent: str,
    *,
    repo: str,
    at: Base,
    match: str,
    seat: str,
    key: Any,
    schema: Any = None,
    mode: str | None = None,
    effort: str | None = None,
    budget: float | None = None,
    timeout: float | None = None,
    keep: bool = True,
) -> Result | StepFailed:
    """A step of a contest: in a clone of `repo` at a commit, its run marked as the match's. For
    `contests` only. keep: leave the clone, so that one can look around in it."""
    conductor = current("contestant()")
    call = Call(
        prompt, agent, schema, seat, _phase.get(), "clone", mode, effort=effort, budget=budget,
        timeout=timeout, key=key, repo=repo, at=at, match=match, labels={"seat": seat},
    )  # fmt: skip
    done = await conductor.step(call, _part.get())
    if not keep and done.run_id is not None:
        await asyncio.to_thread(remove_room, done.run_id)
    return done


async def parallel(items: Sequence[Awaitable[Any] | Callable[[], Any]]) -> list[Any]:
    """Await all of them at once; their results, in the order of the items.

    items: awaitables, as `agent(…)`, or functions of no arguments. One that raises becomes a
    StepFailed in its place; what ends the workflow is raised when all others are over.
    """
    current("parallel()")
    _check_count(items, "parallel")
    return await together(items, _one)


async def pipeline(items: Sequence[Any], *stages: Callable[..., Any]) -> list[Any]:
    """Each item through all stages, none waiting for the others; results in the order of the items.

    A stage is given what the one before it gave (the first: the item), and if it takes more, the
    item and its number from 0. An item whose stage fails or raises goes through no further one: its
    result is that StepFailed.
    """
    current("pipeline()")
    _check_count(items, "pipeline")
    takes = [_arguments(stage) for stage in stages]

    async def through(item: Any, number: int) -> Any:
        value = item
        for stage, count in zip(stages, takes, strict=True):
            value = await _value(stage(*(value, item, number)[:count]))
            if isinstance(value, StepFailed):
                return value
        return value

    return await together([through(item, at) for at, item in enumerate(items)], _one)


async def _one(item: Any) -> Any:
    try:
        if type(item) is CoroutineType:  # most are
            return await cast(Any, item)
        return await _value(item() if callable(item) else item)
    except WorkflowError:
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        log(f"an item failed: {message}")
        return StepFailed("error", message)


async def _value(given: Any) -> Any:
    return await given if inspect.isawaitable(given) else given


async def together(
    items: Sequence[Any], each: Callable[[Any], CoroutineType[Any, Any, Any]] | None = None
) -> list[Any]:
    """Await all, whatever becomes of each, then raise what the first in order raised. They are
    begun in order, some at a time, so that others have their turn. each: what is made of one."""
    results: list[Any] = [None] * len(items)
    tasks: dict[int, asyncio.Future[Any]] = {}
    begun = 0
    try:
        for at, item in enumerate(items):
            if at and at % HITS == 0:
                await asyncio.sleep(0)
            begun = at + 1
            work = item if each is None else each(item)
            if each is not None and type(item) is CoroutineType and item.cr_code is _AGENT:
                try:  # without a task as far as it goes without waiting: what is known needs none
                    work = rest(work, work.send(None))
                except StopIteration as over:
                    results[at] = over.value
                    continue
                except WorkflowError as error:
                    work = _raising(error)
            tasks[at] = asyncio.ensure_future(work)
        if tasks:
            await asyncio.wait(tasks.values())
    except asyncio.CancelledError:
        for at, item in enumerate(items[begun:], begun):
            if inspect.iscoroutine(item):
                item.close()  # it will not be awaited
            elif asyncio.isfuture(item):
                tasks[at] = item
        for task in tasks.values():
            task.cancel()
        if tasks:
            await asyncio.wait(tasks.values())
        raise
    problems = [error for task in tasks.values() if (error := task.exception()) is not None]
    if problems:
        raise problems[0]
    for at, task in tasks.items():
        results[at] = task.result()
    return results


_AGENT = agent.__code__


async def _raising(error: WorkflowError) -> Any:
    raise error


def _check_count(items: Sequence[Any], word: str) -> None:
    if len(items) > MOST_ITEMS:
        for item in items:
            if inspect.iscoroutine(item):
                item.close()  # it will not be awaited
        raise current(word).fail(
            "cap", f"{word}() was given {len(items)} items; {MOST_ITEMS} at once is the most"
        )


def _arguments(stage: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(stage).parameters.values()
    except (TypeError, ValueError):
        return 1
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return 3
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return max(1, min(3, sum(one.kind in positional for one in parameters)))


def phase(title: str) -> None:
    """Name the phase that the steps from here on belong to."""
    conductor = current("phase()")
    _phase.set(title)
    conductor.journal.put("phase", title=title, part=_part.get())


def log(*words: Any) -> None:
    """Tell whoever watches, and keep it."""
    conductor = current("log()")
    text = " ".join(str(word) for word in words)
    conductor.journal.put("log", text=text, phase=_phase.get(), part=_part.get())
    if not cells.in_kernel():
        print(f"{conductor.name}: {text}", file=sys.stderr, flush=True)


def now() -> datetime.datetime:
    """The time (UTC); when the workflow is resumed, that of the first time."""
    made = current("now()").once("now", lambda: datetime.datetime.now(datetime.UTC).isoformat())
    return datetime.datetime.fromisoformat(made)


def random() -> float:
    """A number from 0 up to 1; when the workflow is resumed, that of the first time."""
    return current("random()").once("random", _random.random)


def uuid() -> str:
    """An id; when the workflow is resumed, that of the first time."""
    return current("uuid()").once("uuid", lambda: str(_uuid.uuid4()))


async def run_workflow(workflow: Any, *args: Any, **kwargs: Any) -> Any:
    """Another workflow's body as a part of this one: it shares caps, budget and steps' memory.

    workflow: a workflow or a flow, or the name of one in a file
    """
    conductor = current("run_workflow()")
    if isinstance(workflow, str):
        from .discovery import named

        workflow = named(workflow)
    workflow = getattr(workflow, "workflow", workflow)  # a flow's
    function, name = workflow.function, workflow.name
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    path = f"{_part.get()}/{name}" if _part.get() else str(name)
    if path.count("/") >= 8:
        raise conductor.fail("cap", f"workflows within workflows, too deep: {path}")

    async def inner() -> Any:
        enter(conductor, bound.arguments, path)
        return await function(*args, **kwargs)

    return await asyncio.create_task(inner())  # a context of its own


class Budget:
    """What the workflow may spend, in US dollars, and has spent."""

    @property
    def total(self) -> float | None:
        """The budget; None where there is none."""
        return current("budget").options.budget

    def spent(self) -> float:
        """What its steps cost so far; 0 where no agent tells."""
        return current("budget").ledger.cost_usd

    def remaining(self) -> float:
        """What is left; infinity without a budget."""
        total = self.total
        return float("inf") if total is None else max(0.0, total - self.spent())

    def __repr__(self) -> str:
        return f"<Budget ${self.spent():.2f} of {self.total}>"


class Arguments(Mapping[str, Any]):
    """What the workflow was called with, by name."""

    def _known(self) -> Mapping[str, Any]:
        current("args")
        return _args.get()

    def __getitem__(self, name: str) -> Any:
        return self._known()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known())

    def __len__(self) -> int:
        return len(self._known())

    def __repr__(self) -> str:
        return repr(dict(self._known()))


budget = Budget()
args = Arguments()


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as a workflow run is found again by."""
    return {name: plain(value, f"the argument {name}") for name, value in arguments.items()}
