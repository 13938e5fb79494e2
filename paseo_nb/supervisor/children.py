"""Every child process of the supervisor: spawned in its own session, reaped in one place.

The supervisor adopts orphans (it is a subreaper), so somebody must wait for any pid; asyncio's own
watchers wait for pids they know. This is the one place that waits, on SIGCHLD.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from .early import launch


class Child:
    """One child: its pid, its pipes' descriptors, and a future for how it ended."""

    def __init__(self, popen: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self.popen = popen
        self.pid = popen.pid
        self.exited: asyncio.Future[int] = loop.create_future()

    @property
    def returncode(self) -> int | None:
        """Exit code, minus the signal's number if one ended it, None while it lives."""
        return self.exited.result() if self.exited.done() else None

    def kill_group(self, sig: signal.Signals) -> None:
        """Signal its process group, while it has not been reaped."""
        if not self.exited.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, sig)


class Children:
    """Spawns and reaps."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, early: subprocess.Popen[bytes] | None = None
    ) -> None:
        self._loop, self._early = loop, early
        self._living: dict[int, Child] = {}
        loop.add_signal_handler(signal.SIGCHLD, self.reap)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        keep: tuple[int, ...] = (),
    ) -> Child:
        """Start a program in its own session, or take the agent that was launched early; OSError
        where it cannot be. keep: descriptors that it inherits."""
        early, self._early = self._early, None
        if early is not None and early.args == list(argv):
            popen = early
            self._loop.call_soon(self.reap)  # it may have died before we listened
        else:
            popen = launch(argv, env, cwd, stdin, stdout, stderr, keep)
        child = Child(popen, self._loop)
        self._living[popen.pid] = child
        return child

    def reap(self) -> None:
        """Collect whoever died, adopted orphans included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            child = self._living.pop(pid, None)
            if child is not None:
                code = os.waitstatus_to_exitcode(status)
                child.popen.returncode = code
                if not child.exited.done():
                    child.exited.set_result(code)
