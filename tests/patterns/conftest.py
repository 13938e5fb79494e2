"""A sample repository, and agents that think with functions of the test's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kit import Project
from minds import Minds

from paseo_nb.programs.demo import copy_sample


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The sample repository, current; its runs are stopped afterwards."""
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    monkeypatch.setenv("PASEO_NB_IDLE", "20")
    monkeypatch.setenv("PASEO_NB_PERMISSION_TIMEOUT", "20")
    yield path
    project = Project(path)
    project.runs = [run_id for run_id in project.host.list() if project.alive(run_id)]
    project.close()


@pytest.fixture
def minds(tmp_path: Path, repo: Path) -> Minds:
    return Minds(tmp_path)


@pytest.fixture
def git(repo: Path) -> Callable[..., str]:
    def call(*args: str, cwd: Path = repo) -> str:
        done = subprocess.run(["git", *args], cwd=cwd, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call
