"""The command line of the agent."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import sys

from ..common.peer import serve
from .agent import Agent, Limits
from .endpoints import NoEndpoint, find

EXTRA = "pip install 'paseo_nb[api]'"


def main() -> int:
    """Returns the exit status: 2 where no agent can be started; else it ends with stdin."""
    parser = argparse.ArgumentParser(
        prog="python -m paseo_nb.programs.api",
        description="A coding agent for any model endpoint; speaks ACP on stdin and stdout.",
    )
    parser.add_argument("--model", metavar="NAME", help="MODEL or KIND:MODEL, as in vllm:qwen3")
    parser.add_argument(
        "--max-requests", type=int, default=Limits().requests, help="model calls in one turn"
    )
    parser.add_argument(
        "--timeout", type=float, default=Limits().timeout_s, help="seconds of an endpoint's silence"
    )
    options = parser.parse_args()
    missing = [name for name in ("pydantic_ai", "mcp") if not importlib.util.find_spec(name)]
    if missing:
        print(f"paseo api: {' and '.join(missing)} not installed: {EXTRA}", file=sys.stderr)
        return 2
    try:
        find(options.model, os.environ)
    except NoEndpoint as error:
        print(f"paseo api: {error}", file=sys.stderr)  # the client is told again, in its session
    limits = Limits(options.max_requests, options.timeout)
    return asyncio.run(serve(lambda: Agent(options.model, limits)))


if __name__ == "__main__":
    sys.exit(main())
