"""How a pair begins: its entry starts up while the run is still being made.

Invariants: (1) where a run is not made after all, or whoever makes it dies, the entry leaves, and
there is no process, no run and no file of it; (2) what an earlier pair left is ended before an agent
is launched, though that pair may have written nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kit import SLACK, Project, exists

import paseo_nb as paseo
from paseo_nb.errors import GitProblem
from paseo_nb.programs.demo import copy_sample
from paseo_nb.supervisor import cleanup

DIES = """
import os, signal, sys
from pathlib import Path
from paseo_nb.host.local import LocalHost
with LocalHost(Path(sys.argv[1])).entry("A-RUN"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def naming(folder: Path) -> list[int]:
    """The processes that name a folder in their command line."""
    return [
        pid
        for pid in cleanup.parents()
        if str(folder) in cleanup.command_line(pid) and pid != os.getpid()
    ]


def test_a_run_that_is_not_made_leaves_nothing(project: Project) -> None:
    with project.host.entry("A-RUN"):
        project.until(lambda: naming(project.root), 4 * SLACK, "it starts up")
    assert not naming(project.root)
    assert not project.host.home.exists()


def test_a_front_end_that_dies_leaves_nothing(project: Project) -> None:
    died = subprocess.run([sys.executable, "-c", DIES, str(project.host.home)], check=False)
    assert died.returncode == -signal.SIGKILL
    project.until(lambda: not naming(project.root), 4 * SLACK, "the entry has left")
    assert not project.host.home.exists()


def test_a_snapshot_that_fails_leaves_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Path(copy_sample(tmp_path / "tidelog"))
    (repo / ".git" / "HEAD").write_text("ref: refs/heads/none\n")
    monkeypatch.chdir(repo)
    with pytest.raises(GitProblem):
        paseo.start("demo/echo", "hello", worktree="new")
    assert Project(repo).host.list() == []
    assert not list((repo / ".paseo_nb" / "live").iterdir())
    assert not naming(repo)


@pytest.mark.parametrize("written", [b"", b'{"seq":1,'])
def test_what_a_pair_left_that_wrote_nothing_is_ended(project: Project, written: bytes) -> None:
    spec = project.spec()
    project.host.make(spec)
    folder = project.folder(spec.run_id)
    folder.journal.write_bytes(written)
    left = subprocess.Popen(["sleep", "300"], env={**os.environ, "PASEO_RUN": spec.run_id})
    try:
        project.runs.append(spec.run_id)
        project.command(spec.run_id, "resume")
        project.ended(spec.run_id)
        left.wait(4 * SLACK)
        assert not exists(left.pid)
    finally:
        left.kill()
