"""An ACP agent that asks a chat endpoint (`MODEL_URL`) once a turn: `python model_agent.py`."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any


def ask(said: list[dict[str, Any]]) -> str:
    body = json.dumps({"model": "m", "messages": said}).encode()
    headers = {
        "Content-Type": "application/json",
        "Authorization": "Bearer sk-test-0123456789abcdef",
    }
    request = urllib.request.Request(
        f"{os.environ['MODEL_URL']}/v1/chat/completions", body, headers
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def main() -> None:
    said: list[dict[str, Any]] = []
    for line in sys.stdin:
        message = json.loads(line)
        method, ident = message.get("method"), message.get("id")
        result: dict[str, Any] = {}
        if method == "initialize":
            result = {"protocolVersion": 1, "agentCapabilities": {"loadSession": True}}
        elif method == "session/new":
            result = {"sessionId": "s"}
        elif method == "session/prompt":
            prompt = "".join(part["text"] for part in message["params"]["prompt"])
            said.append({"role": "user", "content": prompt})
            text = "nothing asked" if os.environ.get("MODEL_SILENT") else ask(said)
            said.append({"role": "assistant", "content": text})
            update = {
                "sessionUpdate": "agent_message_chunk",
                "content": {"type": "text", "text": text},
            }
            told = {"method": "session/update", "params": {"sessionId": "s", "update": update}}
            print(json.dumps({"jsonrpc": "2.0", **told}), flush=True)
            result = {"stopReason": "end_turn"}
        if ident is not None:
            print(json.dumps({"jsonrpc": "2.0", "id": ident, "result": result}), flush=True)


if __name__ == "__main__":
    main()
