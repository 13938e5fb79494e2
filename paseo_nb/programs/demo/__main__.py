"""The command line of the demo agent, and the life of its process."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from ..common.peer import serve
from .agent import Agent
from .catalog import Catalog
from .errors import BadScript
from .steps import VERBS


def main() -> int:
    """Returns the exit status: 0 after stdin's end or a signal, 2 for a bad script or name."""
    parser = argparse.ArgumentParser(
        prog="python -m paseo_nb.programs.demo",
        description="A scripted coding agent without a model; speaks ACP on stdin and stdout.",
    )
    parser.add_argument("--model", metavar="NAME", help="the scenario of new sessions")
    parser.add_argument("--script", metavar="FILE", help="JSON: a list of turns, each of steps")
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--steps", action="store_true", help="name the steps of a script and end")
    parser.add_argument(
        "--pace",
        type=float,
        default=float(os.environ.get("PASEO_DEMO_PACE", "1")),
        help="factor on the delays between streamed chunks (0: none; also PASEO_DEMO_PACE)",
    )
    options = parser.parse_args()
    try:
        catalog = Catalog(options.model, options.script)
    except BadScript as error:
        print(f"paseo demo: {error}", file=sys.stderr)
        return 2
    if options.list:
        width = max(len(name) for name in catalog.models)
        for name, line in catalog.models.items():
            print(f"{name:<{width}}  {line}")
        return 0
    if options.steps:
        for step in VERBS.values():
            print((step.__doc__ or "").replace("\n   ", ""))
        return 0
    if catalog.default == "exit":
        print("paseo demo: scripted to exit before initialize", file=sys.stderr)
        return 7
    return asyncio.run(serve(lambda: Agent(catalog, options.pace)))


if __name__ == "__main__":
    sys.exit(main())
