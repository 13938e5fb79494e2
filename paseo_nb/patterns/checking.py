"""A check: a shell command that says by its exit code whether the work is done.

It has a time limit of its own, which ends all that it started; what it wrote is kept, the end of
it where it is long.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from ..supervisor import cleanup

KEPT = 16_000


class CheckResult(msgspec.Struct):
    """What a check said. exit_code: None where its time was over."""

    command: str
    exit_code: int | None
    output: str
    took_s: float

    @property
    def passed(self) -> bool:
        """Whether it said yes."""
        return self.exit_code == 0

    def __str__(self) -> str:
        how = "passed" if self.passed else f"failed (exit {self.exit_code})"
        return f"`{self.command}` {how if self.exit_code is not None else 'took too long'}"


async def checked(command: str, folder: Path, limit_s: float, owner: str) -> CheckResult:
    """Run a check in a folder, and end all that it started when it is over, its time is, or it is
    cancelled. `owner` marks its processes: who goes on after a kill sweeps them by it."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as out:
        process = await anyio.open_process(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env={**os.environ, cleanup.MARKER: owner},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        code: int | None = None
        try:
            with anyio.move_on_after(limit_s):
                code = await process.wait()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(cleanup.sweep, owner)
                await process.wait()
        output = await anyio.to_thread.run_sync(_end_of, out.fileno())
    return CheckResult(command, code, output, round(time.monotonic() - begun, 3))


def _end_of(fd: int) -> str:
    size = os.lseek(fd, 0, os.SEEK_END)
    start = max(size - KEPT, 0)
    data = os.pread(fd, KEPT, start)
    left = f"({start:,} bytes before this are left out)\n" if start else ""
    return left + data.decode(errors="replace")
