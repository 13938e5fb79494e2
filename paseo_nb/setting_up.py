"""A worktree as its repository wants it: commands of a trusted `paseo.json`, copied files.

Here is decided what a run is given, when it is prepared, and here a worktree's teardown is run,
when it is put away. The set-up commands are run by the supervisor (`supervisor/setting_up.py`).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .config import Settings
from .environments import environment
from .errors import GitProblem, NotTrusted, UsageProblem
from .git.commands import Repository
from .git.repository_setup import FILE, Wanted, committed, copy_untracked, read, setup_of, source_of
from .git.worktrees import Worktree
from .hints import command
from .model import Setup
from .trusting import digest, is_trusted, not_trusted
from .widgets.render.text import one_line

TEARDOWN_S = 600.0
_SHOWN = 2000
_LINE = 80


def check(settings: Settings, repository: Repository, commit: str) -> None:
    """Before a worktree is made of a commit: NotTrusted where its `paseo.json` has commands that
    the user has not let count, UsageProblem where it is wrong."""
    if not settings.setup:
        return
    content, source = committed(repository, commit), source_of(repository) / FILE
    if content is not None:
        _trusted(content, source, f"{commit[:10]}:{FILE}")
    elif _uncommitted(repository):
        _trusted(source.read_bytes(), source, str(source))


def _uncommitted(repository: Repository) -> bool:
    """Whether the main checkout has one that was never committed there: it counts for worktrees
    that have none, without being copied into them."""
    source = source_of(repository) / FILE
    if not source.is_file() or source.is_symlink():
        return False
    main = Repository(source.parent)
    head = main.commit("HEAD")
    return head is None or committed(main, head) is None


def for_run(settings: Settings, tree: Worktree) -> tuple[Setup | None, list[str]]:
    """What a run in a worktree is given, and what is to be said of it. Files are copied into a new
    one here."""
    patterns = [part for part in (settings.copy_files or "").split(":") if part]
    if tree.created and patterns:
        copy_untracked(tree.path, patterns)
    there = Repository(tree.path)
    file, source = tree.path / FILE, source_of(there) / FILE
    if settings.setup and not os.path.lexists(file) and _uncommitted(there):
        file = source
    if not settings.setup or not file.is_file() or file.is_symlink():
        return None, []
    try:
        wanted = _trusted(file.read_bytes(), source, str(file), file)
    except NotTrusted as problem:
        if tree.created:
            raise
        return None, [f"the worktree is not set up: {problem}"]
    setup = setup_of(tree.path, tree.branch, wanted)
    return setup, [not_started(wanted, setup)] if tree.created and wanted.beside else []


def not_started(wanted: Wanted, setup: Setup | None = None) -> str:
    """What of a `paseo.json` a worktree goes without, and how to have it."""
    ports = [f"{n}={v}" for n, v in (setup.env if setup else {}).items() if n.endswith("_PORT")]
    with_ports = f", with {' '.join(ports)}" if ports and wanted.services else ""
    named = [
        " ".join([kind, one_line(name, 40), f"(`{one_line(line, _LINE)}`)" if line else ""]).strip()
        for kind, name, line in wanted.beside
    ]
    return (
        f"{FILE} names {', '.join(named)}: not started here. Start what is needed in the"
        f" worktree yourself{with_ports}, or have the agent do it, which has these variables"
    )


def _trusted(content: bytes, source: Path, shown: str, *others: Path) -> Wanted:
    """What it asks for, where it may: a file without commands always may. It counts by the path in
    the main checkout, which stays the same for all worktrees, or by its own."""
    wanted = read(content, shown)
    if not (wanted.setup or wanted.teardown):
        return wanted
    if any(is_trusted(path, content) for path in (source, *others)):
        return wanted
    names = " and ".join(name for name in ("setup", "teardown") if getattr(wanted, name))
    what = f"names commands for a new worktree ({names})"
    if source.is_file() and source.read_bytes() == content:
        raise not_trusted(source, what)
    if others:
        raise not_trusted(others[0], what)
    raise NotTrusted(
        f"{shown} {what}, otherwise than {source} does, and you have not trusted it. Read it (git"
        f" show {shown}), then trust that very content: PASEO_NB_TRUST={digest(content)}. Or start"
        " without it: PASEO_NB_SETUP=0."
    )


def untrusted(project: Path) -> str | None:
    """Why the project's `paseo.json` would not count, in words; None where it would, or is none."""
    file = project / FILE
    if not file.is_file():
        return None
    try:
        _trusted(file.read_bytes(), file, str(file))
    except (NotTrusted, UsageProblem) as problem:
        return str(problem)
    return None


def left_out(project: Path) -> str | None:
    """What the project's `paseo.json` names that is not started here; None where there is none."""
    try:
        wanted = read((project / FILE).read_bytes(), FILE)
    except (OSError, UsageProblem):
        return None
    return not_started(wanted) if wanted.beside else None


def tear_down(path: Path, setup: Setup) -> str | None:
    """Run a worktree's teardown commands in it; why it failed, if it did."""
    from .supervisor.masking import Masker, secrets_in
    from .supervisor.setting_up import shell

    env = environment(setup.env)
    for line in setup.teardown:
        try:
            done = subprocess.run(
                shell(line), cwd=path, env=env, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TEARDOWN_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"its teardown failed: {error}"
        if done.returncode != 0:
            said = Masker(secrets_in(env))(done.stdout).decode("utf-8", "replace").strip()
            return f"its teardown failed ({line!r}, exit code {done.returncode}): {said[-_SHOWN:]}"
    return None


def again(path: Path, settings: Settings) -> None:
    """What a worktree that was made again lacks: the copied files. Its commands are run with the
    next turn, as it is new. What cannot be copied is left."""
    try:
        patterns = [part for part in (settings.copy_files or "").split(":") if part]
        copy_untracked(path, patterns)
    except (GitProblem, UsageProblem, OSError):
        return


def hint() -> str:
    """How to trust it."""
    return command(f"trust {FILE}")
