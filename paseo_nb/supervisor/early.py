"""The agent of a new run, launched before the supervisor's own imports: the two start side by side.

Only where an agent will be needed for certain: the run has a prompt and has had no pair yet.
Light: it runs before anything heavy is imported. Whatever goes wrong here is left to the usual
launch, which can say so in the journal.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence

from .. import scratch
from . import cleanup


def is_first(run_dir: str) -> bool:
    """Whether no pair has had this run before, so that nothing can be left of one: the journal is
    not there. It is made, under the run lock, before an agent can be."""
    journal = os.path.join(run_dir, "journal.jsonl")
    if os.path.exists(journal + ".gz"):  # put away, by a front end
        return False
    try:
        os.close(os.open(journal, os.O_CREAT | os.O_EXCL, 0o600))
    except OSError:
        return False
    return True


def sweep(run_dir: str) -> None:
    """End what a double kill of an earlier pair left, and remove its scratch folder."""
    run_id = os.path.basename(run_dir)
    pair = {os.getpid(), os.getppid()}
    cleanup.end(lambda: cleanup.marked(run_id, pair), term_s=0.15)
    scratch.remove(run_dir)


def launch_if_due(run_dir: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Launch the agent of a new run that has a prompt."""
    try:
        with open(os.path.join(run_dir, "spec.json"), "rb") as file:
            spec = json.load(file)
        if not spec.get("prompt") or spec.get("record"):  # its recorder's address is not known yet
            return None
        env = {**environment, cleanup.MARKER: os.path.basename(run_dir)}
        return launch(spec["command"], env, spec["cwd"], stdin=subprocess.PIPE)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def launch(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: str,
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    keep: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start a program in its own session; OSError where it cannot be."""
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        bufsize=0,
        start_new_session=True,
        pass_fds=keep,
    )
