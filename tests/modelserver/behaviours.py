"""Single answers to enqueue: `server.enqueue(behaviours.write("a.txt", "hi"), "I wrote it.")`.

Each function returns one answer of the model; further fields of Reply are taken by name. What a
tool gave back comes with the CLI's next request, which takes the next answer.
"""

from __future__ import annotations

import json
from typing import Any

from .conversation import Failure, Reply, Use


def think(reasoning: str, text: str = "", **more: Any) -> Reply:
    """Reasoning, and what is said after it."""
    return Reply(text, reasoning=reasoning, **more)


def write(path: str, content: str, **more: Any) -> Reply:
    """Writes a file."""
    return Reply(uses=(Use("write", {"path": path, "content": content}),), **more)


def edit(path: str, old: str, new: str, **more: Any) -> Reply:
    """Replaces text in a file."""
    return Reply(uses=(Use("edit", {"path": path, "old": old, "new": new}),), **more)


def read(path: str, **more: Any) -> Reply:
    """Reads a file."""
    return Reply(uses=(Use("read", {"path": path}),), **more)


def command(line: str, **more: Any) -> Reply:
    """Runs a shell command."""
    return Reply(uses=(Use("shell", {"command": line}),), **more)


def sleep_command(seconds: int, marker: str = "", **more: Any) -> Reply:
    """Runs a command that takes so long; Claude Code refuses a bare `sleep`.

    `marker` stands in its command line, to find the process by.
    """
    return command(f"python3 -c 'import time; time.sleep({seconds})' {marker}".strip(), **more)


def mcp(server: str, tool: str, arguments: dict[str, Any] | None = None, **more: Any) -> Reply:
    """Calls a tool of an MCP server by that name."""
    wish = {"server": server, "tool": tool, "arguments": arguments or {}}
    return Reply(uses=(Use("mcp", wish),), **more)


def value(answer: Any, **more: Any) -> Reply:
    """A structured answer: by the tool that the CLI offers for it, else as JSON text."""
    return Reply(uses=(Use("answer", {"value": answer}),), **more)


def prose_value(answer: Any, **more: Any) -> Reply:
    """A structured answer as models without such a tool give it: fenced, with words around."""
    return Reply(f"Here it is:\n\n```json\n{json.dumps(answer, indent=1)}\n```\n", **more)


def slow(chunks: int = 200, pause_s: float = 0.05, **more: Any) -> Reply:
    """A long text at a steady pace: word00000 word00001 …"""
    words = "".join(f"word{i:05d} " for i in range(chunks))
    return Reply(words, pause_s=pause_s, piece=10, **more)


def flood(chunks: int = 5000, **more: Any) -> Reply:
    """A long text as fast as it goes."""
    return slow(chunks, 0.0, **more)


def hang(after: int = 5, **more: Any) -> Reply:
    """A stream that falls silent after so many events and stays open."""
    return slow(hang_after=after, pause_s=0.01, **more)


def cut(after: int = 5, **more: Any) -> Reply:
    """A stream whose connection breaks after so many events."""
    return slow(cut_after=after, pause_s=0.01, **more)


def error(
    status: int,
    message: str = "the model server was told to fail",
    *,
    times: int | None = 1,
    retry_after_s: float | None = 0.05,
) -> Failure:
    """An HTTP error for the next `times` requests; None: for all from now on."""
    return Failure(status, message, retry_after_s, times)


def overflow(*, times: int | None = 1) -> Failure:
    """The error 400 by which an API says that the context is full."""
    return Failure(400, times=times, overflow=True)
