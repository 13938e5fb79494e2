"""The MCP servers that a run's agent is handed: values put into them, and our own one served.

An agent that takes MCP servers over stdio starts `paseo_nb.mcp_server` itself. For one that takes
them over http only we do: on loopback, on a port of the system's choice that is ours for as long as
the pair lives, behind a token that nobody else has. The process may die and start again; it keeps
nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

from ..drivers.filling import filled, secrets, variables
from .masking import MIN_LENGTH

if TYPE_CHECKING:
    from .children import Child
    from .main import Supervisor

TRIES = 5
URL, TOKEN = "PASEO_NB_MCP_URL", "PASEO_NB_MCP_TOKEN"


class Servers:
    """Those of one run."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.missing: str | None = None  # a variable that is not set
        self._listener: socket.socket | None = None
        self._token = os.urandom(24).hex()
        self._child: Child | None = None
        self._tries = TRIES

    def fill_in(self) -> list[str]:
        """Put values into the spec's servers; what must be masked therefore. A name that is not
        set is said when the agent is started."""
        supervisor = self.supervisor
        values = dict(supervisor.environment)
        if supervisor.spec.conduct == "http":
            self._listener = socket.create_server(("127.0.0.1", 0))
            values[URL] = f"http://127.0.0.1:{self._listener.getsockname()[1]}/mcp"
            values[TOKEN] = self._token
        spec = supervisor.spec
        given = {n: v for n in variables(spec.mcp) if (v := values.get(n))}
        hidden = secrets(spec.mcp, {n: v for n, v in given.items() if n != URL})
        try:
            supervisor.spec = msgspec.structs.replace(spec, mcp=filled(spec.mcp, given))
        except KeyError as missing:
            self.missing = str(missing.args[0])
        return [value for value in hidden if len(value) >= MIN_LENGTH]

    def serve(self) -> None:
        """Start our own for the agent that is being started. OSError."""
        self._tries = TRIES
        self._start()

    def _start(self) -> None:
        if self._listener is None or (self._child is not None and not self._child.exited.done()):
            return
        supervisor, here = self.supervisor, os.path.dirname(os.path.dirname(__file__))
        known = supervisor.environment.get("PYTHONPATH")
        path = os.pathsep.join([os.path.dirname(here), *([known] if known else [])])
        listening = self._listener.fileno()
        os.set_inheritable(listening, True)
        env = {
            **supervisor.environment,
            "PYTHONPATH": path,
            "PASEO_NB_HOME": str(supervisor.folder.home),
            TOKEN: self._token,
        }
        with open(supervisor.folder.log, "ab") as log:
            self._child = supervisor.children.spawn(
                [sys.executable, "-m", "paseo_nb.mcp_server", "--listener", str(listening)],
                env=env,
                cwd=supervisor.spec.cwd,
                stdout=subprocess.DEVNULL,
                stderr=log.fileno(),
                keep=(listening,),
            )
        os.set_inheritable(listening, False)
        self._child.exited.add_done_callback(lambda _: self._gone())

    def _gone(self) -> None:
        """It died: while its agent lives it is started again, a few times."""
        if self.supervisor.link is None or self.supervisor.stopping is not None or not self._tries:
            return
        self._tries -= 1
        self.supervisor.own("warning", message="the MCP server that it conducts with started anew")
        with contextlib.suppress(OSError):
            self._start()
