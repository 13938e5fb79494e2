"""`python -m tests.modelserver --script fixer --set file=app.py …`: prints its URL and serves.

With --ledger, a JSON line on stderr for each request that ended.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import math
import signal
import sys
import threading
from collections.abc import Callable

from .scripts import SCRIPTS
from .server import ModelServer, Request


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.modelserver", description=__doc__)
    parser.add_argument("--script", choices=sorted(SCRIPTS), default="echo")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", action="store_true", help="print each request on stderr")
    options = parser.parse_args()
    make = SCRIPTS[options.script]
    known = inspect.signature(make).parameters
    arguments: dict[str, object] = {}
    for setting in options.settings:
        name, _, value = setting.partition("=")
        if name not in known:
            parser.error(
                f"{options.script} has no {name!r}; it takes: {', '.join(known) or 'nothing'}"
            )
        default = known[name].default
        arguments[name] = type(default)(value) if isinstance(default, int | float) else value
    needed = [n for n, p in known.items() if p.default is p.empty and n not in arguments]
    if needed:
        parser.error(f"{options.script} needs: " + " ".join(f"--set {n}=…" for n in needed))
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # before threads start: they inherit it
    with ModelServer(make(**arguments), port=options.port) as server:
        print(server.url, flush=True)
        if options.ledger:
            threading.Thread(target=_print_ledger, args=(server,), daemon=True).start()
        signal.sigwait(ending)


def _nth(server: ModelServer, n: int) -> Callable[[Request], bool]:
    """Whether a request is the nth one, from 0, and has ended."""
    return lambda request: server.requests.index(request) == n and request.outcome != "open"


def _print_ledger(server: ModelServer) -> None:
    printed = 0
    while True:
        request = server.wait_for(_nth(server, printed), math.inf)
        row = {
            "dialect": request.dialect,
            "kind": request.kind,
            "status": request.status,
            "outcome": request.outcome,
            "prompt": request.conversation and request.conversation.prompt,
            "tools": request.conversation and [t.name for t in request.conversation.tools],
            "usage": request.usage and dataclasses.asdict(request.usage),
        }
        print(json.dumps(row), file=sys.stderr, flush=True)
        printed += 1


if __name__ == "__main__":
    main()
