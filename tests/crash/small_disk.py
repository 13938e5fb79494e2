"""The cells of a full disk: `unshare -rm python small_disk.py ROOT VICTIM`.

The project's `.paseo_nb` is a tmpfs of 3 MB that nobody outside sees. `filler` takes what space is to
be missing; removing it is "the user freed some space".
"""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

from kit import SLACK, Project, check_invariants, exists, kill_9, project_in

from paseo_nb.errors import PaseoError, StorageProblem
from paseo_nb.host.states import true_state
from paseo_nb.journal import RESERVE_BYTES

SIZE = 3 << 20
QUIET = [{"say": "I begin. "}, {"children": ["group", "session", "double"]}, {"sleep": 30}]
SECOND = [{"say": "The second turn."}]
COUNT = (
    'import paseo_nb as p; n = p.sql("SELECT count(*) FROM events'
    " WHERE kind = 'agent_message_chunk'\").iat[0, 0]; print(n)"
)


def main() -> None:
    root, victim = Path(sys.argv[1]), sys.argv[2]
    with project_in(root) as project:
        home = project.host.home
        home.mkdir(mode=0o700)
        disk = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(home)]
        subprocess.run(disk, check=True)
        globals()[f"{victim}_dies"](project)


def fill(project: Project, leave: int = 0) -> None:
    """Take the space, but `leave` bytes."""
    with (project.host.home / "filler").open("ab", buffering=0) as filler:
        for step in (1 << 16, 1 << 12, 64, 1):
            try:
                while True:
                    stat = os.statvfs(project.host.home)
                    if leave and stat.f_bavail * stat.f_frsize <= leave:
                        return
                    filler.write(b"\0" * step)
            except OSError as error:
                assert error.errno == errno.ENOSPC


def free(project: Project) -> None:
    """The user makes space."""
    (project.host.home / "filler").unlink()


def whole_lines(project: Project, run_id: str) -> None:
    """Nothing torn, nothing damaged."""
    assert project.folder(run_id).journal.read_bytes().endswith(b"\n")
    assert all(line.seq > 0 for line in project.lines(run_id))


def recovered_twice(project: Project, run_id: str) -> None:
    project.host.state(run_id)
    before = project.folder(run_id).journal.read_bytes()
    project.host.state(run_id)
    assert project.folder(run_id).journal.read_bytes() == before


def goes_on(project: Project, run_id: str) -> None:
    """With space again the run goes on in its session, and is stopped."""
    turns = len(project.history(run_id).turns)
    project.command(run_id, "resume", prompt=[{"type": "text", "text": "next please"}])
    history = project.ended(run_id, turns + 1, within=60)
    assert history.turns[-1].outcome == "end_turn", history.turns[-1]
    project.command(run_id, "stop")
    project.gone(run_id, 10 * SLACK)
    assert not project.left(run_id)
    recovered_twice(project, run_id)
    check_invariants(project, run_id)


def quiet_turn(project: Project) -> tuple[str, dict[str, int], list[int]]:
    """A run whose agent says nothing for a while: what is written next is our own last word."""
    run_id = project.start(script=[QUIET, SECOND])
    project.until(
        lambda: any("Left running" in x.text for x in project.history(run_id).items), 30, "begun"
    )
    [call] = project.history(run_id).tool_calls.values()
    strays = list(call.output["pids"].values())
    assert len(strays) == 3
    time.sleep(0.1)
    return run_id, project.processes(run_id), strays


def tree_gone(project: Project, run_id: str, pids: list[int]) -> None:
    project.gone(run_id, 5 * SLACK)
    project.until(lambda: not any(map(exists, pids)), 5 * SLACK, "nothing is left")
    assert not project.left(run_id)


# ---------------------------------------------------------------- the cells


def supervisor_dies(project: Project) -> None:
    """Its writes fail in mid-flood: a clear error, what was written holds, resume goes on."""
    fill_to = 600 << 10
    run_id = project.start(script=[[{"sleep": 0.3}, {"flood": 6000}], SECOND])
    project.until(lambda: project.own(run_id, "session"), 30)
    fill(project, leave=fill_to)
    history = project.ended(run_id, within=30)
    tree_gone(project, run_id, list(project.processes(run_id).values()))
    [turn] = history.turns
    assert turn.outcome == "error"
    assert turn.error is not None
    assert turn.error.code == "disk_full"
    assert "Free space" in (turn.error.hint or "")
    assert true_state(project.folder(run_id)) == "error"
    whole_lines(project, run_id)
    chunks = [x for x in project.lines(run_id) if x.kind == "agent_message_chunk"]
    assert 100 < len(chunks) < 6000
    numbers = [int(word) for word in history.turns[0].text.split()]
    assert numbers == list(range(len(chunks))), "every chunk up to the end, in order"
    recovered_twice(project, run_id)
    free(project)
    project.command(run_id, "resume")  # as the hint says: it goes on with the turn
    history = project.ended(run_id, 2, within=60)
    assert history.turns[1].outcome == "end_turn"
    assert history.turns[1].origin == "resume"
    goes_on(project, run_id)
    assert project.folder(run_id).reserve.stat().st_size == RESERVE_BYTES, "whole again"
    a_long_line(project)


def a_long_line(project: Project) -> None:
    """One line that is longer than the disk: its blob is given up, and leaves no piece."""
    run_id = project.start(script=[[{"say": "Now. "}, {"bytes": 8_000_000}], SECOND])
    [turn] = project.ended(run_id, within=30).turns
    tree_gone(project, run_id, list(project.processes(run_id).values()))
    assert turn.error is not None
    assert turn.error.code == "disk_full"
    assert turn.text == "Now. "
    assert os.listdir(project.host.home / "blobs") == []
    whole_lines(project, run_id)
    goes_on(project, run_id)


def kernel_dies(project: Project) -> None:
    """Its writes fail: a start and a command are refused in words, and nothing is half there."""
    live = project.start(script=[[{"say": "Hello. "}, {"sleep": 1.5}, {"say": "Bye."}], SECOND])
    project.until(lambda: "Hello" in project.history(live).text, 30)
    fill(project)
    spec = project.spec("echo", "hello")
    project.runs.append(spec.run_id)
    try:
        asyncio.run(project.host.ensure(spec.run_id, spec, project.env))
        raise AssertionError("a start on a full disk")
    except StorageProblem as problem:
        assert "no space left" in str(problem)
        assert str(project.host.home) in str(problem)
    assert not project.left(spec.run_id)
    assert not project.folder(spec.run_id).path.exists(), "nothing half made"
    try:
        project.send(live, "next please " * 1000)  # what is left of a page has no room for it
        raise AssertionError("a command was taken on a full disk")
    except PaseoError as problem:
        assert "disk is full" in str(problem)
    history = project.ended(live, within=30)
    assert history.turns[0].error is not None
    assert history.turns[0].error.code == "disk_full"
    tree_gone(project, live, list(project.processes(live).values()))
    whole_lines(project, live)
    free(project)
    asyncio.run(project.host.ensure(spec.run_id, spec, project.env))
    assert project.ended(spec.run_id).turns[0].outcome == "end_turn"
    project.command(spec.run_id, "stop")
    project.gone(spec.run_id, 10 * SLACK)
    goes_on(project, live)
    starts = project.own(live, "turn_start")
    assert len(starts) == 2, "the refused prompt was not run"


def agent_dies(project: Project) -> None:
    """Killed on a full disk: its turn is closed in the reserve's space."""
    run_id, pids, strays = quiet_turn(project)
    fill(project)
    kill_9(pids["agent"])
    _interrupted(project, run_id, [*pids.values(), *strays])


def warden_dies(project: Project) -> None:
    """Killed on a full disk: the supervisor ends the tree and says so in the reserve's space."""
    run_id, pids, strays = quiet_turn(project)
    fill(project)
    kill_9(pids["warden"])
    _interrupted(project, run_id, [*pids.values(), *strays])


def both_dies(project: Project) -> None:
    """Killed on a full disk: the next front end sweeps and closes the books all the same."""
    run_id, pids, strays = quiet_turn(project)
    fill(project)
    os.kill(pids["warden"], 19)
    kill_9(pids["supervisor"], pids["warden"])
    project.until(lambda: not project.alive(run_id), 5 * SLACK)
    assert project.host.state(run_id) == "interrupted"
    _interrupted(project, run_id, [*pids.values(), *strays])


def index_dies(project: Project) -> None:
    """No space for the index: queries are answered from the journals, and it is whole once there
    is space. No space from a run's first line on: the turn ends as the disk's fault."""
    run_id = project.start(script=[[{"flood": 3000}], SECOND])
    project.ended(run_id, within=30)
    project.command(run_id, "stop")
    project.gone(run_id, 10 * SLACK)
    for leave in (0, 12 << 10, 64 << 10, 200 << 10):
        for old in project.host.home.glob("paseo.duckdb*"):
            old.unlink()
        fill(project, leave=leave)
        for _ in range(2):  # the second meets what the first left behind
            asked = subprocess.run(
                [sys.executable, "-c", COUNT], cwd=project.root, capture_output=True, text=True
            )
            assert asked.returncode == 0, asked.stderr
            assert asked.stdout == "3000\n"
        free(project)
        asked = subprocess.run(
            [sys.executable, "-W", "error", "-c", COUNT],
            cwd=project.root, capture_output=True, text=True,
        )  # fmt: skip
        assert asked.stdout == "3000\n", asked.stderr
    fill(project, leave=36 << 10)
    late = project.start(script=[[{"flood": 900}], SECOND])
    [turn] = project.ended(late, within=30).turns
    assert turn.error is not None
    assert (turn.outcome, turn.error.code) == ("error", "disk_full")
    tree_gone(project, late, [])
    free(project)
    goes_on(project, late)


def _interrupted(project: Project, run_id: str, pids: list[int]) -> None:
    tree_gone(project, run_id, pids)
    assert project.host.state(run_id) in ("interrupted", "error")
    [turn] = project.history(run_id).turns
    assert turn.outcome in ("interrupted", "error"), turn
    assert turn.outcome == "interrupted" or (turn.error and turn.error.code == "disk_full")
    whole_lines(project, run_id)
    recovered_twice(project, run_id)
    free(project)
    goes_on(project, run_id)


if __name__ == "__main__":
    main()
