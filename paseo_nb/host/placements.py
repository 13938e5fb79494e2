"""Where the runs of a cluster are, as it is written down here, and what becomes of those whose
cluster is no more: the next one that is connected under that name has them."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import msgspec

from ..journal import private_dir, write_file_once
from ..locks import HeldLock
from .scheduler import listens

Json = dict[str, Any]
PLACED, CLUSTER, HELD = "placed.json", "cluster.json", "held"


class Order(msgspec.Struct):
    """What a run was wished for with, so that it can be placed again; an empty wish: it cannot.
    env: the names of values that are kept nowhere. folder, commit: of the repository here that goes
    along. room: it gets a clone of that commit. key: what makes an equal launch."""

    wish: Json
    env: list[str] = []
    folder: str | None = None
    commit: str | None = None
    room: bool = False
    more: dict[str, str] = {}
    providers: dict[str, Json] = {}
    key: str = ""


class Placement(msgspec.Struct):
    """Where a run is: at which attempt, on which worker (`born` tells it from a later one at the
    same address)."""

    attempt: int
    address: str
    born: str
    order: Order
    lost: bool = False


class Cluster(msgspec.Struct):
    """Whose runs a folder has."""

    address: str
    ident: str


def read(run: Path) -> Placement:
    """Where the run of that folder is. FileNotFoundError where it was never placed."""
    return msgspec.json.decode((run / PLACED).read_bytes(), type=Placement)


def keep(run: Path, placed: Placement) -> None:
    """Write down where the run of that folder is."""
    private_dir(run)
    beside = run / f".{PLACED}.{os.getpid()}.{threading.get_ident()}"
    beside.touch(mode=0o600)
    beside.write_bytes(msgspec.json.encode(placed))
    os.replace(beside, run / PLACED)


def home_of(mirrors: Path, name: str, ident: str) -> Path:
    """The folder for the runs of a cluster that is connected under a name."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:40]
    return mirrors / f"{safe}-{hashlib.sha256(ident.encode()).hexdigest()[:8]}"


def hold(home: Path, cluster: Cluster) -> HeldLock:
    """Say whose a folder is, and that somebody has it connected; several may."""
    write_file_once(home / CLUSTER, msgspec.json.encode(cluster))
    fd = os.open(home / HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_SH)
    return HeldLock(fd)


def take_over(home: Path, address: str) -> list[str]:
    """Bring the runs of clusters that were connected under the same name, and are no more, into the
    folder of the one at that address; their ids."""
    found: list[str] = []
    same = re.compile(re.escape(home.name[:-8]) + r"[0-9a-f]{8}")
    for other in home.parent.iterdir():
        if other == home or not same.fullmatch(other.name):
            continue
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            its = msgspec.json.decode((other / CLUSTER).read_bytes(), type=Cluster)
            if its.address == address or not listens(its.address):
                found += _moved(other, home)
    return found


def _moved(other: Path, home: Path) -> list[str]:
    fd = os.open(other / HELD, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with HeldLock(fd):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody reads it yet
            return []
        for blob in (other / "blobs").iterdir():
            os.replace(blob, home / "blobs" / blob.name)
        found: list[str] = []
        for run in (other / "runs").iterdir():
            (home / "live" / run.name).touch(mode=0o600)
            run.rename(home / "runs" / run.name)
            found.append(run.name)
        shutil.rmtree(other)
    return found
