"""An ACP agent that thinks with a function of the test's: `python minded_agent.py FILE NAME`.

FILE has `def NAME(prompt, turn, folder): …`, which gives the answer's text, or raises: then the
turn fails. What it is asked is appended to FILE.log, a JSON line each. It loads any session.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def main() -> None:
    file, name = sys.argv[1:]
    turns = 0
    for line in sys.stdin:
        message = json.loads(line)
        method, ident = message.get("method"), message.get("id")
        if ident is None or method is None:
            continue
        result: dict[str, Any] = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        elif method == "session/new":
            result = {"sessionId": f"s-{os.getpid()}"}
        elif method == "session/prompt":
            turns += 1
            blocks = message["params"]["prompt"]
            prompt = "\n".join(block["text"] for block in blocks if block["type"] == "text")
            with open(f"{file}.log", "a") as log:
                log.write(json.dumps({"who": name, "prompt": prompt}) + "\n")
            try:
                text = runpy.run_path(file)[name](prompt, turns, Path.cwd())
            except Exception as error:
                say({"id": ident, "error": {"code": -32603, "message": str(error)}})
                continue
            update = {
                "sessionUpdate": "agent_message_chunk",
                "content": {"type": "text", "text": text},
            }
            say({"method": "session/update", "params": {"sessionId": "s", "update": update}})
            result = {"stopReason": "end_turn"}
        say({"id": ident, "result": result})


if __name__ == "__main__":
    main()
