"""Background subagents from Python: at once, then told of once, whoever lives by then.

Invariants: a hook hears of each end of a turn once: a command and a run by the run's supervisor, a
function by its process, or by the next one that is given the same function.
"""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel
from kit import Project, kill_9

import paseo_nb as paseo

from .test_news import held, let_go, told

Script = Callable[..., str]


def test_it_is_there_at_once_and_its_result_later(repo: Path, script: Script) -> None:
    child = paseo.spawn_subagent(script([*held(repo), {"say": " Done."}]), "Go.", mode="auto")
    assert paseo.subagent_status(child.id)["state"] in ("starting", "running")
    with pytest.raises(paseo.UsageProblem, match="no such turn"):
        paseo.subagent_result(child.id)
    let_go(repo)
    child.wait(60)
    status = paseo.subagent_status(child.id)
    assert (status["state"], status["outcome"], status["turn"]) == ("idle", "end_turn", 1)
    assert "Done." not in str(status)
    assert paseo.subagent_result(child.id) == "I lead. Done."


def test_a_command_runs_once_for_each_turn(repo: Path, project: Project, script: Script) -> None:
    log = repo / "hook.log"
    hook = f'echo "$PASEO_CHILD $PASEO_TURN $PASEO_OUTCOME $PASEO_TEXT" >> {log}'
    agent = script([{"say": "one"}], [{"say": "two"}])
    child = paseo.spawn_subagent(agent, "Go.", on_finish=hook, mode="auto").wait(60)
    project.until(log.exists, 30)
    child.stop()
    paseo.on_finish(hook, run=child.id)
    child.send("And again.").wait(60)
    project.until(lambda: len(log.read_text().splitlines()) >= 2, 30)
    child.stop()
    assert log.read_text().splitlines() == [
        f"{child.id} 1 end_turn one",
        f"{child.id} 2 end_turn two",
    ]


def test_a_command_is_told_of_a_turn_that_was_killed_by_the_next_pair(
    repo: Path, project: Project, script: Script
) -> None:
    log = repo / "hook.log"
    child = paseo.spawn_subagent(
        script(held(repo)), "Go.", on_finish=f"echo $PASEO_TURN $PASEO_OUTCOME >> {log}",
        mode="auto",
    )  # fmt: skip
    project.until(lambda: "on_finish" in str(project.own(child.id, "command")), 30)
    pair = project.processes(child.id)
    kill_9(pair["supervisor"], pair["warden"])
    project.gone(child.id, 30)
    let_go(repo)
    child.resume().wait(60)
    project.until(lambda: log.exists() and len(log.read_text().splitlines()) == 2, 30)
    assert log.read_text().split("\n")[:2] == ["1 interrupted", "2 end_turn"]


def test_a_run_is_told_when_it_is_idle(repo: Path, project: Project, script: Script) -> None:
    receiver = paseo.start(script([{"say": "Ready."}], [{"say": "I heard."}]), "Wait.", mode="auto")
    receiver.wait(60)
    child = paseo.spawn_subagent("demo/echo", "hello", mode="auto", on_finish=receiver)
    project.until(lambda: told(receiver), 60)
    receiver.wait(60)
    assert child.id in told(receiver)[0]
    with pytest.raises(paseo.UsageProblem, match="its own turns"):
        paseo.on_finish(f"run:{child.id}", run=child.id)
    with pytest.raises(paseo.UsageProblem, match="a hook is"):
        paseo.on_finish(7)


def test_a_run_without_processes_is_told_when_it_is_back(
    repo: Path, project: Project, script: Script
) -> None:
    turns = [[{"say": text}] for text in ("Ready.", "I heard.", "And more.")]
    receiver = paseo.start(script(*turns), "Wait.", mode="auto").wait(60)
    receiver.stop()
    child = paseo.spawn_subagent("demo/echo", "hello", mode="auto", on_finish=f"run:{receiver.id}")
    child.wait(60)
    project.until(lambda: project.own(child.id, "told"), 30)
    assert receiver.state == "stopped", "nobody wakes it"
    receiver.resume()
    project.until(lambda: told(receiver), 60)
    receiver.wait(60)
    assert len(told(receiver)) == 1


FUNCTION = """
import sys, time
import paseo_nb as paseo

def heard(run):
    print("heard", run.id, run.text, flush=True)

paseo.on_finish(heard, run=sys.argv[1])
time.sleep(float(sys.argv[2]))
"""


def listening(repo: Path, child: Any, seconds: float) -> subprocess.Popen[str]:
    """A process that has the function told."""
    program = repo / "listen.py"
    program.write_text(FUNCTION)
    argv = [sys.executable, str(program), child.id, str(seconds)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def test_a_function_hears_what_it_missed_and_nothing_twice(
    repo: Path, project: Project, script: Script
) -> None:
    child = paseo.start(script(held(repo), [{"say": "two"}]), "Go.", mode="auto")
    first = listening(repo, child, 600)
    assert first.stdout is not None
    let_go(repo)
    assert first.stdout.readline() == f"heard {child.id} I lead.\n"
    first.kill()
    child.send("And again.").wait(60)
    second = listening(repo, child, 600)
    assert second.stdout is not None
    assert second.stdout.readline() == f"heard {child.id} two\n"
    second.kill()
    child.stop()
    third, _ = listening(repo, child, 5).communicate()
    assert third == ""
    keys = [line["key"] for line in project.own(child.id, "told")]
    by_command = [
        one["args"]["key"] for one in project.own(child.id, "command") if one["verb"] == "told"
    ]
    assert sorted(keys + by_command) == ["t1", "t2"]


def test_in_a_notebook_the_line_changes_and_a_function_waits_for_the_cell(repo: Path) -> None:
    kernel = Kernel(repo)
    try:
        kernel.run("import paseo_nb as paseo, time; heard = []")
        cell = (
            "run = paseo.spawn_subagent('demo/echo', 'hello', mode='auto',"
            " on_finish=lambda run: heard.append(run.text))\n"
            "run.wait(60); time.sleep(5); print('heard', heard)"
        )
        outcome = kernel.run(cell)
        assert "Subagent" in outcome.text
        assert "has finished" in outcome.text, "it began as: is at work"
        assert "heard []" in outcome.text, "a cell is running"
        deadline = time.monotonic() + 60
        while "heard ['" not in (text := kernel.run("print('heard', heard)").text):
            assert time.monotonic() < deadline, text
            time.sleep(0.2)
    finally:
        kernel.close()


def test_at_a_terminal_its_bell_rings(repo: Path) -> None:
    program = (
        "import time, paseo_nb as paseo\n"
        "run = paseo.spawn_subagent('demo/echo', 'hello', mode='auto')\n"
        "run.wait(60); time.sleep(3)"
    )
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", program], stdin=slave, capture_output=True, text=True, timeout=120
    )
    os.close(master)
    os.close(slave)
    assert "\a" in done.stderr
    assert "has finished" in done.stderr
