"""The commands that a repository wants run in a new worktree, before the first turn there.

What they print is journaled as it comes. That they are done is noted in the worktree's own git
folder: the next run there need not, and a worktree that was made again is set up again. What fails
ends the turn; the next prompt tries again.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from ..locks import take_lock
from ..model import Problem
from .children import Child

if TYPE_CHECKING:
    from .main import Supervisor

LOOK_S = 0.2
MOST_TOLD = 256 << 10
_PART = 32 << 10
_TAIL = 1500


def shell(script: str) -> list[str]:
    """A script as a command: it ends at the first of its commands that fails."""
    bash = next((path for path in ("/bin/bash", "/usr/bin/bash") if os.path.exists(path)), "sh")
    return [bash, "-ec", script]


class SettingUp:
    """Sets up the worktree of one run."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._setup = supervisor.spec.setup
        self._child: Child | None = None
        self._stopped = False
        self._told = 0

    @property
    def due(self) -> bool:
        """Whether the commands are still to be run."""
        setup = self._setup
        return setup is not None and bool(setup.commands) and not os.path.exists(setup.marker)

    def stop(self) -> None:
        """The turn was cancelled: what runs is ended."""
        self._stopped = True
        if self._child is not None:
            self._child.kill_group(signal.SIGTERM)
            asyncio.get_running_loop().call_later(2.0, self._child.kill_group, signal.SIGKILL)

    async def run(self) -> Problem | None:
        """Run what is due, one at a time; why it failed. One run of several in a worktree does."""
        setup = self._setup
        if setup is None or not self.due:
            return None
        self._stopped, self._told = False, 0
        self._supervisor.snapshots.after_setup = True
        while (lock := take_lock(setup.marker + ".lock", 0.0)) is None:
            await asyncio.sleep(LOOK_S)
            if self._stopped:
                return None
        with lock:
            if not self.due:  # another run has done it meanwhile
                return None
            for line in setup.commands:
                problem = await self._one(line)
                if problem is not None or self._stopped:
                    return problem
            os.close(os.open(setup.marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._supervisor.baseline |= self._supervisor.processes()  # what it left to stay
        return None

    async def _one(self, line: str) -> Problem | None:
        supervisor, begun = self._supervisor, time.monotonic()
        supervisor.own("setup", at="start", command=line)
        out = self._scratch()
        try:
            argv = shell(line)
            env, cwd = supervisor.environment, supervisor.spec.cwd
            try:
                child = supervisor.children.spawn(argv, env=env, cwd=cwd, stdout=out, stderr=out)
            except OSError as error:
                return self._failed(line, str(error))
            self._child, read = child, 0
            while not child.exited.done():
                await asyncio.wait({child.exited}, timeout=LOOK_S)
                read = self._tell(out, read)
            self._tell(out, read)
            took = round((time.monotonic() - begun) * 1e3, 1)
            supervisor.own("setup", at="end", command=line, code=child.returncode, took_ms=took)
            if child.returncode != 0 and not self._stopped:
                size = os.fstat(out).st_size
                said = os.pread(out, _TAIL, max(size - _TAIL, 0)).decode("utf-8", "replace")
                return self._failed(line, f"exit code {child.returncode}\n{said.strip()}")
            return None
        finally:
            self._child = None
            os.close(out)

    def _failed(self, line: str, why: str) -> Problem:
        said = f"setting up the worktree failed: {line!r}: {why}"
        hint = (
            f"The worktree is kept: {self._supervisor.spec.cwd}. Mend what is wrong there, then"
            " send again: it is set up anew first."
        )
        return Problem("setup", self._supervisor.recorder.mask(said.encode()).decode(), hint)

    def _tell(self, out: int, read: int) -> int:
        """Journal what was printed since, up to a bound."""
        while self._told < MOST_TOLD and (data := os.pread(out, _PART, read)):
            read += len(data)
            self._told += len(data)
            over = "\n[what more it prints is not kept]" if self._told >= MOST_TOLD else ""
            self._supervisor.own("setup", at="output", text=data.decode("utf-8", "replace") + over)
        return read

    def _scratch(self) -> int:
        path = self._supervisor.folder.path / ".setup-out"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        return fd
