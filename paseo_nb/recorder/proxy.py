"""The proxy: each of the agent's connections has one of its own to the endpoint, kept as long.

The endpoint's address stands in the path, after a token that only the agent knows:
`/TOKEN/https/api.example.com/v1/…`. What comes is passed on at once, then noted. A connection that
breaks on one side is broken on the other: the agent sees what it would see without us.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from .calls import Ledger, Passing
from .framing import MAX_HEAD, Body, Broken, Head

BLOCK = 1 << 16
CONNECT_S = 30.0
GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, Broken, TimeoutError)
_END = b"\r\n\r\n"
_SCHEMES = {"http": 80, "https": 443}


class Side:
    """One end of a connection: read what there is, or give it back for the next to read."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._held = b""

    async def some(self) -> bytes:
        """What there is, at least a byte; b"" at the end."""
        held, self._held = self._held, b""
        return held or await self.reader.read(BLOCK)

    def give_back(self, data: bytes) -> None:
        """Bytes that belong to what comes next."""
        self._held = data + self._held

    @property
    def over(self) -> bool:
        """Whether nothing more can come or go."""
        return self.reader.at_eof() or self.writer.is_closing()

    async def head(self) -> Head | None:
        """The next message's head; None where the connection ends before one."""
        data = b""
        while (end := data.find(_END)) < 0:
            more = await self.some()
            if not more:
                if data:
                    raise Broken("the connection ended within a head")
                return None
            data += more
            if len(data) > MAX_HEAD:
                raise Broken("a head is too long")
        self.give_back(data[end + 4 :])
        return Head(data[: end + 4])

    async def send(self, data: bytes) -> None:
        """Write, and wait where the other side is slow."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self, hard: bool = False) -> None:
        """Close; hard: so that the other side sees that it was cut."""
        transport: Any = self.writer.transport
        with contextlib.suppress(Exception):
            if hard:
                transport.abort()
            else:
                self.writer.close()


class Proxy:
    """Serves connections; `tell` is called with the fact of each model call."""

    def __init__(
        self, token: str, tell: Callable[[dict[str, Any]], None], content: bool = False
    ) -> None:
        self._prefix = f"/{token}/"
        self._tell, self._ledger = tell, Ledger(content)
        self._tls = ssl.create_default_context()
        self._ending: set[Passing] = set()
        self._settled = asyncio.Event()
        self._settled.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the agent's, from its first request to its end."""
        agent, endpoint, address = Side(reader, writer), None, ("", "")
        hard = False
        try:
            while (head := await agent.head()) is not None:
                target = self._target(head)
                if target is None:
                    await agent.send(_refusal(404, "no such path of the recorder's"))
                    break
                scheme, host, path = target
                passing = Passing(host, path)
                if endpoint is not None and (address != (scheme, host) or endpoint.over):
                    endpoint.close()
                    endpoint = None
                if endpoint is None:
                    try:
                        endpoint, address = await self._connect(scheme, host), (scheme, host)
                    except (OSError, TimeoutError) as error:
                        await self._unreached(agent, head, passing, error)
                        break
                if not await self._pass(agent, endpoint, head, passing):
                    hard = True
                    break
                if head.closes or (passing.head is not None and passing.head.closes):
                    break
        except GONE:
            hard = True
        finally:
            agent.close(hard)
            if endpoint is not None:
                endpoint.close(hard)

    def _target(self, head: Head) -> tuple[str, str, str] | None:
        """Scheme, host and path of a request; None for one that is not the agent's."""
        if not head.first[1].startswith(self._prefix) or len(head.first) < 3:
            return None
        scheme, _, rest = head.first[1].removeprefix(self._prefix).partition("/")
        host, slash, path = rest.partition("/")
        return (scheme, host, slash + path or "/") if host and scheme in _SCHEMES else None

    async def _connect(self, scheme: str, host: str) -> Side:
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdecimal():
            name, port = host, str(_SCHEMES[scheme])
        name = name.strip("[]")
        tls = {"ssl": self._tls, "server_hostname": name} if scheme == "https" else {}
        opening = asyncio.open_connection(name, int(port), limit=1 << 20, **tls)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return Side(*await asyncio.wait_for(opening, CONNECT_S))

    async def _unreached(
        self, agent: Side, head: Head, passing: Passing, error: BaseException
    ) -> None:
        """Nobody answers there: the agent is told so as by a gateway, which it tries again."""
        await _drained(agent, head, passing)
        self._over(passing, "unreached")
        said = f"the recorder of paseo_nb cannot reach {passing.host}: {error}"
        await agent.send(_refusal(502, said))

    async def _pass(self, agent: Side, endpoint: Side, head: Head, passing: Passing) -> bool:
        """One request there and its answer back; False where one side broke off."""
        there = asyncio.ensure_future(self._there(agent, endpoint, head, passing))
        back = asyncio.ensure_future(self._back(agent, endpoint, head, passing))
        outcome = "cut"
        try:
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            if there.done() and not back.done():
                if there.exception() is not None:
                    outcome = "disconnected"
                    return False
                gone = asyncio.ensure_future(_hung_up(agent))
                await asyncio.wait({back, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not back.done():
                    outcome = "disconnected"
                    return False
                gone.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await gone
            outcome = back.result()
        except GONE:
            return False
        finally:
            for task in (there, back):
                if not task.done():
                    task.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
            self._over(passing, outcome)
        return outcome == "complete"

    async def _there(self, agent: Side, endpoint: Side, head: Head, passing: Passing) -> None:
        await endpoint.send(head.request_for(passing.path, passing.host))
        body = Body(head, passing.request, None)
        while not body.done:
            data = await agent.some()
            if not data:
                raise Broken("the connection ended within a request")
            used = body.feed(data)
            agent.give_back(data[used:])
            await endpoint.send(data[:used])

    async def _back(self, agent: Side, endpoint: Side, asked: Head, passing: Passing) -> str:
        """The answer, passed on; how it ended."""
        while True:
            head = await endpoint.head()
            if head is None:
                return "cut"
            if head.status >= 200:
                break
            await agent.send(head.raw)
            if head.status == 101:
                await _tunnel(agent, endpoint)
                return "complete"
        passing.answered(head)
        try:
            await agent.send(head.raw)
            body = Body(head, passing.answer, asked.first[0])
            while not body.done:
                data = await endpoint.some()
                if not data:
                    return "complete" if body.until_close else "cut"
                used = body.feed(data)
                endpoint.give_back(data[used:])
                if body.done and passing not in self._ending:
                    self._ending.add(passing)
                    self._settled.clear()
                await agent.send(data[:used])
        except ConnectionError:
            return "disconnected" if agent.writer.is_closing() else "cut"
        return "complete"

    def _over(self, passing: Passing, outcome: str) -> None:
        fact = self._ledger.fact(passing, outcome)
        if fact is not None:
            self._tell(fact)
        self._ending.discard(passing)
        if not self._ending:
            self._settled.set()

    async def settled(self) -> None:
        """Wait until each call whose answer has passed is told."""
        await self._settled.wait()


async def _hung_up(side: Side) -> None:
    """Wait until a side has nothing more to say; what it says until then is kept for later."""
    kept = b""
    try:
        while data := await side.some():
            kept += data
            if len(kept) > BLOCK:
                await asyncio.Event().wait()
    except OSError:
        return
    finally:
        side.give_back(kept)


async def _drained(agent: Side, head: Head, passing: Passing) -> None:
    """Read a request that goes nowhere, so that the agent reads the answer."""
    body = Body(head, passing.request, None)
    while not body.done:
        data = await agent.some()
        if not data:
            return
        agent.give_back(data[body.feed(data) :])


async def _tunnel(agent: Side, endpoint: Side) -> None:
    """Both ways, until one ends (a WebSocket): passed on, not read."""

    async def one(source: Side, target: Side) -> None:
        while data := await source.some():
            await target.send(data)

    ways = [asyncio.ensure_future(one(*pair)) for pair in ((agent, endpoint), (endpoint, agent))]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)


def _refusal(status: int, said: str) -> bytes:
    body = said.encode()
    return (
        b"HTTP/1.1 %d Recorder\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
        b"Connection: close\r\n\r\n" % (status, len(body))
    ) + body
