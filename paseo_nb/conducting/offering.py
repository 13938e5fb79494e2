"""Handing our MCP server to an agent (`conduct=True`), by the kind of server that it takes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..errors import UsageProblem
from ..model import Limits, Mode
from ..supervisor.servers import TOKEN, URL

Kind = Literal["stdio", "http"]
NAME = "paseo"


def how(provider: str, takes: Sequence[str] | None, mode: Mode, others: Mapping[str, Any]) -> Kind:
    """How an agent is handed it. UsageProblem where it cannot be, or would be of no use."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageProblem(
            "conduct=True needs the MCP SDK, which is not installed: pip install 'paseo_nb[mcp]'"
        )
    if mode == "read":
        raise UsageProblem("conduct=True is of no use in mode 'read', which forbids its tools")
    if NAME in others:
        raise UsageProblem(f"mcp: {NAME!r} is the name of our own server: take another one")
    if takes is None or "stdio" in takes:
        return "stdio"
    if "http" not in takes:
        raise UsageProblem(f"{provider} takes no MCP servers, so it cannot conduct")
    return "http"


def servers(kind: Kind | None, run_id: str, home: Path) -> list[dict[str, Any]]:
    """The server as a spec has it."""
    if kind is None:
        return []
    if kind == "http":  # served by the run's supervisor, which knows where
        bearer = {"name": "Authorization", "value": f"Bearer ${{{TOKEN}}}"}
        return [{"type": "http", "name": NAME, "url": f"${{{URL}}}", "headers": [bearer]}]
    # Some agents give their servers little of their environment.
    known = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
    path = os.pathsep.join([str(Path(__file__).parents[2]), *known])
    given = {"PASEO_RUN": run_id, "PASEO_NB_HOME": str(home), "PYTHONPATH": path}
    env = [{"name": name, "value": value} for name, value in given.items()]
    args = ["-m", "paseo_nb.mcp_server"]
    return [{"name": NAME, "command": sys.executable, "args": args, "env": env}]


def within(limits: Limits, most: Limits) -> Limits:
    """Limits that are no wider than others."""

    def least(name: str) -> Any:
        given = [v for v in (getattr(limits, name), getattr(most, name)) if v is not None]
        return min(given) if given else None

    tighter = {name: least(name) for name in ("timeout_s", "cost_usd", "tokens")}
    depth = min(limits.depth, most.depth)
    return msgspec.structs.replace(limits, depth=depth, **tighter)
