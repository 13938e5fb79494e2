"""Starting a pair of processes from a front end: detached, isolated, environment by pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import ahocorasick_rs
import msgspec

from .. import supervisor
from ..errors import StorageProblem

# Not the run's id: who sweeps up what a dead pair left must not take a pair that is just starting.
PAIR_MARKER = "pair"
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "XDG_RUNTIME_DIR", "TZ", "USER", "LOGNAME")


def import_path() -> list[str]:
    """The folders that a supervisor may import from, besides the standard library."""
    files = (supervisor.__file__, msgspec.__file__, ahocorasick_rs.__file__)
    assert all(files)
    ours = str(Path(supervisor.__file__).parents[2])
    return list(dict.fromkeys([ours, *(str(Path(file).parents[1]) for file in files[1:])]))


def launch(environments: Mapping[str, Mapping[str, str]]) -> None:
    """Start one pair per run folder (keys), each agent with its environment (values).

    Returns when the pairs have been forked off; a folder whose lock is held is left alone.
    """
    run_dirs = list(environments)
    entry = Path(supervisor.__file__).with_name("__main__.py")
    command = [
        sys.executable, "-I", "-S", "-u", str(entry), "--path", os.pathsep.join(import_path()),
        *run_dirs,
    ]  # fmt: skip
    env = {name: os.environ[name] for name in _KEPT if name in os.environ}
    done = subprocess.run(
        command,
        input=json.dumps({key: dict(value) for key, value in environments.items()}).encode(),
        env={**env, "PASEO_RUN": PAIR_MARKER},
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-2000:]
        raise StorageProblem(f"the supervisor could not be started: {said}")
