"""A sample repository, and contestants that think with functions of the test's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from kit import Project, git
from minds import Minds

from paseo_nb.git.rooms import rooms_folder
from paseo_nb.programs.demo import copy_sample

MINDS = """
def alpha(prompt, turn, folder):
    (folder / "sum.py").write_text("def total(xs):\\n    return sum(xs)\\n")
    return "alpha here: I added total"

def beta(prompt, turn, folder):
    (folder / "sum.py").write_text("def total(xs):\\n    return 0\\n")
    return "done"

def gamma(prompt, turn, folder):
    raise ValueError("gamma broke")

def nosy(prompt, turn, folder):
    said = subprocess.run(
        "git log --all --stat; git worktree list; git branch -a; git remote -v; git stash list;"
        " git for-each-ref; cat .git/config .git/FETCH_HEAD .git/objects/info/alternates;"
        " ls -la .. ../..; find ../.. | head -2000; env; git fsck --lost-found; cat .git/logs/HEAD",
        shell=True, cwd=folder, capture_output=True, text=True)
    return said.stdout + said.stderr
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The sample repository, current; its runs are stopped afterwards."""
    path = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.chdir(path)
    git(path, "config", "user.name", "Test")
    git(path, "config", "user.email", "test@localhost")
    monkeypatch.setenv("PASEO_NB_IDLE", "1")
    monkeypatch.setenv("PASEO_NB_PERMISSION_TIMEOUT", "20")
    yield path
    project = Project(path)
    project.runs = [run_id for run_id in project.host.list() if project.alive(run_id)]
    project.close()
    if rooms_folder().exists():
        rooms_folder().chmod(0o700)


@pytest.fixture
def minds(tmp_path: Path, repo: Path) -> Minds:
    made = Minds(tmp_path)
    made.has(MINDS)
    return made
