"""How an agent is handed the tools: over stdio, over http behind a token, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import Project, kill_9

import paseo_nb as paseo
from paseo_nb.supervisor import cleanup

from .conftest import caller, conductor, with_tools


def over_http(url: str, headers: dict[str, str], work: Any) -> Any:
    """What `work` gives, done with the tools at a URL."""

    async def main() -> Any:
        import httpx2
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        async with (
            httpx2.AsyncClient(headers=headers, timeout=60) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return await work(caller(client))

    return asyncio.run(main())


def servers_of(run: Any) -> list[int]:
    """The processes of our server that a run has."""
    return [pid for pid in cleanup.marked(run.id) if "mcp_server" in cleanup.command_line(pid)]


def test_over_http_on_loopback_behind_a_token_and_again_when_it_has_died(
    repo: Path, project: Project
) -> None:
    can = {"loadSession": True, "mcpCapabilities": {"http": True}}
    told = {"id": "$id", "result": {"protocolVersion": 1, "agentCapabilities": can}}
    command = project.puppet({"initialize": [told], "session/prompt": [[{"$sleep": 300}]]})
    paseo.register_provider("httponly", command=command, extends="copilot")
    run = conductor("httponly", "Lead.")
    assert run.spec.conduct == "http"
    project.until(
        lambda: any(one.get("method") == "session/new" for one in project.got(command)), 60
    )
    [new] = [one for one in project.got(command) if one.get("method") == "session/new"]
    [server] = new["params"]["mcpServers"]
    headers = {pair["name"]: pair["value"] for pair in server["headers"]}
    assert server["url"].startswith("http://127.0.0.1:")

    async def work(call: Any) -> dict[str, Any]:
        made = await call("create_agent", provider="demo/echo", initialPrompt="hello")
        return await call("wait_for_agent", agentId=made["agentId"])

    done = over_http(server["url"], headers, work)
    assert done["outcome"] == "end_turn"
    assert paseo.attach(done["agentId"]).parent == run.id
    kill_9(*servers_of(run))
    assert over_http(server["url"], headers, work)["outcome"] == "end_turn", "it is there again"
    for wrong in ({}, {"Authorization": "Bearer no"}):
        request = urllib.request.Request(server["url"], b"{}", wrong)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request, timeout=60)
    journal = project.folder(run.id).journal.read_bytes()
    token = headers["Authorization"].removeprefix("Bearer ")
    assert token.encode() not in journal, "it is masked"
    spec = project.folder(run.id).spec.read_text()
    assert token not in spec
    run.stop()
    project.until(lambda: not project.left(run.id), 30, "the server is gone with its run")


def test_who_takes_no_servers_cannot_conduct_and_is_told_so(repo: Path) -> None:
    command = [sys.executable, "-c", "pass"]
    paseo.register_provider("nomcp", command=command, extends="pi")
    with pytest.raises(paseo.UsageProblem, match="cannot conduct"):
        paseo.start("nomcp", "hello", conduct=True)
    with pytest.raises(paseo.UsageProblem, match="mode 'read'"):
        paseo.start("demo/echo", "hello", conduct=True, mode="read")
    with pytest.raises(paseo.UsageProblem, match="our own server"):
        paseo.start("demo/echo", "hello", conduct=True, mcp={"paseo": {"command": "sh"}})
    with pytest.raises(paseo.UsageProblem, match="conduct=True"):
        paseo.start("demo/echo", "hello", steps=["plan"])


def test_the_servers_death_loses_nothing(repo: Path, project: Project) -> None:
    run = conductor("demo/slow", "seconds=200")
    made: list[str] = []

    async def work(call: Any) -> None:
        made.append(
            (await call("create_agent", provider="demo/slow", initialPrompt="x"))["agentId"]
        )
        server = servers_of(run)
        assert len(server) == 1
        kill_9(*server)

    with contextlib.suppress(Exception):  # the client's, of whatever kind
        with_tools(run, work)
    assert made

    async def again(call: Any) -> None:
        [seen] = (await call("list_agents"))["agents"]
        assert (seen["agentId"], seen["state"]) == (made[0], "running")

    with_tools(run, again)


def test_steps_never_begun_are_named(
    repo: Path, project: Project, script: Callable[..., str]
) -> None:
    gate = [{"shell": f"until [ -e {repo}/go ]; do sleep 0.1; done"}, {"say": "Done."}]
    run = conductor(script(gate), steps=["plan", "build", "test"])

    async def work(call: Any) -> None:
        assert await call("next_step") == {"step": "plan", "left": ["plan", "build", "test"]}
        said = await call("step_done", fails=True, name="build")
        assert "never begun" in said["error"]
        said = await call("step_done", fails=True, name="rest")
        assert "no step" in said["error"]
        told = await call("step_done", name="plan", note="as it was")
        assert told == {"step": "build", "left": ["build", "test"]}

    with_tools(run, work)
    (repo / "go").touch()
    run.wait(60)
    assert [(one.name, one.begun, one.done) for one in run.steps] == [
        ("plan", True, True), ("build", True, False), ("test", False, False),
    ]  # fmt: skip
    assert run.inspect()["warnings"] == [
        "steps that were declared and never begun: test; steps that were begun and never done: build"
    ]


def test_a_users_own_client_has_a_users_rights(repo: Path) -> None:
    command = [sys.executable, "-m", "paseo_nb.cli", "mcp", "--http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=repo) as server:
        assert server.stdout is not None
        where = json.loads(server.stdout.readline())

        async def work(call: Any) -> str:
            wish = {"provider": "demo/echo", "initialPrompt": "hello", "mode": "auto"}
            return (await call("create_agent", **wish, background=False))["agentId"]

        child = paseo.attach(over_http(where["url"], where["headers"], work))
        server.terminate()
    assert (child.parent, child.state) == (None, "idle")
