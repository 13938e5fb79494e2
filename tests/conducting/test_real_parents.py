"""Real CLIs as parents, through our MCP server: over stdio, and Copilot's over http.

Their model is a script against the local model server that reads what the tools answered, so what
it does next shows what reached the model.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project, check_invariants, kill_9

import paseo_nb as paseo
from tests.agents.install import executable
from tests.conformance.recipes import RECIPES
from tests.modelserver import Conversation, ModelServer, Reply, behaviours
from tests.modelserver.conversation import TOOL_SEARCH, Answer

pytestmark = [pytest.mark.real_agent, pytest.mark.timeout(900)]

# The other agent that each starts besides demo; the limit of a page, None for the usual one, which
# the tightest of them pass on whole.
PARENTS = {
    "claude": ("codex", 40_000),
    "codex": ("claude", None),
    "opencode": ("claude", 40_000),
    "copilot": ("codex", None),
}
LEAD = "lead them"
BIG = "".join(f"{n:08d} b\n" for n in range(100_000))  # 1.1 MB


class Leader:
    """The model of a parent: what to do next, by what the tools have answered. It keeps count
    itself, as a CLI may compact what it has said."""

    def __init__(self, children: list[dict[str, Any]], page: int | None) -> None:
        self.children, self.page = children, page
        self.texts: dict[str, str] = {}
        self._seen: set[str] = set()
        self._todo = self.play()
        self._next: tuple[str, dict[str, Any]] | None = next(self._todo)

    def says(self, conversation: Conversation) -> Answer:
        whole = "".join(conversation.user_texts)
        if "Say it." in whole and LEAD not in whole:
            return Reply(BIG, piece=20_000)
        if conversation.kind != "main" or "history is being compacted" in conversation.prompt:
            return "What was said before: lead them, and go on."
        for result in conversation.results:
            told = answer(result) if result.call_id not in self._seen else None
            self._seen.add(result.call_id)
            if told is not None:
                self._next = self._send(told)
        if self._next is None:
            return "All done."
        return behaviours.mcp("paseo", *self._next)

    def _send(self, told: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        try:
            return self._todo.send(told)
        except StopIteration:
            return None

    def play(self) -> Generator[tuple[str, dict[str, Any]], dict[str, Any], None]:
        """The calls in order; each is sent its answer."""
        ids: list[str] = []
        for wish in self.children:
            made = yield "create_agent", {"initialPrompt": "Say it.", **wish}
            ids.append(made["agentId"])
        for ident in ids:
            while True:
                state = yield "wait_for_agent", {"agentId": ident}
                if state["permission"]:
                    request = {"agentId": ident, "requestId": state["permission"]["id"]}
                    yield "respond_to_permission", {**request, "response": {"behavior": "allow"}}
                elif "outcome" in state:
                    break
            parts, at = [], 0
            while at is not None:
                wish = {"agentId": ident, "offset": at, "limit": self.page}
                page = yield "subagent_result", wish
                assert page["offset"] == at
                parts.append(page["text"])
                at = page["next"]
            text = "".join(parts)
            self.texts[ident] = text
            assert page["sha256"] == hashlib.sha256(text.encode()).hexdigest()
        for ident in ids:
            yield "archive_agent", {"agentId": ident}


def answer(result: Any) -> dict[str, Any] | None:
    """Our JSON object in what a CLI gives its model of a tool's result; None for other tools'."""
    if result.name == TOOL_SEARCH:
        return None
    decoder, text = json.JSONDecoder(), result.text
    at = text.find("{")
    while at >= 0:
        try:
            found, _ = decoder.raw_decode(text, at)
        except ValueError:
            at = text.find("{", at + 1)
            continue
        if found.keys() & {"agentId", "success", "error"}:
            return found
        inner = found.get("text") or found.get("content")
        if isinstance(inner, str):
            text, at = inner, inner.find("{")
            continue
        at = text.find("{", at + 1)
    return None


@pytest.fixture
def world(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ModelServer]]:
    """Sets CLIs up against one model server."""
    with ModelServer() as server:

        def make(*names: str) -> ModelServer:
            home = tmp_path / "agent-home"
            home.mkdir()
            path = os.environ["PATH"]
            for name in names:
                recipe = RECIPES[name]
                assert recipe.cli is not None
                path = f"{executable(recipe.cli).parent}{os.pathsep}{path}"
                for key, value in recipe.environment(home, server.url).items():
                    monkeypatch.setenv(key, value)
            monkeypatch.setenv("PATH", path)
            return server

        yield make


@pytest.mark.parametrize("name", PARENTS)
def test_a_real_parent_leads_two_children_to_the_end(
    name: str, repo: Path, project: Project, script: Callable[..., str], world: Any
) -> None:
    other, page = PARENTS[name]
    server = world(name, other)
    pieces = [{"say": BIG[at : at + 50_000]} for at in range(0, len(BIG), 50_000)]
    scripted = script([{"write": {"path": "made.txt", "text": "hello\n"}}, *pieces])
    children = [
        {"provider": scripted, "mode": "ask"},
        {"provider": str(RECIPES[other].agent), "mode": "auto"},
    ]
    leader = Leader(children, page)
    server.script = leader.says
    agent = str(RECIPES[name].agent)
    run = paseo.start(agent, LEAD, mode="auto", conduct=True, timeout=800).wait(850)
    assert run.text.endswith("All done."), run.text[-500:]
    assert [text == BIG for text in leader.texts.values()] == [True, True]
    assert (repo / "made.txt").read_text() == "hello\n"
    made = [paseo.attach(ident) for ident in run.children]
    assert [child.spec.provider for child in made] == ["demo", other]
    assert [child.state for child in made] == ["archived", "archived"]
    [answered] = made[0].history().permissions.values()
    assert answered.by == f"agent {run.id}"
    kind = "http" if name == "copilot" else "stdio"
    assert run.spec.conduct == kind
    assert not [turn for turn in run.history().turns if turn.origin == "child"], "it knows already"
    check_invariants(project, run.id)


@pytest.mark.parametrize("name", PARENTS)
def test_a_real_parent_killed_in_the_middle_is_told_once_when_it_is_back(
    name: str, repo: Path, project: Project, script: Callable[..., str], world: Any
) -> None:
    server = world(name)
    gate = f"until [ -e {repo}/go ]; do sleep 0.1; done"
    scripted = script([{"shell": gate}, {"say": "The answer is 42."}])

    def says(conversation: Conversation) -> Answer:
        if "News of agents" in conversation.prompt:
            return "I heard of them."
        if "interrupted" in conversation.prompt:
            return "I go on."
        if any(answer(one) is not None for one in conversation.results):
            return behaviours.hang()
        wish = {"provider": scripted, "initialPrompt": "Go.", "mode": "auto"}
        return behaviours.mcp("paseo", "spawn_subagent", wish)

    server.script = says
    run = paseo.start(str(RECIPES[name].agent), LEAD, mode="auto", conduct=True, timeout=300)
    project.until(lambda: run.children, 120, "it has a child")
    project.until(lambda: project.own(run.id, "command_result"), 60)
    child = paseo.attach(run.children[0])
    project.in_mid_turn(run.id, 5)
    pair = project.processes(run.id)
    kill_9(pair["supervisor"], pair["warden"])
    project.gone(run.id, 60)
    assert child.state == "running"
    (repo / "go").touch()
    assert child.wait(60).text.endswith("The answer is 42.")
    assert run.state == "interrupted"
    run.resume()
    project.until(lambda: "I heard of them." in run.text, 120, "it is told")
    run.wait(60)
    news = [turn for turn in run.history().turns if turn.origin == "child"]
    assert len(news) == 1
    assert child.id in news[0].prompt
    assert "The answer is 42." in news[0].prompt
    check_invariants(project, run.id)
