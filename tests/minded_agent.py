"""An ACP agent that thinks with a function of the test's: `python minded_agent.py FILE NAME`.

FILE has `def NAME(prompt, turn, folder): …`, which gives the answer's text, or raises: then the
turn fails. It may `say(text)` and tell a `cost(usd)` before. What it is asked is appended to
FILE.log, a JSON line each. It loads any session; `task()` is what that was asked last, news of an
interruption left out.
"""

from __future__ import annotations

import functools
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

spent = [0.0]


def text(said: str) -> None:
    content = {"type": "text", "text": said}
    update({"sessionUpdate": "agent_message_chunk", "content": content})


def cost(usd: float) -> None:
    spent[0] += usd
    told = {"amount": spent[0], "currency": "USD"}
    update({"sessionUpdate": "usage_update", "used": 10, "size": 1000, "cost": told})


def update(told: dict[str, Any]) -> None:
    say({"method": "session/update", "params": {"sessionId": "s", "update": told}})


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def task_of(session: str, log: str) -> str:
    """What a session was asked last that was no news of an interruption."""
    told = [json.loads(line) for line in Path(log).read_text().splitlines()]
    asked = [one["prompt"] for one in told if one["session"] == session]
    return next(p for p in reversed(asked) if not p.startswith("You were interrupted"))


def main() -> None:
    file, name = sys.argv[1:]
    turns, session = 0, f"s-{os.getpid()}"
    for line in sys.stdin:
        message = json.loads(line)
        method, ident = message.get("method"), message.get("id")
        if ident is None or method is None:
            continue
        result: dict[str, Any] = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        elif method == "session/new":
            result = {"sessionId": session}
        elif method == "session/load":
            session = message["params"]["sessionId"]
        elif method == "session/prompt":
            turns += 1
            blocks = message["params"]["prompt"]
            prompt = "\n".join(block["text"] for block in blocks if block["type"] == "text")
            told = {"who": name, "prompt": prompt, "session": session}
            with open(f"{file}.log", "a") as log:
                log.write(json.dumps(told) + "\n")
            try:
                task = functools.partial(task_of, session, f"{file}.log")
                given = {"say": text, "cost": cost, "task": task}
                answer = runpy.run_path(file, given)[name](prompt, turns, Path.cwd())
            except Exception as error:
                say({"id": ident, "error": {"code": -32603, "message": str(error)}})
                continue
            text(answer)
            result = {"stopReason": "end_turn"}
        say({"id": ident, "result": result})


if __name__ == "__main__":
    main()
