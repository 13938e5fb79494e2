"""Agents that think with functions of the test's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from minds import Minds


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
