"""What a snapshot does not keep as it is, is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from paseo_nb.git.fidelity import not_kept

Git = Callable[..., str]


def test_submodules_lfs_and_filters_are_told(repo: Path, git: Git) -> None:
    assert not_kept(repo) == []
    (repo / ".gitattributes").write_text("# a filter=comment\n*.txt text eol=lf\n")
    assert not_kept(repo) == []
    (repo / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (repo / "src" / ".gitattributes").write_text("*.key text filter=git-crypt\n")
    (repo / ".gitmodules").write_text("")
    told = not_kept(repo / "src")
    assert len(told) == 3
    assert "submodules" in told[0]
    assert "LFS" in told[1]
    assert "git-crypt" in told[2]
