"""Archive and unarchive beside others, killed, and where something refuses.

Invariants: (1) whatever happens, what a worktree held is in its place, whole, or kept under a ref,
and the next archive or unarchive goes on from there; (2) what was kept once is never written over;
(3) a worktree that another run has made since is not taken for one's own; (4) every byte is kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import SHELL_AGENT, VERB, git, killed, verb

import paseo_nb as paseo
from paseo_nb.errors import GitProblem

BYTES = {"win.txt": b"a\r\nb\r\n", "mixed.txt": b"a\r\nb\nc\r\n", "lf.txt": b"a\nb\n",
         "auto": b"x\r\ny\r\n", "u16.u": "\ufeffa\n".encode("utf-16-le"), "a.id": b"$Id: mine $\n",
         "new\nline.txt": b"1\r\n"}  # fmt: skip


@pytest.fixture(autouse=True)
def shell(repo: Path) -> None:
    """The agent `sh`."""
    paseo.register_provider("sh", command=SHELL_AGENT)


def start(script: str, worktree: str = "w") -> paseo.Run:
    return paseo.run("sh", script, mode="auto", worktree=worktree)


def passed(seconds: float) -> Callable[[], bool]:
    """Whether so long is over since now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def files(path: Path) -> dict[str, bytes]:
    return {
        str(one.relative_to(path)): one.read_bytes()
        for one in path.rglob("*")
        if one.is_file() and one.name != ".git"
    }


def kept(repo: Path, run: paseo.Run) -> list[str]:
    return git(repo, "for-each-ref", "--format=%(objectname)", f"refs/paseo/{run.id}/").split()


def test_two_archives_at_once_lose_nothing(repo: Path) -> None:
    run = start("echo PRECIOUS > p")
    both = [verb("archive", run.id) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert not run.path.exists()
    told = [event for event in run.events()["kind"] if event == "archived"]
    assert len(told) == 1
    run.unarchive()
    assert (run.path / "p").read_text() == "PRECIOUS\n"


def test_unarchive_killed_while_it_writes_begins_anew(repo: Path) -> None:
    run = start("mkdir many; for i in $(seq 1500); do echo $i > many/$i; done; echo P > p")
    before = files(run.path)
    run.archive()
    making = run.host.home / "worktrees" / f".making-{run.id}" / "w"
    killed(verb("unarchive", run.id), lambda: (making / "many" / "1").exists())
    assert run.state == "archived"
    assert not run.path.exists(), "never a half"
    assert "worktree" not in set(paseo.prune()["kind"])
    run.unarchive()
    assert files(run.path) == before
    assert git(run.path, "status", "--porcelain") == "?? many/\n?? p\n"
    assert not making.parent.exists()
    assert git(repo, "worktree", "list").count("\n") == 2


def test_killed_at_any_time_everything_is_there_or_kept(repo: Path) -> None:
    run = start("mkdir many; for i in $(seq 500); do echo $i > many/$i; done; echo P > p")
    before = files(run.path)
    status = git(run.path, "status", "--porcelain", "--branch")
    for after in (0.7, 1.0, 1.3):
        killed(verb("archive", run.id), passed(after))
        assert run.path.exists() or run.state == "archived"
        killed(verb("unarchive", run.id), passed(after))
        run.unarchive()
        assert files(run.path) == before
        assert git(run.path, "status", "--porcelain", "--branch") == status


def test_a_name_that_another_run_has_since_is_not_taken_over(repo: Path) -> None:
    first = start("echo PRECIOUS > p")
    diff = first.diff().patch
    first.archive()
    second = start("echo other > o")
    assert second.path == first.path
    with pytest.raises(GitProblem, match=f"archive {second.id[:10]}"):
        first.unarchive()
    assert first.state == "archived"
    assert first.diff().patch == diff, "not what stands there now"
    second.archive()
    first.unarchive()
    assert set(files(first.path)) >= {"p"}
    first.archive()
    second.unarchive()
    assert (second.path / "o").exists()
    assert not (second.path / "p").exists()


def test_what_was_kept_is_never_written_over(repo: Path) -> None:
    run = start("echo 1 > a")
    run.archive()
    first = set(kept(repo, run))
    run.unarchive()
    (run.path / "a").unlink()
    run.archive()
    assert first < set(kept(repo, run))


def test_what_the_teardown_writes_is_kept(repo: Path) -> None:
    (repo / "paseo.json").write_text('{"worktree": {"teardown": "echo late > late"}}')
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "paseo.json")
    paseo.trust(str(repo / "paseo.json"))
    run = start("true")
    run.archive()
    run.unarchive()
    assert (run.path / "late").read_text() == "late\n"


@pytest.mark.parametrize("autocrlf", ["false", "true", "input"])
def test_every_byte_comes_back(repo: Path, autocrlf: str) -> None:
    (repo / ".gitattributes").write_text(
        "* text=auto\n*.txt text eol=crlf\n*.u working-tree-encoding=UTF-16LE-BOM\n*.id ident\n"
    )
    (repo / "win.txt").write_bytes(b"a\r\n")
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "attributes")
    git(repo, "config", "core.autocrlf", autocrlf)
    run = start("true")
    for name, content in BYTES.items():
        (run.path / name).write_bytes(content)
    git(run.path, "add", "lf.txt")
    before, status = files(run.path), git(run.path, "status", "--porcelain", "-z")
    run.archive()
    run.unarchive()
    assert files(run.path) == before
    assert git(run.path, "status", "--porcelain", "-z") == status


# Whoever may do everything is held by no permission: so it gives that up.
PLAIN = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if not os.geteuid() else []
NEEDS = pytest.mark.skipif(
    bool(PLAIN) and not shutil.which("setpriv"), reason="as root it needs setpriv"
)


def plainly(*words: str) -> tuple[int, str]:
    done = subprocess.run([*PLAIN, *VERB, *words], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@NEEDS
def test_an_unreadable_file_is_a_refusal(repo: Path) -> None:
    run = start("echo P > u; chmod 000 u; mkdir d; echo P > d/p; chmod 000 d")
    for name in ("d", "u"):
        code, said = plainly("archive", run.id)
        assert code != 0
        assert "Permission denied" in said
        assert name in said
        assert run.state == "stopped"
        os.chmod(run.path / name, 0o755)
    assert plainly("archive", run.id)[0] == 0
    run.unarchive()
    assert (run.path / "u").exists()
    assert (run.path / "d" / "p").exists()


@NEEDS
def test_a_read_only_folder_goes_and_comes(repo: Path) -> None:
    run = start("mkdir ro; echo k > ro/k; echo P > p; chmod 555 ro")
    before = files(run.path)
    assert plainly("archive", run.id)[0] == 0
    assert not run.path.exists()
    assert not list((run.host.home / "worktrees").glob(".*-*"))
    run.unarchive()
    assert files(run.path) == before


@NEEDS
def test_a_worktree_that_cannot_be_moved_stays_whole_and_it_is_said(repo: Path) -> None:
    run = start("echo P > p")
    before = files(run.path)
    run.path.parent.chmod(0o555)
    try:
        code, said = plainly("archive", run.id)
    finally:
        run.path.parent.chmod(0o755)
    assert code != 0
    assert "cannot be moved" in said
    assert run.state == "stopped"
    assert files(run.path) == before
    run.archive()
    run.unarchive()
    assert files(run.path) == before
