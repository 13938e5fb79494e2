"""Having an agent fork a session for a run that begins: `fork_points` says where."""

from __future__ import annotations

from typing import Any, Protocol

from .acp_reading import Json
from .jsonrpc import RequestError
from .seat import Seat

OURS = "paseo_nb"  # in `_meta`: what our own agents offer beyond ACP


class Forks(Protocol):
    """A dialect that forks by a request."""

    seat: Seat
    start_s: float
    forked: bool

    async def request(self, method: str, params: Any, timeout_s: float | None = None) -> Json:
        """Ask the agent. RequestError."""
        ...


async def acp_session(dialect: Forks, where: Json) -> Json:
    """A new ACP session: begun as another one is, or was, where it is to be a fork, else empty."""
    fork = dialect.seat.fork
    params: Json = {"sessionId": fork.session_id, **where} if fork else {}
    if fork is not None and fork.at is not None:
        params["_meta"] = {OURS: {"turn": int(fork.at)}}
    forked = await _asked(dialect, "session/fork", params) if fork else None
    return forked or await dialect.request("session/new", where, dialect.start_s)


async def codex_thread(dialect: Forks, params: Json) -> Json:
    """A new thread: begun as another one was at a turn's end, where it is to be a fork."""
    fork, forked = dialect.seat.fork, None
    if fork is not None:
        whence = {"threadId": fork.session_id, "lastTurnId": fork.at, "excludeTurns": True}
        forked = await _asked(dialect, "thread/fork", {**whence, **params})
    return forked or await dialect.request("thread/start", params, dialect.start_s)


async def _asked(dialect: Forks, method: str, params: Json) -> Json | None:
    try:
        result = await dialect.request(method, params, dialect.start_s)
    except RequestError as error:
        dialect.seat.own("warning", message=f"the agent could not fork its session: {error}")
        return None
    dialect.forked = True
    return result
