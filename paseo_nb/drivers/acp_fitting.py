"""Making what we send fit an ACP agent's capabilities: content blocks and MCP servers. Pure
functions; `acp` talks."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..model import Problem
from .acp_reading import Json, as_dict, as_str
from .seat import AgentProblem, Seat

REACH_S = 5.0
EMBEDDED = "embeddedContext"


def fit(blocks: list[Json], can: Json) -> list[Json]:
    """The blocks of a prompt as an agent with these `promptCapabilities` takes them: embedded text
    becomes text, other resources become links. AgentProblem for images and sound it cannot take."""
    fitting: list[Json] = []
    for block in blocks:
        kind = block.get("type")
        if kind in ("image", "audio") and not can.get(kind):
            said = f"the agent takes no {'images' if kind == 'image' else 'sound'}"
            raise AgentProblem(Problem(f"no_{kind}", said, "Send the prompt without it."))
        if kind == "resource" and not can.get(EMBEDDED):
            inner = as_dict(block.get("resource"))
            uri, text = str(inner.get("uri")), as_str(inner.get("text"))
            if text is None:
                block = {"type": "resource_link", "uri": uri, "name": uri.rsplit("/", 1)[-1]}
            else:
                block = {"type": "text", "text": f"<file uri={uri!r}>\n{text}\n</file>"}
        fitting.append(block)
    return fitting


def taken(capabilities: Json, embeds: bool) -> Json:
    """The `promptCapabilities` that are true of an agent: some announce more."""
    return as_dict(capabilities.get("promptCapabilities")) | ({} if embeds else {EMBEDDED: False})


def check_mcp(servers: list[Json], can: Json) -> None:
    """AgentProblem for an MCP server of a kind that `mcpCapabilities` leaves out: an agent would
    drop it without a word. (Every agent takes stdio, says ACP; who does not is in its capabilities
    and was told before.)"""
    for server in servers:
        kind = mcp_kind(server)
        if kind != "stdio" and not can.get(kind):
            said = f"the agent takes no MCP server over {kind} ({server.get('name')})"
            raise AgentProblem(Problem("no_mcp", said, "Leave it out, or offer it over stdio."))


async def note_unreachable(seat: Seat) -> None:
    """Warn of MCP servers over http that take no connection: most agents go on without a word. What
    lies behind a proxy is the agent's to find out."""
    if any(name.lower().endswith("_proxy") for name in seat.environment):
        return
    for server in seat.spec.mcp:
        if mcp_kind(server) != "stdio" and not await _takes(str(server.get("url"))):
            seat.own("warning", message=f"MCP server {server.get('name')!r} cannot be reached")


async def _takes(url: str) -> bool:
    try:
        place = urlsplit(url)
        port = place.port or (443 if place.scheme == "https" else 80)
        async with asyncio.timeout(REACH_S):
            _, writer = await asyncio.open_connection(place.hostname, port)
    except (OSError, ValueError):  # a TimeoutError is an OSError
        return False
    writer.close()
    return True


def mcp_kind(server: Mapping[str, Any]) -> str:
    """`stdio`, `http` or `sse`, of an MCP server as ACP writes it."""
    return str(server.get("type") or ("http" if "url" in server else "stdio"))
