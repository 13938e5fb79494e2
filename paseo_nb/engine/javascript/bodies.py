"""A script as a workflow: its wishes become the words of `engine.words`, in its order.

The script's process is asked slice by slice: what has come of its wishes goes in, the next wishes
come out. It never sees what ends the run; then its process is killed.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec

from ...errors import NotTrusted, UsageProblem, WorkflowError
from .. import words
from ..conductor import Conductor
from ..place import Place
from ..values import StepFailed
from ..workflows import Workflow
from . import meta
from .kinds import Kind, kind
from .process import Limits, ScriptDied, ScriptProcess, Wish, wrong_with

AT_ONCE = 8  # processes of scripts on one level of nesting
ABOVE = 2  # lines that the engine of the language puts before a body
_FRAME = re.compile(r"\s+at (?:async )?(?:.*\()?(?:eval at .*, )?(.*?):(\d+):(\d+)\)?$")
_SYNTAX = re.compile(r"[^:\n]*:(\d+): (SyntaxError: .*)")
_busy: WeakKeyDictionary[Conductor, dict[int, asyncio.Semaphore]] = WeakKeyDictionary()


class Opts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What a script may say of an agent: Claude Code's words, then ours. Nothing with which a
    script would read a file or start a process: attachments, MCP servers, rules."""

    label: str | None = None
    phase: str | None = None
    schema: dict[str, Any] | None = None
    model: str | None = None
    effort: str | None = None
    agent_type: str | None = None
    isolation: Literal["worktree"] | None = None
    agent: str | None = None
    mode: str | None = None
    agent_mode: str | None = None
    budget: float | None = None
    token_budget: int | None = None
    timeout: float | None = None
    retries: int = 0
    key: Any = None
    reads: bool = True
    effects: Literal["none", "tree", "outward"] = "tree"
    refresh: bool = False


def script(text: str, name: str, limits: Limits | None = None) -> Workflow:
    """The workflow that a script is; it takes one value, `args`. UsageProblem where its meta is no
    literal or its body no JavaScript."""
    where = f"{name}.js"
    read = meta.read(text, where)
    source = f'"use strict"; {read.body}\n//# sourceURL={_shown(where)}'
    wrong = wrong_with(source)
    if wrong:
        found = _SYNTAX.match(wrong)
        line = f"{where}:{found[1]}: {found[2]}" if found else f"{where}: {wrong}"
        raise UsageProblem(line)

    async def body(args: Any = None) -> Any:
        return await _conducted(source, where, args, limits or Limits())

    body.__name__ = body.__qualname__ = name
    body.__doc__ = read.meta.description
    body.suffix = ".js"  # pyright: ignore[reportFunctionMemberAccess]
    return Workflow(body, name, text=text)


async def _conducted(source: str, where: str, args: Any, limits: Limits) -> Any:
    conductor = words.current(where)
    limits = msgspec.structs.replace(limits, agents=conductor.options.max_steps + 1)
    level = (words.part() or "").count("/") if words.part() else -1
    levels = _busy.setdefault(conductor, {})
    async with levels.setdefault(level, asyncio.Semaphore(AT_ONCE)):
        process = ScriptProcess(limits)
        running: dict[asyncio.Task[Any], int] = {}
        try:
            await process.begin(source)
            return await _slices(conductor, process, running, args)
        except ScriptDied as error:
            raise WorkflowError(f"{where}: {error}", conductor.folder.id) from None
        except ScriptFailed as error:
            raise WorkflowError(located(str(error), where), conductor.folder.id) from None
        finally:
            for task in running:
                task.cancel()
            await process.close()


class ScriptFailed(Exception):
    """A script raised, and nobody caught it; the text is the stack."""


async def _slices(
    conductor: Conductor,
    process: ScriptProcess,
    running: dict[asyncio.Task[Any], int],
    args: Any,
) -> Any:
    start: dict[str, Any] = {"spent": _spent(conductor)}
    if args is not None:
        start["args"] = args
    answer = await process.ask(b"S", start)
    while True:
        for wish in answer.ops:
            task = _begun(conductor, wish)
            if task is not None:
                running[task] = wish.id
        if answer.state == "done":
            await _unawaited(conductor, running)
            return answer.value
        if answer.state == "failed":
            raise ScriptFailed(answer.error)
        if not running:
            raise ScriptDied("it waits for a promise that nothing will ever resolve")
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        give = [_given(conductor, task, running.pop(task)) for task in done]
        give.sort(key=lambda one: one["id"])
        answer = await process.ask(b"G", {"spent": _spent(conductor), "give": give})


async def _unawaited(conductor: Conductor, running: dict[asyncio.Task[Any], int]) -> None:
    """What a script asked for and did not wait for is cancelled with it; wrong wishes count."""
    if running:
        await asyncio.wait(running, timeout=0.0)
        if conductor.fatal is not None:
            raise conductor.fatal
        words.log(f"{len(running)} agents were not awaited, so they end with the script")


def _spent(conductor: Conductor) -> dict[str, Any]:
    ledger = conductor.ledger
    return {
        "usd": ledger.cost_usd,
        "usd_total": ledger.total_usd,
        "tokens": ledger.tokens,
        "tokens_total": ledger.total_tokens,
    }


def _given(conductor: Conductor, task: asyncio.Task[Any], ident: int) -> dict[str, Any]:
    """What a wish came to, as the script is told. What ends the run is raised."""
    error = task.exception()
    if error is None:
        return {"id": ident, "well": True, "value": task.result()}
    if conductor.fatal is not None or not isinstance(error, WorkflowError):
        raise error
    return {"id": ident, "well": False, "value": str(error)}


def _begun(conductor: Conductor, wish: Wish) -> asyncio.Task[Any] | None:
    if wish.op == "phase":
        words.phase(wish.message)
    elif wish.op == "log":
        words.log(wish.message)
    elif wish.op == "fatal":
        raise conductor.fail("cap", wish.message)
    elif wish.op == "agent":
        return asyncio.create_task(_agent(conductor, wish))
    else:
        return asyncio.create_task(_workflow(conductor, wish))
    return None


async def _agent(conductor: Conductor, wish: Wish) -> Any:
    try:
        if not isinstance(wish.given, str) or not wish.given.strip():
            raise UsageProblem("agent() is given no prompt: its first argument is a text")
        opts = msgspec.convert(wish.more or {}, Opts)
        if opts.schema is not None and opts.schema.get("type") != "object":
            raise UsageProblem("agent(): schema: its root is an object (type: 'object')")
        kinds = kind(opts.agent_type) if opts.agent_type else Kind()
        agent = opts.agent or kinds.agent or named(opts.model or kinds.model, conductor.place)
    except msgspec.ValidationError as error:
        raise conductor.fail("usage", f"agent(): {error}") from None
    except (UsageProblem, NotTrusted) as error:
        raise conductor.fail("usage", str(error)) from None
    ours = msgspec.structs.asdict(opts)
    for name in ("model", "agent_type", "agent"):
        del ours[name]
    ours["mode"] = opts.mode or (None if opts.isolation else kinds.mode)
    prompt = f"{kinds.told}\n\n{wish.given}" if kinds.told else wish.given
    result = await words.agent(prompt, agent, **ours)
    if isinstance(result, StepFailed):
        return None
    return result.plain if opts.schema is not None else result.text


def named(model: str | None, place: Place) -> str | None:
    """The agent that a `model` means: Claude Code's, unless it names one of ours."""
    if model is not None and model != "inherit":
        return model if "/" in model or model.startswith("@") else f"claude/{model}"
    try:
        place.identity(None)
    except UsageProblem:  # no default is set
        return "claude"
    return None


async def _workflow(conductor: Conductor, wish: Wish) -> Any:
    which = wish.given
    if isinstance(which, dict) and isinstance(which.get("scriptPath"), str):  # pyright: ignore
        which = which["scriptPath"]  # pyright: ignore
    try:
        if not isinstance(which, str):
            raise UsageProblem("workflow() is given a name, or {scriptPath}")
        from ..discovery import named as workflow_named

        target: Any = await asyncio.to_thread(workflow_named, which)
    except (UsageProblem, NotTrusted) as error:
        raise conductor.fail("usage", f"workflow(): {error}") from None
    target = getattr(target, "workflow", target)  # a flow's
    more = wish.more
    if getattr(target.function, "suffix", None) is not None or not isinstance(more, dict):
        given = () if more is None else (more,)
        return _told(await words.run_workflow(target, *given))
    return _told(await words.run_workflow(target, **more))


def _told(value: Any) -> Any:
    """What a workflow returned, as a script has it."""
    from ..returned import plain_result

    told = plain_result(value)
    if "unkept" in told:
        raise WorkflowError(f"workflow() returned a {told['unkept']}, which has no form in JSON")
    return told["result"]


def located(stack: str, where: str) -> str:
    """An error of a script with the lines of its text; the engine's own frames are left out."""
    message, *frames = stack.split("\n")
    lines: list[str] = []
    for frame in frames:
        found = _FRAME.match(frame)
        if found is None:
            if not lines and "    at " not in frame:
                message += f"\n{frame}"  # a message of several lines
        elif found[1] == _shown(where):
            lines.append(f"{where}:{int(found[2]) - ABOVE}:{found[3]}")
    if not lines:
        return f"{where}: {message}"
    return f"{lines[0]}: {message}" + "".join(f"\n  from {one}" for one in lines[1:6])


def _shown(where: str) -> str:
    """A name that the language takes as that of a file."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", where)
