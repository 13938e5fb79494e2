"""Runs of the scripted app-server, and steps for it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from app_server import THREAD
from kit import Project

from paseo_nb.history import History
from paseo_nb.model import new_run_id

Json = dict[str, Any]
DONE: Json = {"$end": "completed"}


class Codex:
    """One run of a scripted app-server."""

    def __init__(
        self, project: Project, *turns: list[Any], answers: Json | None = None, **more: Any
    ) -> None:
        self.project = project
        self.file = project.root / f"codex-{new_run_id()}.json"
        self.file.write_text(json.dumps({"turns": turns, "answers": answers or {}}))
        program = str(Path(__file__).with_name("app_server.py"))
        command = [sys.executable, program, str(self.file)]
        more = {"model": None, "mode": "auto", "dialect": "codex", **more}
        self.run_id = project.start(command=command, **more)

    def ended(self, turns: int = 1) -> History:
        """The story once so many turns have ended."""

        def done() -> History | None:
            history = self.history()
            ended = [turn for turn in history.turns if turn.outcome is not None]
            return history if len(ended) >= turns else None

        return self.project.until(done, 30, f"turn {turns} ended")

    def history(self) -> History:
        """The story so far."""
        lines = self.project.lines(self.run_id)
        return History("codex", "codex", self.project.host.home / "blobs").feed(lines)

    def got(self, method: str | None = None) -> list[Json]:
        """What the server has got: the requests of a method, or everything."""
        lines = Path(f"{self.file}.got").read_text().splitlines()
        messages = [json.loads(line) for line in lines]
        return [m for m in messages if method in (None, m.get("method"))]

    def answers(self) -> list[Json]:
        """Our answers to the server's requests."""
        return [m for m in self.got() if "method" not in m]


def note(method: str, thread: str = "$thread", **params: Any) -> Json:
    """A notification of a thread."""
    return {"method": method, "params": {"threadId": thread, "turnId": "$turn", **params}}


def said(text: str, item: str = "m1", thread: str = "$thread") -> Json:
    """A piece of an answer."""
    return note("item/agentMessage/delta", thread, itemId=item, delta=text)


def message(text: str, item: str = "m1") -> Json:
    """A whole answer, at its end."""
    return note("item/completed", item={"type": "agentMessage", "id": item, "text": text})


def command(status: str, script: str, item: str = "c1", **more: Any) -> Json:
    """A command begins or ends."""
    fields = {"type": "commandExecution", "id": item, "status": status, "cwd": "/srv", **more}
    method = "item/started" if status == "inProgress" else "item/completed"
    return note(method, item={**fields, "command": f"/bin/bash -lc '{script}'"})


def approval(script: str, item: str = "c1", **more: Any) -> Json:
    """The question whether a command may run."""
    asked = {"itemId": item, "command": f"/bin/bash -lc '{script}'", "cwd": "/srv", **more}
    return {"$ask": note("item/commandExecution/requestApproval", **asked)}


def used(total: int, last: int, turn: str = "$turn", thread: str = "$thread") -> Json:
    """A report of tokens: of 1000 in there are 600 read from the cache, 50 written; 100 out."""

    def tokens(calls: int) -> Json:
        return {
            "inputTokens": 1000 * calls,
            "cachedInputTokens": 600 * calls,
            "cacheWriteInputTokens": 50 * calls,
            "outputTokens": 100 * calls,
            "reasoningOutputTokens": 10 * calls,
            "totalTokens": 1100 * calls,
        }

    usage = {"total": tokens(total), "last": tokens(last), "modelContextWindow": 258400}
    params = {"threadId": thread, "turnId": turn, "tokenUsage": usage}
    return {"method": "thread/tokenUsage/updated", "params": params}


__all__ = [
    "DONE",
    "THREAD",
    "Codex",
    "approval",
    "command",
    "message",
    "note",
    "said",
    "used",
]
