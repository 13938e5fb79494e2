"""A diff shows everything that differs from the base, whoever committed or staged it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paseo_nb.errors import GitProblem
from paseo_nb.git.diffs import diff
from paseo_nb.git.snapshots import snapshot
from paseo_nb.git.values import DiffSummary, FileChange

Git = Callable[..., str]


def by_path(summary: DiffSummary) -> dict[str, FileChange]:
    return {change.path: change for change in summary.files}


def test_every_kind_of_change(
    repo: Path, git: Git, untouched: Callable[[], tuple[object, ...]]
) -> None:
    base = snapshot(repo)
    git("mv", "ten.txt", "ten renamed.txt", cwd=repo)
    with open(repo / "ten renamed.txt", "a") as file:
        file.write("line 10\n")
    (repo / "src" / "naïve name.txt").unlink()
    (repo / ".gitignore").write_text("*.log\n*.tmp\n")
    (repo / "committed.txt").write_text("a\nb\n")
    git("add", "committed.txt", cwd=repo)
    git("commit", "-q", "-m", "by the agent", "--only", "committed.txt", cwd=repo)
    (repo / "déjà vu.txt").write_text("x\n")
    (repo / "image.bin").write_bytes(b"\0\1\2")
    (repo / "noise.log").write_text("ignored")
    before = untouched()
    told = diff(repo / "src", base)
    assert untouched() == before
    assert by_path(told) == {
        ".gitignore": FileChange(".gitignore", 1, 0, "M"),
        "committed.txt": FileChange("committed.txt", 2, 0, "A"),
        "déjà vu.txt": FileChange("déjà vu.txt", 1, 0, "?"),
        "image.bin": FileChange("image.bin", None, None, "?"),
        "src/naïve name.txt": FileChange("src/naïve name.txt", 0, 1, "D"),
        "ten renamed.txt": FileChange("ten renamed.txt", 1, 0, "R"),
    }
    assert (told.added, told.removed, told.base) == (5, 1, base)
    assert "diff --git a/déjà vu.txt b/déjà vu.txt" in told.patch
    assert "rename from ten.txt" in told.patch
    assert "Binary files /dev/null and b/image.bin differ" in told.patch


def test_nothing_changed(repo: Path) -> None:
    (repo / "untracked.txt").write_text("there before")
    told = diff(repo, snapshot(repo))
    assert (told.files, told.patch) == ([], "")


def test_untracked_before_and_changed_since(repo: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (repo / name).write_text(f"{name}\n")
    base = snapshot(repo)
    (repo / "a.txt").write_text("other\n")
    (repo / "b.txt").unlink()
    told = by_path(diff(repo, base))
    assert {name: change.status for name, change in told.items()} == {"a.txt": "M", "b.txt": "D"}


def test_an_untracked_rename(repo: Path) -> None:
    base = snapshot(repo)
    (repo / "ten.txt").rename(repo / "src" / "moved.txt")
    assert by_path(diff(repo, base)) == {"src/moved.txt": FileChange("src/moved.txt", 0, 0, "R")}


def test_a_file_that_becomes_a_folder_and_back(repo: Path) -> None:
    base = snapshot(repo)
    (repo / "ten.txt").unlink()
    (repo / "ten.txt").mkdir()
    (repo / "ten.txt" / "inner").write_text("x\n")
    told = by_path(diff(repo, base))
    assert {name: change.status for name, change in told.items()} == {
        "ten.txt": "D",
        "ten.txt/inner": "?",
    }
    later = snapshot(repo)
    (repo / "ten.txt" / "inner").unlink()
    (repo / "ten.txt").rmdir()
    (repo / "ten.txt").symlink_to("/nowhere")
    assert set(by_path(diff(repo, later))) == {"ten.txt", "ten.txt/inner"}


def test_in_the_middle_of_a_conflict(repo: Path, git: Git) -> None:
    base = snapshot(repo)
    git("checkout", "-q", "-b", "theirs", cwd=repo)
    (repo / "ten.txt").write_text("theirs\n")
    git("commit", "-q", "-am", "theirs", cwd=repo)
    git("checkout", "-q", "-b", "ours", base, cwd=repo)
    (repo / "ten.txt").write_text("ours\n")
    git("commit", "-q", "-am", "ours", cwd=repo)
    with pytest.raises(Exception, match="merge"):
        git("merge", "theirs", cwd=repo)
    told = diff(repo, base)
    assert by_path(told) == {"ten.txt": FileChange("ten.txt", 5, 10, "M")}
    assert "+<<<<<<< HEAD" in told.patch


def test_the_users_taste_in_diffs_changes_nothing(
    repo: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = snapshot(repo)
    (repo / "ten.txt").write_text("".join(f"line {n}\n" for n in range(9)) + "\n")
    (repo / "nëw.txt").write_text("x\n")
    plain = diff(repo, base)
    for name, value in (
        ("diff.noprefix", "true"), ("diff.mnemonicPrefix", "true"), ("color.ui", "always"),
        ("diff.external", "/bin/false"), ("core.quotePath", "true"), ("diff.context", "0"),
        ("diff.relative", "true"), ("diff.renames", "false"), ("diff.suppressBlankEmpty", "true"),
    ):  # fmt: skip
        git("config", name, value, cwd=repo)
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/bin/false")
    monkeypatch.setenv("GIT_DIFF_OPTS", "--unified=0")
    assert diff(repo / "src", base) == plain


def test_a_large_text_counts_as_binary(repo: Path) -> None:
    base = snapshot(repo)
    with open(repo / "big.txt", "w") as file:
        file.writelines(f"{n} {'x' * 90}\n" for n in range(200_000))
    told = diff(repo, base)
    assert by_path(told) == {"big.txt": FileChange("big.txt", None, None, "?")}
    assert len(told.patch) < 1000


def test_hostile_names_and_bytes(repo: Path) -> None:
    base = snapshot(repo)
    (repo / "tab\tnew\nline").write_text("x\n")
    (repo / "latin1.txt").write_bytes(b"caf\xe9\n")
    told = diff(repo, base)
    assert set(by_path(told)) == {"tab\tnew\nline", "latin1.txt"}
    assert "+caf�" in told.patch


def test_from_the_first_commit_on_and_an_unknown_base(tmp_path: Path, repo: Path, git: Git) -> None:
    git("init", "-q", "fresh", cwd=tmp_path)
    (tmp_path / "fresh" / "a.txt").write_text("a\n")
    base = snapshot(tmp_path / "fresh")
    (tmp_path / "fresh" / "b.txt").write_text("b\n")
    assert list(by_path(diff(tmp_path / "fresh", base))) == ["b.txt"]
    with pytest.raises(GitProblem, match="git knows no commit 'nonsense'"):
        diff(repo, "nonsense")
    with pytest.raises(GitProblem, match="git knows no commit"):
        diff(repo, "--output=/tmp/x")
