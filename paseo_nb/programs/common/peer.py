"""The agent's side of ACP, without an agent: requests in the order they come, answers, tasks.

Protocol: https://agentclientprotocol.com (schema v1). A program subclasses `Peer`, fills `methods`
(answered at once) and `later` (which answer themselves), and is run by `serve`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Never

from .errors import RpcError
from .value import as_dict
from .wire import Wire


class Peer:
    """One process's conversation with one client. `ended` is set when the process should go."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.wire = Wire(self._message, self.stop)
        self.methods: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.later: dict[str, Callable[[Any, dict[str, Any]], None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # -- what a program may override -----------------------------------------------------------

    def stop(self) -> None:
        """stdin ended, or a signal: go."""
        self.ended.set()

    def cancel(self, session_id: str) -> None:
        """The client cancels a session's turn."""

    def announce(self, method: str, params: dict[str, Any]) -> None:
        """A request was answered: `params` are its own and its result's."""

    # -- what it uses --------------------------------------------------------------------------

    async def close(self) -> None:
        """Cancel what runs; the commands of a turn die with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that `close` cancels."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def reply(self, number: Any, result: Any) -> None:
        """Answer a request."""
        self.wire.send({"jsonrpc": "2.0", "id": number, "result": result})

    def refuse(self, number: Any, error: RpcError) -> None:
        """Answer a request with an error."""
        self.wire.send({"jsonrpc": "2.0", "id": number, "error": error.wire()})

    def tell(self, session_id: str, update: dict[str, Any]) -> None:
        """Send a `session/update`."""
        self.notify("session/update", {"sessionId": session_id, "update": update})

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification."""
        self.wire.send({"jsonrpc": "2.0", "method": method, "params": params})

    def _message(self, message: dict[str, Any]) -> None:
        method = message["method"]
        given = as_dict(message.get("params"))
        if "id" not in message:
            if method == "session/cancel":
                self.cancel(str(given.get("sessionId")))
            return
        number = message["id"]
        try:
            if method in self.later:
                self.later[method](number, given)
            elif method in self.methods:
                result = self.methods[method](given)
                self.reply(number, result)
                self.announce(method, given | result)
            else:
                raise RpcError(-32601, f"Method not found: {method}", {"method": method})
        except RpcError as error:
            self.refuse(number, error)
        except (KeyError, TypeError, ValueError) as error:
            self.refuse(number, RpcError(-32602, f"Invalid params for {method}: {error!r}"))


async def serve(make: Callable[[], Peer]) -> Never:
    """The life of an agent's process, until stdin ends or a signal comes. It does not return."""
    peer = make()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, peer.stop)
    peer.wire.open()
    try:
        await peer.ended.wait()
        await peer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await peer.wire.flush()
    finally:
        peer.wire.restore()
    # Not `return`: a thread that is stuck writing to an unread stderr must not hold us back.
    os._exit(0)


def known(what: str, value: str, names: Any) -> None:
    """RpcError where a choice is none of those that there are."""
    if value not in names:
        raise RpcError(-32602, f"Unknown {what} {value!r}; known: {', '.join(names)}")


def fork_wish(params: dict[str, Any]) -> int | None:
    """How many prompts a forked session is to have of the other one's; None: all."""
    wish = as_dict(as_dict(params.get("_meta")).get("paseo_nb")).get("turn")
    return wish if isinstance(wish, int) else None


def no_such_session(name: str) -> RpcError:
    """The answer to a session id that no file has."""
    return RpcError(-32002, f"No such session: {name}; session/list names those there are")
