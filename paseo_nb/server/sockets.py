"""What all WebSockets have: who may open one, and when it is closed to them again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from http.client import responses
from pathlib import Path
from typing import Any, cast

from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import ensure_async
from tornado import web, websocket

from ..pairing import Grant, granted
from .handlers import RESOURCE, Shared
from .letting_in import SUBPROTOCOL, LetsDevicesIn, hide_token, let_in
from .refused import Refused

OUT = "the token is good for nothing any more"
MOST_LINES = 64  # that one paired device may have open at once
_open: Counter[str] = Counter()
NOT_LET_IN = 1008  # the code of RFC 6455 for a policy that was broken


class Socket(LetsDevicesIn, WebSocketMixin, websocket.WebSocketHandler, JupyterHandler):  # pyright: ignore[reportIncompatibleMethodOverride]
    """One line to one client."""

    auth_resource = RESOURCE

    def initialize(self, shared: Shared) -> None:
        """See tornado."""
        self.shared = shared
        self.project, self.home = Path(), Path()
        self.grant: Grant | None = None
        self._doing: set[asyncio.Task[None]] = set()

    async def prepare(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Authenticated and authorised before the line is opened."""
        hide_token(self.request)
        self.grant = let_in(self)
        await cast(Any, super()).prepare()
        user = self.current_user
        if not user:
            raise web.HTTPError(403)
        if not await ensure_async(self.authorizer.is_authorized(self, user, "execute", RESOURCE)):
            raise web.HTTPError(403)

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open it, about the project that is meant."""
        try:
            self.project = self.shared.project(self.get_query_argument("project", ""))
        except Refused as refused:
            raise web.HTTPError(refused.status) from None
        self.home = self.shared.host(self.project).home
        if self.grant is None:
            await super().get(*args, **kwargs)
            return
        who = self.grant.sha256
        if _open[who] >= MOST_LINES:
            raise web.HTTPError(429)
        _open[who] += 1
        try:
            await super().get(*args, **kwargs)  # as long as it is open
        finally:
            _open[who] -= 1

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Without a page: Jupyter's tells the server's own token to whoever is let in, and so
        would tell it to a paired device."""
        self.set_header("Content-Type", "application/json")
        told = {"code": "Refused", "message": responses.get(status_code, "")}
        cast(Any, self).finish({"error": told})

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """The one beside which a token may stand; never the token."""
        return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None

    def get_compression_options(self) -> dict[str, Any] | None:
        """None: deflate's windows would cost memory for every watcher."""
        return None

    def may(self, run_id: str) -> bool:
        """Whether the client may still read of a run: a token expires, or is taken back."""
        if self.grant is None:
            return True
        now = next((g for g in granted(self.home) if g.sha256 == self.grant.sha256), None)
        return now is not None and now.allows("read", run_id)

    async def say(self, message: str | bytes) -> bool:
        """Send it, once the network has taken what was sent before; False where nobody is there."""
        try:
            await self.write_message(message, binary=isinstance(message, bytes))
        except websocket.WebSocketClosedError:
            return False
        return True

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something while the line is open."""
        task = asyncio.get_running_loop().create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)
        return task

    def on_close(self) -> None:
        """The line is gone; the runs are not touched by that."""
        for task in list(self._doing):
            task.cancel()
        pings: Any = self.ping_callback
        if pings is not None:  # it would hold what is left of the line until the next one is due
            pings.stop()
        super().on_close()
