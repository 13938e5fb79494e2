"""A real repository with an awkward path, and a user whose git knows no name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Git = Callable[..., str]


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("GIT_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)  # whatever goes wrong here must not reach this project's own repo
    home = tmp_path / "user"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))


@pytest.fixture
def git() -> Git:
    """`git("log", cwd=folder)`: its output."""

    def run(*arguments: str, cwd: Path) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=cwd, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def repo(tmp_path: Path, git: Git) -> Path:
    """One commit with a file of ten lines, a second file and a .gitignore, on branch `main`."""
    folder = tmp_path / "my répo $HOME"
    (folder / "src").mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=folder)
    (folder / "ten.txt").write_text("".join(f"line {n}\n" for n in range(10)))
    (folder / "src" / "naïve name.txt").write_text("one\n")
    (folder / ".gitignore").write_text("*.log\n")
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "start", cwd=folder)
    return folder


@pytest.fixture
def untouched(repo: Path, git: Git) -> Callable[[], tuple[object, ...]]:
    """What must stay as it is: index, HEAD, branches, stash, status, configuration."""

    def look() -> tuple[object, ...]:
        index = repo / ".git" / "index"
        return (
            index.read_bytes(),
            index.stat().st_mtime_ns,
            (repo / ".git" / "HEAD").read_text(),
            (repo / ".git" / "config").read_text(),
            git("for-each-ref", "refs/heads", "refs/stash", "refs/tags", cwd=repo),
            git("--no-optional-locks", "status", "--porcelain", cwd=repo),
        )

    return look


@pytest.fixture
def hooks(repo: Path, tmp_path: Path) -> Path:
    """A file that any hook of the repository would make."""
    sign = tmp_path / "a hook ran"
    for name in ("post-checkout", "pre-commit", "post-commit", "post-index-change",
                 "reference-transaction", "fsmonitor-watchman"):  # fmt: skip
        hook = repo / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch '{sign}'\n")
        hook.chmod(0o755)
    return sign
