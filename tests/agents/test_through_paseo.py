"""Real CLIs through our own supervisor: a real agent, a real repository, real edits, no key."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import Project, check_invariants

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample
from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import ModelServer, scripts

pytestmark = pytest.mark.real_agent

AGENTS = {
    "opencode": ("opencode/fake/fake-model", lambda home, url: recipes.opencode(home, url)),
    "gemini": ("gemini/gemini-2.5-pro", lambda home, url: recipes.gemini(home, url)),
}


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    yield path
    project = Project(path)
    project.runs = project.host.list()
    project.close()


def environment(name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set up one CLI offline; the agent's name."""
    agent, recipe = AGENTS[name]
    home = tmp_path / f"{name}-home"
    home.mkdir()
    for key, value in recipe(home, url).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PATH", f"{Path(executable(name)).parent}{os.pathsep}{os.environ['PATH']}")
    return agent


@pytest.mark.parametrize("name", AGENTS)
def test_a_real_agent_mends_the_sample(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with ModelServer(scripts.sample_fixer(f"{sys.executable} -m unittest")) as server:
        agent = environment(name, server.url, tmp_path, monkeypatch)
        run = paseo.run(
            agent, "The tests fail. Find out why and fix the code.",
            worktree="fix", mode="auto", timeout=120,
        )  # fmt: skip
        assert run.state == "idle"
        changed = [change.path for change in run.diff().summary.files]
        assert changed == ["tidelog/durations.py", "tidelog/offsets.py"]
        done = subprocess.run(
            [sys.executable, "-m", "unittest"], cwd=run.path, capture_output=True, text=True
        )
        assert "OK" in done.stderr
        kinds = set(paseo.tool_traces(run=run)["kind"])
        assert "edit" in kinds or "other" in kinds, kinds
        assert run.usage.source == "session file"
        assert run.usage.input_tokens == server.spent().input_tokens
        assert paseo.runs(run=run)["agent_version"][0]
        assert len(server.requests) >= 5
        run.stop()
        project = Project(repo)
        check_invariants(project, run.id)
        project.until(lambda: not project.left(run.id), 25, "nothing left of the agent")


def test_opencode_without_its_database_tells_no_more_than_its_last_model_call(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(scripts.shell("echo hi")) as server:
        agent = environment("opencode", server.url, tmp_path, monkeypatch)
        monkeypatch.setenv("OPENCODE_DB", ":memory:")
        run = paseo.run(agent, "two calls", mode="auto", timeout=120)
        server.script = "one call"
        run.send("again").wait(120)
        turns = paseo.turns(run=run)
        assert list(turns["usage_scope"]) == ["last model call", "turn"]
        assert turns["input_tokens"].isna()[0]
        assert turns["input_tokens"][1] == server.usage.input_tokens
        assert list(turns["cost_usd"].notna()) == [True, True], "the cost is the whole turn's"
        runs = paseo.runs(run=run)
        assert runs["input_tokens"].isna()[0]
        assert runs["usage_scope"][0] == "last model call"
        assert turns["context_used"].notna().all(), "a gauge, told in any case"
        run.stop()


def test_opencode_leaves_no_library_behind(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every process it unpacks one of 5 MB into its folder for temporary files. The folder of
    the commands that it runs stays the user's."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    with ModelServer(scripts.shell("echo in $TMPDIR")) as server:
        agent = environment("opencode", server.url, tmp_path, monkeypatch)
        monkeypatch.setenv("TMPDIR", str(temporary))
        run = paseo.run(agent, "where?", mode="auto", timeout=120)
        unpacked = list((run.host.folder(run.id).path / "scratch").iterdir())
        assert unpacked, "this test has lost its subject"
        assert f"in {temporary}" in paseo.tool_traces(run=run)["output"][0]
        run.stop()
        run.send("again").wait(120)
        run.stop()
        [modes] = paseo.providers("opencode")["modes"]
        assert modes, "asked, in a process of its own"
    assert not [file for file in temporary.rglob("*") if file.is_file()]
    assert not unpacked[0].parent.exists()


def test_gemini_keeps_its_history_over_three_processes_of_one_minute(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself it overwrites the session's file, or deletes it at the second return."""
    with ModelServer(scripts.echo()) as server:
        agent = environment("gemini", server.url, tmp_path, monkeypatch)
        run = paseo.run(agent, "one", mode="auto", timeout=120)
        for prompt in ("two", "three"):
            run.stop()
            run.send(prompt).wait(120)
        assert [len(c.user_texts) for c in server.conversations] == [1, 2, 3]
        told = [(item.role, item.text) for item in run.history().items if item.kind == "message"]
        assert [text for role, text in told if role == "user"] == ["one", "two", "three"]
        assert len(told) == 6, "what it replays after its answer is no part of the turn"
        run.stop()


def test_opencode_goes_on_in_its_session_after_kill_9(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(scripts.echo()) as server:
        agent = environment("opencode", server.url, tmp_path, monkeypatch)
        run = paseo.run(agent, "first", mode="auto", timeout=120)
        session = run.session_id
        project = Project(repo)
        server.script = scripts.slow(chunks=200, pause_s=0.2)
        run.send("second")
        project.until(lambda: len(run.history().turns) == 2 and run.text, 60)
        os.kill(project.processes(run.id)["supervisor"], 9)
        project.until(lambda: run.state == "interrupted", 10)
        project.until(lambda: not project.left(run.id), 25, "the tree is gone")
        server.script = scripts.echo()
        run.resume("go on").wait(120)
        assert run.session_id == session
        assert run.history().turns[2].outcome == "end_turn"
        texts = [item.text for item in run.history().items if item.role == "user"]
        assert texts == ["first", "second", "go on"], "replayed history is folded away"
        run.stop()
