"""`disk()` and `prune()`: told first, then done; never what is at work or applied nowhere.

Invariants: (1) a dry run touches nothing; (2) what it told is what goes; (3) a run that is not
archived, or whose work is nowhere else, keeps all it has.
"""

from __future__ import annotations

import datetime
import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from kit import SHELL_AGENT, git, killed, verb

import paseo_nb as paseo
from paseo_nb.packing import unpack
from paseo_nb.pruning import carry_out, pieces

AHEAD = datetime.timedelta(days=-1)  # whatever is archived now is older than tomorrow
COMMIT = "git add -A; git -c user.name=a -c user.email=a@b commit -qm"


@pytest.fixture(autouse=True)
def shell(repo: Path) -> None:
    """The agent `sh`, and a user whose name git knows."""
    paseo.register_provider("sh", command=SHELL_AGENT)
    git(repo, "config", "user.name", "u")
    git(repo, "config", "user.email", "u@e")


def start(script: str, **more: object) -> paseo.Run:
    return paseo.run("sh", script, mode="auto", **more)  # pyright: ignore[reportArgumentType]


def told(frame: pd.DataFrame) -> dict[tuple[str, str], bool]:
    return {(row["kind"], row["name"]): row["goes"] for row in frame.to_dict("records")}


def everything(repo: Path) -> list[str]:
    found = [
        str(path) for path in (repo / ".paseo_nb").rglob("*") if "paseo.duckdb" not in str(path)
    ]
    return [*sorted(found), git(repo, "for-each-ref"), git(repo, "worktree", "list")]


def test_runs_of_workflows_go_when_nothing_rests_on_them(repo: Path) -> None:
    go_on = False

    @paseo.workflow
    async def one(then: str):
        made = await paseo.agent("echo 1 > one", "sh", isolation="worktree", mode="auto")
        assert then == "ends" or go_on
        return made.commit

    commit = one("ends")
    with pytest.raises(AssertionError):
        one("fails")  # which took its step from the first, and can be gone on with
    done, failed = paseo.workflow_runs()["workflow_run_id"].sort_values()
    frame = paseo.prune(older=AHEAD)
    assert told(frame)["workflow", done] is False
    [why] = frame[frame["kind"] == "workflow"]["why"]
    assert f"workflow run {failed[:10]} took results from it" in why
    go_on = True
    one("fails")
    gone = told(paseo.prune(older=AHEAD, dry_run=False))
    assert [gone["workflow", name] for name in (done, failed)] == [True, True]
    assert paseo.workflow_runs().empty
    assert "workflows" not in git(repo, "for-each-ref")
    assert git(repo, "cat-file", "-t", commit).strip() == "commit", "the step's own run has it"


def test_what_is_applied_or_nothing_goes_and_what_is_not_stays(repo: Path) -> None:
    applied = start("echo 1 > one", worktree="applied")
    applied.apply()
    nothing = start("true", worktree="nothing")
    on_branch = start(f"echo 3 > three; {COMMIT} three", worktree="on-branch")
    unapplied = start("echo 4 > four", worktree="unapplied")
    at_work, here = start("echo 5 > five", worktree="at-work"), start("echo 6 > six")
    for run in (applied, nothing, on_branch, unapplied, here):
        run.archive()
    before = everything(repo)
    frame = paseo.prune(older=AHEAD)
    assert everything(repo) == before, "a dry run"
    assert told(frame) == {
        ("run", applied.id): True,
        ("run", nothing.id): True,
        ("run", on_branch.id): True,
        ("run", here.id): True,
        ("run", unapplied.id): False,
    }
    (why,) = frame[~frame["goes"]]["why"]
    assert "not in main" in why
    assert (frame["bytes"] > 0).all()
    assert told(paseo.prune()) == {}, "younger than 30 days"
    done = paseo.prune(dry_run=False, older=AHEAD)
    assert told(done) == told(frame)
    assert set(paseo.runs()["run_id"]) == {unapplied.id, at_work.id}
    refs = git(repo, "for-each-ref", "refs/paseo")
    assert unapplied.id in refs
    assert at_work.id in refs
    assert applied.id not in refs
    assert "on-branch" in git(repo, "branch", "--list", "on-branch"), "branches are never deleted"
    unapplied.unarchive()
    assert (unapplied.path / "four").read_text() == "4\n"
    assert (at_work.path / "five").exists()


def test_a_worktree_that_no_run_works_in(repo: Path) -> None:
    clean, dirty = start(f"echo 1 > a; {COMMIT} a", worktree="x/clean"), start("true", worktree="d")
    for run in (clean, dirty):
        run.archive(keep_worktree=True)
    (dirty.path / "mine").write_text("mine")
    assert told(paseo.prune()) == {("worktree", "x/clean"): True, ("worktree", "d"): False}
    paseo.prune(dry_run=False)
    assert not clean.path.parent.exists()
    assert (dirty.path / "mine").exists()
    assert git(repo, "log", "-1", "--format=%s", "x/clean") == "a\n"


def test_blobs_that_no_run_names_and_leftovers(repo: Path) -> None:
    run = start("head -c 1500000 /dev/zero | tr '\\0' x")
    blobs = run.host.home / "blobs"
    named = os.listdir(blobs)
    for name in ("0" * 64, "1" * 64):
        (blobs / name).write_bytes(b"x" * 10_000)
    old = time.time() - 7200
    for name in [*named, "0" * 64]:
        os.utime(blobs / name, (old, old))
    (run.host.home / "paseo.duckdb.damaged").write_bytes(b"x")
    assert told(paseo.prune()) == {
        ("blob", "0" * 64): True,
        ("leftover", "paseo.duckdb.damaged"): True,
    }
    paseo.prune(dry_run=False)
    assert sorted(os.listdir(blobs)) == sorted([*named, "1" * 64]), "young ones are left alone"


def test_an_archived_journal_that_is_not_packed_is(repo: Path) -> None:
    run = start("seq 20000")
    run.archive()
    folder = run.host.folder(run.id)
    unpack(folder.journal)
    size = folder.journal.stat().st_size
    (row,) = paseo.prune().to_dict("records")
    assert (row["kind"], row["goes"], 0 < row["bytes"] < size) == ("journal", True, True)
    paseo.prune(dry_run=False)
    assert not folder.journal.exists()
    assert run.text.endswith("20000\n")


def test_a_run_that_is_unarchived_meanwhile_stays(repo: Path) -> None:
    run = start("true")
    run.archive()
    found = pieces(run.host, datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1))
    run.unarchive()
    (piece,) = carry_out(run.host, found)
    assert not piece.goes
    assert "not archived any more" in piece.why
    assert run.turns()["outcome"].to_list() == ["end_turn"]


def test_disk_tells_what_each_kind_takes(repo: Path) -> None:
    start("echo 1 > a", worktree="w")
    start("true").archive()
    frame = paseo.disk().set_index("kind")
    assert frame["items"].to_dict() | {"index": 0} == {
        "worktrees": 1, "journals": 1, "packed journals": 1, "run files": 2, "blobs": 0,
        "workflow runs": 0, "matches": 0, "rooms": 0, "index": 0,
        "refs": frame.loc["refs", "items"],
    }  # fmt: skip
    assert frame.loc["worktrees", "bytes"] > 4096
    assert frame.loc["refs", "items"] >= 2
    assert frame.loc["refs", "bytes"] > 0


def test_what_was_changed_after_an_apply_is_kept(repo: Path) -> None:
    run, same = start("echo 1 > one", worktree="w"), start("echo 1 > two", worktree="v")
    run.apply()
    same.apply()
    (repo / "two").write_text("changed on\n")
    git(repo, "commit", "-qam", "on")
    (run.path / "hand").write_text("MINE")
    for one in (run, same):
        one.archive()
    assert told(paseo.prune(older=AHEAD)) == {("run", run.id): False, ("run", same.id): True}
    git(repo, "reset", "-q", "--hard", "HEAD~3")
    assert told(paseo.prune(older=AHEAD)) == {("run", run.id): False, ("run", same.id): False}


def test_a_spec_that_cannot_be_read_hides_no_run_and_gives_up_no_worktree(repo: Path) -> None:
    other, run = start("true"), start("true", worktree="w")
    run.host.folder(run.id).spec.write_text("{")
    assert [one.id for one in paseo.ls(all=True)] == [other.id]
    (row,) = paseo.prune(older=AHEAD).to_dict("records")
    assert (row["kind"], row["goes"]) == ("worktree", False)
    assert f"the spec of run {run.id} cannot be read" in row["why"]


def test_what_a_killed_fork_left_goes(repo: Path) -> None:
    (repo / "many").mkdir()
    for number in range(1500):
        (repo / "many" / str(number)).write_text(str(number))
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "many")
    run = paseo.run("demo/writer", "write a.md", worktree="w", mode="auto")
    branches = git(repo, "branch")
    half = run.host.home / "worktrees" / "w-fork"
    killed(verb("fork", run.id, "write b.md"), lambda: (half / "many").exists())
    assert half.exists()
    with pytest.raises(paseo.GitProblem, match="broken off"):
        start("true", worktree="w-fork")
    assert told(paseo.prune()) == {("unfinished", "w-fork"): True}
    paseo.prune(dry_run=False)
    assert not half.exists()
    assert git(repo, "branch") == branches
    assert git(repo, "worktree", "list").count("\n") == 2
    owners = {line.split("/")[2] for line in git(repo, "for-each-ref", "refs/paseo").splitlines()}
    assert owners == {run.id}
    assert run.fork(prompt="write b.md").wait().path == half


def test_refs_of_a_run_whose_folder_was_deleted_go(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, gone = (start(f"echo {name} > {name}", worktree=name) for name in ("kept", "gone"))
    monkeypatch.setenv("PASEO_NB_HOME", str(tmp_path / "home"))
    others = start("echo other > other", worktree="other")
    monkeypatch.delenv("PASEO_NB_HOME")
    gone.stop()
    shutil.rmtree(gone.host.folder(gone.id).path)
    assert ("refs", gone.id) not in told(paseo.prune()), "it is young"
    before = git(repo, "for-each-ref", "refs/paseo")
    found = told(paseo.prune(older=AHEAD))
    assert {name for kind, name in found if kind == "refs"} == {gone.id}
    assert git(repo, "for-each-ref", "refs/paseo") == before
    (tmp_path / "home").rename(tmp_path / "away")
    assert ("refs", gone.id) not in told(paseo.prune(older=AHEAD)), "it may be the other home's"
    (tmp_path / "away").rename(tmp_path / "home")
    paseo.prune(older=AHEAD, dry_run=False)
    owners = {line.split("/")[2] for line in git(repo, "for-each-ref", "refs/paseo").splitlines()}
    assert owners == {kept.id, others.id}
