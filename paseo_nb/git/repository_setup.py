"""What a repository wants of a new worktree: `worktree` and `scripts` of its `paseo.json`, ports
for its services, and untracked files that are copied from the main checkout.

Reads and copies only; who runs the commands, and whether they are trusted, is the callers'.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

import msgspec

from ..errors import GitProblem, UsageProblem
from ..model import Setup
from .commands import Repository

FILE = "paseo.json"
MARKER = "paseo_nb.set-up"  # in the worktree's own git folder: it goes with the worktree
_PORTS = "paseo_nb.ports"
_FIRST_PORT, _PORT_RANGE = 20_000, 12_000  # below what systems give away by themselves
_SIGNS = re.compile(r"[^A-Z0-9]+")


class Wanted(msgspec.Struct, frozen=True):
    """What a `paseo.json` asks for. services: each one's port, where the file names one. beside:
    what else it would have at work in a worktree (kind, name, command): we start none of it."""

    setup: list[str]
    teardown: list[str]
    services: dict[str, int | None]
    beside: list[tuple[str, str, str]] = []


def read(content: bytes, where: str) -> Wanted:
    """A `paseo.json`. UsageProblem where a part that we go by is not as its format has it."""
    try:
        told: Any = json.loads(content)
    except ValueError as error:
        raise UsageProblem(f"{where} is no JSON: {error}") from None
    worktree = _table(told, "worktree", where)
    services: dict[str, int | None] = {}
    beside = _terminals(worktree)
    for name in _table(told, "scripts", where):
        script = _table(told["scripts"], name, f"{where}: scripts")
        if script.get("type") == "service":
            port = script.get("port")
            if not isinstance(port, int | None) or isinstance(port, bool):
                raise UsageProblem(f"{where}: scripts.{name}.port must be a number, not {port!r}")
            services[name] = port
            beside.append(("service", name, str(script.get("command") or "")))
    return Wanted(
        _commands(worktree.get("setup"), f"{where}: worktree.setup"),
        _commands(worktree.get("teardown"), f"{where}: worktree.teardown"),
        services,
        beside,
    )


def _table(told: Any, name: str, where: str) -> dict[str, Any]:
    given = told.get(name, {}) if isinstance(told, dict) else None  # pyright: ignore
    if not isinstance(given, dict):
        raise UsageProblem(f"{where}: {name} must be an object")
    return given  # pyright: ignore[reportUnknownVariableType]


def _terminals(worktree: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Leniently, as they are only told of."""
    given: Any = worktree.get("terminals") or []
    told: list[tuple[str, str, str]] = []
    for part in cast(list[Any], given if isinstance(given, list) else [given]):
        one = cast(dict[str, Any], part) if isinstance(part, dict) else {"command": part}
        told.append(("terminal", str(one.get("name") or ""), str(one.get("command") or "")))
    return told


def _commands(given: Any, where: str) -> list[str]:
    """A script, or several."""
    parts: list[Any] = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(given, str | list | None) or not all(isinstance(one, str) for one in parts):
        raise UsageProblem(f"{where} must be a text or a list of texts")
    return [part for part in parts if part.strip()]


def setup_of(path: Path, branch: str | None, wanted: Wanted) -> Setup:
    """What a run in the worktree is to be given: commands, environment, and where it is noted that
    they were run. Ports are given away here, and kept with the worktree."""
    there = Repository(path)
    ports = _ports(there, wanted.services)
    env = {
        "PASEO_SOURCE_CHECKOUT_PATH": str(source_of(there)),
        "PASEO_WORKTREE_PATH": str(path),
        "PASEO_BRANCH_NAME": branch or "",
        "PASEO_WORKTREE_PORT": str(ports[""]),
    }
    for name in wanted.services:
        sign = _SIGNS.sub("_", name.upper())
        env[f"PASEO_SERVICE_{sign}_PORT"] = str(ports[name])
        env[f"PASEO_SERVICE_{sign}_URL"] = f"http://127.0.0.1:{ports[name]}"
    if wanted.services:
        env["HOST"] = "127.0.0.1"
    if len(wanted.services) == 1:
        (name,) = wanted.services
        env |= {"PASEO_PORT": str(ports[name]), "PASEO_URL": f"http://127.0.0.1:{ports[name]}"}
    return Setup(wanted.setup, wanted.teardown, env, str(there.git_dir / MARKER))


def source_of(there: Repository) -> Path:
    """The repository's main checkout; a worktree's own top where it is a bare one's."""
    if there.common_dir.name == ".git":
        return there.common_dir.parent
    return there.working_tree()


def _ports(there: Repository, services: Mapping[str, int | None]) -> dict[str, int]:
    """A port for each service, and one ("") for the worktree: as named, as given away before, or
    one that nobody listens on and no other worktree has."""
    file = there.git_dir / _PORTS
    known = _read_ports(file)
    taken = {
        port
        for other in there.common_dir.glob(f"worktrees/*/{_PORTS}")
        if other != file
        for port in _read_ports(other).values()
    }
    start = zlib.crc32(os.fsencode(there.working_tree())) % _PORT_RANGE
    for name, fixed in {"": None, **services}.items():
        if fixed is not None:
            known[name] = fixed
        elif name not in known:
            free = (_FIRST_PORT + (start + step) % _PORT_RANGE for step in range(_PORT_RANGE))
            known[name] = next(p for p in free if p not in {*taken, *known.values()} and _free(p))
    file.write_text(json.dumps(known))
    return known


def _read_ports(file: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        return {}


def _free(port: int) -> bool:
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def committed(repository: Repository, commit: str) -> bytes | None:
    """The `paseo.json` of a commit, if it has one."""
    if not repository.run("ls-tree", "--name-only", "-z", commit, FILE):
        return None
    return repository.run("cat-file", "blob", f"{commit}:{FILE}")


# ---------------------------------------------------------------- untracked files


def copy_untracked(path: Path, patterns: Iterable[str]) -> list[str]:
    """Copy files that git does not track from the main checkout into a worktree: those that fit a
    pattern (`.env`, `config/*.local`). Their names. What the worktree has already stays as it is.

    UsageProblem for a pattern that leads out of the repository, and for a file that is a link out
    of it.
    """
    there = Repository(path)
    source, top = source_of(there), there.working_tree()
    if source == top:
        return []
    names: dict[str, None] = {}
    for pattern in patterns:
        parts = PurePosixPath(pattern).parts
        if not parts or pattern.startswith("/") or ".." in parts or ".git" in parts:
            raise UsageProblem(f"copy_files: {pattern!r} must name files in the repository")
        for found in sorted(source.glob(pattern)):
            if found.is_file():
                names[str(found.relative_to(source))] = None
    if not names:
        return []
    tracked = set(Repository(source).run("ls-files", "-z").split(b"\0"))
    return [name for name in names if os.fsencode(name) not in tracked and _copy(source, top, name)]


def _copy(source: Path, top: Path, name: str) -> bool:
    real = (source / name).resolve()
    inside = (
        real.relative_to(source.resolve()).parts if real.is_relative_to(source.resolve()) else ()
    )
    if not inside or inside[0] in (".git", ".paseo_nb"):
        raise UsageProblem(f"copy_files: {source / name} is a link to {real}: that is not copied")
    target = top / name
    if os.path.lexists(target):
        return False
    if not target.parent.resolve().is_relative_to(top.resolve()):
        raise GitProblem(f"copy_files: {target.parent} is a link that leads out of the worktree")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(real, target)
    return True
