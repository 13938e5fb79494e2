"""The pinned CLIs, driven through the official ACP SDK against the model server.

A real agent, a real repository, real edits, a fresh HOME, no key. What holds here is what our own
drivers are measured against; it also proves the recipes and the installation.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import acp
import pytest
from acp import schema

from paseo_nb.programs.demo import copy_sample
from tests.agents import install
from tests.agents.recipes import ACP_ARGUMENTS, ACP_AUTH_METHOD, RECIPES, acp_command
from tests.modelserver import ModelServer, scripts

both = pytest.mark.parametrize("name", ["opencode", "gemini"])
UNITTEST = f"{sys.executable} -m unittest"


class Client:
    """Keeps every update, and answers each question with an option of the kind `answer`.

    It offers no files and no terminals; `fs/write_text_file`, which opencode sends all the same
    after an approved edit, gets "method not found".
    """

    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.updates: list[Any] = []
        self.questions: list[str] = []
        self.arrived = asyncio.Event()

    async def session_update(self, session_id: str, update: Any, **kwargs: Any) -> None:
        self.updates.append(update)
        self.arrived.set()

    async def request_permission(
        self,
        session_id: str,
        tool_call: schema.ToolCallUpdate,
        options: list[schema.PermissionOption],
        **kwargs: Any,
    ) -> schema.RequestPermissionResponse:
        self.questions.append(tool_call.kind or "")
        chosen = next(o for o in options if o.kind == self.answer)
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id=chosen.option_id)
        )

    def text(self, kind: str = "agent_message_chunk") -> str:
        chunks = [u for u in self.updates if u.session_update == kind]
        return "".join(c.content.text for c in chunks)

    async def until(self, text: str) -> None:
        """Returns as soon as the agent's text has `text` in it."""
        while text not in self.text():
            self.arrived.clear()
            await asyncio.wait_for(self.arrived.wait(), 30)


class Session:
    """One session of one running CLI."""

    def __init__(self, connection: acp.ClientSideConnection, client: Client, id_: str) -> None:
        self.connection, self.client, self.id = connection, client, id_

    async def prompt(self, text: str) -> schema.PromptResponse:
        return await asyncio.wait_for(
            self.connection.prompt(prompt=[acp.text_block(text)], session_id=self.id), 60
        )


class Desk:
    """What one test has: a repository, a fresh HOME, and the environment of the CLI's recipe."""

    def __init__(self, name: str, folder: Path, server: ModelServer, **wishes: Any) -> None:
        self.name, self.server = name, server
        self.repo, self.home = folder / "repo", folder / "home"
        if not self.repo.exists():
            copy_sample(self.repo)
        self.home.mkdir(exist_ok=True)
        self.env = RECIPES[name](self.home, server.url, **wishes)

    @asynccontextmanager
    async def session(
        self, *, answer: str = "allow_once", load: str | None = None
    ) -> AsyncIterator[Session]:
        """A new process of the CLI and one session in it; leaves no process behind."""
        command, *arguments = acp_command(self.name)
        client, mark = Client(answer), uuid.uuid4().hex
        try:
            with (self.home / "stderr.txt").open("ab") as stderr:
                # a pipe that nobody reads would stop the agent at 64 KiB
                transport = {"stderr": stderr, "shutdown_timeout": 10, "limit": 2**24}
                async with acp.spawn_agent_process(
                    client,  # type: ignore[arg-type]
                    command,
                    *arguments,
                    env=self.env | {"TEST_MARK": mark},
                    cwd=self.repo,
                    transport_kwargs=transport,
                ) as (connection, _):
                    yield await self._open(connection, client, load)
        finally:
            end_processes_with(mark)

    async def _open(
        self, connection: acp.ClientSideConnection, client: Client, load: str | None
    ) -> Session:
        await asyncio.wait_for(connection.initialize(acp.PROTOCOL_VERSION), 60)
        if method := ACP_AUTH_METHOD[self.name]:
            await connection.authenticate(method_id=method)
        if load:
            await connection.load_session(cwd=str(self.repo), session_id=load, mcp_servers=[])
            return Session(connection, client, load)
        new = await connection.new_session(cwd=str(self.repo), mcp_servers=[])
        return Session(connection, client, new.session_id)


def end_processes_with(mark: str) -> None:
    """Waits for the agent's processes to end by themselves; ends, by id, those that do not."""

    def alive() -> list[int]:
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"TEST_MARK={mark}".encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    deadline = time.monotonic() + 5
    while alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in alive():
        os.kill(pid, signal.SIGKILL)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(main(), 150)

    asyncio.run(limited())


def git(repo: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repo, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.real_agent
@both
def test_a_real_agent_mends_a_real_repository(name: str, tmp_path: Path) -> None:
    with ModelServer(scripts.sample_fixer(UNITTEST)) as server:
        desk = Desk(name, tmp_path, server)

        async def main() -> None:
            async with desk.session() as session:
                response = await session.prompt("The tests fail. Please mend the code.")
                assert response.stop_reason == "end_turn"
                assert "Fixed; the tests now say: OK" in session.client.text()
                assert "I want to see the failure" in session.client.text("agent_thought_chunk")
                asked = ["execute", "edit", "edit", "execute"] if name == "gemini" else []
                assert session.client.questions == asked
                kinds = {getattr(u, "kind", None) for u in session.client.updates}
                assert kinds >= {"execute", "read", "edit"}

        run(main)
    assert len(server.conversations) == 7, "one model call per step of the plot, and the report"
    calls = server.ledger()
    assert {r.outcome for r in calls} == {"complete"}
    changed = git(desk.repo, "diff", "--name-only").split()
    assert changed == ["tidelog/durations.py", "tidelog/offsets.py"]
    done = subprocess.run(UNITTEST.split(), cwd=desk.repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (desk.home / ".npm").exists(), "the recipe must keep the CLI off the network"


@pytest.mark.real_agent
@both
@pytest.mark.parametrize("answer", ["allow_once", "reject_once"])
def test_an_edit_that_has_to_be_asked_for(name: str, answer: str, tmp_path: Path) -> None:
    wishes = {"ask": ["edit", "bash"]} if name == "opencode" else {}
    with ModelServer(scripts.writer("hello.txt", "hi\n")) as server:
        desk = Desk(name, tmp_path, server, **wishes)

        async def main() -> None:
            async with desk.session(answer=answer) as session:
                response = await session.prompt("Write hello.txt")
                assert response.stop_reason == "end_turn"
                assert session.client.questions == ["edit"]
                assert ("I wrote hello.txt" in session.client.text()) == (answer == "allow_once")

        run(main)
    assert (desk.repo / "hello.txt").exists() == (answer == "allow_once")


@pytest.mark.real_agent
@both
def test_cancel_in_mid_stream_hangs_up_on_the_model(name: str, tmp_path: Path) -> None:
    with ModelServer(scripts.slow()) as server:
        desk = Desk(name, tmp_path, server)

        async def main() -> None:
            async with desk.session() as session:
                turn = asyncio.create_task(session.prompt("Talk slowly"))
                await session.client.until("word00003")
                started = time.monotonic()
                await session.connection.cancel(session_id=session.id)
                assert (await turn).stop_reason == "cancelled"
                assert time.monotonic() - started < 3, "10 s of text were still to come"
                await asyncio.to_thread(server.wait_for, lambda r: r.outcome == "disconnected", 3)
                server.script = scripts.echo()
                assert (await session.prompt("And now?")).stop_reason == "end_turn"
                assert "last: And now?" in session.client.text()

        run(main)


@pytest.mark.real_agent
def test_opencode_loads_a_session_in_a_new_process(tmp_path: Path) -> None:
    with ModelServer(scripts.echo()) as server:
        desk = Desk("opencode", tmp_path, server)

        async def main() -> None:
            async with desk.session() as first:
                await first.prompt("The word is heron.")
            async with desk.session(load=first.id) as second:
                assert "The word is heron." in second.client.text("user_message_chunk")
                await second.prompt("Which word?")
                assert "user messages: 2; last: Which word?" in second.client.text()
            assert server.conversations[-1].user_texts == ("The word is heron.", "Which word?")

        run(main)


@pytest.mark.real_agent
@both
def test_a_failing_model_is_an_error_of_the_turn(name: str, tmp_path: Path) -> None:
    with ModelServer(scripts.err500(message="no model today")) as server:
        desk = Desk(name, tmp_path, server)

        async def main() -> None:
            async with desk.session() as session:
                with pytest.raises(acp.RequestError, match="no model today"):
                    await session.prompt("hello")

        run(main)


def test_a_missing_cli_fails_and_says_what_to_do(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(install, "TOOLS", tmp_path)
    for name in ACP_ARGUMENTS:
        with pytest.raises(install.AgentMissing, match=f"python tests/agents/install.py {name}"):
            acp_command(name)
