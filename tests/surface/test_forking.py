"""A run is forked at the end of a turn: files as they were, the conversation known, both ways.

Invariants: (1) the fork's files are those of the turn's end, committed what was committed then;
(2) the original, its worktree and everything of the user's stay as they are; (3) `diff` and `apply`
of a fork count from where the original began; (4) the agent forks its own session where it can, at
that very turn, else it is told the conversation, once; the run says which.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import Project

import paseo_nb as paseo
from paseo_nb.cli import run as terminal
from paseo_nb.errors import GitProblem
from paseo_nb.history import prompt_text
from tests.conformance.world import World, world_of

AGENT = [sys.executable, str(Path(__file__).parents[1] / "shell_agent.py")]


@pytest.fixture(autouse=True)
def shell(request: pytest.FixtureRequest) -> None:
    """The agent `sh`, which forks nothing."""
    if "repo" in request.fixturenames:
        paseo.register_provider("sh", command=AGENT)


def git(folder: Path, *args: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    done = subprocess.run(["git", *who, *args], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def theirs(repo: Path) -> tuple[object, ...]:
    """What is the user's."""
    return (
        (repo / ".git" / "index").read_bytes(),
        (repo / ".git" / "HEAD").read_text(),
        git(repo, "rev-parse", "main"),
        git(repo, "status", "--porcelain"),
    )


def sent(run: paseo.Run) -> list[str]:
    """What the agent was sent, prompt by prompt."""
    lines = Project(run.host.home.parent).lines(run.id)
    told = [json.loads(bytes(x.raw)) for x in lines if x.kind == "session/prompt"]
    return [prompt_text(one["params"]["prompt"]) for one in told]


def three_turns(agent: str = "sh", *, worktree: str | None = "orig") -> paseo.Run:
    run = paseo.run(agent, "echo one > a.txt", mode="auto", worktree=worktree)
    commit = "git -c user.name=t -c user.email=t@e commit -qm two a.txt"
    run.send(f"git add a.txt; {commit}; echo loose > b.txt; rm README.md").wait()
    run.send("echo three > a.txt; echo late > c.txt").wait()
    return run


def test_files_are_as_at_the_turn_s_end_and_nothing_else_moves(repo: Path) -> None:
    before = theirs(repo)
    run = three_turns()
    held = git(run.path, "status", "--porcelain"), (run.path / "a.txt").read_text()
    fork = run.fork(turn=2, prompt="cat a.txt b.txt; test ! -e c.txt; test ! -e README.md")
    assert fork.wait().text == "one\nloose\n"
    assert fork.path != run.path
    assert fork.branch == "orig-fork"
    assert git(fork.path, "log", "-1", "--format=%s") == "two\n"
    assert git(fork.path, "status", "--porcelain") == " D README.md\n?? b.txt\n"
    assert (git(run.path, "status", "--porcelain"), (run.path / "a.txt").read_text()) == held
    assert theirs(repo) == before
    # of all that led there, and of its own turns
    assert set(fork.diff().files["path"]) == {"README.md", "a.txt", "b.txt"}
    assert fork.diff(turn=1).files.empty
    fork.send("echo more >> b.txt").wait()
    assert list(fork.diff(turn=2).files["path"]) == ["b.txt"]
    assert "+more" in fork.diff(turn=2).patch
    fork.undo(2)
    assert (fork.path / "b.txt").read_text() == "loose\n"
    git(repo, "config", "user.name", "t")
    git(repo, "config", "user.email", "t@example.com")
    done = fork.apply()
    assert done.commit
    assert (repo / "b.txt").read_text() == "loose\n"
    assert not (repo / "README.md").exists()


def test_an_agent_that_cannot_fork_is_told_the_conversation_once(repo: Path) -> None:
    run = three_turns()
    fork = run.fork(2, "true").wait()
    fork.send("true").wait()
    first, second = sent(fork)
    assert "echo one > a.txt" in first
    assert "echo loose" in first
    assert "echo three" not in first, "the turn after the fork is told"
    assert first.endswith("true")
    assert "End of that conversation" in first
    assert second == "true"
    assert fork.forked_from == (run.id, 2)
    row = paseo.runs(run=fork.id).iloc[0]
    assert (row["forked_from_run"], row["forked_from_turn"]) == (run.id, 2)
    assert row["fork_kind"] == "context"
    assert paseo.runs(run=run.id).iloc[0][["forked_from_run", "fork_kind"]].isna().all()
    [note] = [item.text for item in fork.history().items if item.title == "fork"]
    assert f"{run.id[:10]} after its turn 2" in note
    # and a fork of the fork knows what came before it
    again = fork.fork(1, "true").wait()
    assert "echo one > a.txt" in sent(again)[0]
    assert (again.branch, again.forked_from) == ("orig-fork-2", (fork.id, 1))
    assert again.spec.git_base == run.spec.git_base


def test_an_agent_that_can_forks_its_session_at_that_turn(repo: Path) -> None:
    run = paseo.run("demo/echo", "first", worktree="orig")
    for word in ("second", "third"):
        run.send(word).wait()
    for turn, before in ((1, "first"), (2, "second"), (3, "third")):
        fork = run.fork(turn, "and now").wait()
        told = f"user message {turn + 1} of this session is: and now The one before it was:"
        assert f"{told} {before}" in fork.text
        assert fork.session_id != run.session_id
        assert sent(fork) == ["and now"]
        assert fork.inspect()["fork_kind"] == "session"
    # at a turn of the fork's own, too, and in the processes that come after it is brought back
    fork.stop()
    again = fork.fork(1, "last").wait()
    assert "message 5" in again.text
    again.stop()
    again.send("the very last").wait()
    assert "message 6" in again.text
    assert "message 4" in run.send("fourth").wait().text, "the original has gone on"


def test_a_session_that_is_gone_is_told_instead(repo: Path, tmp_path: Path) -> None:
    run = paseo.run("demo/echo", "remember the heron", worktree="orig")
    run.stop()
    for file in (tmp_path / "demo-sessions" / "sessions").iterdir():
        file.unlink()
    fork = run.fork(1, "and now").wait()
    assert fork.inspect()["fork_kind"] == "context"
    assert "remember the heron" in sent(fork)[0]
    assert any("could not fork" in said for said in fork.inspect()["warnings"])


def test_another_agent_is_told_the_conversation(repo: Path) -> None:
    run = paseo.run("demo/echo", "remember the heron", worktree="orig")
    fork = run.fork(prompt="true", agent="sh", worktree="other").wait()
    assert (fork.agent, fork.branch) == ("sh", "other")
    assert "remember the heron" in sent(fork)[0]
    assert fork.inspect()["fork_kind"] == "context"


def test_without_a_prompt_it_stands_ready(repo: Path) -> None:
    run = paseo.run("demo/echo", "first", worktree="orig", title="The first one")
    fork = run.fork()
    assert fork.state == "idle"
    assert fork.spec.title == "The first one"
    assert not fork.history().turns
    assert paseo.runs(run=fork.id).iloc[0]["state"] == "idle"
    run.send("said since").wait()
    assert "message 2 of this session is: hello" in fork.send("hello").wait().text


@pytest.mark.parametrize("how", ["archived", "stopped", "killed"])
def test_a_run_that_is_put_away_stopped_or_cut_off_is_forked(repo: Path, how: str) -> None:
    run = paseo.run("sh", "echo one > a.txt", mode="auto", worktree="orig")
    if how == "archived":
        run.archive()
        assert not run.path.exists()
    elif how == "stopped":
        run.stop()
    else:
        project = Project(repo)
        run.send("echo half > b.txt; sleep 300")
        project.until(lambda: (run.path / "b.txt").exists(), 20, "it has written")
        with pytest.raises(paseo.UsageProblem, match="goes on"):
            run.fork(turn=2)
        os.kill(project.processes(run.id)["supervisor"], 9)
        project.until(lambda: run.state == "interrupted", 30, "it is interrupted")
    fork = run.fork(prompt="cat a.txt").wait()
    assert fork.text == "one\n"
    if how == "killed":
        assert fork.forked_from == (run.id, 2)
        assert (fork.path / "b.txt").read_text() == "half\n"
        assert "interrupted" in sent(fork)[0]


def test_outside_git_the_conversation_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repo: Path
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    monkeypatch.chdir(plain)
    run = paseo.run("demo/echo", "first")
    with pytest.raises(GitProblem, match="outside a git repository"):
        run.fork(worktree="x")
    fork = run.fork(prompt="hello").wait()
    assert "message 2" in fork.text
    assert fork.path == run.path
    assert any("conversation only" in said for said in fork.inspect()["warnings"])


def test_what_cannot_be_forked_is_said(repo: Path) -> None:
    run = paseo.run("demo/echo", "first")
    with pytest.raises(paseo.UsageProblem, match="has no turn 7; it has had 1"):
        run.fork(7)
    git(repo, "branch", "taken")
    with pytest.raises(GitProblem, match="'taken' is there already"):
        run.fork(worktree="taken")
    runs = len(paseo.ls(all=True))
    assert runs == 1, "a fork that was refused left a run"
    stem = run.fork().branch
    assert stem == f"run-{run.id[:10].lower()}-fork"


def test_on_the_other_surfaces(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = paseo.run("demo/echo", "first")
    made = paseo.fork(run.id[:10], "second", turn=1, worktree="by-verb", wait=True)
    assert "message 2" in made.text
    words = ["fork", run.id, "third", "--turn", "1", "--worktree", "by-cli", "--wait"]
    assert terminal(words) == 0
    assert "idle" in capsys.readouterr().out
    assert terminal(["timeline", run.id, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows if row["run_id"] == run.id] == ["turn"]
    assert terminal(["apply", made.id, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["onto"], told["conflicts"], told["commit"]) == ("main", [], None)
    found = paseo.runs()
    assert sorted(found["worktree"].dropna()) == ["by-cli", "by-verb"]


# ---------------------------------------------------------------- the real ones

KINDS = {
    "api": ("session", "session"),
    "claude": ("session", "session"),
    "codex": ("session", "session"),
    "opencode": ("context", "session"),
    "gemini": ("context", "context"),
    "copilot": ("context", "context"),
    "pi": ("context", "context"),
}


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    with world_of(request.param, tmp_path, monkeypatch) as made:
        yield made


@pytest.mark.real_agent
@pytest.mark.parametrize("world", list(KINDS), indirect=True)
def test_real_agents_know_what_was_said_up_to_the_turn(world: World) -> None:
    w = world
    w.plan(alpha=["I say one."], beta=["I say two."], gamma=["I say three."])
    run = w.run("alpha: the heron", worktree="orig")
    run.send("beta: the bittern").wait(90)
    for turn, kind in zip((1, 2), KINDS[w.provider], strict=True):
        fork = run.fork(turn, "gamma: go on").wait(90)
        told = _told(w)
        assert fork.inspect()["fork_kind"] == kind, fork.inspect()["warnings"]
        assert "I say three." in fork.text
        assert "the heron" in told
        assert "I say one." in told
        assert ("the bittern" in told, "I say two." in told) == (turn == 2, turn == 2)
        assert fork.session_id != run.session_id
        before, spent = w.server.spent().input_tokens, fork.usage.input_tokens
        fork.send("gamma: and on").wait(90)
        assert "the heron" in _told(w)
        told = fork.usage.input_tokens
        if spent is not None and told is not None:  # and nothing of the original's is counted
            assert spent < before / 2
            assert told - spent <= w.server.spent().input_tokens - before
    assert "the bittern" in _told(w)
    run.send("gamma: the original goes on").wait(90)
    assert "I say one." in _told(w)


def _told(w: World) -> str:
    """All that the model was sent for the last prompt of the conversation."""
    asked = [one for one in w.server.conversations if "gamma" in one.prompt]
    messages: list[Any] = asked[-1].messages
    return "\n".join(message.text for message in messages)
