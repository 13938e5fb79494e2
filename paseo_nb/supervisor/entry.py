"""The warden: takes the run lock and forks the supervisor before anything heavy is imported.

Parent = warden (subreaper, reaps orphans), child = supervisor. Both hold the same open lock, so a
free lock means that the agent's whole tree is gone; if either is killed the other ends the tree.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys

from .. import scratch
from ..locks import take_lock_fd
from . import cleanup, early

MARKER = cleanup.MARKER


def main(arguments: list[str]) -> None:
    """Start a pair for every run folder and leave. Environment values come on standard input as a
    line `{run_dir: {name: value}}`, never through the command line or the disk, once the runs are
    made; where none comes, nothing is started."""
    os.umask(0o077)
    told = sys.stdin.buffer.readline().strip()
    if not told:
        return
    environments: dict[str, dict[str, str]] = json.loads(told)
    if len(arguments) > 1:
        _without_what_is_not_used()
        importlib.import_module("paseo_nb.supervisor.main")  # import once, fork many
    for run_dir in arguments:
        if os.fork() == 0:
            code = 1
            try:
                code = _warden(run_dir, environments[run_dir])
            finally:
                os._exit(code)


def _without_what_is_not_used() -> None:
    """asyncio does without `ssl` where it is not there, msgspec without `typing_extensions`: 5 ms
    and 1.2 MB that a supervisor has no use for, as it speaks over pipes and a local socket only."""
    for name in ("ssl", "typing_extensions"):
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]


def _warden(run_dir: str, environment: dict[str, str]) -> int:
    os.setsid()
    log = os.open(
        os.path.join(run_dir, "supervisor.log"),
        os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
        0o600,
    )
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if take_lock_fd(os.path.join(run_dir, "lock")) is None:
        return 0  # another pair has this run: nothing to do
    cleanup.become_subreaper()
    warden_gone, keep_open = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        code = 1
        os.close(keep_open)
        try:
            first = early.is_first(run_dir)
            if not first:
                early.sweep(run_dir)
            environment = scratch.given(environment, run_dir)
            agent = early.launch_if_due(run_dir, environment) if first else None
            _without_what_is_not_used()
            from .main import supervise

            code = supervise(run_dir, environment, warden_gone, agent)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            scratch.remove(run_dir)  # the warden, which does it too, may be gone
            os._exit(code)
    os.close(warden_gone)

    def pass_on(_signal: int, _frame: object) -> None:
        os.kill(supervisor, signal.SIGTERM)

    signal.signal(signal.SIGTERM, pass_on)
    for ignored in (signal.SIGHUP, signal.SIGINT):
        signal.signal(ignored, signal.SIG_IGN)
    while True:
        try:
            pid, _status = os.waitpid(-1, 0)
        except ChildProcessError:
            break
        if pid == supervisor:
            break
    cleanup.end_tree(os.getpid(), os.path.basename(run_dir), term_s=0.15)
    scratch.remove(run_dir)
    return 0
