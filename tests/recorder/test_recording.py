"""A recorded run: its model calls are those that passed, in its journal before its turn ends.

Invariants: (1) the recorder lives and dies with the pair; (2) each call is in the journal before
the end of the turn that it was made in; (3) no key is in it; (4) a run that cannot be recorded, or
whose agent goes another way, is told so.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from kit import SLACK, Project, kill_9

import paseo_nb as paseo
from paseo_nb.scratch import RECORDER
from tests.modelserver import ModelServer, nth_usage

AGENT = [sys.executable, str(Path(__file__).with_name("model_agent.py"))]


def recorded(project: Project, server: ModelServer, **more: str) -> str:
    """A recorded run of the agent that asks a model."""
    project.env |= {"MODEL_URL": f"{RECORDER}/{server.url.replace('://', '/')}", **more}
    return project.start(command=AGENT, record="calls", prompt="first")


def over(project: Project, run_id: str, turns: int) -> None:
    """Wait until so many turns have ended."""
    ended = lambda: len(project.own(run_id, "turn_end")) == turns  # noqa: E731
    project.until(ended, 10 * SLACK, f"turn {turns} is over")


def recorders(project: Project, run_id: str) -> list[int]:
    """The recorder processes of a run."""
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in project.left(run_id)}
    return [pid for pid, line in lines.items() if b"paseo_nb.recorder" in line.read_bytes()]


def test_what_passed_is_told_before_its_turn_ends(project: Project) -> None:
    with ModelServer("an answer", usage=nth_usage) as server:
        run_id = recorded(project, server)
        over(project, run_id, 1)
        project.send(run_id, "second")
        over(project, run_id, 2)
        asked = [request.body for request in server.requests]
        spent = server.spent()
    assert [len(body["messages"]) for body in asked] == [1, 3]
    lines = [line for line in project.lines(run_id) if line.kind in ("recorded", "turn_end")]
    assert [(line.kind, line.turn) for line in lines] == [
        ("recorded", 1), ("turn_end", 1), ("recorded", 2), ("turn_end", 2),
    ]  # fmt: skip
    history = project.history(run_id)
    calls = list(history.model_calls.values())
    assert sum(call.usage.input_tokens or 0 for call in calls) == spent.input_tokens
    assert history.usage.input_tokens == spent.input_tokens
    assert [len(call.segments or ()) for call in calls] == [1, 3]
    assert project.own(run_id, "recorded")[1]["same"] == 1
    journal = project.folder(run_id).journal.read_bytes()
    assert b"sk-test-0123456789abcdef" not in journal
    project.command(run_id, "stop")
    project.until(lambda: not project.alive(run_id), 5 * SLACK)
    assert not project.left(run_id)


def test_one_that_dies_is_started_again(project: Project) -> None:
    with ModelServer("an answer") as server:
        run_id = recorded(project, server)
        over(project, run_id, 1)
        (pid,) = recorders(project, run_id)
        kill_9(pid)
        project.until(lambda: set(recorders(project, run_id)) - {pid}, 5 * SLACK, "it is back")
        project.send(run_id, "second")
        over(project, run_id, 2)
    assert len(project.own(run_id, "recorded")) == 2
    assert "started anew" in project.own(run_id, "warning")[0]["message"]


def test_an_agent_that_goes_another_way_is_told_of(project: Project) -> None:
    with ModelServer("an answer") as server:
        run_id = recorded(project, server, MODEL_SILENT="1")
        over(project, run_id, 1)
        project.send(run_id, "second")
        over(project, run_id, 2)
    (said,) = [w["message"] for w in project.own(run_id, "warning")]
    assert said.startswith("record: no request of the agent's came by")


def test_who_cannot_be_recorded_runs_and_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = paseo.run("demo/echo", "hello", record=True)
    try:
        assert run.spec.record is None
        assert "not recorded: it is not known" in run.history().warnings[0]
    finally:
        run.stop()
