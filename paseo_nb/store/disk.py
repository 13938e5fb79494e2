"""What the store looks at on disk: run folders, live markers, and where a journal may be cut.

Reads only. Files are read, never mapped: a journal that is cut short meanwhile must not kill us.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..host.states import STARTING_S, true_state
from ..journal import RunFolder, decode_line
from ..model import RunSpec
from ..packing import PackedFile, PlainFile, opening

_BLOCK = 1 << 20
_TURN = b'"dir":"own","kind":"turn_'
_WORKFLOW = "wf-"


def run_ids(home: Path) -> list[str]:
    """Every run folder, oldest first. A few ms for thousands: not for each query."""
    return _listed(home / "runs", folders=True)


def live_ids(home: Path) -> list[str]:
    """The runs that are unfinished or not yet indexed, oldest first."""
    return [
        name for name in _listed(home / "live", folders=False) if not name.startswith(_WORKFLOW)
    ]


def _listed(path: Path, folders: bool) -> list[str]:
    try:
        with os.scandir(path) as found:
            return sorted(e.name for e in found if e.is_dir() == folders and e.name[0] != ".")
    except FileNotFoundError:
        return []


def folder_of(home: Path, run_id: str) -> RunFolder:
    """Where a run's files lie."""
    return RunFolder(home / "runs" / run_id)


def read_spec(folder: RunFolder) -> RunSpec | None:
    """The run's spec; a bare one where it is damaged, None where there is none."""
    try:
        return folder.read_spec()
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        made_us = int(folder.spec.stat().st_mtime * 1e6)
        return RunSpec(folder.run_id, made_us, provider="", command=[], cwd="")


def age_s(path: Path) -> float:
    """How long ago a file was made or touched; infinite where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def is_young(folder: RunFolder) -> bool:
    """Whether somebody may just be about to start its processes."""
    return min(age_s(folder.live_marker), age_s(folder.spec)) < STARTING_S


def told_state(folder: RunFolder, journal_state: str) -> str:
    """The run's true state now, from its lock and what its journal tells."""
    try:
        return true_state(folder, journal_state)
    except FileNotFoundError:
        return journal_state


# ------------------------------------------------------------ journals


def identity(path: Path) -> tuple[str, int]:
    """What tells this journal from another at the same place (inode, first line), and its size.
    ("", 0) where there is none or it has no whole line."""
    try:
        with opening(path) as file:
            size, inode = file.size, file.inode
            first, newline, _ = file.pread(4096, 0).partition(b"\n")
    except FileNotFoundError:
        return "", 0
    if not newline and size < 4096:
        return "", 0
    return f"{inode}-{hashlib.sha256(first).hexdigest()[:16]}", size


def index_end(path: Path, start: int, size: int, ended: bool) -> int:
    """How far from `start` (a point between turns) the journal may be indexed: to its last turn
    end; to its last whole line where the run has ended and left no turn open."""
    try:
        with opening(path) as file:
            end = _last_line_end(file, start, size)
            turn_open = False
            for after, kind in _turn_lines(file, start, end):
                if kind == "turn_end":
                    return end if ended and not turn_open else after
                turn_open = True
            return end if ended and not turn_open else start
    except FileNotFoundError:
        return start


def _last_line_end(file: PlainFile | PackedFile, start: int, size: int) -> int:
    high = size
    while high > start:
        low = max(start, high - _BLOCK)
        at = file.pread(high - low, low).rfind(b"\n")
        if at >= 0:
            return low + at + 1
        high = low
    return start


def _turn_lines(file: PlainFile | PackedFile, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Our `turn_start` and `turn_end` lines, last first: the offset after each, and its kind."""
    rest = b""
    high = end
    while high > start:
        low = max(start, high - _BLOCK)
        block = file.pread(high - low, low) + rest
        head = 0 if low == start else block.find(b"\n") + 1  # a line that began in an earlier block
        at = len(block) if head or low == start else -1
        while at >= 0 and (at := block.rfind(_TURN, head, at)) >= 0:
            begin = block.rfind(b"\n", 0, at) + 1
            after = block.find(b"\n", at) + 1
            line = decode_line(block[begin : after - 1])
            if line.dir == "own" and line.kind in ("turn_start", "turn_end"):
                yield low + after, line.kind
            at = begin
        rest = block[:head] if head or low == start else block
        high = low
