"""Ending an agent's tree and nothing else: who belongs to it, and how it is killed.

A process belongs to a run if it descends from the run's pair (both are subreapers, so orphans do)
or carries the run's id in `PASEO_RUN`. A process with another id there, and all below it, is a
nested run and is spared. Light: the warden imports it before anything else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

MARKER = "PASEO_RUN"
_MARKER = MARKER.encode() + b"="
_HOME = b"PASEO_NB_HOME="
_HAS_PROC = os.path.isdir("/proc/self")


def become_subreaper() -> bool:
    """Adopt orphans of this process's tree (Linux); False where that is not to be had."""
    if not sys.platform.startswith("linux"):
        return False
    return ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER


def boot_id() -> str:
    """What tells one boot of this machine from another."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return f"up-{int(time.time() - time.monotonic()) // 60}"


def parents() -> dict[int, int]:
    """pid → parent pid of every living process. A zombie whose threads live on is alive: while it
    lasts its children hang below it, and nowhere else."""
    if not _HAS_PROC:
        return _parents_by_ps()
    found: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _stat(int(name))
            if stat is not None and (stat[0] not in ("Z", "X") or int(stat[17]) > 1):
                found[int(name)] = int(stat[1])
    return found


def _stat(pid: int) -> list[str] | None:
    """/proc/PID/stat from the state on: state, ppid, …, [17] threads, [19] start time."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return None


def session_of(pid: int) -> int | None:
    """The session that a process belongs to; None where that is not to be had."""
    stat = _stat(pid)
    return int(stat[3]) if stat is not None else None


def _parents_by_ps() -> dict[int, int]:
    out = subprocess.run(["ps", "-axo", "pid=,ppid=,state="], capture_output=True, text=True)
    rows = (row.split() for row in out.stdout.splitlines())
    return {int(r[0]): int(r[1]) for r in rows if len(r) >= 3 and not r[2].startswith("Z")}


def marker_of(pid: int, before: bytes = _MARKER) -> str | None:
    """The run id in a process's environment; None where it has none or cannot be read. before:
    another variable's name, and =."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            for part in file.read().split(b"\0"):
                if part.startswith(before):
                    return part[len(before) :].decode("utf-8", "replace")
    except OSError:
        pass
    return None


def elsewhere(pid: int, home: str) -> bool:
    """Whether a process says that its runs are kept in another folder than this: a run of a cluster
    that was begun anew has that id there, too."""
    return marker_of(pid, _HOME) not in (None, home)


def command_line(pid: int) -> str:
    """How a process was started, its arguments with spaces between; "" where it is gone."""
    if not _HAS_PROC:
        ps = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
        return subprocess.run(ps, capture_output=True, text=True).stdout
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def descendants(root: int, run_id: str) -> list[int]:
    """The processes below `root`, nested runs and all below them spared."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    todo = list(children.get(root, ()))
    while todo:
        pid = todo.pop()
        marker = marker_of(pid)
        if marker is not None and marker != run_id:
            continue
        found.append(pid)
        todo.extend(children.get(pid, ()))
    return found


def marked(run_id: str, besides: set[int] | None = None) -> list[int]:
    """Every process of this machine that carries the run's id, wherever it hangs."""
    spared = (besides or set()) | {os.getpid()}
    return [pid for pid in parents() if pid not in spared and marker_of(pid) == run_id]


def kill(pids: list[int], sig: signal.Signals) -> None:
    """Signal processes, each held by a pidfd so that a reused pid is never hit."""
    for pid in pids:
        before = _stat(pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if not hasattr(os, "pidfd_open"):
                os.kill(pid, sig)
                continue
            fd = os.pidfd_open(pid)
            try:
                after = _stat(pid)
                if before and after and before[19] == after[19]:  # the same start time
                    signal.pidfd_send_signal(fd, sig)
            finally:
                os.close(fd)


def reap() -> None:
    """Collect dead children that nobody waits for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end(
    find: Callable[[], list[int]], term_s: float, wait_s: float = 4.0, reaps: bool = True
) -> bool:
    """Terminate what `find` finds, then kill it, again and again until nothing is found.

    True when nothing is left. Newly forked processes are met by looking again, and nothing is
    believed to be left only when two looks say so: a process whose parent dies during a look hangs
    nowhere in it.
    """

    def left() -> list[int]:
        return find() or find()

    pids = left()
    if pids and term_s > 0:
        kill(pids, signal.SIGTERM)
        deadline = time.monotonic() + term_s
        while time.monotonic() < deadline:
            time.sleep(0.01)
            if reaps:
                reap()
            if not left():
                return True
    deadline = time.monotonic() + wait_s
    while pids := left():
        if time.monotonic() > deadline:
            return False
        kill(pids, signal.SIGKILL)
        time.sleep(0.005)
        if reaps:
            reap()
    return True


def end_tree(root: int, run_id: str, term_s: float) -> bool:
    """End everything below `root` (this process) and everything that carries the run's id."""
    return end(lambda: list({*descendants(root, run_id), *marked(run_id, {root})}), term_s)


def sweep(run_id: str, home: str | None = None) -> int:
    """End what a double kill of warden and supervisor left; how many processes there were. home:
    not what is of another folder of runs.

    Call it only while holding the run lock. A child that cleared its environment may escape.
    """

    def those() -> list[int]:
        return [pid for pid in marked(run_id) if home is None or not elsewhere(pid, home)]

    left = those()
    if left:
        end(those, term_s=0.15, reaps=False)
    return len(left)
