"""The process of a script, from the engine's side: started, asked a line at a time, killed.

One line goes in, one comes out, within a time: what a script computes between two wishes. A script
that takes longer, uses up its memory or breaks V8 costs its own process, and the run an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from ...errors import UsageProblem

CHILD = Path(__file__).with_name("child.py")
KEPT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # what an interpreter may need to start at all
START_S = 60.0
_compiling = threading.Lock()
ASKED = "it went on in a loop, or computes more than a script that leads agents should"


class Limits(msgspec.Struct, frozen=True):
    """What a script may use. slice_s: seconds between two wishes; cpu_s: in all; text: characters
    that it may send at once."""

    slice_s: float = 30.0
    cpu_s: int = 300
    heap_mb: int = 256
    data_mb: int = 512
    agents: int = 1001
    items: int = 4096
    lines: int = 10_000
    text: int = 32 << 20


class Wish(msgspec.Struct, frozen=True):
    """One thing that a script asks for. none: a workflow is called with no arguments."""

    op: Literal["agent", "workflow", "phase", "log", "fatal"]
    id: int = 0
    given: Any = None
    more: Any = None
    message: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What a script came to in one slice."""

    state: Literal["waiting", "done", "failed"] = "waiting"
    ops: list[Wish] = []
    value: Any = None
    error: str = ""
    died: str | None = None


class ScriptDied(Exception):
    """The process is gone, or had to be; the text says of what."""


def site() -> str:
    """Where mini-racer lies. UsageProblem where it is not installed."""
    found = importlib.util.find_spec("py_mini_racer")
    if found is None or found.origin is None:
        raise UsageProblem(
            "workflows in JavaScript need mini-racer (V8): pip install 'paseo_nb[js]'. Python's"
            " need nothing."
        )
    return str(Path(found.origin).parents[1])


def command(limits: Limits) -> list[str]:
    """How the process is started."""
    bounds = json.dumps(msgspec.to_builtins(limits))
    return [sys.executable, "-I", "-S", str(CHILD), site(), bounds]


def environment() -> dict[str, str]:
    """Nothing that a script could make use of: no keys, no paths."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


class ScriptProcess:
    """One script at work."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return None if self._process is None else self._process.pid

    async def begin(self, source: str) -> None:
        """Start it, and compile. UsageProblem: no JavaScript; ScriptDied."""
        self._process = await asyncio.create_subprocess_exec(
            *command(self._limits),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(),
            cwd="/",
            start_new_session=True,
            limit=4 * self._limits.text + 4096,
        )
        told = await self._asked(b"C" + msgspec.json.encode(source), START_S)
        if told.error:
            raise UsageProblem(told.error)

    async def ask(self, kind: bytes, message: Any) -> Answer:
        """One slice of it. ScriptDied."""
        return await self._asked(kind + msgspec.json.encode(message), self._limits.slice_s)

    async def _asked(self, line: bytes, seconds: float) -> Answer:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line + b"\n")
            told = await asyncio.wait_for(process.stdout.readline(), seconds)
        except TimeoutError:
            self.kill()
            late = f"it did not come to its next wish within {seconds:g} s: {ASKED}"
            raise ScriptDied(late) from None
        except (ConnectionError, ValueError) as error:
            self.kill()
            raise ScriptDied(f"its process could not be spoken with: {error}") from None
        if not told.endswith(b"\n"):
            raise ScriptDied(_cause(await process.wait(), self._limits))
        try:
            answer = msgspec.json.decode(told, type=Answer)
        except msgspec.DecodeError as error:  # half a character is all that can be wrong with it
            raise ScriptDied(f"what it sent is no text: {error}") from None
        if answer.died is not None:
            raise ScriptDied(f"its process ended: {answer.died}")
        return answer

    def kill(self) -> None:
        """End it; at once, as it has nothing to put in order."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def close(self) -> None:
        """End it, and wait until it is gone."""
        self.kill()
        if self._process is not None:
            await self._process.wait()


def wrong_with(source: str) -> str:
    """Why a text is no JavaScript; empty where it is. It is compiled, and not run. Once, also where
    many ask at once."""
    with _compiling:
        return _wrong_with(source)


@lru_cache(maxsize=64)
def _wrong_with(source: str) -> str:
    with subprocess.Popen(
        command(Limits()), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=environment(), cwd="/", start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(START_S, process.kill)
        late.start()
        try:
            process.stdin.write(b"C" + msgspec.json.encode(source) + b"\n")
            process.stdin.flush()
            told = process.stdout.readline()
        except BrokenPipeError:
            told = b""
        finally:
            late.cancel()
            process.kill()
    if not told.endswith(b"\n"):
        return f"it could not be compiled: {_cause(process.returncode, Limits())}"
    answer = msgspec.json.decode(told, type=Answer)
    return answer.error if answer.died is None else f"its process ended: {answer.died}"


def _cause(code: int, limits: Limits) -> str:
    """What a process died of that told nothing."""
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it used up its {limits.cpu_s} s of computing: {ASKED}"
    if code < 0:
        name = signal.Signals(-code).name
        return f"it used up its {limits.heap_mb} MB of memory, or broke V8 ({name})"
    return f"its process ended by itself ({code})"
