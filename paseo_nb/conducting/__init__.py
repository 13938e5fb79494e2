"""Agents that lead agents: what one is offered to start, follow and end others with, within bounds.

`offering` hands our MCP server to an agent, `bounds` says what a child may have, `tools` is what
the server offers (`paseo_nb.mcp_server` speaks the protocol). Nothing lives here: children are runs
like any other, and what a parent is told of them goes by its supervisor (`supervisor/family.py`).
"""
