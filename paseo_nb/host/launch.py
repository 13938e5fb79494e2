"""Starting a pair of processes from a front end: detached, isolated, environment by pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
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


class Entry:
    """The program that forks pairs: it starts up while their runs are still being made. It leaves
    without having done anything where `go` is not called before the end of `with`, or of us."""

    def __init__(self, run_dirs: Iterable[str]) -> None:
        entry = Path(supervisor.__file__).with_name("__main__.py")
        command = [
            sys.executable, "-I", "-S", "-u", str(entry), "--path", os.pathsep.join(import_path()),
            *run_dirs,
        ]  # fmt: skip
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            command,
            env={**env, "PASEO_RUN": PAIR_MARKER},
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def go(self, environments: Mapping[str, Mapping[str, str]]) -> None:
        """Have the pairs forked, each agent with its environment (by run folder); returns when that
        is done. A folder whose lock is held is left alone."""
        told = json.dumps({key: dict(value) for key, value in environments.items()})
        _, said = self._process.communicate(told.encode() + b"\n")
        if self._process.returncode != 0:
            why = said.decode("utf-8", "replace").strip()[-2000:]
            raise StorageProblem(f"the supervisor could not be started: {why}")

    def __enter__(self) -> Entry:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.communicate(b"\n")


def launch(environments: Mapping[str, Mapping[str, str]]) -> None:
    """Start one pair per run folder (keys), each agent with its environment (values)."""
    with Entry(environments) as entry:
        entry.go(environments)
