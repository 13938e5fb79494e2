"""A sample repository to work in, as a user's current folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import Project

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
    assert os.getcwd()
