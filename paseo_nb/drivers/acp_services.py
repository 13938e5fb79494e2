"""What an ACP client does for its agent: text files and terminals.

Paths must be absolute; a missing file is answered with "resource not found" (some agents take any
other error for a failed write). Terminals run in sessions of their own and end with the turn's
cancel, with the agent, or when released.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import signal
import stat
from collections.abc import Callable
from typing import Any

from .acp_reading import Json, as_dict, as_int, as_list, as_str
from .jsonrpc import INTERNAL, RequestError
from .seat import RunningChild, Seat

NOT_FOUND, INVALID_PARAMS = -32002, -32602
MAX_READ = 32 << 20
DEFAULT_OUTPUT = 1 << 20
LONGEST_WORD = 4096


class Terminal:
    """One command that runs for the agent; keeps the last `limit` bytes of its output."""

    def __init__(self, child: RunningChild, limit: int, heard: Callable[[], None]) -> None:
        self.child, self.limit, self.heard = child, limit, heard
        self.output = bytearray()
        self.truncated = False
        self._fd = child.popen.stdout.fileno()
        os.set_blocking(self._fd, False)
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _read(self) -> bool:
        """Read once; False where there was nothing."""
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.stop_reading()
            return False
        self.heard()
        self.output += data
        if len(self.output) > self.limit:
            del self.output[: len(self.output) - self.limit]
            # To a word's beginning, or half of a secret would stand there and not be known as one.
            word = re.search(rb"\s", self.output[:LONGEST_WORD])
            if word is not None:
                del self.output[: word.end()]
            while self.output and self.output[0] & 0xC0 == 0x80:  # to a character's beginning
                del self.output[0]
            self.truncated = True
        return True

    def drain(self) -> None:
        """Read what is there now."""
        while self._fd >= 0 and self._read():
            pass

    def stop_reading(self) -> None:
        """Close the pipe; a second call does nothing."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._fd = -1
            self.child.popen.stdout.close()

    def exit_status(self) -> Json | None:
        """ACP's exit status, or None while it runs."""
        if not self.child.exited.done():
            return None
        code = self.child.exited.result()
        if code < 0:
            with contextlib.suppress(ValueError):
                return {"exitCode": None, "signal": signal.Signals(-code).name}
        return {"exitCode": code, "signal": None}


class Services:
    """The agent's requests that are no permission."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.cancelled = False  # the turn is: nothing new is started
        self._terminals: dict[str, Terminal] = {}
        self._count = 0
        self._table: dict[str, Callable[[Json], Any]] = {
            "fs/read_text_file": self._read_file,
            "fs/write_text_file": self._write_file,
            "terminal/create": self._create,
            "terminal/output": self._output,
            "terminal/wait_for_exit": self._wait,
            "terminal/kill": self._kill,
            "terminal/release": self._release,
        }

    def knows(self, method: str) -> bool:
        """Whether a method is one of these."""
        return method in self._table

    async def serve(self, method: str, params: Json) -> Json:
        """The result of one request; RequestError or OSError."""
        result = self._table[method](params)
        return await result if asyncio.iscoroutine(result) else result

    def end_terminals(self) -> None:
        """End every command that runs for the agent; their output stays readable."""
        for terminal in self._terminals.values():
            self.seat.end_child(terminal.child)

    # ------------------------------------------------------------ files

    async def _read_file(self, params: Json) -> Json:
        path = _absolute(params)
        return {"content": await asyncio.to_thread(_read_text, path, params)}

    async def _write_file(self, params: Json) -> Json:
        path, content = _absolute(params), as_str(params.get("content"))
        if content is None:
            raise RequestError(INVALID_PARAMS, "content must be text")
        refused = self.seat.may_write(path)
        if refused:
            raise RequestError(INTERNAL, refused)
        await asyncio.to_thread(_write_text, path, content)
        return {}

    # ------------------------------------------------------------ terminals

    def _create(self, params: Json) -> Json:
        command = as_str(params.get("command"))
        if not command:
            raise RequestError(INVALID_PARAMS, "command must be text")
        if self.cancelled:
            raise RequestError(INTERNAL, "the turn was cancelled")
        argv = [command, *map(str, as_list(params.get("args")))]
        refused = self.seat.may_run(" ".join(argv))
        if refused:
            raise RequestError(INTERNAL, refused)
        import shutil  # a supervisor starts without it

        if len(argv) == 1 and " " in command and shutil.which(command) is None:
            argv = ["/bin/sh", "-c", command]  # some agents put a whole command line there
        pairs = [as_dict(pair) for pair in as_list(params.get("env"))]
        env = {str(pair.get("name")): str(pair.get("value")) for pair in pairs}
        cwd = as_str(params.get("cwd")) or self.seat.spec.cwd
        try:
            child = self.seat.spawn(argv, env, cwd)
        except (OSError, ValueError) as error:
            raise RequestError(INTERNAL, f"cannot run {command!r}: {error}") from error
        self._count += 1
        ident = f"term-{self._count}"
        limit = as_int(params.get("outputByteLimit"))
        limit = DEFAULT_OUTPUT if limit is None else max(limit, 0)
        self._terminals[ident] = Terminal(child, limit, self.seat.heard)
        self.seat.own("terminal", terminal_id=ident, argv=argv, pid=child.pid)
        return {"terminalId": ident}

    def _terminal(self, params: Json) -> Terminal:
        ident = str(params.get("terminalId"))
        if ident not in self._terminals:
            raise RequestError(NOT_FOUND, f"no terminal {ident!r}")
        return self._terminals[ident]

    def _output(self, params: Json) -> Json:
        terminal = self._terminal(params)
        terminal.drain()
        result: Json = {
            "output": terminal.output.decode("utf-8", "replace"),
            "truncated": terminal.truncated,
        }
        status = terminal.exit_status()
        return {**result, "exitStatus": status} if status else result

    async def _wait(self, params: Json) -> Json:
        terminal = self._terminal(params)
        await asyncio.shield(terminal.child.exited)
        terminal.drain()
        return terminal.exit_status() or {}

    def _kill(self, params: Json) -> Json:
        self.seat.end_child(self._terminal(params).child)
        return {}

    def _release(self, params: Json) -> Json:
        terminal = self._terminal(params)
        self.seat.end_child(terminal.child)
        terminal.stop_reading()
        del self._terminals[str(params.get("terminalId"))]
        return {}


def _absolute(params: Json) -> str:
    path = as_str(params.get("path"))
    if not path or not os.path.isabs(path):
        raise RequestError(INVALID_PARAMS, f"path must be absolute, not {path!r}")
    return path


def _open_file(path: str, flags: int) -> int:
    """Open a regular file: a pipe or a device could hold its thread for ever."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise RequestError(INTERNAL, f"{path} is not a regular file")
    return fd


def _read_text(path: str, params: Json) -> str:
    try:
        with open(_open_file(path, os.O_RDONLY), "rb") as file:
            data = file.read(MAX_READ + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise RequestError(NOT_FOUND, f"Resource not found: {path}", {"uri": path}) from None
    if len(data) > MAX_READ:
        raise RequestError(INTERNAL, f"{path} is larger than {MAX_READ >> 20} MB")
    text = data.decode("utf-8", "replace")
    line, limit = as_int(params.get("line")), as_int(params.get("limit"))
    if line is None and limit is None:
        return text
    first = max((line or 1) - 1, 0)
    lines = list(io.StringIO(text, newline="\n"))  # by line feed only, as editors count
    return "".join(lines[first : None if limit is None else first + max(limit, 0)])


def _write_text(path: str, content: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = content.encode("utf-8", "replace")
    real = os.path.realpath(path)
    with open(_open_file(real, os.O_WRONLY | os.O_CREAT), "rb", closefd=True) as before:
        mode = stat.S_IMODE(os.fstat(before.fileno()).st_mode)
    beside = f"{real}.{os.getpid()}.paseo"
    try:
        with open(beside, "wb") as file:  # a full disk must not cost the file that is there
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.replace(beside, real)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
