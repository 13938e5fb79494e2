"""The one loop thread: where the library's async core runs when called from synchronous code.

Started by the first call, stopped at exit, made anew in a forked child. A KeyboardInterrupt in the
caller cancels the work instead of orphaning it.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from .errors import UsageProblem

P = ParamSpec("P")
T = TypeVar("T")
WORKER_S = 2.0

_lock = threading.Lock()
_portal: BlockingPortal | None = None
_manager: Any = None
_thread: int | None = None
_left_behind: list[Any] = []


def _get() -> BlockingPortal:
    global _portal, _manager, _thread
    with _lock:
        portal = _portal
        if portal is None:
            _manager = start_blocking_portal(name="paseo_nb")
            portal = _portal = _manager.__enter__()
            _thread = portal.call(threading.get_ident)
            atexit.register(close)
        return portal


def close() -> None:
    """Stop the loop thread; the next call starts another."""
    global _portal, _manager, _thread
    with _lock:
        portal, manager = _portal, _manager
        _manager, _portal, _thread = None, None, None
    if portal is None:
        return
    loop: asyncio.AbstractEventLoop | None = None
    with contextlib.suppress(RuntimeError):
        loop = portal.call(_running_loop)
        portal.call(portal.stop, True)  # whatever still runs is cancelled, not waited for
    with contextlib.suppress(RuntimeError):
        manager.__exit__(None, None, None)
    # anyio tells its worker threads to end but does not wait; one that the interpreter's end cuts
    # off keeps DuckDB's objects, which then complain of leaks on standard error.
    for thread in threading.enumerate():
        if loop is not None and getattr(thread, "loop", None) is loop:
            thread.join(WORKER_S)


async def _running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def _forget() -> None:
    """A forked child has no loop thread. The parent's portal is kept as it is: taken down here, it
    would wait for that thread for ever."""
    global _portal, _manager, _thread, _lock
    _left_behind.append(_manager)
    _portal, _manager, _thread, _lock = None, None, None, threading.Lock()


os.register_at_fork(after_in_child=_forget)


def is_inside() -> bool:
    """Whether this is the loop thread, which must not wait for itself."""
    return threading.get_ident() == _thread


_other_loops: set[int] = set()


def keep_out(thread: int, forbidden: bool = True) -> None:
    """Refuse synchronous verbs in a thread whose loop they would stall: that of a workflow."""
    (_other_loops.add if forbidden else _other_loops.discard)(thread)


def call(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a coroutine function on the loop thread and wait for its result."""
    portal = _get()
    if threading.get_ident() in _other_loops:
        raise UsageProblem(
            f"paseo.{getattr(function, '__name__', '…')}() was called inside a workflow, whose loop"
            " it would stall; use `from paseo_nb import aio` and await it there"
        )
    if is_inside():
        raise UsageProblem(
            "a synchronous verb was called inside paseo_nb's own loop;"
            " use `from paseo_nb import aio` and await it there"
        )
    future: concurrent.futures.Future[T] = portal.start_task_soon(lambda: function(*args, **kwargs))
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        with contextlib.suppress(BaseException):
            future.result(timeout=5)
        raise


def start_soon(
    function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
) -> concurrent.futures.Future[T]:
    """Start a coroutine function on the loop thread; a future for its result."""
    return _get().start_task_soon(lambda: function(*args, **kwargs))


def beside(function: Callable[P, Awaitable[Any]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Start a coroutine function on the loop thread, from any thread; nobody waits for it."""
    if _portal is None or threading.get_ident() != _thread:
        start_soon(function, *args, **kwargs)
        return
    task = asyncio.ensure_future(function(*args, **kwargs))
    _beside.add(task)
    task.add_done_callback(_beside.discard)


_beside: set[asyncio.Future[Any]] = set()
