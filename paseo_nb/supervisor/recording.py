"""The recorder of a run whose model requests are to be seen: started beside the agent, its lines
journaled, ended with the agent's tree.

Its listening socket is the pair's: the process may die and start again. An agent is pointed at it
by values with its address in them, which are known here only (`recorder.pointing` made them).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from ..scratch import RECORDER, mirrored
from . import cleanup

if TYPE_CHECKING:
    from .children import Child
    from .main import Supervisor

TRIES = 5
SETTLE_S = 2.0
TOKEN = "PASEO_NB_RECORDER_TOKEN"
# What the recorder itself gets: no keys.
_ITS_OWN = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", cleanup.MARKER)


class Recording:
    """The recorder of one run; does nothing in a run without one."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._listener: socket.socket | None = None
        self._token = os.urandom(18).hex()
        self._child: Child | None = None
        self._tries = TRIES
        self._held = b""
        self._settled = asyncio.Event()
        self._seen = 0
        self._said = False
        self.problem: str | None = None
        if supervisor.spec.record is not None:
            self._listen()

    def _listen(self) -> None:
        supervisor = self._supervisor
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/{self._token}"
        try:
            supervisor.environment = mirrored(
                supervisor.environment, supervisor.folder.path, address
            )
        except OSError as error:
            self.problem = f"the agent's settings could not be put beside it: {error}"
        command = [part.replace(RECORDER, address) for part in supervisor.spec.command]
        supervisor.spec = msgspec.structs.replace(supervisor.spec, command=command)

    def serve(self) -> None:
        """Start it for the agent that is being started. OSError."""
        self._tries = TRIES
        self._start()

    def _start(self) -> None:
        if self._listener is None or (self._child is not None and not self._child.exited.done()):
            return
        supervisor, here = self._supervisor, os.path.dirname(os.path.dirname(__file__))
        known = supervisor.environment.get("PYTHONPATH")
        path = os.pathsep.join([os.path.dirname(here), *([known] if known else [])])
        listening = self._listener.fileno()
        os.set_inheritable(listening, True)
        inherited = {n: v for n in _ITS_OWN if (v := supervisor.environment.get(n)) is not None}
        content = ["--content"] if supervisor.spec.record == "content" else []
        with open(supervisor.folder.log, "ab") as log:
            self._child = child = supervisor.children.spawn(
                [sys.executable, "-m", "paseo_nb.recorder", f"--listener={listening}", *content],
                env={**inherited, "PYTHONPATH": path, TOKEN: self._token},
                cwd=str(supervisor.folder.path),
                stdin=subprocess.PIPE,
                stderr=log.fileno(),
                keep=(listening,),
            )
        os.set_inheritable(listening, False)
        assert child.popen.stdout is not None
        out = child.popen.stdout.fileno()
        os.set_blocking(out, False)
        self._held = b""
        asyncio.get_running_loop().add_reader(out, self._read, child)
        child.exited.add_done_callback(lambda _: self._gone(child))

    def _read(self, child: Child) -> None:
        assert child.popen.stdout is not None
        try:
            data = os.read(child.popen.stdout.fileno(), 1 << 20)
        except BlockingIOError:
            return
        except (OSError, ValueError):
            data = b""
        if not data:
            self._close(child)
            return
        *lines, self._held = (self._held + data).split(b"\n")
        for line in lines:
            if line:
                self._seen += 1
                self._supervisor.recorder.append("own", "recorded", line)
            else:
                self._settled.set()

    def _close(self, child: Child) -> None:
        out = child.popen.stdout
        if out is not None and not out.closed:
            asyncio.get_running_loop().remove_reader(out.fileno())
            out.close()
        if child.popen.stdin is not None:
            child.popen.stdin.close()
        self._settled.set()

    def _gone(self, child: Child) -> None:
        """It died: while its agent lives it is started again, a few times."""
        self._close(child)
        if self._supervisor.link is None or self._supervisor.stopping is not None:
            return
        if self._tries:
            self._tries -= 1
            self._supervisor.own("warning", message="the recorder of its requests started anew")
            with contextlib.suppress(OSError):
                self._start()

    async def settle(self, outcome: str) -> None:
        """A turn is over: wait until what has passed is told, and say where nothing has."""
        child = self._child
        if child is None:
            return
        if not child.exited.done() and child.popen.stdin is not None:
            self._settled.clear()
            with contextlib.suppress(OSError, ValueError):
                os.write(child.popen.stdin.fileno(), b"\n")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._settled.wait(), SETTLE_S)
        if outcome == "end_turn" and not self._seen and not self._said:
            self._said = True
            self._supervisor.own(
                "warning",
                message="record: no request of the agent's came by. It goes to its model by"
                " another way than the one it was given",
            )
