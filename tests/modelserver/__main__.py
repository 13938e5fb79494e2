"""`python -m tests.modelserver --script fixer --set file=app.py …`: prints its URL and serves."""

from __future__ import annotations

import argparse
import inspect
import signal

from .scripts import SCRIPTS
from .server import ModelServer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.modelserver", description=__doc__)
    parser.add_argument("--script", choices=sorted(SCRIPTS), default="echo")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    parser.add_argument("--port", type=int, default=0)
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
        signal.sigwait(ending)


if __name__ == "__main__":
    main()
