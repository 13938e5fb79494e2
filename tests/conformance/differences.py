"""The one table of what a provider does not do, in the user's words. docs/providers.md shows it.

A row is an expected failure: the test fails if the case passes all the same (then the row has to
go), and also if it fails in another way than `shows` says. Whoever mends something takes its row
out and runs `python -m tests.conformance.page`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """`reason`: why, for the user. `shows`: a regular expression that the failure fulfils."""

    reason: str
    shows: str


_SCRIPTED = Difference("scripted: no model", "there is no model")
_NO_SCHEMA = Difference("not offered yet", "unexpected keyword argument 'schema'")
_NO_MCP = Difference("not offered yet", "unexpected keyword argument 'mcp'")

DIFFERENCES: dict[tuple[str, str], Difference] = {
    ("demo", "image_in"): _SCRIPTED,
    ("demo", "schema_out"): _NO_SCHEMA,
    ("demo", "mcp_stdio"): _NO_MCP,
    ("demo", "mcp_http"): _NO_MCP,
    ("demo", "cancel_in_stream"): _SCRIPTED,
    ("demo", "kill_and_resume"): _SCRIPTED,
    ("demo", "usage"): _SCRIPTED,
    ("demo", "killed_while_it_retries"): _SCRIPTED,
    ("opencode", "schema_out"): _NO_SCHEMA,
    ("opencode", "mcp_stdio"): _NO_MCP,
    ("opencode", "mcp_http"): _NO_MCP,
    ("gemini", "schema_out"): _NO_SCHEMA,
    ("gemini", "mcp_stdio"): _NO_MCP,
    ("gemini", "mcp_http"): _NO_MCP,
}

# Fields of `run.usage` that are NULL over several turns, and why
NOT_REPORTED: dict[str, dict[str, str]] = {}
