"""A worktree for a run beside plain `git worktree add`, and a turn's snapshot beside `git diff`.

Repositories of 1,000 and 20,000 small files. Each pair is measured in turn, the order swapped every
time, the disk written out (`sync`) before each; the ratio told is the median over pairs.

- hand-out: `ensure_worktree`, as a run gets it, with the branch made; plain git makes the same.
- snapshot: at the end of a turn that changed 20 files, as the supervisor tells it in the journal
  (`took_ms`); plain: `git diff --numstat HEAD` for the same 20 changes in the same worktree. Beside
  them `git add --all` and `git commit` of such changes: what writing them down costs git itself.

`python benchmarks/worktrees.py [--pairs 7]` writes results/worktrees.json. Trust the ratios.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from common import machine, median, write_results

SIZES = (1_000, 20_000)
CHANGED = 20
TURNS = 9
GOALS = {"hand-out": 1.1, "snapshot": 3.0}
SHELL = Path(__file__).parents[1] / "tests" / "shell_agent.py"


def git(folder: Path, *words: str) -> str:
    """git's output."""
    who = ["-c", "user.name=b", "-c", "user.email=b@e", "-c", "gc.auto=0"]
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode()


def make(folder: Path, count: int) -> Path:
    """A repository with so many files of about 2 kB, 100 a folder."""
    folder.mkdir()
    for n in range(count):
        place = folder / f"d{n // 100:03}"
        place.mkdir(exist_ok=True)
        (place / f"f{n:05}.py").write_text("".join(f"line {n} {i}\n" for i in range(150)))
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "start")
    git(folder, "gc", "-q")
    return folder


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    os.sync()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def hand_out(repo: Path, pairs: int) -> dict[str, Any]:
    """Both ways, in turn."""
    from paseo_nb.git.worktrees import ensure_worktree

    home = repo / ".paseo_nb"
    ours, plain = list[float](), list[float]()

    def add_ours(n: int) -> None:
        ours.append(timed(lambda: ensure_worktree(repo, f"ours-{n}", home, lambda path: None)))

    def add_plain(n: int) -> None:
        path = str(repo.parent / "plain" / str(n))
        words = ("worktree", "add", "-q", "-b", f"plain-{n}", path, "HEAD")
        plain.append(timed(lambda: git(repo, *words)))

    for n in range(-1, pairs):
        for add in (add_ours, add_plain) if n % 2 else (add_plain, add_ours):
            add(n)
        git(repo, "worktree", "remove", "--force", str(home / "worktrees" / f"ours-{n}"))
        git(repo, "worktree", "remove", "--force", str(repo.parent / "plain" / str(n)))
    return told(ours[1:], plain[1:], "hand-out")  # the first pair warms up


def snapshots(repo: Path) -> dict[str, Any]:
    """Turns of a real run that change 20 files each, and git's diff of 20 files."""
    import paseo_nb as paseo

    os.chdir(repo)
    paseo.register_provider("sh", command=[sys.executable, str(SHELL)])
    step = max(int(git(repo, "ls-files").count("\n") / CHANGED), 1)
    names = git(repo, "ls-files").splitlines()[::step][:CHANGED]
    change = "; ".join(f"echo changed $$ >> {name}" for name in names)
    run = paseo.run("sh", change, worktree="snapshots", mode="auto")
    plain: list[float] = []
    for _ in range(TURNS):
        run.send(change)
        run.wait()
        plain.append(timed(lambda: git(run.path, "diff", "--numstat", "HEAD")))
    commits = list[float]()
    for n in range(TURNS):
        for name in names:
            with open(Path(run.path) / name, "a") as file:
                file.write(f"changed {n}\n")
        commits.append(timed(lambda: _commit(run.path)))
    lines = [event.data() for event in run.stream(follow=False) if event.kind == "snapshot"]
    ours = [line["took_ms"] / 1e3 for line in lines if line["at"] == "end"]
    run.stop()
    result = told(ours[1:], plain, "snapshot")
    return result | {"plain_commit_ms": round(median(commits) * 1e3, 1)}


def _commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "changed")


def told(ours: list[float], plain: list[float], what: str) -> dict[str, Any]:
    """Medians in ms, and the median of the ratios."""
    ratio = median([one / other for one, other in zip(ours, plain, strict=True)])
    result = {
        "paseo_nb_ms": round(median(ours) * 1e3, 1),
        "plain_git_ms": round(median(plain) * 1e3, 1),
        "paseo_nb_min_max_ms": [round(min(ours) * 1e3, 1), round(max(ours) * 1e3, 1)],
        "plain_git_min_max_ms": [round(min(plain) * 1e3, 1), round(max(plain) * 1e3, 1)],
        "ratio": round(ratio, 2),
        "goal": GOALS[what],
        "met": ratio <= GOALS[what],
    }
    print(what, result)
    return result


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    rows: dict[str, Any] = {}
    for count in SIZES:
        place = Path(tempfile.mkdtemp(prefix="worktrees-"))
        try:
            repo = make(place / "repo", count)
            rows[f"hand-out, {count} files"] = hand_out(repo, pairs)
            rows[f"snapshot, {count} files"] = snapshots(repo)
        finally:
            os.chdir("/")
            shutil.rmtree(place, ignore_errors=True)
    version = git(Path.cwd(), "--version").strip()
    write_results("worktrees", {"pairs": pairs, "rows": rows, "git": version, "machine": machine()})


if __name__ == "__main__":
    main()
