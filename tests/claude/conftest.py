"""Claude Code against the model server: a repository, an offline HOME, the pinned CLI on PATH."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from kit import Project

from tests.agents import recipes
from tests.agents.install import executable
from tests.modelserver import ModelServer
from tests.modelserver.conversation import nth_usage

# What needs the vendor's SDK is a test of `sh tests/run.sh --all`, which installs it.
collect_ignore = [] if find_spec("claude_agent_sdk") else ["test_against_sdk.py"]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git repository that is the current folder; its runs are ended afterwards."""
    path = tmp_path / "repo"
    path.mkdir()
    (path / "notes.txt").write_text("one\ntwo\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], cwd=path, check=True)
    monkeypatch.chdir(path)
    yield path
    project = Project(path)
    project.runs = project.host.list()
    project.close()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    """The model that Claude Code speaks with; each of its calls reports other numbers."""
    with ModelServer(usage=nth_usage) as made:
        home = tmp_path / "claude-home"
        home.mkdir()
        for name, value in recipes.claude(home, made.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("IS_SANDBOX")  # nothing of ours may need it
        path = f"{executable('claude').parent}{os.pathsep}{os.environ['PATH']}"
        monkeypatch.setenv("PATH", path)
        yield made
