"""The WebSocket of one run's live view: what its feed tells a notebook's widget, told to a page.

The page says `{"k": "hello", "epoch", "n"}` and `{"k": "more", "row"}`, as the widget's front end
does; what it wants done it asks of `act`. A page that is slow is sent less: what it missed it sees
by the number of the next message, and says hello.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import msgspec
from tornado import web

from .. import (
    _portal,  # pyright: ignore[reportPrivateUsage]
    config,
)
from ..handle import AsyncRun
from ..host.local import LocalHost
from ..widgets.run_view import acting, feed
from . import scoping
from .desk import RUN_ID
from .handlers import Shared
from .sockets import NOT_LET_IN, OUT, Socket

Json = dict[str, Any]
NO_RUN = 4404  # a code of ours: the page need not try again
MOST_MESSAGE = 4 << 10
MOST_WAITING = 2 << 20  # bytes of changes that wait for a slow page
MOST_TOLD = 128 << 20  # of what it asked for: more than the longest story
MOST_AHEAD = 4 << 20  # of that, until a further row is worked out for it
MOST_ASKED = 500  # rows that it may ask for before it has got one
BEAT_S = 5.0  # between two looks whether the page may still see it


class Waiting:
    """Messages on their way from the feed's thread to one page."""

    def __init__(self) -> None:
        self._messages: deque[tuple[bool, bytes]] = deque()
        self._size = self._told = 0  # of changes; of what else was asked for
        self._some, self._gone = asyncio.Event(), asyncio.Event()

    def put(self, kind: str, first: bool, data: bytes) -> None:
        """Add one. A story that is told anew takes the place of what waits of the one before; a
        change is left out where too much waits."""
        if kind == "full" and first:
            self._messages.clear()
            self._size = self._told = 0
        elif kind == "delta" and self._size + len(data) > MOST_WAITING:
            return
        self._messages.append((kind == "delta", data))
        self._count(kind == "delta", len(data))
        self._some.set()

    def _count(self, is_change: bool, size: int) -> None:
        if is_change:
            self._size += size
        else:
            self._told += size

    @property
    def too_much(self) -> bool:
        """Whether a page asks and asks, and does not read."""
        return self._told > MOST_TOLD

    async def get(self) -> bytes:
        """The next one."""
        while not self._messages:
            self._some.clear()
            await self._some.wait()
        is_change, data = self._messages.popleft()
        self._count(is_change, -len(data))
        self._gone.set()
        return data

    async def room(self) -> None:
        """Wait until most of what was asked for has left."""
        while self._told > MOST_AHEAD:
            self._gone.clear()
            await self._gone.wait()


class Told:
    """See `feed.Viewer`: one page, as the feed knows it."""

    def __init__(self, line: LiveView, run: AsyncRun) -> None:
        self.run, self._line = run, line
        self._loop = asyncio.get_running_loop()
        self.waiting = Waiting()
        self.over = False

    def tell(self, message: Json) -> None:
        """On the portal's thread."""
        if self.over:
            raise ConnectionError("the page is gone")
        message = scoping.message_for(self._line.grant, self.run.id, message)
        data = msgspec.json.encode(message, enc_hook=str)
        kind, first = str(message["k"]), message.get("part") == 0
        self._loop.call_soon_threadsafe(self.waiting.put, kind, first, data)

    async def join(self) -> None:
        """Be told from now on; in the portal's loop."""
        config.standing.set(self._line.project)
        await feed.join(self.run, self)

    async def hear(self, message: Json) -> None:
        """What the page says; in the portal's loop."""
        if self.over:
            return
        if message.get("k") == "hello":
            mine = feed.feed_of(self.run)
            if mine is not None:
                mine.hello(self, message.get("epoch"), message.get("n"))
        elif message.get("k") == "more":
            self.tell(await acting.more_of(self.run, message.get("row")))

    async def leave(self) -> None:
        """Be told no more; in the portal's loop."""
        mine = feed.feed_of(self.run)
        if mine is not None:
            mine.leave(self)


class LiveView(Socket):
    """One page that shows a run."""

    def initialize(self, shared: Shared) -> None:
        """See tornado."""
        super().initialize(shared)
        self._told: Told | None = None
        self._asked, self._answering = 0, asyncio.Lock()

    async def get(self, run: str, *args: Any, **kwargs: Any) -> None:
        """A run as it is shown live, row by row: see the text on views in docs/hosts.md."""
        if self.grant is not None and not self.grant.allows("read", run):
            raise web.HTTPError(403)
        await super().get(run, *args, **kwargs)

    async def open(self, run: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Begin to tell."""
        host = LocalHost(self.home)
        if not (self.may(run) and RUN_ID.fullmatch(run) and host.folder(run).spec.exists()):
            self.close(NO_RUN, "no such run")
            return
        self._told = told = Told(self, AsyncRun(host, run))
        _portal.start_soon(told.join)
        self.begin(self._send(told))
        if self.grant is not None:
            self.begin(self._watch(run))

    async def on_message(self, message: str | bytes) -> None:
        """What the page says."""
        told = self._told
        try:
            if len(message) > MOST_MESSAGE:
                raise ValueError
            said: Any = msgspec.json.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            self.close(1003, "this is no message of a view")
        elif told is not None and (told.waiting.too_much or self._asked >= MOST_ASKED):
            self.close(1013, "read what was asked for before")
        elif told is not None and cast(Json, said).get("k") == "more":
            self._asked += 1
            self.begin(self._more(told, cast(Json, said)))
        elif told is not None:
            await self._heard(told, cast(Json, said))

    async def _heard(self, told: Told, said: Json) -> None:
        hearing = _portal.start_soon(told.hear, said)
        await asyncio.wait([asyncio.wrap_future(hearing)])  # one after the other

    async def _more(self, told: Told, said: Json) -> None:
        async with self._answering:
            await told.waiting.room()
            await self._heard(told, said)
        self._asked -= 1

    async def _send(self, told: Told) -> None:
        while await self.say(await told.waiting.get()):
            pass

    async def _watch(self, run: str) -> None:
        while self.may(run):
            await asyncio.sleep(BEAT_S)
        self.close(NOT_LET_IN, OUT)

    def on_close(self) -> None:
        """It is shown no more."""
        if self._told is not None:
            self._told.over = True
            _portal.start_soon(self._told.leave)
        super().on_close()
