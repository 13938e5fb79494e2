"""The control socket: takes commands, sends coalesced wake-ups, and nothing else.

Events are never sent here: watchers read the journal. Only this user may connect. The socket is
made again when something removed its file.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from ..wire import MAX_LINE

CHECK_S = 5.0  # well below what a command waits for an answer


class Refusal(Exception):
    """A command that cannot be carried out; the message goes to the client."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Command(msgspec.Struct):
    """One command of a client. `id` is made by the client and applied once."""

    id: str
    verb: str
    args: dict[str, Any] = {}


class Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.watching = False
        self.holding = False

    def tell(self, message: dict[str, Any]) -> None:
        """Send, unless the client is gone or does not read."""
        transport = self.writer.transport
        if not transport.is_closing() and transport.get_write_buffer_size() < 1 << 20:
            self.writer.write(msgspec.json.encode(message) + b"\n")


class Control:
    """Serves one run's socket."""

    def __init__(
        self,
        path: Path,
        hello: dict[str, Any],
        carry_out: Callable[[Command, Client], Awaitable[Any]],
    ) -> None:
        self.path, self.hello, self.carry_out = path, hello, carry_out
        self.clients: set[Client] = set()
        self.on_check: Callable[[], None] = lambda: None
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._closed = False
        self._checker: asyncio.TimerHandle | None = None

    async def open(self) -> None:
        """Make the socket, in place of a stale one, and keep it there. OSError; it is tried again
        later all the same."""
        try:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
            self._server = await asyncio.start_unix_server(
                self._serve, path=str(self.path), limit=MAX_LINE
            )
            os.chmod(self.path, 0o600)
            self._inode = self.path.stat().st_ino
        finally:
            self._arm()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._checker = loop.call_later(CHECK_S, lambda: loop.create_task(self.check()))

    async def check(self) -> None:
        """Make the socket again if its file is gone (tmp cleaners, logouts)."""
        if self._closed:
            return
        self.on_check()
        with contextlib.suppress(OSError):
            if self._server is not None and self.path.stat().st_ino == self._inode:
                self._arm()
                return
        if self._server is not None:
            self._server.close()
            self._server = None
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(OSError):
            await self.open()

    def wake(self, seq: int, offset: int) -> None:
        """Tell watchers that there is more to read."""
        for client in self.clients:
            if client.watching:
                client.tell({"wake": {"seq": seq, "offset": offset}})

    @property
    def held(self) -> bool:
        """Whether a front end that can answer permissions is connected."""
        return any(client.holding for client in self.clients)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not _same_user(writer):
            writer.close()
            return
        client = Client(writer)
        self.clients.add(client)
        client.tell({"hello": self.hello})
        try:
            while line := await reader.readline():
                await self._one(client, line)
        except (ConnectionError, ValueError):  # ValueError: a line over MAX_LINE
            pass
        except asyncio.CancelledError:  # the loop is ending: asyncio would log it as a mistake
            pass
        finally:
            self.clients.discard(client)
            writer.close()

    async def _one(self, client: Client, line: bytes) -> None:
        try:
            command = msgspec.json.decode(line, type=Command)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            client.tell({"id": None, "ok": False, "error": {"code": "bad", "message": str(error)}})
            return
        try:
            result = await self.carry_out(command, client)
        except Refusal as refusal:
            error = {"code": refusal.code, "message": str(refusal)}
            client.tell({"id": command.id, "ok": False, "error": error})
        except Exception as error:
            traceback.print_exc()
            told = {"code": "internal", "message": f"paseo_nb made a mistake: {error!r}"}
            client.tell({"id": command.id, "ok": False, "error": told})
        else:
            client.tell({"id": command.id, "ok": True, "result": result})

    def close(self) -> None:
        """Stop serving; remove the socket if it is still ours."""
        self._closed = True
        if self._checker is not None:
            self._checker.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                if self.path.stat().st_ino == self._inode:
                    self.path.unlink()
        for client in list(self.clients):
            client.writer.close()


def _same_user(writer: asyncio.StreamWriter) -> bool:
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the folder (0700) and the socket (0600) keep others out
    sock = writer.get_extra_info("socket")
    data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", data)[1] in (os.getuid(), 0)
