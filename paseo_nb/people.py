"""Asking the person at the keyboard: permissions by `input()`, and waiting while one may be asked.

A widget's button cannot be answered while a synchronous cell runs, `input()` can. At a terminal a
person is there and holds the supervisor's permission clock. A notebook's front end only says that
it could ask somebody: there the clock runs on, and the question is taken back when the supervisor
has denied it or somebody has answered it elsewhere.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

from . import _portal, cells
from .answering import OnPermission, answer_of, checked_on_permission, tool_input
from .errors import UsageProblem
from .handle import AsyncRun
from .model import BUSY_STATES, Allow, Deny, Permission, short_id
from .runview import Watch, permission_needed

LOOK_S = 0.1
MOST_SHOWN = 4000  # characters of a tool's input; what is left out of it is said


@contextlib.contextmanager
def holding(run: AsyncRun) -> Generator[None]:
    """Hold the permission clock of a run while the block lasts, where a person surely is."""
    if not cells.at_terminal():
        yield
        return
    held = _portal.start_soon(run.hold)
    try:
        yield
    finally:
        held.cancel()


@contextlib.contextmanager
def cancelling(run: Any) -> Generator[None]:
    """End the turn of a run that is being launched where its launch is interrupted: ■, Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        if not cells.is_ending():
            run.cancel()
        raise


def wait(
    run: AsyncRun,
    timeout: float | None,
    on_permission: OnPermission,
    check: bool,
    watch: Watch | None,
) -> None:
    """`AsyncRun.wait` from synchronous code, asking through `input()` where that reaches somebody,
    or a function, which is called in this thread.

    A KeyboardInterrupt stops the waiting, not the run.
    """
    answers = checked_on_permission(on_permission)
    function = answers if callable(answers) else None
    ask_here = answers == "wait" and cells.can_ask()
    told: set[str] = set()
    future = _portal.start_soon(
        run.wait,
        timeout,
        on_permission="wait" if function is not None else on_permission,
        check=check,
        watch=watch,
    )
    with holding(run) if ask_here else contextlib.nullcontext():
        try:
            while True:
                try:
                    future.result(timeout=LOOK_S)
                    return
                except concurrent.futures.TimeoutError:
                    if future.done():  # the run's own timeout, not ours
                        raise
                looks = ask_here or function is not None or watch is None
                for permission in run.pending() if looks else ():
                    if ask_here:
                        ask(run, permission)
                    elif permission.id not in told:
                        told.add(permission.id)
                        if function is not None:
                            _ask_function(run, permission, function)
                        else:
                            print(announcement(run, permission), file=sys.stderr)
        except BaseException:
            future.cancel()
            raise


def _ask_function(
    run: AsyncRun, permission: Permission, function: Callable[[Permission], Any]
) -> None:
    """Have a function answer a question; the permission's time does not run out meanwhile."""
    held = _portal.start_soon(run.hold)
    try:
        answer = answer_of(function(permission))
    finally:
        held.cancel()
    if answer is not None and any(one.id == permission.id for one in run.pending()):
        _portal.call(run.answer, answer, permission.id, by="callback")


def ask(run: AsyncRun, permission: Permission) -> None:
    """Put one question and send the answer; a question answered elsewhere meanwhile is let be."""
    while True:
        try:
            reply = _input(run, permission)
        except EOFError:
            raise permission_needed(run, permission) from None
        if reply is None:
            print("It needs no answer any more.")
            return
        try:
            answer = understood(reply, permission)
            break
        except UsageProblem as error:
            print(error)
    with contextlib.suppress(ValueError):
        _portal.call(run.answer, answer, permission.id)


def understood(reply: str, permission: Permission) -> Allow | Deny:
    """What somebody typed: see `question`. UsageProblem for a changed input that is none."""
    reply = reply.strip()
    word = reply.lower()
    if word in ("", "y", "yes"):
        return Allow()
    if word in ("a", "always"):
        return Allow(always=can_always(permission))
    if word in ("n", "no"):
        return Deny()
    if word in ("c", "cancel"):
        return Deny(cancel=True)
    if reply.startswith("{"):
        return Allow(input=tool_input(reply))
    return Deny(reply)


def can_always(permission: Permission) -> bool:
    """Whether the agent offers a yes that holds on."""
    return any(option.get("kind") == "allow_always" for option in permission.options)


class _Over(BaseException):
    """The question was answered without us. No Exception: those ipykernel's `input()` swallows."""


def _input(run: AsyncRun, permission: Permission) -> str | None:
    """`input()`, given up (None) when the question waits no longer; ■ and Ctrl-C interrupt it.

    Only a signal gets `input()` to return, and only in the main thread; in another it waits.
    While an awaited cell runs, ipykernel's own handler of SIGINT would only note it for later.
    """
    text = question(run, permission)
    if threading.current_thread() is not threading.main_thread():
        return input(text)
    asking, over = False, False

    def interrupted(signum: int, frame: Any) -> None:
        if asking:
            raise _Over if over else KeyboardInterrupt

    def look() -> None:
        nonlocal over
        while not done.wait(LOOK_S):
            still = any(one.id == permission.id for one in run.pending())
            if still and run.state in BUSY_STATES:
                continue
            over = True
            signal.pthread_kill(main, signal.SIGINT)
            return

    main, done = threading.get_ident(), threading.Event()
    before = signal.signal(signal.SIGINT, interrupted)
    looking = threading.Thread(target=look, name="paseo-question", daemon=True)
    looking.start()
    try:
        asking = True
        return input(text)
    except _Over:
        return None
    finally:
        asking = False
        done.set()
        looking.join()
        signal.signal(signal.SIGINT, before)


def announcement(run: AsyncRun, permission: Permission) -> str:
    """What is said where nobody can be asked."""
    ident, limit = short_id(run.id), run.spec.limits.permission_timeout_s
    return (
        f"{run.agent} ({ident}) asks: {printable(permission.title or 'permission')}. Answer with"
        f" `paseo-nb allow {ident}` or `paseo-nb deny {ident}`; it is denied in {limit:g} s."
    )


def question(run: AsyncRun, permission: Permission) -> str:
    """The text of a question."""
    given: Any = permission.input
    shown = json.dumps(given, ensure_ascii=False) if given else ""
    if len(shown) > MOST_SHOWN:
        half = MOST_SHOWN // 2
        left = f" … {len(shown) - MOST_SHOWN} characters that are not shown … "
        shown = shown[:half] + left + shown[-half:]
    limit = "" if cells.at_terminal() else f"Denied in {run.spec.limits.permission_timeout_s:g} s. "
    return (
        f"{run.agent} ({short_id(run.id)}) asks: {printable(permission.title or 'permission')}\n"
        + (f"  {printable(shown)}\n" if shown else "")
        + f"{limit}[y]es{', [a]lways' if can_always(permission) else ''}, [n]o, [c]ancel the turn,"
        " a reason to deny, or the input to use instead as {JSON}: "
    )


def printable(text: str) -> str:
    """Text of an agent without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
