"""JSON-RPC bookkeeping that ACP and Codex's app-server share: who waits for which answer, and what
we owe an answer. What the messages mean is the dialects' business."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

from .acp_reading import NO_MESSAGE, Json, as_dict, as_int, as_str

GONE = -32603, "the agent's process is gone"
METHOD_NOT_FOUND, INVALID_REQUEST, INTERNAL = -32601, -32600, -32603


class RequestError(Exception):
    """A JSON-RPC error, ours or the agent's."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.data = code, data

    @staticmethod
    def of(error: Any) -> RequestError:
        """From an error object as an agent sent it."""
        said = as_str(error)
        error = as_dict(error)
        code = as_int(error.get("code"))
        text = as_str(error.get("message")) or said or NO_MESSAGE
        return RequestError(INTERNAL if code is None else code, text, error.get("data"))


class Calls:
    """The open requests of one connection, in both directions. `write(kind, message)` journals and
    sends; `header` is what every message begins with."""

    def __init__(self, write: Callable[[str, Any], None], header: Json) -> None:
        self._write, self._header = write, header
        self._next_id = 0
        self._waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.closed = False

    # ------------------------------------------------------------ what we ask

    async def request(
        self, method: str, params: Json, timeout_s: float | None = None, kind: str | None = None
    ) -> Json:
        """Ask the agent; its result. `kind`: the journal's, where that is not the method.
        RequestError, or TimeoutError after `timeout_s`."""
        if self.closed:
            raise RequestError(*GONE)
        ident = self._next_id
        self._next_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = (method, future)
        message = {**self._header, "id": ident, "method": method, "params": params}
        self._write(kind or method, message)
        async with asyncio.timeout(timeout_s):
            return await future

    def notify(self, method: str, params: Json | None = None) -> None:
        """Tell the agent something."""
        told = {} if params is None else {"params": params}
        self._write(method, {**self._header, "method": method, **told})

    def asked(self, ident: Any) -> str:
        """The method that an answer belongs to; `unasked` where we never asked."""
        return self._waiting.get(our_id(ident), ("unasked", None))[0]

    def settle(self, ident: Any, result: Any, error: Any) -> None:
        """Give an answer to whoever waits for it; one that nobody asked for is passed over."""
        _, future = self._waiting.pop(our_id(ident), ("", None))
        if future is not None and not future.done():
            if error is not None:
                future.set_exception(RequestError.of(error))
            else:
                future.set_result(as_dict(result))

    # ------------------------------------------------------------ what we are asked

    def reply(self, ident: Any, result: Json, method: str) -> None:
        """Answer a request of the agent."""
        if not self.closed:
            self._write(f"{method}:result", {**self._header, "id": ident, "result": result})

    def reply_error(self, ident: Any, code: int, message: str, data: Any = None) -> None:
        """Refuse a request of the agent."""
        if not self.closed:
            error: Json = {"code": code, "message": message}
            if data is not None:
                error["data"] = data
            self._write("error", {**self._header, "id": ident, "error": error})

    def answer_with(self, ident: Any, work: Coroutine[Any, Any, None]) -> None:
        """Have a request answered by `work`, which replies; a mistake in it is told as an error."""

        async def answer() -> None:
            try:
                await work
            except Exception as error:  # a mistake of ours: the agent must not wait for ever
                traceback.print_exc()
                self.reply_error(ident, INTERNAL, f"paseo_nb made a mistake: {error!r}")

        self.start(answer())

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside, until the connection closes."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def shut(self) -> None:
        """The agent is gone: end what we answer, fail what we asked."""
        self.closed = True
        for task in list(self._tasks):
            task.cancel()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(RequestError(*GONE))
                future.exception()  # whoever asked may be gone too: that is no news
        self._waiting.clear()


def our_id(ident: Any) -> int:
    """Our request ids are integers; agents may give them back as text, or as 3.0."""
    if isinstance(ident, str):
        return int(ident) if ident.isdecimal() and len(ident) < 16 else -1
    if isinstance(ident, bool) or not isinstance(ident, (int, float)) or ident != int(ident):
        return -1
    return int(ident)
