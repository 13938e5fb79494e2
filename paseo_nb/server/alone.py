"""`paseo-nb serve`: the same extension on a Jupyter Server that loads no other, for a machine that
nobody works at with notebooks.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from jupyter_server.serverapp import ServerApp

from .. import config


class Alone(ServerApp):
    """A Jupyter Server with our extension only: no kernel's terminal, no page that opens."""

    name = "paseo-nb serve"
    description = "Serves paseo_nb alone."

    def find_server_extensions(self) -> None:
        """None but the one that we name."""


def main(words: Sequence[str]) -> int:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="paseo-nb serve",
        description="Serve the project's runs to other machines and devices (docs/hosts.md).",
        epilog="Further options are Jupyter Server's own, as --ServerApp.base_url=/x/",
    )
    parser.add_argument("--ip", default="127.0.0.1", help="the address to listen at")
    parser.add_argument("--port", default=8888, type=int, help="the port (0: any free one)")
    parser.add_argument("--token", help="the token to ask for (default: a new one, which is shown)")
    known, others = parser.parse_known_args(list(words))
    mine = [
        f"--ServerApp.ip={known.ip}",
        f"--ServerApp.port={known.port}",
        "--ServerApp.open_browser=False",
        "--ServerApp.terminals_enabled=False",
        f"--ServerApp.root_dir={config.project_root()}",
        "--ServerApp.jpserver_extensions=paseo_nb.server=True",
    ]
    if known.token:
        mine.append(f"--IdentityProvider.token={known.token}")
    Alone.launch_instance([*mine, *others])
    return 0
