"""`python -m paseo_nb.recorder --listener FD`: the proxy of one run, started by its supervisor.

Tells each model call as a JSON line on standard output; a byte on standard input is answered by an
empty line, once what has passed is told. Ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
import sys
from typing import Any

import msgspec

from .proxy import Proxy

TOKEN = "PASEO_NB_RECORDER_TOKEN"


def main() -> None:
    """Serve until whoever started us is gone."""
    parser = argparse.ArgumentParser(prog="python -m paseo_nb.recorder", description=__doc__)
    parser.add_argument("--listener", type=int, required=True, metavar="FD")
    parser.add_argument("--content", action="store_true", help="tell what was sent, too")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(socket.socket(fileno=given.listener), given.content))


async def _serve(listener: socket.socket, content: bool) -> None:
    out = sys.stdout.buffer

    def tell(fact: dict[str, Any]) -> None:
        out.write(msgspec.json.encode(fact) + b"\n")
        out.flush()

    proxy = Proxy(os.environ[TOKEN], tell, content)
    over = asyncio.Event()
    asked: set[asyncio.Task[None]] = set()

    async def settled() -> None:
        await proxy.settled()
        out.write(b"\n")
        out.flush()

    def heard() -> None:
        if not os.read(0, 64):
            over.set()
            return
        task = asyncio.ensure_future(settled())
        asked.add(task)
        task.add_done_callback(asked.discard)

    asyncio.get_running_loop().add_reader(0, heard)
    server = await asyncio.start_server(proxy.serve, sock=listener, limit=1 << 20)
    await over.wait()
    server.close()


if __name__ == "__main__":
    main()
