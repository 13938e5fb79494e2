"""The api agent as a user meets it: `paseo.run("api/…")`, with a local model server or a key."""

from __future__ import annotations

import base64
import importlib.util
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import Project, check_invariants

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample
from tests.modelserver import Failure, ModelServer, scripts
from tests.modelserver.conversation import nth_usage

from .test_turns import PNG


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    monkeypatch.setenv("PASEO_API_HOME", str(tmp_path / "sessions"))
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL")) or name == "OLLAMA_HOST":
            monkeypatch.delenv(name)
    yield path
    project = Project(path)
    project.runs = project.host.list()
    project.close()


def test_a_user_with_a_local_server_mends_the_sample(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripts.sample_fixer(f"{sys.executable} -m unittest")
    with ModelServer(script, usage=nth_usage) as server:
        monkeypatch.setenv("VLLM_BASE_URL", f"{server.url}/v1")
        run = paseo.run(
            "api/vllm:qwen3", "The tests fail. Mend the code.",
            worktree="fix", mode="auto", timeout=120,
        )  # fmt: skip
        assert run.state == "idle"
        assert "Fixed" in run.text
        changed = [change.path for change in run.diff().summary.files]
        assert changed == ["tidelog/durations.py", "tidelog/offsets.py"]
        done = subprocess.run(
            [sys.executable, "-m", "unittest"], cwd=run.path, capture_output=True, text=True
        )
        assert "OK" in done.stderr
        spent = server.spent()
        assert run.usage.input_tokens == spent.input_tokens
        assert run.usage.output_tokens == spent.output_tokens
        assert run.usage.cache_read_tokens == spent.cached_tokens
        assert run.usage.reasoning_tokens == spent.reasoning_tokens
        calls = paseo.model_calls(run=run)
        assert list(calls["model"]) == ["qwen3"] * 7
        assert sum(calls["input_tokens"]) == spent.input_tokens
        told = [r.usage.input_tokens for r in server.ledger() if r.usage]
        assert list(calls["input_tokens"]) == told
        tools = paseo.tool_traces(run=run)
        assert list(tools["kind"]) == ["execute", "read", "edit", "read", "edit", "execute"]
        assert set(paseo.permissions(run=run)["kind"]) <= {"execute", "edit"}
        run.stop()
        project = Project(repo)
        check_invariants(project, run.id)
        project.until(lambda: not project.left(run.id), 25, "nothing left of the agent")


def test_it_goes_on_after_kill_9_with_usage_of_every_turn(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ModelServer(scripts.echo(), usage=nth_usage) as server:
        monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-not-a-real-key-0000")
        monkeypatch.setenv("DEEPSEEK_BASE_URL", server.url)
        run = paseo.run("api/deepseek-chat", "first", timeout=120)
        session = run.session_id
        project = Project(repo)
        server.script = scripts.slow(chunks=400, pause_s=0.1)
        run.send("second")
        project.until(lambda: len(run.history().turns) == 2 and "word0" in run.text, 60)
        os.kill(project.processes(run.id)["supervisor"], 9)
        project.until(lambda: run.state == "interrupted", 10)
        project.until(lambda: not project.left(run.id), 25, "the tree is gone")
        server.script = scripts.echo()
        run.resume("third").wait(120)
        run.send("fourth").wait(120)
        assert run.session_id == session
        assert [t.outcome for t in run.history().turns] == [
            "end_turn", "interrupted", "end_turn", "end_turn",
        ]  # fmt: skip
        assert run.text.endswith("last: fourth")
        whole = [r.usage for r in server.ledger() if r.outcome == "complete" and r.usage]
        assert run.usage.input_tokens == sum(u.input_tokens for u in whole)
        assert run.usage.cache_read_tokens == sum(u.cached_tokens for u in whole)
        assert b"sk-not-a-real-key" not in project.folder(run.id).journal.read_bytes()
        run.stop()


def test_choices_between_turns_and_an_image(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repo / "shot.png").write_bytes(base64.b64decode(PNG))
    with ModelServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        run = paseo.run(
            "api/one", "look", attach=["shot.png"], effort="low", agent_mode="plan", timeout=120
        )
        assert server.requests[0].body["reasoning_effort"] == "low"
        assert len(server.conversations[0].images) == 1
        assert "mode “plan”" in server.conversations[0].system
        run.stop()


def test_an_error_of_the_model_is_the_runs(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ModelServer() as server:
        server.enqueue(Failure(429, retry_after_s=0.01, times=None))
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        with pytest.raises(paseo.RunFailed, match="rate limited") as caught:
            paseo.run("api/m", "hello", timeout=120)
        run = paseo.attach(caught.value.run.id)
        assert run.error is not None
        assert run.error.code == "rate_limit"
        notes = [i.text for i in run.history().items if i.title == "retry"]
        assert [note.partition(":")[0] for note in notes] == ["retry 1 of 2", "retry 2 of 2"]
        run.stop()


# ---------------------------------------------------------------- before a launch


def test_a_provider_of_ones_own_on_it(repo: Path) -> None:
    with ModelServer() as server:
        env = {"OPENAI_BASE_URL": f"{server.url}/v1"}
        paseo.register_provider("mine", extends="api", env=env, default_model="house-model")
        run = paseo.run("mine", "hello", timeout=120)
        assert run.text == "user messages: 1; last: hello"
        assert server.conversations[0].model == "house-model"
        run.stop()


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("api/deepseek-chat", "DEEPSEEK_API_KEY"),
        ("api/claude-opus-5", "ANTHROPIC_API_KEY"),
        ("api/what-is-this", "api/ollama:MODEL"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_launched(
    repo: Path, agent: str, words: str
) -> None:
    with pytest.raises(paseo.UsageProblem, match=words):
        paseo.start(agent, "hello")
    assert Project(repo).host.list() == []


def test_a_key_given_with_the_run_is_enough(repo: Path) -> None:
    with ModelServer() as server:
        env = {"DEEPSEEK_API_KEY": "sk-of-this-run-only", "DEEPSEEK_BASE_URL": server.url}
        run = paseo.run("api/deepseek-chat", "hello", env=env, timeout=120)
        assert server.requests[0].headers["authorization"] == "Bearer sk-of-this-run-only"
        run.stop()


def test_without_the_extra_the_pip_command_is_named(tmp_path: Path) -> None:
    """In a Python that has what paseo_nb needs, and not the extra's packages."""
    spec = importlib.util.find_spec("pydantic_ai")
    assert spec is not None
    code = (
        "import pathlib\n"
        "from paseo_nb.drivers.registry import resolve\n"
        "from paseo_nb.errors import UsageProblem\n"
        "try: resolve('api/vllm:m', pathlib.Path.cwd())\n"
        "except UsageProblem as e: print(e)\n"
    )
    # a folder of links to every installed package but those two
    site, bare = Path(spec.origin or "").parents[1], tmp_path / "site"
    bare.mkdir()
    for entry in site.iterdir():
        if not entry.name.startswith(("pydantic_ai", "mcp", "__editable__")):
            (bare / entry.name).symlink_to(entry)
    path = os.pathsep.join([str(Path(paseo.__file__).parents[1]), str(bare)])
    argv = [sys.executable, "-S", "-c", code]
    done = subprocess.run(
        argv, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}
    )
    assert "pip install 'paseo_nb[api]'" in done.stdout, done.stderr


def test_what_it_sent_is_told_as_hashes_and_sizes(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripts.sample_fixer(f"{sys.executable} -m unittest")
    with ModelServer(script, usage=nth_usage) as server:
        monkeypatch.setenv("VLLM_BASE_URL", f"{server.url}/v1")
        run = paseo.run(
            "api/vllm:qwen3", "The tests fail. Mend the code.", mode="auto", timeout=120
        )
        shape = paseo.cache_shape(run)
        assert shape.exact
        requests = [line.judged.request.segments for line in shape.lines]
        assert len(requests) == len(paseo.model_calls(run=run))
        for before, after in itertools.pairwise(requests):
            assert before == after[: len(before)]  # a clean session only grows
            assert len(after) > len(before)
        kinds = {one.kind for one in requests[0]}
        assert kinds == {"system", "tool", "message"}
        journal = run.host.folder(run.id).journal.read_text()
        told = [line for line in journal.splitlines() if "_paseo_nb/model_request" in line]
        assert len(told) == len(requests)
        assert not any("tests fail" in line for line in told)
