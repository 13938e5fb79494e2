"""A project with a run in every state that a dashboard tells apart; no key, no network."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import paseo_nb as paseo


def until(what: Any, within: float = 60.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def scene(seconds: int = 300) -> dict[str, paseo.Run]:
    """Start them in the current folder's project; returns when each is in its state."""
    runs = {
        "review": paseo.start(
            "demo/fixer", "The tests fail. Find out why.", worktree="fix-maths",
            title="Fix the tide maths", mode="auto",
        ),
        "done": paseo.start(
            "demo/echo", "Explain the leap second code", labels={"background": "yes"}
        ),
        "failed": paseo.start("demo/error", "code=32000", title="Add property tests for offsets"),
        "stopped": paseo.start("demo/slow", f"seconds={seconds}", title="Rename tidelog.cli"),
        "interrupted": paseo.start(
            "demo/slow", f"seconds={seconds}", title="Type-check tidelog.cli", worktree="types"
        ),
        "running": paseo.start(
            "demo/sleep", f"seconds={seconds}", title="Run the long tests", mode="auto"
        ),
        "slow": paseo.start("demo/slow", f"seconds={seconds}", title="Write the change log"),
        "asks": paseo.start(
            "demo/asker", 'run: python -m pip install "hypothesis>=6,<7"', mode="ask",
            title="Fix test_offset_without_colon",
        ),
        "asks too": paseo.start(
            "demo/asker", "run: python -m build --sdist", mode="ask", title="Publish 0.4.1",
        ),
    }  # fmt: skip
    for name in ("stopped", "interrupted"):
        until(lambda run=runs[name]: run.text)
    runs["stopped"].stop()
    facts = runs["interrupted"].inspect()["processes"]
    for pid in (facts["warden_pid"], facts["pid"]):
        os.kill(pid, signal.SIGKILL)
    for name, state in (
        ("review", "idle"), ("done", "idle"), ("failed", "error"), ("stopped", "stopped"),
        ("interrupted", "interrupted"), ("running", "running"), ("slow", "running"),
        ("asks", "waiting"), ("asks too", "waiting"),
    ):  # fmt: skip
        until(lambda run=runs[name], state=state: run.state == state)
    return runs


def end(runs: dict[str, paseo.Run]) -> None:
    """Stop them all."""
    for run in runs.values():
        run.stop(force=True)
