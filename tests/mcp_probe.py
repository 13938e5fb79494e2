"""An MCP server on the official SDK, for agents under test: one tool, `add`, by stdio or HTTP.

python tests/mcp_probe.py           speaks on stdin and stdout
python tests/mcp_probe.py --http    prints its URL on loopback, then serves
"""

from __future__ import annotations

import socket
import sys

from mcp.server import MCPServer

server = MCPServer("probe")


@server.tool()
def add(a: int, b: int) -> str:
    """The sum of two numbers, in words that no model says by accident."""
    return f"the probe counts {a + b}"


def main() -> None:
    if "--http" not in sys.argv:
        server.run("stdio")
        return
    import uvicorn

    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp", flush=True)
    app = server.streamable_http_app()
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
