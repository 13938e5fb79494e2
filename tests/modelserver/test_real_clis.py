"""The pinned CLIs themselves, headless, against the model server: what every dialect is for.

A fresh HOME and no key; nothing of ours but the recipe and the server is between them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agents.install import executable
from tests.agents.recipes import RECIPES
from tests.modelserver import ModelServer, behaviours, nth_usage

pytestmark = pytest.mark.real_agent

HEADLESS: dict[str, tuple[str, ...]] = {
    "claude": ("-p", "--permission-mode", "bypassPermissions"),
    "codex": ("exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"),
    "copilot": ("--allow-all", "-p"),
    "opencode": ("run",),
    "pi": ("-p",),
    "gemini": ("--yolo", "-p"),
}
PROBE = str(Path(__file__).parents[1] / "mcp_probe.py")


@contextmanager
def world(name: str, tmp_path: Path, **wishes: Any) -> Iterator[tuple[ModelServer, Any]]:
    """A server, and a function that runs the CLI once in an empty folder; what it printed."""
    home, work = tmp_path / "cli-home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    with ModelServer(usage=nth_usage) as server:
        env = os.environ | {"PWD": str(work)} | RECIPES[name](home, server.url, **wishes)

        def ask(prompt: str, *more: str) -> str:
            done = subprocess.run(
                [str(executable(name).with_name(name)), *HEADLESS[name], prompt, *more],
                cwd=work, env=env,
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        yield server, ask


@pytest.mark.parametrize("name", list(HEADLESS))
def test_a_file_a_command_and_a_thought(name: str, tmp_path: Path) -> None:
    with world(name, tmp_path) as (server, ask):
        server.enqueue(
            behaviours.write("hello.txt", "hi\n"),
            behaviours.command("echo from-the-shell"),
            behaviours.think("that went well", "All done."),
        )
        assert "All done." in ask("create it")
        rows = server.ledger()
        assert [r.usage for r in rows] == [nth_usage(n) for n in (1, 2, 3)]
        assert {r.outcome for r in rows} == {"complete"}
        conversation = server.conversations[-1]
        assert "create it" in conversation.prompt
        assert "from-the-shell" in conversation.results[-1].text
        assert len(conversation.results) == 2
        assert not [r for r in server.requests if r.kind == "unknown"]
    assert (tmp_path / "work/hello.txt").read_text() == "hi\n"


def test_codex_in_code_mode(tmp_path: Path) -> None:
    with world("codex", tmp_path, model="gpt-6.1-sol") as (server, ask):
        server.enqueue(
            behaviours.write("hello.txt", "hi\n"),
            behaviours.command("sleep 5"),  # its MCP servers start meanwhile: it does not wait
            behaviours.mcp("probe", "add", {"a": 2, "b": 40}),
            "All done.",
        )
        command = f"mcp_servers.probe.command={json.dumps(sys.executable)}"
        arguments = f"mcp_servers.probe.args={json.dumps([PROBE])}"
        assert "All done." in ask("create it", "-c", command, "-c", arguments)
        offered = {t.name: t for t in server.conversations[0].tools}
        assert offered["exec"].custom
        assert "the probe counts 42" in server.conversations[-1].results[-1].text
    assert (tmp_path / "work/hello.txt").read_text() == "hi\n"


def test_claudes_mcp_tools_are_loaded_before_they_are_called(tmp_path: Path) -> None:
    with world("claude", tmp_path) as (server, ask):
        server.enqueue(behaviours.mcp("probe", "add", {"a": 2, "b": 40}), "All done.")
        probe = {"type": "stdio", "command": sys.executable, "args": [PROBE]}
        config = json.dumps({"mcpServers": {"probe": probe}})
        assert "All done." in ask("add", "--strict-mcp-config", "--mcp-config", config)
        calls = [r.answer.calls for r in server.ledger() if r.answer]  # type: ignore[union-attr]
        names = [c.name for some in calls for c in some]
        assert names == ["ToolSearch", "mcp__probe__add"]
        assert server.conversations[-1].user_texts == ("add",)
        [result] = server.conversations[-1].results
        assert "the probe counts 42" in result.text
