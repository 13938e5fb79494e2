"""Runs that came with a repository: a project's `.paseo_nb` is its user's own and in no commit, so
what git knows of it somebody else wrote. Such a run can be looked at; what it names as its agent's
command, or a workflow's as its source, is not executed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from ..plain_git import NOT_PASSED_ON, OPTIONS, QUIET

WAIT_S = 30.0
# Whoever owns the repository; no folder of files counts as one.
LOOK = ("-c", "safe.directory=*", "-c", "safe.bareRepository=explicit")
NO_REPOSITORY = b"not a git repository"


def came_along(spec: Path) -> bool:
    """Whether a run's spec is a file of a repository (also of one that `.paseo_nb` itself is).
    Where git refuses to say, as in a folder made to look like a bare repository, it is."""
    told = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    words = ["git", "-C", str(spec.parent), *OPTIONS, *LOOK, "ls-files", "--error-unmatch", "--"]
    with contextlib.suppress(FileNotFoundError):  # no git here: no clone either
        done = subprocess.run(
            [*words, spec.name], env={**told, **QUIET}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=WAIT_S, check=False,
        )  # fmt: skip
        return done.returncode != 1 and NO_REPOSITORY not in done.stderr
    return False
