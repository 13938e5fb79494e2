"""Refs of runs whose folder somebody deleted by hand: `prune` has them go.

A repository may have runs of several homes (`PASEO_NB_HOME`), and a ref does not tell whose it is.
So each home is noted in the repository before its first run there makes one; refs from before the
first such note, and all of them while a noted home cannot be looked into, are left.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

import msgspec

from .git.commands import Repository
from .host.local import LocalHost
from .journal import encode
from .model import run_born_s

_HOMES = "paseo_nb.homes"
_RUN = re.compile(r"^refs/paseo/([0-9A-HJKMNP-TV-Z]{26})/", re.M)


class Home(msgspec.Struct, frozen=True):
    """A home, and its first run in the repository since homes are noted."""

    run_id: str
    path: str


class Orphan(msgspec.Struct, frozen=True):
    """A run that nobody knows, how many refs it has, and the bytes that only these keep."""

    run_id: str
    refs: int
    bytes: int


def note_home(host: LocalHost, repository: Repository, run_id: str) -> None:
    """Before a run's first ref is made. Where it cannot be noted, its refs are never orphans."""
    here = os.path.realpath(host.home)
    if any(home.path == here for home in _homes(repository)):
        return
    line = b"\n" + encode(Home(run_id, here)) + b"\n"
    with contextlib.suppress(OSError), open(repository.common_dir / _HOMES, "ab") as file:
        file.write(line)


def orphans(host: LocalHost, repository: Repository, before_s: float) -> list[Orphan]:
    """Those begun before a time (seconds)."""
    homes = [Path(home.path) for home in _homes(repository)]
    if Path(os.path.realpath(host.home)) not in homes or not all(home.is_dir() for home in homes):
        return []
    first = min(home.run_id for home in _homes(repository))
    told = repository.run("for-each-ref", "--format=%(refname)", "refs/paseo").decode()
    names = told.splitlines()
    found: list[Orphan] = []
    for run_id in sorted(set(_RUN.findall(told))):
        known = any((home / "runs" / run_id).exists() for home in homes)
        if known or run_id < first or run_born_s(run_id) >= before_s:
            continue
        refs = [name for name in names if name.startswith(f"refs/paseo/{run_id}/")]
        others = ("--not", "--branches", "--tags", "--remotes", "HEAD")
        kept = repository.line("rev-list", "--disk-usage", "--objects", *refs, *others)
        found.append(Orphan(run_id, len(refs), int(kept)))
    return found


def _homes(repository: Repository) -> list[Home]:
    try:
        lines = (repository.common_dir / _HOMES).read_bytes().splitlines()
        return [msgspec.json.decode(line, type=Home) for line in lines if line]
    except (OSError, msgspec.MsgspecError):
        return []
