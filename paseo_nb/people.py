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
from collections.abc import Generator
from typing import Any

from . import _portal, cells
from .handle import AsyncRun, OnPermission, Watch, permission_needed
from .model import BUSY_STATES, Permission, short_id

LOOK_S = 0.1


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
        run.cancel()
        raise


def wait(
    run: AsyncRun,
    timeout: float | None,
    on_permission: OnPermission,
    check: bool,
    watch: Watch | None,
) -> None:
    """`AsyncRun.wait` from synchronous code, asking through `input()` where that reaches somebody.

    A KeyboardInterrupt stops the waiting, not the run.
    """
    ask_here = on_permission == "wait" and cells.can_ask()
    announced: set[str] = set()
    future = _portal.start_soon(
        run.wait, timeout, on_permission=on_permission, check=check, watch=watch
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
                for permission in run.pending() if watch is None or ask_here else ():
                    if ask_here:
                        ask(run, permission)
                    elif permission.id not in announced:
                        announced.add(permission.id)
                        print(announcement(run, permission), file=sys.stderr)
        except KeyboardInterrupt:
            future.cancel()
            raise


def ask(run: AsyncRun, permission: Permission) -> None:
    """Put one question and send the answer; a question answered elsewhere meanwhile is let be."""
    try:
        reply = _input(run, permission)
    except EOFError:
        raise permission_needed(run, permission) from None
    if reply is None:
        print("It needs no answer any more.")
        return
    reply = reply.strip()
    option = {"a": "allow_always"}.get(reply.lower())
    chosen = next((o for o in permission.options if o.get("kind") == option), None)
    with contextlib.suppress(ValueError):
        if reply.lower() in ("", "y", "yes", "a"):
            option_id = str(chosen["optionId"]) if chosen else None
            _portal.call(run.allow, permission.id, option=option_id)
        else:
            reason = None if reply.lower() in ("n", "no") else reply
            _portal.call(run.deny, permission.id, reason)


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
    shown = json.dumps(given, ensure_ascii=False)[:500] if given else ""
    limit = "" if cells.at_terminal() else f"Denied in {run.spec.limits.permission_timeout_s:g} s. "
    always = any(o.get("kind") == "allow_always" for o in permission.options)
    return (
        f"{run.agent} ({short_id(run.id)}) asks: {printable(permission.title or 'permission')}\n"
        + (f"  {printable(shown)}\n" if shown else "")
        + f"{limit}[y]es{', [a]lways' if always else ''}, [n]o, or a reason to deny: "
    )


def printable(text: str) -> str:
    """Text of an agent without control characters."""
    return "".join(c if c.isprintable() else " " for c in text)
