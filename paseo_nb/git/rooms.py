"""Rooms: clones in which contestants work, each of which leads to nothing but itself.

A room has the base commit and what led to it: no remote, no other ref, no object and no path of the
repository that it is of, and a name that tells nothing. What was made in it is carried back as a
pack. They lie beside no project: `$XDG_DATA_HOME/paseo_nb/rooms/<name>/<name>/work`.
This keeps contestants fair, not confined: a process of the same user can read what the user can.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import IO

from ..errors import GitProblem, StorageProblem
from ..plain_git import NOT_PASSED_ON, OPTIONS, QUIET
from .commands import Repository


def rooms_folder() -> Path:
    """`$XDG_DATA_HOME/paseo_nb/rooms` or `~/.local/share/paseo_nb/rooms`."""
    base = os.environ.get("XDG_DATA_HOME", "")
    data = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "share"
    return data / "paseo_nb" / "rooms"


def room_of(run_id: str) -> Path:
    """Where a run's room is, or would be."""
    name = hashlib.sha256(f"room {run_id}".encode()).hexdigest()
    return rooms_folder() / name[:12] / name[12:24] / "work"


def make_room(run_id: str, repository: Path, commit: str) -> Path:
    """Make a run's room: the files and the history of a commit, on a branch `work`. One that was
    begun before is made anew. GitProblem, StorageProblem."""
    room = room_of(run_id)
    try:
        remove_room(run_id)
        room.mkdir(parents=True, mode=0o700)
        # Nobody needs to list the rooms. (A process of the same user could let itself.)
        rooms_folder().chmod(0o300)
    except OSError as error:
        raise StorageProblem(f"{room} cannot be made: {error.strerror}") from error
    _git(room, "init", "--quiet", "--initial-branch=work", "--template=")
    carry(repository, room, commit)
    here = Repository(room)
    here.run("update-ref", "--no-deref", "--create-reflog", "refs/heads/work", commit)
    theirs = Repository(repository)
    for name in ("user.name", "user.email", "core.autocrlf", "core.eol"):
        told = theirs.line("config", "--get", name, fine=(0, 1))
        if told:
            here.run("config", name, told)
    here.run("reset", "--quiet", "--hard", commit)
    return room


def remove_room(run_id: str) -> None:
    """Remove a run's room, if it is there."""
    top = room_of(run_id).parent.parent
    if top.exists():
        shutil.rmtree(top, ignore_errors=True)


def carry(source: Path, target: Path, commit: str, without: str | None = None) -> None:
    """Copy a commit with all that it needs from one repository to another; nothing in the target
    names the source. without: a commit that the target has."""
    wanted = f"{commit}\n" + (f"^{without}\n" if without else "")
    packing = _process(
        source, "pack-objects", "--revs", "--stdout", "--quiet", "--delta-base-offset"
    )
    unpacking = _process(target, "index-pack", "--stdin", "--fix-thin", stdin=packing.stdout)
    assert packing.stdin is not None
    assert packing.stdout is not None
    assert packing.stderr is not None
    packing.stdout.close()
    with packing.stdin as asking:
        asking.write(wanted.encode())
    _, said = unpacking.communicate()
    told = packing.stderr.read() + said
    packing.stderr.close()
    if packing.wait() or unpacking.returncode:
        raise GitProblem(
            f"commit {commit[:10]} could not be copied from {source} to {target}:"
            f" {told.decode(errors='replace').strip()}"
        )


def _process(
    folder: Path, *arguments: str, stdin: int | IO[bytes] | None = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    try:
        return subprocess.Popen(
            ["git", "-C", str(folder), *OPTIONS, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**env, **QUIET},
        )
    except FileNotFoundError:
        raise GitProblem("there is no program `git` on PATH: install git, then try again") from None


def _git(folder: Path, *arguments: str) -> None:
    process = _process(folder, *arguments, stdin=subprocess.DEVNULL)
    _, said = process.communicate()
    if process.returncode:
        raise GitProblem(f"git {arguments[0]} failed in {folder}: {said.decode(errors='replace')}")
