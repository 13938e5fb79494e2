"""Requests and answers over JSON-RPC, in both directions: the part of ACP that knows no agent."""

from __future__ import annotations

import asyncio
from typing import Any

from .acp_fitting import our_id
from .acp_reading import Json, as_dict
from .acp_services import RequestError
from .seat import Seat

GONE = -32603, "the agent's process is gone"


class Calls:
    """The open requests of one connection."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.closed = False
        self._next_id = 0
        self._waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}

    def asked(self, ident: Any) -> str:
        """The method of the request that an answer is to; `unasked` where we made none."""
        return self._waiting.get(our_id(ident), ("unasked", None))[0]

    def settle(self, ident: Any, result: Any, error: Any) -> None:
        """Take the answer to a request of ours."""
        _, future = self._waiting.pop(our_id(ident), ("", None))
        if future is not None and not future.done():
            if error is not None:
                future.set_exception(RequestError.of(error))
            else:
                future.set_result(as_dict(result))

    def reply(self, ident: Any, result: Json, method: str) -> None:
        """Answer a request of the agent's."""
        if not self.closed:
            message = {"jsonrpc": "2.0", "id": ident, "result": result}
            self.seat.write(f"{method}:result", message)

    def reply_error(self, ident: Any, code: int, message: str, data: Any = None) -> None:
        """Answer a request of the agent's with an error."""
        if not self.closed:
            error: Json = {"code": code, "message": message}
            if data is not None:
                error["data"] = data
            self.seat.write("error", {"jsonrpc": "2.0", "id": ident, "error": error})

    async def request(self, method: str, params: Json, timeout_s: float | None = None) -> Json:
        """Ask the agent; its result. RequestError, or TimeoutError after `timeout_s`."""
        if self.closed:
            raise RequestError(*GONE)
        ident = self._next_id
        self._next_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = (method, future)
        self.seat.write(method, {"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
        async with asyncio.timeout(timeout_s):
            return await future

    def notify(self, method: str, params: Json) -> None:
        """Tell the agent something."""
        self.seat.write(method, {"jsonrpc": "2.0", "method": method, "params": params})

    def fail_all(self) -> None:
        """The agent is gone: whoever waits for an answer gets an error."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(RequestError(*GONE))
                future.exception()  # whoever asked may be gone too: that is no news
        self._waiting.clear()
