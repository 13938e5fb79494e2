"""Real subprocesses in the session's folder: output as it comes, and a whole tree killed at once.

A command gets its own session, as real agents do it. Whoever awaits `run` owns the command: if the
await is cancelled the tree is killed before anything else happens.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

OUTPUT_LIMIT = 200_000


class Finished(NamedTuple):
    """A command's end: `code` is its exit status (negative: the signal), None if it timed out."""

    code: int | None
    output: str


async def run(
    command: str | list[str],
    cwd: str,
    *,
    on_output: Callable[[str], None] | None = None,
    timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
    keep: int = OUTPUT_LIMIT,
) -> Finished:
    """Run a shell line or an argument list; stdout and stderr come together. Of an output longer
    than `keep` characters the beginning and the end are kept. `on_output` gets everything so far,
    each time there is more."""
    argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output = _Output(on_output, keep // 2)
    reading = asyncio.create_task(output.read(process.stdout))
    try:
        async with asyncio.timeout(timeout_s):
            code: int | None = await process.wait()
        # A background child may hold the pipe open for long: the command itself has ended.
        await asyncio.wait({reading}, timeout=0.3)
    except TimeoutError:
        code = None
    finally:
        if process.returncode is None:
            kill_tree(process.pid)
        reading.cancel()
    return Finished(code, output.text)


class _Output:
    def __init__(self, on_output: Callable[[str], None] | None, half: int) -> None:
        self._half = half
        self._head = self._tail = ""
        self._left_out = 0
        self._on_output = on_output
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def text(self) -> str:
        """What is kept of the output so far."""
        gap = f"\n[{self._left_out} characters left out]\n" if self._left_out else ""
        return self._head + gap + self._tail

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (data := await stream.read(1 << 16)):
            text = self._decoder.decode(data)
            room = self._half - len(self._head)
            self._head += text[:room]
            self._tail += text[room:]
            over = len(self._tail) - self._half
            if over > 0:
                self._tail = self._tail[over:]
                self._left_out += over
            if self._on_output:
                self._on_output(self.text)


def kill_tree(pid: int) -> None:
    """SIGKILL for a process, its group and, where `/proc` tells, all its descendants."""
    family = [pid, *_descendants(pid)]
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for member in family:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                children = [int(x) for x in (task / "children").read_text().split()]
                found += children
                todo += children
    return found
