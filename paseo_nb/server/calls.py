"""Calls of verbs under a key of the caller's: made once, however often it asks.

A call goes on when nobody waits for it any more; who asks again under its key, as after a broken
line, waits for the same one. Results are kept for a while, in this process: `Calls.born` tells a
caller that it is another one.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from .. import (
    _portal,  # pyright: ignore[reportPrivateUsage]
    config,
)

WAIT_S = 20.0  # shorter than what proxies allow a request
KEEP_S = 600.0
MOST = 1000


class Calls:
    """What is being done, and what was done lately."""

    def __init__(self) -> None:
        self.born = uuid.uuid4().hex
        self._calls: dict[str, tuple[float, concurrent.futures.Future[Any]]] = {}

    def knows(self, key: str) -> bool:
        """Whether a call under this key was begun here."""
        return key in self._calls

    async def result(
        self, key: str | None, project: Path, function: Callable[[], Awaitable[Any]]
    ) -> tuple[bool, Any]:
        """(whether it is done, its result), waited for a while. Raises what it raises."""
        if key is None:  # nobody can ask for it again: nothing is kept
            future = _portal.start_soon(_at, project, function)
        else:
            if key not in self._calls:
                self._forget()
                self._calls[key] = (time.monotonic(), _portal.start_soon(_at, project, function))
            future = self._calls[key][1]
        waiting = asyncio.wrap_future(future)
        waiting.add_done_callback(_heard)
        done, _ = await asyncio.wait({waiting}, timeout=WAIT_S)
        return (True, future.result()) if done or future.done() else (False, None)

    def _forget(self) -> None:
        now = time.monotonic()
        old = [
            key
            for key, (begun, future) in self._calls.items()
            if future.done() and (now - begun > KEEP_S or len(self._calls) > MOST)
        ]
        for key in old:
            del self._calls[key]


def _heard(future: asyncio.Future[Any]) -> None:
    """What went wrong is told to whoever asks, by `result`: asyncio need not log it."""
    if not future.cancelled():
        future.exception()


async def _at(project: Path, function: Callable[[], Awaitable[Any]]) -> Any:
    config.standing.set(project)
    return await function()
