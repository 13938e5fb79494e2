"""Where a project and its runs are, from any folder that one may stand in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paseo_nb import config
from paseo_nb.errors import UsageProblem


def git(*arguments: str, cwd: Path) -> None:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture
def repository(project: Path) -> Path:
    git("init", "-q", cwd=project)
    git("commit", "-q", "--allow-empty", "-m", "start", cwd=project)
    (project / "notebooks" / "deep").mkdir(parents=True)
    return project


def test_a_notebooks_folder_belongs_to_its_repository(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = repository / "notebooks" / "deep"
    assert config.project_root(deep) == repository
    monkeypatch.chdir(deep)
    assert config.project_root() == repository
    assert config.home() == repository / ".paseo_nb"


def test_a_notebook_file_stands_for_its_folder(repository: Path) -> None:
    file = repository / "notebooks" / "one.ipynb"
    file.touch()
    assert config.project_root(file) == repository


def test_without_git_it_is_the_folder_itself(project: Path) -> None:
    (project / ".git").mkdir()  # an empty folder of that name makes no repository
    assert config.project_root(project) == project


def test_a_linked_worktree_belongs_to_its_repository(repository: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked tree"
    git("worktree", "add", "-q", str(linked), "-b", "other", cwd=repository)
    (linked / "sub").mkdir()
    assert config.project_root(linked / "sub") == repository
    assert config.git_top(linked / "sub") == linked, "where an agent works is another question"


def test_bare_repositories_and_submodules_keep_their_own(repository: Path, tmp_path: Path) -> None:
    bare, linked = tmp_path / "bare.git", tmp_path / "of a bare one"
    git("clone", "-q", "--bare", str(repository), str(bare), cwd=tmp_path)
    git("worktree", "add", "-q", str(linked), "-b", "other", cwd=bare)
    assert config.project_root(linked) == linked
    allowed = ["-c", "protocol.file.allow=always"]
    git(*allowed, "submodule", "-q", "add", str(bare), "part", cwd=repository)
    assert (repository / "part" / ".git").is_file()
    assert config.project_root(repository / "part") == repository / "part"


def test_an_agent_in_its_worktree_lands_in_the_same_store(repository: Path) -> None:
    tree = repository / ".paseo_nb" / "worktrees" / "feature" / "auth"
    git("worktree", "add", "-q", str(tree), "-b", "feature/auth", cwd=repository)
    (tree / "src").mkdir()
    assert config.project_root(tree / "src") == repository
    assert config.home(tree / "src") == repository / ".paseo_nb"


def test_a_symlink_leads_to_the_same_project(repository: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(repository / "notebooks", target_is_directory=True)
    assert config.project_root(link) == repository


def test_home_can_be_named(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASEO_NB_HOME", str(tmp_path / "store"))
    assert config.home(repository) == tmp_path / "store"
    monkeypatch.setenv("PASEO_NB_HOME", "store")
    with pytest.raises(UsageProblem, match="absolute"):
        config.home(repository)
