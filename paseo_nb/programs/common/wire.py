"""The byte path: newline-delimited JSON-RPC over stdin and stdout that never blocks the loop.

Writes go straight to the file descriptor; what the reader does not take yet waits here, and
whoever sends much awaits `drain` first, so a slow reader slows the sender and fills no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from .errors import ClientError
from .value import as_dict

HIGH_WATER = 256 * 1024
_READ = 1 << 18
_STDIN, _STDOUT = 0, 1
_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder().encode


class Wire:
    """One connection to the client. `on_message` gets requests and notifications, in order;
    answers to our own requests are matched here. `on_closed` is told of EOF or a broken pipe."""

    def __init__(
        self, on_message: Callable[[dict[str, Any]], None], on_closed: Callable[[], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_closed = on_closed
        self._incoming = bytearray()
        self._outgoing: deque[memoryview] = deque()
        self._waiting = 0
        self._broken = False
        self._watching_stdout = False
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._room.set()
        self._empty.set()
        self._held: list[bytes] | None = None
        self._long_line = asyncio.Lock()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._next_id = 0

    def open(self) -> None:
        """Start reading. stdout becomes non-blocking until `restore`."""
        os.set_blocking(_STDOUT, False)
        try:
            self._loop.add_reader(_STDIN, self._readable)
        except PermissionError:  # epoll refuses files and /dev/null; reading those never blocks
            self._loop.call_soon(self._read_file)

    @staticmethod
    def restore() -> None:
        """A terminal shares its flags with the shell: leave it as it was."""
        with contextlib.suppress(OSError):
            os.set_blocking(_STDOUT, True)

    # -- in ------------------------------------------------------------------------------------

    def _read_file(self) -> None:
        while data := os.read(_STDIN, _READ):
            self._feed(data)
        self._on_closed()

    def _readable(self) -> None:
        try:
            data = os.read(_STDIN, _READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._feed(data)
        else:
            self._loop.remove_reader(_STDIN)
            self._on_closed()

    def _feed(self, data: bytes) -> None:
        self._incoming += data
        if b"\n" not in data:
            return
        *lines, rest = bytes(self._incoming).split(b"\n")
        self._incoming = bytearray(rest)
        for line in lines:
            if line.strip():
                self._line(line)

    def _line(self, line: bytes) -> None:
        try:
            message = _decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._refuse(-32700, f"Parse error: {error}")
            return
        if not isinstance(message, dict):
            self._refuse(-32600, "Invalid request: a message is a JSON object")
        elif "method" in message:
            self._on_message(as_dict(message))
        else:
            self._answered(as_dict(message))

    def _refuse(self, code: int, text: str) -> None:
        self.send({"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": text}})

    def _answered(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        future = self._asked.pop(number, None) if isinstance(number, int) else None
        if future is None or future.done():
            return
        error = message.get("error")
        if error is None:
            future.set_result(message.get("result"))
        else:
            future.set_exception(ClientError.from_wire(error))

    # -- out -----------------------------------------------------------------------------------

    def send(self, message: dict[str, Any]) -> None:
        """One message; may wait in memory, see `drain`."""
        self.send_bytes(encode(message) + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Bytes as they are: whole lines, or deliberate garbage."""
        if self._held is not None:
            self._held.append(data)
        else:
            self._push(data)

    def _push(self, data: bytes) -> None:
        if self._broken:
            return
        self._outgoing.append(memoryview(data))
        self._waiting += len(data)
        self._empty.clear()
        if self._waiting > HIGH_WATER:
            self._room.clear()
        if not self._watching_stdout:
            self._write()

    def _write(self) -> None:
        try:
            while self._outgoing:
                head = self._outgoing[0]
                sent = os.write(_STDOUT, head)
                self._waiting -= sent
                if sent == len(head):
                    self._outgoing.popleft()
                else:
                    self._outgoing[0] = head[sent:]
        except BlockingIOError:
            if not self._watching_stdout:
                self._loop.add_writer(_STDOUT, self._write)
                self._watching_stdout = True
        except OSError:
            self._broken = True
            self._outgoing.clear()
            self._waiting = 0
            self._on_closed()
        if not self._outgoing:
            self._empty.set()
            if self._watching_stdout:
                self._loop.remove_writer(_STDOUT)
                self._watching_stdout = False
        if self._waiting <= HIGH_WATER:
            self._room.set()

    async def drain(self) -> None:
        """Let the loop turn, then wait until little waits to be read."""
        await asyncio.sleep(0)
        await self._room.wait()

    async def flush(self) -> None:
        """Wait until the client's end of the pipe has everything."""
        await self._empty.wait()

    @contextlib.asynccontextmanager
    async def long_line(self) -> AsyncGenerator[Callable[[bytes], None], None]:
        """One line in pieces: yields the function that writes a piece (await `drain` between).
        Other messages wait until the line is whole."""
        async with self._long_line:
            self._held = []
            try:
                yield self._push
            finally:
                held, self._held = self._held, None
                for data in held:
                    self._push(data)

    # -- our requests --------------------------------------------------------------------------

    def post(self, method: str, params: dict[str, Any]) -> int:
        """Send a request and ignore its answer; returns its id."""
        number = self._next_id
        self._next_id += 1
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    async def request(self, method: str, params: dict[str, Any]) -> Any:
        """Ask the client; returns its result. Raises `ClientError` for an error answer."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._asked[self._next_id] = answer  # before it is sent: nothing can overtake it
        number = self.post(method, params)
        try:
            return await answer
        finally:
            self._asked.pop(number, None)
