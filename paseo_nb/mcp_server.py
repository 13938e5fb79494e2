"""`paseo-nb mcp`: the conductor's tools as an MCP server, on the official SDK (`paseo_nb[mcp]`).

By stdio for whoever starts it so; over http on loopback, behind a bearer token, for agents that
take no other kind. A thin client of the host: what it starts lives on when it dies, and a second
one sees the same.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from . import config
from .conducting.asked import schema
from .conducting.tools import STEPS, TOOLS, Conductor
from .errors import PaseoError, UsageProblem
from .host.local import LocalHost
from .supervisor.servers import TOKEN

Scope = MutableMapping[str, Any]
Asgi = Callable[[Scope, Any, Any], Awaitable[None]]
INSTRUCTIONS = (
    "Start, follow and end coding agents. Do not poll: you are told when one has finished, or"
    " wait_for_agent waits. 10 to 30 minutes are normal. An agent knows only its prompt."
)


async def conductor() -> Conductor:
    """The conductor of this process: for the run that it belongs to, if any, with that run's
    environment, of which an agent may have given us little."""
    host, parent = LocalHost(config.home()), os.environ.get("PASEO_RUN")
    if parent is None:
        return Conductor(host)
    told = await host.command(parent, "environment")
    if not told["alive"]:
        raise UsageProblem(f"run {parent} has no processes: this server is for its agent only")
    os.environ.update({**told["environment"], "PASEO_RUN": parent})
    os.environ["PASEO_NB_HOME"] = str(host.home)
    return Conductor(host, parent)


def server_for(conducting: Conductor) -> Any:
    """The SDK's server over the tools."""
    import mcp.types as types
    from mcp.server.lowlevel import Server

    steps = conducting.parent is not None and bool(conducting.parent.spec.steps)
    offered = [
        types.Tool(
            name=name,
            description=" ".join((kind.__doc__ or "").split()),
            input_schema=schema(kind),
        )
        for name, (kind, _) in TOOLS.items()
        if steps or name not in STEPS
    ]

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=offered)

    async def call_tool(_context: Any, params: Any) -> types.CallToolResult:
        wrong = False
        try:
            told: Any = await conducting.call(params.name, params.arguments or {})
        except (PaseoError, OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            told, wrong = {"error": str(error)}, True
        text = json.dumps(told, ensure_ascii=False, default=str)
        content = types.TextContent(type="text", text=text)
        return types.CallToolResult(content=[content], is_error=wrong)

    return Server(
        "paseo", instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


async def over_stdio() -> None:
    """Speak on standard input and output until the input ends."""
    from mcp.server.stdio import stdio_server

    server = server_for(await conductor())
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def over_http(listener: socket.socket, token: str) -> None:
    """Serve on a socket that listens already, whoever knows the token."""
    import uvicorn

    app = server_for(await conductor()).streamable_http_app(session_idle_timeout=None)
    settings = uvicorn.Config(_behind(app, token), log_level="warning", lifespan="on")
    await uvicorn.Server(settings).serve(sockets=[listener])


def _behind(app: Asgi, token: str) -> Asgi:
    """The same, for requests that carry the token."""
    wanted = f"Bearer {token}".encode()

    async def guarded(scope: Scope, receive: Any, send: Any) -> None:
        headers: list[tuple[bytes, bytes]] = list(scope.get("headers") or ())
        given = dict(headers).get(b"authorization", b"")
        if scope["type"] == "lifespan" or hmac.compare_digest(given, wanted):
            await app(scope, receive, send)
            return
        told = [(b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": told})
        await send({"type": "http.response.body", "body": b"the token is missing or wrong\n"})

    return guarded


def main(arguments: Sequence[str]) -> int:
    """`mcp`: over stdio; `mcp --http`: over http, URL and token on standard output;
    `--listener FD`: on a socket of the caller's, with its token in PASEO_NB_MCP_TOKEN."""
    if arguments[:1] == ["--listener"]:
        listener = socket.socket(fileno=int(arguments[1]))
        asyncio.run(over_http(listener, os.environ.pop(TOKEN)))
    elif list(arguments) == ["--http"]:
        listener, token = socket.create_server(("127.0.0.1", 0)), os.urandom(24).hex()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        print(json.dumps({"url": url, "headers": {"Authorization": f"Bearer {token}"}}), flush=True)
        asyncio.run(over_http(listener, token))
    elif arguments:
        raise UsageProblem("paseo-nb mcp takes --http or nothing")
    else:
        asyncio.run(over_stdio())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
