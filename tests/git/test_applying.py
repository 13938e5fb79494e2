"""Apply: known before anything is touched, one commit, and only where nobody's work is in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paseo_nb.errors import GitProblem, StorageProblem
from paseo_nb.git.applying import apply, work_out
from paseo_nb.git.snapshots import snapshot

Git = Callable[..., str]
Look = Callable[[], tuple[object, ...]]


@pytest.fixture
def work(repo: Path, tmp_path: Path, git: Git) -> Callable[[str], tuple[str, str]]:
    """What a run did in a worktree of its own: its base and its last snapshot."""
    git("config", "user.name", "the user", cwd=repo)
    git("config", "user.email", "user@example.com", cwd=repo)

    def run(text: str) -> tuple[str, str]:
        place = tmp_path / "w"
        git("worktree", "add", "-q", "-b", "w", str(place), cwd=repo)
        base = snapshot(place)
        (place / "ten.txt").write_text(text)
        (place / "new.txt").write_text("new\n")
        return base, snapshot(place, ref="refs/paseo/r/1")

    return run


TEN = [f"line {n}\n" for n in range(10)]
LAST = "".join([*TEN[:9], "the last\n"])
FIRST = "".join(["the first\n", *TEN[1:]])


def test_a_clean_apply_is_one_commit_of_the_users(repo: Path, git: Git, work: object) -> None:
    base, after = work(LAST)  # type: ignore[operator]
    (repo / "ten.txt").write_text(FIRST)
    git("commit", "-qam", "meanwhile", cwd=repo)
    (repo / "src" / "naïve name.txt").write_text("the user is at it\n")
    (repo / "untracked").write_text("mine\n")
    git("add", "untracked", cwd=repo)
    merge = work_out(repo, base, after, None)
    assert (merge.onto, merge.conflicts, merge.place) == ("main", [], repo)
    assert {file.path for file in merge.summary.files} == {"ten.txt", "new.txt"}
    assert git("status", "--porcelain", cwd=repo).split() == [
        "M", '"src/na\\303\\257ve', 'name.txt"', "A", "untracked",
    ], "a dry run touches nothing"  # fmt: skip
    made = apply(repo, merge, "title\n\nPaseo-Run: r\n")
    assert git("rev-parse", "main", cwd=repo) == made
    assert (
        git("log", "-1", "--format=%an %s %(trailers)", cwd=repo) == "the user title Paseo-Run: r"
    )
    assert (repo / "ten.txt").read_text().startswith("the first")
    assert (repo / "ten.txt").read_text().endswith("the last\n")
    assert (repo / "new.txt").exists()
    assert git("diff", "--cached", "--name-only", cwd=repo) == "untracked", "staged, not committed"
    assert git("diff", "--name-only", cwd=repo) == '"src/na\\303\\257ve name.txt"'
    assert apply(repo, work_out(repo, base, after, None), "again") is None, "it is there already"


def test_a_conflict_is_told_and_nothing_is_touched(
    repo: Path, git: Git, work: object, untouched: Look
) -> None:
    base, after = work(LAST)  # type: ignore[operator]
    (repo / "ten.txt").write_text("".join([*TEN[:9], "the user's last\n"]))
    git("commit", "-qam", "meanwhile", cwd=repo)
    before = untouched()
    merge = work_out(repo, base, after, None)
    assert merge.conflicts == ["ten.txt"]
    with pytest.raises(GitProblem, match=r"main has changed what the run changed: ten\.txt"):
        apply(repo, merge, "m")
    assert untouched() == before


def test_changes_in_the_way_stay(repo: Path, work: object, untouched: Look) -> None:
    base, after = work(LAST)  # type: ignore[operator]
    for name in ("ten.txt", "new.txt"):
        kept = (repo / name).read_bytes() if (repo / name).exists() else None
        (repo / name).write_text("the user's\n")
        before = untouched()
        with pytest.raises(GitProblem, match="changes of its own"):
            apply(repo, work_out(repo, base, after, None), "m")
        assert (repo / name).read_text() == "the user's\n"
        assert untouched()[2:] == before[2:]
        (repo / name).write_bytes(kept) if kept is not None else (repo / name).unlink()


def test_onto_a_branch_that_is_checked_out_nowhere(
    repo: Path, git: Git, work: object, untouched: Look
) -> None:
    base, after = work(LAST)  # type: ignore[operator]
    git("branch", "other", cwd=repo)
    index, head = untouched()[0], git("rev-parse", "main", cwd=repo)
    merge = work_out(repo, base, after, "other")
    made = apply(repo, merge, "m")
    assert git("rev-parse", "other", cwd=repo) == made
    assert git("rev-parse", "main", cwd=repo) == head
    assert untouched()[0] == index
    with pytest.raises(GitProblem, match="checked out nowhere"):
        apply(repo, work_out(repo, base, base, "other"), "m", commit=False) or apply(
            repo, merge, "m", commit=False
        )
    with pytest.raises(GitProblem, match="no branch 'nowhere'"):
        work_out(repo, base, after, "nowhere")


def test_staged_only(repo: Path, git: Git, work: object) -> None:
    base, after = work(LAST)  # type: ignore[operator]
    head = git("rev-parse", "HEAD", cwd=repo)
    assert apply(repo, work_out(repo, base, after, None), "m", commit=False) is None
    assert git("rev-parse", "HEAD", cwd=repo) == head
    assert git("diff", "--cached", "--name-only", cwd=repo).split() == ["new.txt", "ten.txt"]


def test_who_commits_must_be_known(repo: Path, git: Git, work: object, untouched: Look) -> None:
    base, after = work(LAST)  # type: ignore[operator]
    git("config", "--unset", "user.name", cwd=repo)
    git("config", "--unset", "user.email", cwd=repo)
    git("config", "user.useConfigOnly", "true", cwd=repo)
    before = untouched()
    with pytest.raises(GitProblem, match=r"user\.name and user\.email"):
        apply(repo, work_out(repo, base, after, None), "m")
    assert untouched() == before


def test_killed_while_git_writes_it_is_ended_by_the_next(
    repo: Path, git: Git, tmp_path: Path
) -> None:
    git("config", "user.name", "the user", cwd=repo)
    git("config", "user.email", "user@example.com", cwd=repo)
    place = tmp_path / "w"
    git("worktree", "add", "-q", "-b", "w", str(place), cwd=repo)
    base = snapshot(place)
    (place / ".gitattributes").write_text("slow.txt filter=slow\n")
    (place / "a.txt").write_text("first\n")
    (place / "link").symlink_to("a.txt")
    (place / "slow.txt").write_text("slow\n")
    (place / "ten.txt").unlink()
    after = snapshot(place, ref="refs/paseo/r/1")
    reached = tmp_path / "reached"
    git("config", "filter.slow.smudge", f"touch '{reached}'; sleep 600; cat", cwd=repo)
    code = (
        "import sys; from pathlib import Path; from paseo_nb.git.applying import *;"
        f"apply(Path({str(repo)!r}), work_out(Path({str(repo)!r}), {base!r}, {after!r}, None), 'm')"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    deadline = time.monotonic() + 60
    while not reached.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (repo / "a.txt").exists(), "git was in the middle of it"
    assert not (repo / ".git" / "index.lock").exists(), "the user's git is not held up"
    git("config", "filter.slow.smudge", "cat", cwd=repo)
    (repo / "slow.txt").unlink(missing_ok=True)
    merge = work_out(repo, base, after, None)
    assert merge.in_the_way == []
    made = apply(repo, merge, "m")
    assert git("rev-parse", "main", cwd=repo) == made
    assert git("status", "--porcelain", cwd=repo) == ""
    assert (repo / "slow.txt").read_text() == "slow\n"


def test_what_could_not_be_written_to_the_end_is_said_so(
    repo: Path, git: Git, work: object
) -> None:
    base, after = work(LAST)  # type: ignore[operator]
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "attributes").write_text("ten.txt filter=broken\n")
    git("config", "filter.broken.smudge", "false", cwd=repo)
    git("config", "filter.broken.clean", "cat", cwd=repo)
    git("config", "filter.broken.required", "true", cwd=repo)
    with pytest.raises(StorageProblem, match="the same again goes on"):
        apply(repo, work_out(repo, base, after, None), "m")
    git("config", "filter.broken.smudge", "cat", cwd=repo)
    assert apply(repo, work_out(repo, base, after, None), "m") == git("rev-parse", "main", cwd=repo)
    assert git("status", "--porcelain", cwd=repo) == ""


def test_a_half_written_file_of_a_killed_git_is_mended_by_the_next(
    repo: Path, git: Git, tmp_path: Path
) -> None:
    """The system kills git where a file of its passes a size: in mid-write, every time."""
    git("config", "user.name", "the user", cwd=repo)
    git("config", "user.email", "user@example.com", cwd=repo)
    (repo / "data.txt").write_text("before\n")
    git("add", "data.txt", cwd=repo)
    git("commit", "-qm", "data", cwd=repo)
    place = tmp_path / "w"
    git("worktree", "add", "-q", "-b", "w", str(place), cwd=repo)
    base = snapshot(place)
    long = "".join(f"row {n}\n" for n in range(50_000))
    (place / "big.txt").write_text(long)
    one = snapshot(place, ref="refs/paseo/r/1")
    (place / "big.txt").unlink()
    (place / "data.txt").write_text(long)
    (place / "ten.txt").write_text(LAST)
    other = snapshot(place, ref="refs/paseo/r/2")
    code = (
        "import resource, sys; from pathlib import Path; from paseo_nb.git.applying import *;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        f"here = Path({str(repo)!r});"
        f"apply(here, work_out(here, {base!r}, sys.argv[1], None), 'm')"
    )

    def killed(after: str, name: str) -> None:
        done = subprocess.run([sys.executable, "-c", code, after], stderr=subprocess.PIPE)
        assert b"the same again goes on" in done.stderr, done.stderr
        assert 0 < (repo / name).stat().st_size < len(long), "git was in the middle of it"

    head = git("rev-parse", "HEAD", cwd=repo)
    killed(other, "data.txt")
    before = (repo / "data.txt").read_bytes()
    merge = work_out(repo, base, other, None)
    assert merge.in_the_way == []
    assert (repo / "data.txt").read_bytes() == before, "a dry run touches nothing"
    (repo / "data.txt").write_bytes(before + b"the user's\n")
    assert work_out(repo, base, other, None).in_the_way == ["data.txt"], "it is the user's now"
    (repo / "data.txt").write_bytes(before)
    assert apply(repo, merge, "m") == git("rev-parse", "HEAD", cwd=repo) != head
    assert (repo / "data.txt").read_text() == long
    assert git("status", "--porcelain", cwd=repo) == ""

    killed(one, "big.txt")
    (repo / "mine.txt").write_text("row 0\n")
    git("add", "mine.txt", cwd=repo)
    assert apply(repo, work_out(repo, base, other, None), "m") is None, "nothing of it is left"
    (place / "data.txt").write_text("third\n")
    third = snapshot(place, ref="refs/paseo/r/3")
    apply(repo, work_out(repo, other, third, None), "another one mends it, too")
    assert git("status", "--porcelain", cwd=repo) == "A  mine.txt"
    apply(repo, work_out(repo, base, one, None), "m")
    assert (repo / "big.txt").read_text() == long
    assert not list((repo / ".git").glob("paseo_nb.writing*"))
