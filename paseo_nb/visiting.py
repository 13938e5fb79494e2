"""A short visit to an agent: start its program, ask it a few things, leave nothing of it running.

No prompt is sent and no run is made. For the doctor (`asking_agents`) and for the sessions that an
agent lists by itself (`acp_sessions`).
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from . import __version__, scratch
from .drivers.acp_reading import Json, as_dict
from .drivers.jsonrpc import METHOD_NOT_FOUND, RequestError
from .drivers.registry import Resolved
from .supervisor import cleanup

MAX_LINE = 64 << 20
LEAVE_S, TERM_S = 3.0, 1.0

Heard = Callable[[Json, bytes], None]
T = TypeVar("T")


class Visit:
    """One process of an agent that speaks JSON lines. What it says beside answers goes to `heard`,
    as it is and decoded; what it asks is refused."""

    def __init__(self, process: asyncio.subprocess.Process, header: Json) -> None:
        self._process, self._header = process, header
        self._next_id = 0
        self.heard: Heard = lambda message, line: None

    def write(self, message: Json) -> None:
        """Say something."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(message) + b"\n")

    def notify(self, method: str) -> None:
        """Tell the agent something, as JSON-RPC."""
        self.write({**self._header, "method": method})

    async def ask(self, method: str, params: Json) -> tuple[Json, bytes]:
        """A JSON-RPC request: its result, and the line that brought it. RequestError; EOFError
        where the agent ends."""
        ident = self._next_id
        self._next_id += 1
        self.write({**self._header, "id": ident, "method": method, "params": params})
        while True:
            message, line = await self.read()
            if "method" in message:
                self._take(message, line)
            elif message.get("id") == ident:
                if message.get("error") is not None:
                    raise RequestError.of(message["error"])
                return as_dict(message.get("result")), line

    async def listen(self, quiet_s: float) -> None:
        """Hear what it says without being asked, until it has been quiet for so long."""
        with contextlib.suppress(TimeoutError, EOFError):
            while True:
                async with asyncio.timeout(quiet_s):
                    message, line = await self.read()
                self._take(message, line)

    async def read(self) -> tuple[Json, bytes]:
        """The next message. EOFError where there is none; other output is passed over."""
        assert self._process.stdout is not None
        while True:
            try:
                line = await self._process.stdout.readline()
            except ValueError:
                raise EOFError(f"it said more than {MAX_LINE >> 20} MB in one line") from None
            if not line:
                raise EOFError("it ended before it answered")
            try:
                message = as_dict(msgspec.json.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if message:
                return message, line.strip()

    def _take(self, message: Json, line: bytes) -> None:
        if message.get("id") is None:
            self.heard(message, line)
        elif "method" in message:
            said = f"paseo_nb does not offer {message['method']}"
            error = {"code": METHOD_NOT_FOUND, "message": said}
            self.write({**self._header, "id": message["id"], "error": error})


@asynccontextmanager
async def visiting(
    command: list[str], env: Mapping[str, str], folder: str, header: Json | None = None
) -> AsyncGenerator[Visit]:
    """The agent's program, started in a folder; all that it started is ended afterwards.

    env: all that it gets. header: what each message of ours begins with. OSError where it cannot be
    started.
    """
    marker = f"visit-{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="paseo-visit-", ignore_cleanup_errors=True) as own:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env={**scratch.given(env, own), cleanup.MARKER: marker},
            limit=MAX_LINE,
            start_new_session=True,
        )
        try:
            yield Visit(process, {"jsonrpc": "2.0"} if header is None else header)
        finally:
            await _leave(process, marker)


async def _leave(process: asyncio.subprocess.Process, marker: str) -> None:
    """Close its input, as agents end well by that; then end what is left."""
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_S):
            await asyncio.gather(process.wait(), _drain(process))

    def left() -> list[int]:
        below = [] if process.returncode is not None else [process.pid]
        below += cleanup.descendants(process.pid, marker) if below else []
        return list({*below, *cleanup.marked(marker)})

    if await asyncio.to_thread(left):
        await asyncio.to_thread(cleanup.end, left, TERM_S, 4.0, False)
    await process.wait()


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read on, so that an agent that still writes can end."""
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass


async def introduce(visit: Visit, resolved: Resolved) -> tuple[Json, bytes]:
    """`initialize` over ACP, and `authenticate` where it must be: what the agent can do, and the
    line that said so. RequestError, EOFError."""
    told, line = await visit.ask(
        "initialize",
        {
            "protocolVersion": 1,
            "clientCapabilities": {},
            "clientInfo": {"name": "paseo_nb", "version": __version__},
        },
    )
    if resolved.auth_method:
        await visit.ask("authenticate", {"methodId": resolved.auth_method})
    return as_dict(told.get("agentCapabilities")), line


def run(visit: Coroutine[Any, Any, T], limit_s: float) -> T:
    """Run a visit to its end, in a thread that has no loop; TimeoutError after `limit_s`."""

    async def limited() -> T:
        async with asyncio.timeout(limit_s):
            return await visit

    return asyncio.run(limited())
