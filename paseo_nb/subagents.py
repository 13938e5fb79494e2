"""Who is told when a run's turn is over: a run, a shell command, a Python function, a person.

Runs and commands are told by the run's own supervisor, whoever lives. A function can be told by
its process only: each delivery is journaled in the run before the call, so that the same function,
given again in a new kernel, hears what it missed and nothing twice.
"""

from __future__ import annotations

import contextlib
import html
import inspect
import sys
import threading
import traceback
import zlib
from collections.abc import Callable
from types import CodeType
from typing import Any, cast

import anyio
import anyio.to_thread
import msgspec

from . import _portal, cells
from .drivers.reading import reading_for
from .errors import PaseoError, UsageProblem
from .finding import find_run
from .handle import AsyncRun
from .hints import command, ipython
from .host.local import LocalHost
from .inbox import Receiver
from .model import Turn, short_id
from .runview import RunView
from .supervisor.recovery import read_past

LOOK_S = 0.25
RUN = "run:"
_given: dict[tuple[str, str], tuple[Any, list[Callable[..., Any]]]] = {}


def receiver_of(hook: Any, host: LocalHost) -> Receiver | None:
    """Whom a hook means: a run (a handle, or `run:ID`), a shell command (any other text), or, as
    None, a function. UsageProblem."""
    if isinstance(hook, RunView):
        return Receiver(run=hook.id)
    if isinstance(hook, str) and hook.startswith(RUN):
        return Receiver(run=find_run(host, hook.removeprefix(RUN)))
    if isinstance(hook, str) and hook.strip():
        return Receiver(shell=hook)
    if callable(hook):
        return None
    raise UsageProblem(f"a hook is a function, a shell command, or a run, not {hook!r}")


async def tell(run: AsyncRun, hook: Any) -> str:
    """Have a hook told of a run's turns from now on, and of its last one; who that is."""
    receiver = receiver_of(hook, run.host)
    if receiver is None:
        name = _told_apart(run.id, name_of(hook), hook)
        _portal.beside(_follow, AsyncRun(run.host, run.id), hook, name)
        return name
    if receiver.run == run.id:
        raise UsageProblem("a run is not told of its own turns")
    await run.note("on_finish", msgspec.to_builtins(receiver))
    return receiver.name


def name_of(function: Callable[..., Any]) -> str:
    """What tells one function from another in a journal, in this kernel and the next: its name, and
    what it does."""
    inner = getattr(function, "__func__", function)
    name = getattr(inner, "__qualname__", type(function).__qualname__)
    code = getattr(inner, "__code__", None)
    if isinstance(code, CodeType):
        name += f" {zlib.crc32(_content(code).encode()):08x}"
    return f"python {getattr(inner, '__module__', None) or '__main__'}.{name}"


def _content(value: Any) -> str:
    if isinstance(value, CodeType):
        return f"{value.co_code!r} {value.co_names} {[_content(one) for one in value.co_consts]}"
    if isinstance(value, frozenset):
        return str(sorted(map(repr, cast(frozenset[Any], value))))
    return repr(value)


def _told_apart(run_id: str, name: str, function: Callable[..., Any]) -> str:
    """The name of a function among those made by one `def` (in a loop, by another function) that
    are told of one run: by its place among them. A cell that is run again defines it anew."""
    made_by = getattr(getattr(function, "__func__", function), "__code__", None)
    given = _given.setdefault((run_id, name), (made_by, []))
    if given[0] is not made_by:
        given = _given[run_id, name] = (made_by, [])
    if function not in given[1]:
        given[1].append(function)
    at = given[1].index(function)
    return f"{name} {at + 1}" if at else name


async def _follow(run: AsyncRun, function: Callable[..., Any], name: str) -> None:
    """Call a function once for each end of a turn that it has not been told of."""
    done = await anyio.to_thread.run_sync(_told, run, name)
    first = True
    while True:
        with contextlib.suppress(OSError, PaseoError):
            history = await anyio.to_thread.run_sync(run.history)
            ended = [turn for turn in history.turns if turn.outcome is not None]
            if first and not done:  # what was before it was asked for is old
                done |= {turn.turn for turn in ended[:-1]}
            first = False
            for turn in ended:
                if turn.turn not in done:
                    done.add(turn.turn)
                    if await _journal(run, turn, name):
                        _call(function, run)
            if history.archived:
                return
        await anyio.sleep(LOOK_S)


def _told(run: AsyncRun, name: str) -> set[int]:
    spec = run.spec
    past = read_past(run.host.folder(run.id), reading_for(spec.dialect, spec.at_heart))
    return {int(key[1:]) for key, to in past.kin.told if to == name and key[:1] == "t"}


async def _journal(run: AsyncRun, turn: Turn, name: str) -> bool:
    """Note a delivery; False where another process has made it."""
    facts = {"key": f"t{turn.turn}", "to": name}
    ident = f"told-{turn.turn}-{zlib.crc32(name.encode()):08x}"
    while True:
        told = await run.host.command(run.id, "told", facts, command_id=ident)
        if told["alive"]:
            return not told.get("duplicate")
        if turn.turn in await anyio.to_thread.run_sync(_told, run, name):
            return False
        with contextlib.suppress(UsageProblem):  # its pair is just coming
            await anyio.to_thread.run_sync(run.host.put, run.id, "told", facts)
            return True
        await anyio.sleep(LOOK_S)


def _call(function: Callable[..., Any], run: AsyncRun) -> None:
    """Call it where it may display and take its time: in a kernel when no cell runs, else in a
    thread of its own. A coroutine runs on the library's loop."""
    from ._sync import Run

    if inspect.iscoroutinefunction(function):
        _portal.beside(function, run)
        return

    def call() -> None:
        try:
            function(Run(run))
        except Exception:
            traceback.print_exc()

    loop: Any = getattr(getattr(ipython(), "kernel", None), "io_loop", None)
    if loop is not None:
        loop.add_callback(call)
    else:
        threading.Thread(target=call, name="paseo_nb hook").start()


# ---------------------------------------------------------------- a person


def notify(run: AsyncRun) -> None:
    """Tell the person here when the run's turn is over: in a notebook where it was started, at a
    terminal by its bell. Where nobody is, nothing."""
    shell = ipython()
    if getattr(shell, "kernel", None) is not None:
        _portal.beside(_toast, AsyncRun(run.host, run.id), _shown(run, None))
    elif cells.at_terminal():
        _portal.beside(_bell, AsyncRun(run.host, run.id))


def notice(run: RunView, outcome: str | None) -> str:
    """What a person is told of a run at work, or done."""
    name = run.spec.title or run.spec.label or run.agent
    ident = short_id(run.id)
    if outcome is None:
        return f"Subagent {ident} ({name}) is at work."
    how = "has finished" if outcome == "end_turn" else f"ended: {outcome}"
    return f"Subagent {ident} ({name}) {how}. {command(f'attach {ident}')} shows it."


async def _outcome(run: AsyncRun) -> str:
    await run.wait(check=False)
    turn = run.history().turn
    return (turn.outcome if turn is not None else None) or run.state


async def _toast(run: AsyncRun, display: Any) -> None:
    with contextlib.suppress(PaseoError, OSError):
        _shown(run, await _outcome(run), display)


async def _bell(run: AsyncRun) -> None:
    with contextlib.suppress(PaseoError, OSError):
        print(f"\a{notice(run, await _outcome(run))}", file=sys.stderr, flush=True)


def _shown(run: RunView, outcome: str | None, display: Any = None) -> Any:
    from IPython import display as shown

    show = cast(Any, shown).display
    text = notice(run, outcome)
    content = {"text/plain": text, "text/html": f"<p>{html.escape(text)}</p>"}
    if display is None:
        return show(content, raw=True, display_id=f"paseo-subagent-{run.id}")
    display.update(content, raw=True)
    return display
