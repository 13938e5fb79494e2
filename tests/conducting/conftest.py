"""Runs that conduct, and clients of our MCP server on the official SDK."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from kit import Project

import paseo_nb as paseo

Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def repo(repo: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sample repository; its runs have time to lead others."""
    monkeypatch.setenv("PASEO_NB_IDLE", "60")
    monkeypatch.setenv("PASEO_NB_PERMISSION_TIMEOUT", "120")
    return repo


@pytest.fixture
def project(repo: Path) -> Project:
    """The repository's runs, for looking at them."""
    return Project(repo)


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Makes a scripted agent of turns, each a list of steps: its name."""

    def make(*turns: list[dict[str, Any]]) -> str:
        path = tmp_path / f"script-{len(list(tmp_path.glob('script-*')))}.json"
        path.write_text(json.dumps(turns))
        return f"demo/script:{path}"

    return make


WRITE = [{"write": {"path": "made.txt", "text": "hello\n"}}, {"say": "Written."}]


def conductor(agent: str, prompt: str = "Lead them.", **more: Any) -> Any:
    """A run that conducts."""
    return paseo.start(agent, prompt, conduct=True, **{"mode": "auto", **more})


def with_tools(run: Any, work: Callable[[Call], Awaitable[Any]]) -> Any:
    """What `work` gives, done with the tools of a run, as its agent has them: over stdio."""
    server = next(one for one in run.spec.mcp if one["name"] == "paseo")
    given = {pair["name"]: pair["value"] for pair in server["env"]}

    async def main() -> Any:
        from mcp import Client, StdioServerParameters, stdio_client

        # Little of an environment, as some agents give their servers.
        env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **given}
        if "XDG_RUNTIME_DIR" in os.environ:
            env["XDG_RUNTIME_DIR"] = os.environ["XDG_RUNTIME_DIR"]
        if "TMPDIR" in os.environ:
            env["TMPDIR"] = os.environ["TMPDIR"]
        parameters = StdioServerParameters(
            command=server["command"], args=server["args"], env=env, cwd=run.spec.cwd
        )
        async with Client(stdio_client(parameters, errlog=sys.stderr)) as client:
            return await work(caller(client))

    return asyncio.run(main())


def caller(client: Any) -> Call:
    """Calls of a client as JSON; AssertionError for a tool's error, unless `fails` says so."""

    async def call(tool: str, /, fails: bool = False, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments, read_timeout_seconds=120)
        [block] = result.content
        told = json.loads(block.text)
        assert bool(result.is_error) == fails, told
        return told

    return call
