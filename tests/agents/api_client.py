"""Plain HTTP requests to the model server, with the tools of opencode and of gemini."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.modelserver import ModelServer

CHAT = "/any/prefix/v1/chat/completions"
GEMINI = "/any/prefix/v1beta/models/gemini-2.5-pro"


def tool(name: str, *arguments: str) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {a: {"type": "string"} for a in arguments},
        "required": list(arguments),
    }
    return {"name": name, "description": name, "parameters": schema}


OPENCODE_TOOLS = [
    tool("bash", "command"),
    tool("read", "filePath"),
    tool("edit", "filePath", "oldString", "newString"),
    tool("write", "filePath", "content"),
]
GEMINI_TOOLS = [
    tool("run_shell_command", "command"),
    tool("write_file", "file_path", "content"),
    tool("replace", "file_path", "instruction", "old_string", "new_string"),
]


def chat(*texts: str, tools: list[dict[str, Any]] | None = None, **extra: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text} for text in texts]
    offered = [{"type": "function", "function": t} for t in tools or ()]
    return {"model": "m", "messages": messages, "tools": offered} | extra


def contents(*texts: str, tools: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    said = [{"role": "user", "parts": [{"text": text}]} for text in texts]
    return {"contents": said, "tools": [{"functionDeclarations": tools or []}]}


def post(server: ModelServer, path: str, body: dict[str, Any]) -> Any:
    """The decoded answer: a JSON value, or the list of an event stream's data."""
    request = urllib.request.Request(server.url + path, json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        if answer.headers["Content-Type"].startswith("application/json"):
            return json.load(answer)
        lines = answer.read().decode().split("\n\n")
    data = [line.removeprefix("data: ") for line in lines if line]
    return [d if d == "[DONE]" else json.loads(d) for d in data]
