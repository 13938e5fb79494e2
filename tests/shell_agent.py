"""An ACP agent whose every prompt is a shell script, run in its folder: `python shell_agent.py`.

The last text block of a prompt is the script; its output is the answer. It loads any session."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def prompted(params: dict[str, Any]) -> dict[str, Any]:
    script = [block["text"] for block in params["prompt"] if block["type"] == "text"][-1]
    done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True)
    text = done.stdout + done.stderr or "done"
    update = {
        "sessionUpdate": "agent_message_chunk",
        "content": {"type": "text", "text": text},
    }
    say({"method": "session/update", "params": {"sessionId": "s", "update": update}})
    return {"stopReason": "end_turn"}


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        method, ident = message.get("method"), message.get("id")
        if ident is None or method is None:
            continue
        result: dict[str, Any] = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        elif method == "session/new":
            result = {"sessionId": "s"}
        elif method == "session/prompt":
            result = prompted(message["params"])
        say({"id": ident, "result": result})


if __name__ == "__main__":
    main()
