"""What agents tell on standard error only, as lines that were measured."""

from __future__ import annotations

import pytest

from paseo_nb.drivers import gemini, opencode
from paseo_nb.drivers.differing import Differences

AT = "timestamp=2026-11-22T00:13:24.908Z level=WARN run=2a385074"
MCP: list[tuple[Differences, str, str, str | None]] = [
    (
        opencode.DIFFERENCES,
        f'{AT} message="server unavailable" key="my broken one" type=local status=failed',
        "my broken one",
        "failed",
    ),
    (
        opencode.DIFFERENCES,
        f'{AT} message="server unavailable" key=web type=remote status=needs_auth',
        "web",
        "needs_auth",
    ),
    (opencode.DIFFERENCES, f'{AT} message="server unavailable" key=web', "web", None),
    (
        gemini.DIFFERENCES,
        "[2026-11-22T00:13:36.186Z] [LOG] [MCP error] Error during discovery for MCP server"
        " 'web one': fetch failed TypeError: fetch failed",
        "web one",
        "fetch failed",
    ),
    (
        gemini.DIFFERENCES,
        "[2026-11-22T00:13:36.200Z] [LOG] [MCP error] Error during discovery for MCP server 'b':"
        " MCP error -32000: Connection closed _McpError: MCP error -32000: Connection closed",
        "b",
        "MCP error -32000: Connection closed",
    ),
]


@pytest.mark.parametrize(("differences", "line", "name", "why"), MCP)
def test_an_mcp_server_that_cannot_be_used(
    differences: Differences, line: str, name: str, why: str | None
) -> None:
    assert differences.aside_mcp is not None
    found = differences.aside_mcp.fullmatch(line)
    assert found is not None
    assert (found["name"], found["message"]) == (name, why)
