"""The doctor: what about this machine would keep runs from working, and what to do about each.

`diagnose` looks and returns values; nothing is changed but for a lock file made and removed in the
place that runs are kept in, and no agent is started beyond its `--version` unless it is to be
asked. Called by the verb `doctor`; front ends show the checks.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from . import config, locks, setting_up, wire
from .checks import Check, Checks
from .drivers import registry
from .drivers.provider import Provider
from .errors import GitProblem, NotTrusted, PaseoError, UsageProblem
from .examining_agents import AgentFacts, look, told_version
from .git.fidelity import not_kept

SOCKET_BYTES = 100
LOW_DISK, SCARCE_DISK = 5 << 30, 1 << 30
OLDEST_GIT = (2, 25)
_PACKAGES = (
    "anyio", "anywidget", "duckdb", "GitPython", "ipykernel", "ipywidgets", "msgspec", "pandas",
    "plotly", "pyarrow",
)  # fmt: skip
# File systems on which locks may hold on one host only, or not at all.
_SHARED = re.compile(r"nfs\d?|cifs|smb\w*|9p|drvfs|fuse(\..*)?|fuseblk|lustre|gpfs|beegfs|ceph|afs")
_PASSING = frozenset({"overlay", "tmpfs", "ramfs"})
_HOLD_LOCK = (
    "import fcntl,os,sys;f=os.open(sys.argv[1],os.O_RDWR);fcntl.flock(f,fcntl.LOCK_EX);"
    "print(flush=True);sys.stdin.read()"
)


def diagnose(project: Path, names: Sequence[str] = (), *, ask: bool = False) -> Checks:
    """Every check, in the order they are best read. Takes as long as the slowest agent takes to
    tell its version, 5 s at most. names: only these providers, started and asked what they can.
    ask: ask all of them, 30 s at most."""
    if names:
        return Checks(_agents(project, names, ask=True))
    try:
        home = config.home(project)
    except UsageProblem as error:
        return Checks([Check("home", False, str(error))])
    place = _existing(home)
    looks: list[tuple[str, Callable[[], Iterable[Check]]]] = [
        ("Python", _python),
        ("ipykernel", _kernel),
        ("git", _git),
        ("repository", lambda: _repository(project)),
        ("settings", lambda: _settings(project)),
        ("home", lambda: _writable(home, place)),
        ("file system", lambda: _file_system(place)),
        ("lock", lambda: _lock(place)),
        ("disk", lambda: _disk(place)),
        ("sockets", _sockets),
        ("service", _service),
        ("store", lambda: _store(home)),
        ("agent sessions", lambda: _sessions(Path.home())),
        ("agents", lambda: _agents(project, (), ask)),
    ]
    return Checks(check for name, look in looks for check in _try(name, look))


def _try(name: str, look: Callable[[], Iterable[Check]]) -> list[Check]:
    """A check that fails to look is a finding, not the end of the examination."""
    try:
        return list(look())
    except NotTrusted:  # the settings' check tells of it, and what to do
        return [Check(name, None, "not looked at while the settings file is not trusted")]
    except PaseoError as error:
        return [Check(name, False, str(error))]
    except Exception as error:
        return [Check(name, None, f"could not be looked at: {type(error).__name__}: {error}")]


# ---------------------------------------------------------------- programs


def _python() -> Iterable[Check]:
    yield Check("Python", True, f"{platform.python_version()} ({sys.executable})")
    found, missing = list[str](), list[str]()
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        fix = f"{sys.executable} -m pip install {' '.join(missing)}"
        yield Check("packages", False, f"missing: {', '.join(missing)}", fix)
    else:
        yield Check("packages", True, ", ".join(found))


def _kernel() -> Iterable[Check]:
    version = importlib.metadata.version("ipykernel")
    if int(version.split(".")[0]) >= 7:
        yield Check("ipykernel", True, f"{version}: Stop and `await` work in cells")
    else:
        fix = "upgrade ipykernel where you can; code of yours that calls asyncio.run in a cell"
        fix += " takes paseo.allow_nested_loop()"
        said = f"{version}: works; while a cell runs, only a %%paseo cell's buttons are heard"
        yield Check("ipykernel", None, said, fix)


def _git() -> Iterable[Check]:
    said = told_version(["git"], os.environ)
    numbers = re.search(r"(\d+)\.(\d+)", said or "")
    if said is None or numbers is None:
        fix = "install git; without it there are no worktrees, diffs and snapshots"
        yield Check("git", False, "no program `git` on PATH", fix)
    elif (int(numbers[1]), int(numbers[2])) < OLDEST_GIT:
        fix = f"upgrade to git {'.'.join(map(str, OLDEST_GIT))} or later"
        yield Check("git", False, f"{said} is too old", fix)
    else:
        yield Check("git", True, said)


def _repository(project: Path) -> Iterable[Check]:
    """What its runs' snapshots will not keep as it is."""
    try:
        for said in not_kept(project):
            yield Check("repository", None, said)
    except GitProblem:
        return


def _agents(project: Path, names: Sequence[str], ask: bool) -> Iterable[Check]:
    for provider, facts in look(project, names, ask=ask):
        yield _agent(provider, facts)


def _agent(provider: Provider, facts: AgentFacts) -> Check:
    name = f"agent {provider.name}"
    if facts.problem is not None:
        missing = facts.found is None
        return Check(name, None if missing else False, facts.problem, facts.next_step)
    if provider.scripted:
        return Check(name, True, "comes with us, needs no model")
    tested = {True: "tested", False: "not the tested version", None: ""}[facts.tested]
    parts = [f"{facts.version} ({facts.found})" if facts.version else str(facts.found), tested]
    if provider.sign_in or facts.signed_in:
        parts.append(
            f"signed in: {facts.signed_in}" if facts.signed_in else "no key, not signed in"
        )
    if facts.modes:
        parts.append(f"modes: {', '.join(facts.modes)}")
    if facts.models:
        more = f" and {len(facts.models) - 8} more" if len(facts.models) > 8 else ""
        parts.append(f"models: {', '.join(facts.models[:8])}{more}")
    parts.append(_abilities(facts))
    parts += [facts.notes, f"sessions: {facts.sessions}" if facts.sessions else ""]
    ok = None if facts.next_step else True
    return Check(name, ok, "; ".join(part for part in parts if part), facts.next_step)


def _abilities(facts: AgentFacts) -> str:
    """What it can do, and what it cannot, in a line. Nothing where nobody knows."""
    able = {"images": facts.images, "steer": facts.steer, "effort": facts.effort}
    parts = [
        f"goes on by {facts.returns}" if facts.returns else "",
        *(name for name, can in able.items() if can),
        *(f"no {name}" for name, can in able.items() if can is False),
        f"MCP {facts.mcp}" if facts.mcp else "",
        f"{len(facts.commands)} commands" if facts.commands else "",
        f"permissions {facts.permissions}" if facts.permissions else "",
        f"usage: {facts.usage}" if facts.usage else "",
        "" if facts.record in (None, "yes") else f"cannot be recorded here: {facts.record}",
    ]
    said = ", ".join(part for part in parts if part)
    return f"can: {said}" if said else ""


# ---------------------------------------------------------------- settings


def _settings(project: Path) -> Iterable[Check]:
    problem: PaseoError | None = None
    try:
        config.settings(project)
        registry.providers(project)
    except PaseoError as error:
        problem = error
    blocked = False if isinstance(problem, NotTrusted) else None
    for file in config.files(project):
        if file.trusted:
            yield Check("settings", True, f"{file.path} ({file.source})")
        else:
            what = "; ".join(config.asks_for_trust(file.table))
            fix = f"read it, then: paseo-nb trust {file.path}"
            yield Check("settings", blocked, f"{file.path} is not trusted: it {what}", fix)
    if (said := setting_up.untrusted(project)) is not None:
        fix = f"read it, then: {setting_up.hint()}"
        yield Check("settings", None, said, fix)
    if (said := setting_up.left_out(project)) is not None:
        yield Check("settings", None, said)
    for name, hint in config.unknown_variables().items():
        yield Check("settings", None, f"the variable {name} means nothing here", hint)
    if problem is not None and blocked is None:
        yield Check("settings", False, str(problem))


# ---------------------------------------------------------------- places


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that there is."""
    while not path.is_dir():
        path = path.parent
    return path


def _writable(home: Path, place: Path) -> Iterable[Check]:
    if os.access(place, os.W_OK | os.X_OK):
        yield Check("home", True, f"{home}" if place == home else f"{home} (not made yet)")
    else:
        fix = "set PASEO_NB_HOME to a folder that you can write"
        yield Check("home", False, f"{place} cannot be written", fix)


def file_system_of(path: Path, mounts: str) -> str | None:
    """The type of the file system that holds a path, from the text of /proc/mounts."""
    real, best, found = os.path.realpath(path), -1, None
    for line in mounts.splitlines():
        _, place, kind, *_ = [*line.split(" "), "", "", ""]
        place = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place)
        inside = real == place or real.startswith(place.rstrip("/") + "/")
        if place and inside and len(place) >= best:  # of equal places the later mount covers
            best, found = len(place), kind
    return found


def _mounted(path: Path) -> str | None:
    try:
        return file_system_of(path, Path("/proc/mounts").read_text(errors="surrogateescape"))
    except OSError:
        return None


def _file_system(place: Path) -> Iterable[Check]:
    kind = _mounted(place)
    if kind is None:
        yield Check("file system", None, f"of {place}: unknown")
    elif _SHARED.fullmatch(kind):
        fix = "use it from one host at a time, or set PASEO_NB_HOME to a local disk"
        detail = f"{place} is on {kind}: locks may not hold between hosts"
        yield Check("file system", None, detail, fix)
    else:
        yield Check("file system", True, f"{place} is on {kind}")


def _lock(place: Path) -> Iterable[Check]:
    """Another process takes a lock; it must be seen from here, and be free when that one dies."""
    fix = "set PASEO_NB_HOME to a folder on a local disk"
    fd, name = tempfile.mkstemp(prefix=".paseo-lock-test-", dir=place)
    os.close(fd)
    try:
        holder = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _HOLD_LOCK, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        with holder:
            assert holder.stdout
            taken = holder.stdout.readline() != b""
            seen = taken and locks.lock_held(name)
            holder.kill()
        free = not locks.lock_held(name)
    finally:
        os.unlink(name)
    if taken and seen and free:
        yield Check("lock", True, "seen by another process, and free when its holder dies")
    else:
        what = "cannot be taken" if not taken else "not seen" if not seen else "not freed"
        yield Check("lock", False, f"a file lock in {place} is {what} by another process", fix)


def _disk(place: Path) -> Iterable[Check]:
    free = shutil.disk_usage(place).free
    detail = f"{free / (1 << 30):.1f} GB free at {place}"
    ok = True if free >= LOW_DISK else None if free >= SCARCE_DISK else False
    yield Check("disk", ok, detail, "" if ok else "free some: journals stop when the disk is full")


def _sockets() -> Iterable[Check]:
    fix = "set XDG_RUNTIME_DIR to a short path of a folder of your own (0700)"
    try:
        folder = wire.runtime_dir()
    except OSError as error:
        yield Check("sockets", False, str(error), fix)
        return
    length = len(os.fsencode(wire.socket_path(folder)))
    mode = stat.S_IMODE(folder.stat().st_mode)
    if length > SOCKET_BYTES:
        detail = f"paths in {folder} have {length} bytes, more than a socket may have"
        yield Check("sockets", False, detail, fix)
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Check("sockets", False, f"{folder} cannot be written", fix)
    elif mode & 0o077:
        detail = f"{folder} is open to others (mode {mode:o})"
        yield Check("sockets", False, detail, f"chmod 700 {folder}")
    else:
        yield Check("sockets", True, str(folder))


def surrounding_service(cgroup: str) -> str | None:
    """The systemd service that a process runs in, from the text of its /proc/PID/cgroup; None in a
    scope (a login, `systemd-run --scope`) or without systemd."""
    units = [part for line in cgroup.splitlines() for part in line.split(":", 2)[-1].split("/")]
    units = [unit for unit in units if unit.endswith((".service", ".scope"))]
    return units[-1] if units and units[-1].endswith(".service") else None


def _service() -> Iterable[Check]:
    """Stopping a systemd service kills whatever it started, detached or not."""
    try:
        unit = surrounding_service(Path("/proc/self/cgroup").read_text())
    except OSError:
        return
    if unit is None:
        yield Check("service", True, "no systemd service that would end runs with it")
        return
    fix = "put KillMode=process into the unit, or start Jupyter with `systemd-run --user --scope`"
    yield Check("service", None, f"this runs in {unit}: stopping that ends all runs too", fix)


def _store(home: Path) -> Iterable[Check]:
    from .store import attach

    path = attach.database(home)
    if not path.exists():
        yield Check("store", True, "not made yet; the first query makes it")
        return
    fix = f"delete {path}: it is built again from the journals"
    try:
        with (
            attach.connection(home) as con,
            attach.shared_lock(home, wait_s=1.0),
            attach.attached(con, path, write=False),
        ):
            pass
    except TimeoutError:
        yield Check("store", None, f"{path} is being written")
    except attach.IndexHeld as error:
        yield Check("store", None, str(error))
    except PaseoError as error:
        yield Check("store", False, str(error), fix)
    else:
        yield Check("store", True, f"{path} ({path.stat().st_size / (1 << 20):.1f} MB)")


def _sessions(home: Path) -> Iterable[Check]:
    """Resuming needs the agents' own sessions, which they keep under the user's home."""
    kind = _mounted(home)
    if kind in _PASSING:
        detail = (
            f"{home} is on {kind}: if that goes with the container, no run can be resumed later"
        )
        fix = "keep the home folder, or the agents' folders in it, on a volume"
        yield Check("agent sessions", None, detail, fix)
    else:
        yield Check("agent sessions", True, f"kept under {home} ({kind or 'unknown file system'})")
