"""Whatever state a repository is in: a snapshot, a diff and an undo leave the user's side alone.

Invariants: (1) index (its bytes), HEAD, branches, tags, stash, configuration and what git is in the
middle of are untouched; (2) after an undo every file that is not ignored is, byte for byte, what it
was before the agent came; (3) the present state is kept before an undo; (4) so it is through the whole life of a worktree:
made, archived, brought back, forked, applied.
"""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paseo_nb.errors import GitProblem
from paseo_nb.git.applying import apply, work_out
from paseo_nb.git.diffs import diff
from paseo_nb.git.forking import lay_over
from paseo_nb.git.shelving import check_same, clear_away, shelve, take_away, unshelve
from paseo_nb.git.snapshots import snapshot
from paseo_nb.git.undoing import Change, put_back
from paseo_nb.git.worktrees import ensure_worktree

NAMES = [b"a.txt", b"b b.txt", b"dir/c", b"dir/deep/d", b"-e", b":(top)f", b"*.g", b"\xff\xfe.bin",
         "ü\n.txt".encode(), b"dir2/\xe9", b"x.log", b"link"]  # fmt: skip
CONTENTS = [b"", b"one\n", b"two\r\nlines\r\n", bytes(range(256)), b"no end"]
name = st.sampled_from(NAMES)
content = st.sampled_from(CONTENTS)
edit = st.one_of(
    st.tuples(st.just("write"), name, content),
    st.tuples(st.just("delete"), name, st.none()),
    st.tuples(st.just("rename"), name, name),
    st.tuples(st.just("chmod"), name, st.none()),
    st.tuples(st.just("link"), name, st.sampled_from([b"a.txt", b"/etc/passwd", b"nowhere"])),
    st.tuples(st.just("nested"), st.just(b"nested"), st.none()),
)
by_git = st.sampled_from(
    ["add -A", "add -N .", "commit -qm c", "stash -q", "stash -qu", "branch -f other",
     "checkout -q --detach", "rm -q --cached a.txt", "reset -q --mixed", "merge -q side",
     "update-index --assume-unchanged a.txt", "submodule --quiet add ./sub-source sub"]
)  # fmt: skip
users = st.lists(st.one_of(edit, st.tuples(by_git, st.none(), st.none())), max_size=8)
agents = st.lists(edit, max_size=6)


def git(repo: Path, *words: str, check: bool = True) -> bytes:
    who = ["-c", "user.name=t", "-c", "user.email=t@e", "-c", "protocol.file.allow=always"]
    return subprocess.run(["git", *who, *words], cwd=repo, capture_output=True, check=check).stdout


def do(repo: Path, what: str, path: bytes | None, more: bytes | None) -> None:
    """One step; what cannot be done in this state is left."""
    if path is None:
        git(repo, *what.split(), check=False)
        return
    full = os.path.join(os.fsencode(repo), path)
    if any(os.path.islink(parent) for parent in _parents(repo, path)):
        return
    try:
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if what == "write":
            if os.path.islink(full):
                os.unlink(full)
            Path(os.fsdecode(full)).write_bytes(more or b"")
        elif what == "delete":
            shutil.rmtree(full) if os.path.isdir(full) and not os.path.islink(full) else os.unlink(
                full
            )
        elif what == "rename" and more is not None:
            target = os.path.join(os.fsencode(repo), more)
            if not any(os.path.islink(parent) for parent in _parents(repo, more)):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                os.rename(full, target)
        elif what == "chmod" and not os.path.islink(full):
            os.chmod(full, 0o755)
        elif what == "link" and more is not None:
            os.symlink(more, full)
        elif what == "nested":
            os.makedirs(full, exist_ok=True)
            git(Path(os.fsdecode(full)), "init", "-q")
    except OSError:
        return


def _parents(repo: Path, path: bytes) -> list[bytes]:
    parts = path.split(b"/")[:-1]
    return [os.path.join(os.fsencode(repo), *parts[: n + 1]) for n in range(len(parts))]


def theirs(repo: Path) -> tuple[object, ...]:
    """The user's side of the repository."""
    own = repo / ".git"
    index = own / "index"
    return (
        index.read_bytes() if index.exists() else None,
        (own / "HEAD").read_bytes(),
        (own / "config").read_bytes(),
        (own / "MERGE_HEAD").exists(),
        git(repo, "for-each-ref", "refs/heads", "refs/tags", "refs/stash", "refs/remotes"),
        git(repo, "stash", "list"),
    )


def files(repo: Path) -> dict[bytes, tuple[object, ...]]:
    """What is there, but for what git ignores and repositories of their own."""
    listed = git(repo, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    out: dict[bytes, tuple[object, ...]] = {}
    for path in set(listed.split(b"\0")) - {b""}:
        full = os.path.join(os.fsencode(repo), path.rstrip(b"/"))
        try:
            found = os.lstat(full)
        except OSError:
            continue
        if stat.S_ISLNK(found.st_mode):
            out[path] = ("link", os.readlink(full))
        elif stat.S_ISREG(found.st_mode):
            out[path] = (bool(found.st_mode & 0o100), Path(os.fsdecode(full)).read_bytes())
    return out


def repository(folder: Path, commits: bool) -> Path:
    repo = folder / "repo"
    repo.mkdir()
    git(repo, "init", "-q", "-b", "main")
    (repo / ".gitignore").write_text("*.log\n")
    if commits:
        source = repo / "sub-source"
        source.mkdir()
        git(source, "init", "-q")
        git(source, "commit", "-q", "--allow-empty", "-m", "s")
        for path, text in zip(NAMES[:8], CONTENTS * 2, strict=False):
            do(repo, "write", path, text)
        git(repo, "add", "-A", ":!sub-source")
        git(repo, "commit", "-qm", "first")
        git(repo, "checkout", "-qb", "side")
        (repo / "a.txt").write_bytes(b"side\n")
        git(repo, "commit", "-qam", "side")
        git(repo, "checkout", "-q", "main")
        (repo / "a.txt").write_bytes(b"main\n")
        git(repo, "commit", "-qam", "main")
    return repo


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(commits=st.booleans(), before=users, agent=agents, more=agents)
def test_the_users_side_is_left_alone(
    commits: bool, before: list[tuple[str, bytes, bytes]], agent: list[tuple[str, bytes, bytes]],
    more: list[tuple[str, bytes, bytes]],
) -> None:  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        repo = repository(Path(folder), commits)
        for step in before:
            do(repo, *step)
        mine, held = theirs(repo), files(repo)
        states = [snapshot(repo, ref="refs/paseo/r/base")]
        for part, steps in enumerate((agent, more)):
            for step in steps:
                do(repo, *step)
            states.append(snapshot(repo, ref=f"refs/paseo/r/{part}"))
        after = files(repo)
        diff(repo, states[0])
        diff(repo, states[0], states[-1])
        changes = [Change(one, two, True) for one, two in itertools.pairwise(states)]
        undone = put_back(repo, changes, ref="refs/paseo/r/kept")
        assert files(repo) == held
        assert theirs(repo) == mine
        again = [Change(undone.kept, snapshot(repo, ref="refs/paseo/r/now"), True)]
        put_back(repo, again, ref="refs/paseo/r/kept2")
        assert files(repo) == after, "an undo can be undone"
        assert theirs(repo) == mine


in_a_worktree = st.lists(
    st.one_of(
        edit,
        st.tuples(
            st.sampled_from(["add -A", "commit -qm c", "stash -q", "checkout -q --detach", "rm -q a.txt"]),
            st.none(),
            st.none(),
        ),
    ),
    max_size=7,
)  # fmt: skip


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(before=users, agent=in_a_worktree, more=in_a_worktree)
def test_a_worktrees_life_leaves_the_users_side_alone(
    before: list[tuple[str, bytes, bytes]], agent: list[tuple[str, bytes, bytes]],
    more: list[tuple[str, bytes, bytes]],
) -> None:  # fmt: skip
    """Made, worked in, archived, brought back, forked, applied: the user's index, stash, HEAD and
    files stay what they were, until an apply is carried out; then only what it names has changed.
    What was committed, staged, changed and untracked in the worktree comes back byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        repo, home = repository(Path(folder), True), Path(folder) / "home"
        git(repo, "config", "user.name", "t")
        git(repo, "config", "user.email", "t@e")
        for step in before:
            do(repo, *step)
        mine, held = theirs(repo), files(repo)
        stashes = git(repo, "stash", "list")
        made = ensure_worktree(repo, "w", home, lambda _: None)
        base = snapshot(made.path, ref="refs/paseo/w/base")
        for step in agent:
            do(made.path, *step)
        first = snapshot(made.path, ref="refs/paseo/w/1")
        for step in more:
            do(made.path, *step)
        after = snapshot(made.path, ref="refs/paseo/w/2")
        worked, staged = files(made.path), git(made.path, "diff", "--cached", "--raw", "-z")
        head = git(made.path, "rev-parse", "HEAD")

        try:
            shelved = shelve(made.path, "w")
        except GitProblem:
            shelved = None  # it says what it cannot keep; then the worktree stays
        if shelved is not None:
            check_same(shelved)
            aside = take_away(shelved, home / "worktrees")
            clear_away(repo, shelved, aside, home / "worktrees")
            assert not made.path.exists()
            assert not aside.exists()
            unshelve(repo, shelved, "w", home / "worktrees")
        assert files(made.path) == worked
        assert git(made.path, "diff", "--cached", "--raw", "-z") == staged
        assert git(made.path, "rev-parse", "HEAD") == head

        fork = ensure_worktree(repo, "w-fork", home, lambda _: None, made.base)
        lay_over(fork.path, first)
        assert diff(fork.path, first).files == [], "as of that turn"
        git(repo, "worktree", "remove", "--force", str(fork.path))
        git(repo, "branch", "-qD", "w-fork")

        def untouched() -> bool:
            now = theirs(repo)
            branches = [row for row in now[4].splitlines() if b"refs/heads/w" not in row]  # type: ignore[attr-defined]
            then = [row for row in mine[4].splitlines() if b"refs/heads/w" not in row]  # type: ignore[attr-defined]
            kept = now[:4] == mine[:4] and files(repo) == held
            return kept and [r for r in branches if b"stash" not in r] == [
                r for r in then if b"stash" not in r
            ]

        assert untouched()
        merge = work_out(repo, base, after, None)
        assert untouched(), "a dry run"
        try:
            apply(repo, merge, "applied")
        except GitProblem:
            assert untouched(), "refused, with nothing touched"
            return
        told = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", merge.parent, merge.tree)
        named = set(git(repo, *told).split(b"\0"))
        now = files(repo)
        assert [p for p in {*now, *held} if now.get(p) != held.get(p) and p not in named] == []
        assert theirs(repo)[2] == mine[2]
        if not any("stash" in step[0] for step in [*agent, *more]):
            assert git(repo, "stash", "list") == stashes
