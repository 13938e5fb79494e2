"""Which run is meant: by a beginning of its id, a session's name, or the folder it works in."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from .errors import UsageProblem
from .hints import command
from .host.local import LocalHost
from .model import BUSY_STATES


def live_in(host: LocalHost, path: Path) -> str | None:
    """The run that is at work in a folder, if any."""
    for run_id in os.listdir(host.home / "live") if (host.home / "live").is_dir() else ():
        folder = host.folder(run_id)
        try:
            if Path(folder.read_spec().cwd) == path and host.state(run_id) in BUSY_STATES:
                return run_id
        except (OSError, msgspec.MsgspecError, UsageProblem):
            continue
    return None


def find_run(host: LocalHost, text: str) -> str:
    """The run id that a user's prefix means. UsageProblem where it fits none or several."""
    wanted = text.strip().upper()
    if not wanted:
        raise UsageProblem(f"no run id given; {command('ls')} lists the runs")
    found = [run_id for run_id in host.list() if run_id.startswith(wanted)]
    if len(found) == 1 or wanted in found:
        return wanted if wanted in found else found[0]
    if not found:
        raise UsageProblem(f"no run {text!r} in {host.home}; {command('ls')} lists the runs")
    some = ", ".join(found[-4:])
    raise UsageProblem(f"{text!r} fits {len(found)} runs ({some}); write more of the id")


def session_run(host: LocalHost, name: str) -> str | None:
    """The newest run that carries a session's name."""
    for run_id in reversed(host.list()):
        try:
            if host.folder(run_id).read_spec().session_name == name:
                return run_id
        except (OSError, msgspec.MsgspecError):
            continue
    return None
