"""Copilot and Pi over ACP, real, against the local model server: what differs, as a user sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project, check_invariants

import paseo_nb as paseo
from paseo_nb.errors import UsageProblem
from paseo_nb.preparing import Wish, prepare
from paseo_nb.programs.demo import copy_sample
from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import Failure, ModelServer, Reply, Use, scripts

pytestmark = pytest.mark.real_agent

AGENTS = {"copilot": "copilot/gpt-4.1", "pi": "pi/fake/fake-model"}
each = pytest.mark.parametrize("name", AGENTS)
Start = Callable[..., paseo.Run]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    yield path
    project = Project(path)
    project.runs = project.host.list()
    project.close()


@pytest.fixture
def set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> Any:
    """Set up one CLI in a home of its own; returns that."""

    def set_up(name: str, **wishes: Any) -> Path:
        home = tmp_path / f"{name}-home"
        home.mkdir()
        for key, value in recipes.RECIPES[name](home, server.url, **wishes).items():
            monkeypatch.setenv(key, value)
        folder = Path(executable(name)).parent
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return home

    return set_up


def change(file: Path, **more: Any) -> None:
    """Change a JSON file of Pi's."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **more}))


@each
def test_it_writes_a_file_and_runs_a_command(
    repo: Path, server: ModelServer, set_up: Any, name: str
) -> None:
    set_up(name)
    server.script = [
        Reply(uses=(Use("write", {"path": "hello.txt", "content": "hello\n"}),)),
        Reply(uses=(Use("shell", {"command": "cat hello.txt && echo and-more"}),)),
        "done",
    ]
    run = paseo.run(AGENTS[name], "write it", mode="auto", timeout=120)
    assert (repo / "hello.txt").read_text() == "hello\n"
    assert run.text == "done"
    calls = paseo.tool_traces(run=run)
    assert list(calls["kind"]) == ["edit", "execute"]
    assert list(calls["outcome"]) == ["completed", "completed"]
    assert "and-more" in server.conversations[-1].results[-1].text
    run.stop()
    project = Project(repo)
    check_invariants(project, run.id)
    project.until(lambda: not project.left(run.id), 25, "nothing left of the agent")


def test_copilot_asks_and_a_denied_file_is_not_written(
    repo: Path, server: ModelServer, set_up: Any
) -> None:
    set_up("copilot")
    server.script = scripts.writer()
    run = paseo.run(AGENTS["copilot"], "write it", mode="read", timeout=120)
    assert not (repo / "hello.txt").exists()
    asked = paseo.permissions(run=run)
    assert list(asked["kind"]) == ["edit"]
    assert list(asked["outcome"]) == ["denied"]


@each
def test_cancel_ends_the_turn_and_the_command(
    repo: Path, server: ModelServer, set_up: Any, name: str
) -> None:
    set_up(name)
    server.script = scripts.shell("echo started > mark; sleep 98765")
    run = paseo.start(AGENTS[name], "sleep", mode="auto", timeout=120)
    project = Project(repo)
    project.until((repo / "mark").exists, 60, "the command runs")
    run.cancel()
    run.wait(30, check=False)
    assert run.history().turns[0].outcome == "cancelled"
    sleeping = [pid for pid in project.left(run.id) if b"98765" in command_line(pid)]
    project.until(lambda: not any(b"98765" in command_line(pid) for pid in sleeping), 25)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@each
@pytest.mark.parametrize(("status", "code"), [(500, "server_error"), (401, "auth")])
def test_a_failing_model_is_an_error_with_its_cause(
    repo: Path, server: ModelServer, set_up: Any, name: str, status: int, code: str
) -> None:
    """Both tell `end_turn`. After a good turn, so that what came before is not taken for it."""
    home = set_up(name)
    if name == "pi":
        change(home / ".pi/agent/settings.json", retry={"enabled": False})
    server.script = ["fine", Failure(status, "no model today", 0.01)]
    run = paseo.run(AGENTS[name], "first", mode="auto", timeout=120)
    run.send("second").wait(120, check=False)
    first, second = run.history().turns
    assert (first.outcome, second.outcome, second.stop_reason) == ("end_turn", "error", "end_turn")
    assert second.error is not None
    assert second.error.code == code
    assert str(status) in second.error.message
    assert run.state == "error"
    assert paseo.turns(run=run)["error"][1] == second.error.message
    server.script = ["better"]
    run.send("third").wait(120)
    assert run.state == "idle"


@each
def test_a_failure_after_a_tool_call_is_an_error_too(
    repo: Path, server: ModelServer, set_up: Any, name: str
) -> None:
    home = set_up(name)
    if name == "pi":
        change(home / ".pi/agent/settings.json", retry={"enabled": False})
    call = Reply("I will look.", uses=(Use("shell", {"command": "echo hi"}),))
    server.script = [call, Failure(500, "it broke", 0.01)]
    run = paseo.start(AGENTS[name], "look", mode="auto", timeout=120)
    run.wait(120, check=False)
    assert run.history().turns[0].outcome == "error"
    assert "it broke" in str(run.error)


@each
def test_a_retry_is_an_event_and_no_word_of_the_models(
    repo: Path, server: ModelServer, set_up: Any, name: str
) -> None:
    set_up(name, **({"retries": True} if name == "pi" else {}))
    server.script = [Failure(500, "busy", 0.01), Failure(500, "busy", 0.01), "at last"]
    run = paseo.run(AGENTS[name], "try", mode="auto", timeout=120)
    assert run.text == "at last"
    notes = [item.text for item in run.history().items if item.title == "retry"]
    assert any("etry" in note for note in notes)
    assert paseo.turns(run=run)["text"][0] == "at last"


@each
def test_usage_of_each_turn_is_what_the_server_counted(
    repo: Path, server: ModelServer, set_up: Any, name: str
) -> None:
    set_up(name)
    server.script = [Reply(uses=(Use("shell", {"command": "echo hi"}),)), "one", "two", "three"]
    run = paseo.run(AGENTS[name], "first", mode="auto", timeout=120)
    run.send("second").wait(120)
    run.stop()
    run.send("third").wait(120)  # in a new process
    turns = [turn.usage for turn in run.history().turns]
    one = server.usage
    for usage, calls in zip(turns, (2, 1, 1), strict=True):
        assert usage.input_tokens == calls * one.input_tokens
        assert usage.cache_read_tokens == calls * one.cached_tokens
        assert usage.output_tokens == calls * one.output_tokens
    frame = paseo.turns(run=run)
    assert set(frame["usage_source"]) == {"session file"}
    assert set(frame["usage_scope"]) == {"turn"}
    assert paseo.runs(run=run)["input_tokens"][0] == 4 * one.input_tokens
    assert (run.cost_usd is not None) == (name == "pi"), "only Pi tells what it costs"
    assert run.history().turns[2].prompt == "third"
    assert len(server.conversations[-1].user_texts) == 3, "the session was gone on with"


@each
def test_an_mcp_server_that_would_be_left_out_is_refused_at_start(
    repo: Path, set_up: Any, name: str
) -> None:
    set_up(name)
    wish = Wish(AGENTS[name], "hi", mcp={"mine": {"command": "sh"}})
    with pytest.raises(UsageProblem, match=r"would leave out 'mine' \(stdio\) without a word"):
        prepare(wish, Project(repo).host)


def test_pi_s_levels_of_thinking_are_its_effort(
    repo: Path, server: ModelServer, set_up: Any
) -> None:
    home = set_up("pi")
    file = home / ".pi/agent/models.json"
    models = json.loads(file.read_text())
    models["providers"]["fake"]["models"][0]["reasoning"] = True
    file.write_text(json.dumps(models))
    run = paseo.run("pi/Fake Model", "hi", mode="auto", effort="high", timeout=120)
    assert run.inspect()["model_answered"] == "fake/fake-model", "found under another spelling"
    assert run.inspect()["model_asked"] == "Fake Model"
    with pytest.raises(paseo.RunFailed, match="no choice of agent mode") as raised:
        paseo.run("pi", "hi", mode="auto", agent_mode="high", timeout=120)
    assert "effort='high'" in str(raised.value)


def test_the_model_that_answered_is_known(repo: Path, server: ModelServer, set_up: Any) -> None:
    set_up("copilot")
    run = paseo.run("copilot/gpt-4.1", "hi", mode="auto", timeout=120)
    facts = run.inspect()
    assert (facts["model_asked"], facts["model_answered"]) == ("gpt-4.1", "gpt-4.1")
    assert facts["warnings"] == []
