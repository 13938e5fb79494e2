"""Fixtures for all tests. Nothing outside a test's own temporary folder is read or written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

sys.path.insert(0, str(Path(__file__).parent))

from kit import Project, project_in

from paseo_nb.programs.demo import copy_sample


class ByFolder(LoadScopeScheduling):
    """The browser's tests go to one worker, the others to another."""

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if "browser" in nodeid.partition("::")[0] else "others"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """For the part of the suite that drives browsers and kills processes (all.py)."""
    return ByFolder(config, log) if config.option.dist == "loadgroup" else None


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty HOME and no setting of the developer's."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("PASEO_", "XDG_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project folder with a host; what it started is ended afterwards."""
    with project_in(tmp_path / "project") as made:
        yield made


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
