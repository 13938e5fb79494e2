"""kill -9 of each process in mid-turn: true states, nothing left, and the session goes on."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from kit import SLACK, Project, check_invariants, exists, kill_9

from paseo_nb import Run, handle
from paseo_nb.errors import Unreachable
from paseo_nb.handle import AsyncRun
from paseo_nb.host import local
from paseo_nb.host.states import true_state

SCRIPT = [
    [
        {"say": "I begin."},
        {"children": ["group", "session", "double", "cleared"]},
        {"say": "Working on it for a long while. "},
        {"sleep": 8},
        {"say": "Done."},
    ],
    [{"say": "I go on where I stopped."}],
]


def started(project: Project) -> tuple[str, dict[str, int], list[int]]:
    """A run in mid-turn with four stray children; (id, its processes, the children's pids)."""
    run_id = project.start(script=SCRIPT)
    project.until(lambda: "long while" in project.history(run_id).text, 20)
    call = next(iter(project.history(run_id).tool_calls.values()))
    text = project.history(run_id).items[[i.ref for i in project.history(run_id).items].index(call)]
    pids = [int(word) for word in text.text.split() if word.isdigit()]
    assert len(pids) == 4
    assert all(exists(pid) for pid in pids)
    return run_id, project.processes(run_id), pids


@pytest.mark.parametrize("victim", ["supervisor", "warden", "agent"])
def test_kill_in_mid_turn(project: Project, victim: str) -> None:
    run_id, pids, strays = started(project)
    kill_9(pids[victim])
    begun = time.monotonic()
    project.until(
        lambda: true_state(project.folder(run_id)) == "interrupted", 1.0 * SLACK, "interrupted"
    )
    seen = time.monotonic() - begun
    project.until(lambda: not any(map(exists, [*strays, *pids.values()])), 5.0 * SLACK, "tree gone")
    assert seen < 1.0 * SLACK
    assert project.host.state(run_id) == "interrupted"
    history = project.history(run_id)
    assert history.turns[0].outcome == "interrupted"
    assert "long while" in history.turns[0].text
    session = history.session_id
    project.command(run_id, "resume")
    history = project.ended(run_id, turns=2, within=60)
    assert history.turns[1].origin == "resume"
    assert history.turns[1].outcome == "end_turn"
    assert history.session_id == session
    check_invariants(project, run_id)


def test_a_suspended_pair_can_be_ended(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, pids, strays = started(project)
    for name in ("warden", "supervisor"):
        os.kill(pids[name], signal.SIGSTOP)
    run = Run(AsyncRun(project.host, run_id))
    assert run.state == "unresponsive"
    monkeypatch.setattr(local, "ANSWER_S", 1.0)
    monkeypatch.setattr(local, "LEAVING_S", 1.0)
    with pytest.raises(Unreachable, match=r"stop \w+ --force") as told:
        run.stop()
    assert f"{pids['warden']}, {pids['supervisor']}" in str(told.value)
    monkeypatch.undo()
    run.stop(force=True)
    assert run.state == "interrupted"
    project.until(lambda: not any(map(exists, [*strays, *pids.values()])), 5.0 * SLACK, "tree gone")
    project.command(run_id, "resume")
    assert project.ended(run_id, turns=2, within=60).turns[1].outcome == "end_turn"
    check_invariants(project, run_id)


def test_a_suspended_warden_is_no_success(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id, pids, strays = started(project)
    os.kill(pids["warden"], signal.SIGSTOP)
    run = Run(AsyncRun(project.host, run_id))
    monkeypatch.setattr(handle, "STOP_S", 3.0)
    with pytest.raises(Unreachable, match=str(pids["warden"])):
        run.stop()
    run.stop(force=True)
    assert not project.alive(run_id)
    project.until(lambda: not any(map(exists, [*strays, *pids.values()])), 5.0 * SLACK, "tree gone")


MUTE = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    answers = {"initialize": {"protocolVersion": 1}, "session/new": {"sessionId": "s"}}
    if asked.get("method") == "session/prompt":
        os.close(1)
        time.sleep(120)
    answer = {"jsonrpc": "2.0", "id": asked.get("id"), "result": answers.get(asked["method"], {})}
    print(json.dumps(answer), flush=True)
"""


def test_an_agent_that_closes_its_output_is_not_waited_for(project: Project) -> None:
    run_id = project.start(command=[sys.executable, "-c", MUTE])
    [turn] = project.ended(run_id, within=12 * SLACK).turns
    assert turn.outcome == "interrupted"
    assert any("closed its output" in text for text in project.history(run_id).warnings)


def test_warden_and_supervisor_killed_together_are_swept(project: Project) -> None:
    run_id, pids, strays = started(project)
    os.kill(pids["warden"], signal.SIGSTOP)  # so that neither can clean up after the other
    kill_9(pids["supervisor"], pids["warden"])
    project.until(lambda: not project.alive(run_id), 5)
    assert project.host.state(run_id) == "interrupted"  # the next front end looks, and sweeps
    project.until(lambda: not project.left(run_id), 5.0 * SLACK, "swept")
    assert not Path(project.own(run_id, "run_started")[0]["socket"]).exists()
    # One that cleared its environment may escape a double kill: end it by the id we know.
    kill_9(*[pid for pid in strays if exists(pid)])
    before = len(project.lines(run_id))
    project.host.state(run_id)
    assert len(project.lines(run_id)) == before, "a second recovery is a no-op"
    check_invariants(project, run_id)


def test_suspended_is_unresponsive_not_interrupted(project: Project) -> None:
    run_id, pids, strays = started(project)
    os.kill(pids["supervisor"], signal.SIGSTOP)
    try:
        assert project.host.state(run_id) == "unresponsive"
        assert project.alive(run_id)
    finally:
        os.kill(pids["supervisor"], signal.SIGCONT)
    project.until(lambda: project.host.state(run_id) == "running", 5)
    project.command(run_id, "stop")
    project.gone(run_id, 10 * SLACK)
    assert not any(map(exists, strays))
    assert project.host.state(run_id) == "stopped"
    check_invariants(project, run_id)


def test_nested_run_outlives_the_run_that_started_it(project: Project) -> None:
    """A run started by an agent's shell is spared when its parent is killed or stopped."""
    import sys

    inner = project.spec("slow", "duration=60")
    project.runs.append(inner.run_id)
    code = (
        "import asyncio,os,sys,msgspec\n"
        "from pathlib import Path\n"
        "from paseo_nb.host.local import LocalHost\n"
        "from paseo_nb.model import RunSpec\n"
        "spec=msgspec.json.decode(Path(sys.argv[1]).read_bytes(),type=RunSpec)\n"
        "asyncio.run(LocalHost(Path(sys.argv[2])).ensure(spec.run_id,spec,dict(os.environ)))\n"
    )
    import msgspec

    (project.root / "start.py").write_text(code)
    (project.root / "inner.json").write_bytes(msgspec.json.encode(inner))
    shell = f"{sys.executable} start.py inner.json {project.host.home}"
    outer = project.start(script=[[{"shell": shell}, {"say": "started "}, {"sleep": 60}]])
    project.in_mid_turn(inner.run_id)
    project.until(lambda: "started" in project.history(outer).text, 10)
    pids = project.processes(outer)
    kill_9(pids["supervisor"])
    project.gone(outer)
    assert project.alive(inner.run_id)
    assert project.host.state(inner.run_id) == "running"
    seq = project.history(inner.run_id).seq
    project.until(lambda: project.history(inner.run_id).seq > seq, 5, "the inner run goes on")
