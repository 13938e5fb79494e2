"""Every turn is a commit of the files: looked at, undone, and nothing of the user's is touched.

Invariants: (1) a turn's diff is what changed between its start and its end, whoever did it between
turns; (2) branch, index, stash and hooks are the user's, and stay so; (3) an undo touches only the
files that the turns changed, and only where they are still as the turns left them; (4) where there
is no git the run works; where git fails it goes on, and says so.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kit import SLACK, Project

import paseo_nb as paseo
from paseo_nb.cli import run as terminal
from paseo_nb.errors import GitProblem
from paseo_nb.git.snapshots import snapshot

AGENT = [sys.executable, str(Path(__file__).parents[1] / "shell_agent.py")]


@pytest.fixture(autouse=True)
def shell(repo: Path) -> None:
    """The agent `sh`."""
    paseo.register_provider("sh", command=AGENT)


def git(repo: Path, *args: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    done = subprocess.run(["git", *who, *args], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def theirs(repo: Path) -> tuple[object, ...]:
    """What is the user's."""
    return (
        (repo / ".git" / "index").read_bytes(),
        (repo / ".git" / "HEAD").read_text(),
        git(repo, "for-each-ref", "refs/heads", "refs/stash", "refs/tags"),
        git(repo, "stash", "list"),
    )


def start(script: str, **more: object) -> paseo.Run:
    return paseo.run("sh", script, mode="auto", **more)  # pyright: ignore[reportArgumentType]


def then(run: paseo.Run, script: str) -> paseo.Run:
    run.send(script)
    run.wait()
    return run


def changed(run: paseo.Run, turn: int) -> dict[str, str]:
    files = run.diff(turn=turn).files
    return dict(zip(files["path"], files["status"], strict=True))


def test_each_turn_has_its_own_diff(repo: Path) -> None:
    (repo / ".gitignore").write_text("*.log\n.paseo_nb\n")
    (repo / "README.md").write_text("staged\n")
    git(repo, "add", "README.md")
    (repo / "README.md").write_text("and changed on\n")
    (repo / "mine.txt").write_text("untracked\n")
    before = theirs(repo)
    run = start("echo one > a.txt; echo no > noise.log; rm tests/test_lines.py")
    (repo / "between.txt").write_text("the user's\n")
    then(run, "echo two >> a.txt; mkdir -p deep/er; echo x > 'deep/er/ü n.txt'")
    then(run, "true")
    assert changed(run, 1) == {"a.txt": "A", "tests/test_lines.py": "D"}
    assert changed(run, 2) == {"a.txt": "M", "deep/er/ü n.txt": "A"}
    assert changed(run, 3) == {}
    assert "+two" in run.diff(turn=2).patch
    assert theirs(repo) == before
    turns = run.turns()
    assert list(turns["files_changed"]) == [2, 2, 0]
    assert list(turns["lines_added"]) == [1, 2, 0]
    assert (turns["git_after"] == turns["git_after"].iloc[1])[1:].all()
    held = git(repo, "ls-tree", "-r", "--name-only", turns["git_after"].iloc[0]).splitlines()
    assert {"mine.txt", "a.txt"} <= set(held)
    assert not {"noise.log", "between.txt", "tests/test_lines.py"} & set(held)
    assert git(repo, "show", f"{turns['git_before'].iloc[0]}:README.md") == "and changed on\n"
    with pytest.raises(paseo.UsageProblem, match="has no turn 4; it has had 3"):
        run.diff(turn=4)
    assert str(paseo.runs()["git_head"].iloc[0]) == turns["git_after"].iloc[2]


def test_what_the_agent_commits_itself_is_in_its_turn_and_kept(repo: Path) -> None:
    who = "git -c user.name=a -c user.email=a@example.com"
    run = start(f"echo 1 > a; git add a; {who} commit -qm mine; echo 2 > b", worktree="w")
    assert changed(run, 1) == {"a": "A", "b": "A"}
    then(run, "git reset -q --hard HEAD~1")
    after = run.turns()["git_after"].iloc[0]
    assert "mine" in git(repo, "log", "--format=%s", after), "git keeps it with the snapshot"


def test_head_is_known_wherever_git_keeps_it(repo: Path) -> None:
    run = start("echo a > a", worktree="a/loose")
    first = git(repo, "rev-parse", "HEAD").strip()
    then(run, "git pack-refs --all; echo b > b")
    who = "git -c user.name=a -c user.email=a@example.com"
    then(run, f"git checkout -q --detach; {who} commit -q --allow-empty -m x")
    second = git(Path(run.path), "rev-parse", "HEAD").strip()
    heads = {(state.turn, state.at): state.head for state in run.history().files}
    assert {heads[1, "end"], heads[2, "end"], heads[3, "start"]} == {first}
    assert heads[3, "end"] == second != first


def test_a_repository_without_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(fresh, "init", "-q")
    monkeypatch.chdir(fresh)
    run = start("echo 1 > a")
    assert changed(run, 1) == {"a": "A"}
    run.undo()
    assert not (fresh / "a").exists()
    run.stop()


def test_outside_git_a_run_works_and_says_that_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    monkeypatch.chdir(plain)
    run = start("echo 1 > a")
    assert (plain / "a").exists()
    assert "snapshot" not in set(run.events()["kind"])
    for look in (lambda: run.diff(turn=1), lambda: run.undo()):
        with pytest.raises(GitProblem, match="outside a git repository"):
            look()
    run.stop()


def test_where_git_fails_the_run_goes_on_and_says_so_once(repo: Path) -> None:
    run = start("echo 1 > a")
    shutil.rmtree(repo / ".git")
    then(run, "echo 2 > a")
    then(run, "echo 3 > a")
    assert run.state == "idle"
    events = run.events()
    said = [text for text in events["raw"][events["kind"] == "warning"] if "not kept" in text]
    assert len(said) == 1
    with pytest.raises(GitProblem, match="turn 3 .* were not kept"):
        run.diff(turn=3)


def test_an_interrupted_turn_ends_where_the_next_begins(repo: Path) -> None:
    run = paseo.start("sh", "echo 1 > a; touch ready; sleep 60", mode="auto")
    deadline = time.monotonic() + 10 * SLACK
    while not (repo / "ready").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(Project(repo).processes(run.id)["supervisor"], signal.SIGKILL)
    while run.state != "interrupted":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert changed(run, 1) == {"a": "?", "ready": "?"}, "so far: the files as they are now"
    then(run, "echo 2 > b")
    assert changed(run, 1) == {"a": "A", "ready": "A"}
    assert changed(run, 2) == {"b": "A"}


def test_undo_puts_back_what_the_turns_changed_and_nothing_else(repo: Path) -> None:
    (repo / "tool.sh").write_text("#!/bin/sh\n")
    (repo / "swap").mkdir()
    (repo / "swap" / "in.txt").write_text("in\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "more")
    before = theirs(repo)
    run = start("echo 1 > a")
    then(
        run,
        "chmod +x tool.sh; mv README.md R.md; rm -r swap; ln -s /etc swap; mkdir n; echo > n/f",
    )
    then(run, "echo 3 > a")
    (repo / "mine.txt").write_text("the user's\n")
    back = run.undo(2)
    touched = {"README.md", "a", "n/f", "swap", "swap/in.txt", "tool.sh"}
    assert set(back.files["path"]) == touched
    assert (repo / "a").read_text() == "1\n"
    assert not os.access(repo / "tool.sh", os.X_OK)
    assert (repo / "README.md").exists()
    assert not (repo / "R.md").exists()
    assert (repo / "swap" / "in.txt").read_text() == "in\n"
    assert not (repo / "swap").is_symlink()
    assert not (repo / "n").exists()
    assert (repo / "mine.txt").read_text() == "the user's\n"
    assert theirs(repo) == before
    run.undo(1)
    assert not (repo / "a").exists()
    assert "Undone: a, as before turn 1." in list(run.transcript()["text"])
    then(run, "echo told")
    sent = run.events().query("dir == 'out' and kind == 'session/prompt'")["raw"].iloc[-1]
    assert "since turn 2" in sent
    assert "since turn 1" in sent
    then(run, "echo again")
    sent = run.events().query("dir == 'out' and kind == 'session/prompt'")["raw"].iloc[-1]
    assert "undone" not in sent


def test_undo_leaves_what_was_changed_since(repo: Path) -> None:
    run = start("echo 1 > a; echo 1 > b")
    (repo / "a").write_text("mine\n")
    with pytest.raises(GitProblem, match="not only the run changed a. Nothing was put back"):
        run.undo()
    assert (repo / "b").exists()
    run.undo(force=True)
    assert not (repo / "a").exists()
    kept = f"refs/paseo/{run.id}/undo-1-kept:a"
    assert git(repo, "show", kept) == "mine\n", "and that is not lost"


def test_an_undo_that_was_killed_is_finished_by_the_next_one(repo: Path) -> None:
    run = start("echo 1 > a; echo 1 > b; echo more >> README.md")
    (repo / "a").write_text("mine\n")
    refs = f"refs/paseo/{run.id}"
    git(repo, "update-ref", f"{refs}/undo-1-kept", snapshot(repo))  # what a killed one leaves:
    (repo / "a").unlink()  # the present state kept, and some of the files back
    git(repo, "checkout", "--", "README.md")
    back = run.undo()
    assert set(back.files["path"]) == {"a", "b", "README.md"}
    assert not (repo / "b").exists()
    assert git(repo, "show", f"{refs}/undo-1-kept:a") == "mine\n", "never overwritten"
    assert git(repo, "show", f"{refs}/undo-2-kept:b") == "1\n"
    texts = list(run.transcript()["text"])
    assert "Undone: README.md, a, b, as before turn 1." in texts
    assert run.undo().files.empty
    assert list(run.transcript()["text"]) == texts


def test_a_turn_is_a_number_in_a_terminal_and_in_a_cell(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start("echo 1 > a")
    then(run, "echo 2 > b")
    for turn in (["2"], ["--turn", "2"]):
        assert terminal(["diff", run.id, *turn]) == 0
        told = capsys.readouterr().out
        assert "+++ b/b" in told
        assert "+++ b/a" not in told
    assert terminal(["undo", run.id, "2"]) == 0
    assert not (repo / "b").exists()
    assert (repo / "a").exists()
    capsys.readouterr()
    assert terminal(["diff", run.id, "x"]) == 2
    assert "invalid int value: 'x'" in capsys.readouterr().err


def test_undo_is_refused_while_the_run_is_at_work(repo: Path) -> None:
    run = paseo.start("sh", "sleep 30", mode="auto")
    with pytest.raises(paseo.UsageProblem, match="at work"):
        run.undo()
    run.cancel()


def test_apply_puts_the_change_onto_the_users_branch(repo: Path) -> None:
    git(repo, "config", "user.name", "the user")
    git(repo, "config", "user.email", "user@example.com")
    run = start("echo 1 > a; git add a; echo 2 > b", worktree="w", title="Two files")
    before = git(repo, "rev-parse", "HEAD"), git(repo, "status", "--porcelain")
    would = run.apply(dry_run=True)
    assert would.conflicts == []
    assert list(would.files["path"]) == ["a", "b"]
    assert "2 files would change in main" in str(would)
    assert (git(repo, "rev-parse", "HEAD"), git(repo, "status", "--porcelain")) == before
    done = run.apply()
    assert git(repo, "log", "-1", "--format=%H %s").split(maxsplit=1) == [
        done.commit,
        "Two files\n",
    ]
    assert f"Paseo-Run: {run.id}" in git(repo, "log", "-1", "--format=%(trailers)")
    assert (repo / "b").read_text() == "2\n"
    assert "nothing to apply" in str(run.apply())
    assert any(str(text).startswith("Applied onto main") for text in run.transcript()["text"])
    (repo / "a").write_text("mine\n")
    git(repo, "commit", "-qam", "mine")
    then(run, "echo theirs > a")
    assert run.apply(dry_run=True).conflicts == ["a"]
    with pytest.raises(GitProblem, match="Nothing was touched"):
        run.apply()


def test_apply_knows_beforehand_what_is_in_the_way(repo: Path) -> None:
    git(repo, "config", "user.name", "the user")
    git(repo, "config", "user.email", "user@example.com")
    run = start("echo 1 > new; mkdir -p d; echo 1 > d/in; echo more >> README.md", worktree="w")
    (repo / ".gitignore").write_text("new\n")
    (repo / "new").write_text("mine, and ignored\n")
    (repo / "d").write_text("a file where a folder is to be\n")
    before = git(repo, "status", "--porcelain", "--ignored")
    would = run.apply(dry_run=True)
    assert (would.conflicts, would.in_the_way) == ([], ["d", "new"])
    assert "changes of its own in what the run changed: d, new. Commit" in str(would)
    with pytest.raises(GitProblem, match="d, new"):
        run.apply()
    assert git(repo, "status", "--porcelain", "--ignored") == before
    for name in ("new", "d"):
        (repo / name).unlink()
    (repo / "README.md").write_text("mine\n")
    assert run.apply(dry_run=True).in_the_way == ["README.md"]
    git(repo, "checkout", "--", "README.md")
    (repo / "other.txt").write_text("not in the way\n")
    assert run.apply(dry_run=True).in_the_way == []
    assert run.apply().commit is not None


def test_runs_that_are_applied_at_once_are_applied_one_after_the_other(repo: Path) -> None:
    git(repo, "config", "user.name", "the user")
    git(repo, "config", "user.email", "user@example.com")
    runs = [start(f"echo {n} > made-{n}", worktree=f"w{n}") for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = [done.commit for done in pool.map(lambda run: run.apply(), runs)]
    assert git(repo, "rev-list", "--count", "HEAD~4..HEAD").strip() == "4"
    assert set(git(repo, "rev-list", "-4", "HEAD").split()) == set(made)
    assert git(repo, "status", "--porcelain").strip() == ""


def test_a_turn_changes_what_git_is_told_to_assume_unchanged(repo: Path) -> None:
    git(repo, "update-index", "--assume-unchanged", "README.md")
    held = (repo / "README.md").read_bytes()
    run = start("echo more >> README.md")
    assert changed(run, 1) == {"README.md": "M"}
    run.undo()
    assert (repo / "README.md").read_bytes() == held


def test_a_worktree_that_is_there_is_shown_as_it_is(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = start("echo 1 > a", worktree="w")
    assert run.spec.warnings == []
    assert terminal(["run", "sh", "true", "--worktree", "w", "--mode", "auto"]) == 0
    head = git(repo, "rev-parse", "w")[:8]
    said = f"worktree 'w' was there already, on w at {head}, with 1 file not committed"
    told = capsys.readouterr()
    assert said in told.out
    assert "  branch w off " in told.err
    with pytest.raises(paseo.UsageProblem, match="names none"):
        start("true", worktree=" ")
    with pytest.raises(GitProblem, match="'@' is not a name"):
        start("true", worktree="@")


def test_apply_says_where_the_run_works_in_that_very_folder(repo: Path) -> None:
    run = start("echo 1 > a")
    with pytest.raises(paseo.UsageProblem, match="its changes are there already"):
        run.apply()


def test_what_is_not_kept_as_it_is_is_said_on_the_run_and_by_the_doctor(repo: Path) -> None:
    (repo / ".gitattributes").write_text("*.bin filter=lfs -text\n")
    assert any("LFS" in said for said in start("true").history().warnings)
    assert any("LFS" in check.detail for check in paseo.doctor() if check.name == "repository")
