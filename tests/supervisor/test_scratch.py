"""A folder for what an agent unpacks for itself: there while its pair lives, gone afterwards.

Invariants: (1) only a variable whose value asks for it names the folder, and TMPDIR stays the
user's; (2) the folder goes with the pair, however that ends, and where both were killed at once,
with whoever looks next; (3) a run that is brought back gets it anew.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from kit import SLACK, Project, kill_9

from paseo_nb import scratch

LEAVES = [[{"say": "unpacked"}, {"shell": 'echo x >"$UNPACK/left"; echo $TMPDIR; sleep 300'}]]


def unpacking(project: Project) -> tuple[str, Path]:
    """A run whose agent has left something in its folder."""
    project.env |= {"UNPACK": scratch.WANTED, "TMPDIR": str(project.root), "OTHER": "{x}"}
    run_id = project.start(script=LEAVES)
    left = project.folder(run_id).path / "scratch" / "left"
    project.until(left.exists, 4 * SLACK, "the agent has unpacked")
    agent = Path(f"/proc/{project.processes(run_id)['agent']}/environ").read_bytes().split(b"\0")
    told = dict(line.split("=", 1) for line in map(os.fsdecode, agent) if line)
    assert told["UNPACK"] == str(left.parent)
    assert (told["TMPDIR"], told["OTHER"]) == (str(project.root), "{x}")
    return run_id, left.parent


@pytest.mark.parametrize("victim", ["nobody", "agent", "supervisor", "warden"])
def test_it_goes_with_the_pair(project: Project, victim: str) -> None:
    run_id, folder = unpacking(project)
    if victim == "nobody":
        project.command(run_id, "stop")
    else:
        kill_9(project.processes(run_id)[victim])
    project.until(lambda: not project.alive(run_id), 5 * SLACK, "the pair has left")
    assert not folder.exists()


@pytest.mark.parametrize("who", ["front end", "resume"])
def test_after_a_double_kill_it_goes_with_who_looks_next(project: Project, who: str) -> None:
    run_id, folder = unpacking(project)
    pids = project.processes(run_id)
    os.kill(pids["warden"], signal.SIGSTOP)  # so that neither can clean up after the other
    kill_9(pids["supervisor"], pids["warden"])
    project.until(lambda: not project.alive(run_id), 5)
    assert (folder / "left").exists()
    if who == "front end":
        assert project.host.state(run_id) == "interrupted"
        assert not folder.exists()
    else:
        project.command(run_id, "resume")
        project.until(lambda: len(project.own(run_id, "agent_started")) == 2, 4 * SLACK)
        assert folder.exists(), "a new one"
        project.command(run_id, "stop")
        project.until(lambda: not project.alive(run_id), 5 * SLACK, "the pair has left")
        assert not folder.exists()


def test_a_run_that_wants_none_has_none(project: Project) -> None:
    run_id = project.start()
    project.ended(run_id)
    assert not (project.folder(run_id).path / "scratch").exists()
