"""Line ends of files that are written from a snapshot: where git converts them, a snapshot does not
tell how a file had them, but the file that is there still does."""

from __future__ import annotations

import os
from collections import Counter
from difflib import SequenceMatcher
from pathlib import Path

from ..errors import GitProblem
from .commands import Repository

_LARGEST = 1 << 20  # lines are compared with each other


def present(top: Path, names: list[str]) -> dict[str, bytes]:
    """What the files hold now, as far as they are files of lines."""
    found: dict[str, bytes] = {}
    for name in names:
        path = top / name
        if path.is_file() and not path.is_symlink() and os.path.getsize(path) <= _LARGEST:
            found[name] = path.read_bytes()
    return found


def keep(repository: Repository, top: Path, was: dict[str, bytes], old: str, new: str) -> None:
    """Give files that were written from the commit `new` the line ends that they had as `was`, of
    which `old` is the snapshot: each line that is in both its own, the others the most frequent."""
    for name, before in was.items():
        now = present(top, [name]).get(name)
        if now is None or b"\r\n" not in before + now:
            continue
        try:
            if not (
                _converted(repository, before, old, name) or _converted(repository, now, new, name)
            ):
                continue  # what is in git is what is in the file
        except GitProblem:
            continue
        wanted = _joined(before.splitlines(True), now.splitlines(True))
        if wanted != now and _plain(wanted) == _plain(now):
            with (top / name).open("r+b") as file:  # its mode stays
                file.write(wanted)
                file.truncate()


def _converted(repository: Repository, content: bytes, commit: str, name: str) -> bool:
    blob = repository.run("cat-file", "blob", f"{commit}:{name}")
    return content != blob and _plain(content) == _plain(blob)


def _plain(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _joined(before: list[bytes], now: list[bytes]) -> bytes:
    ends = Counter(line.endswith(b"\r\n") for line in before if line.endswith(b"\n"))
    end = b"\r\n" if ends[True] > ends[False] else b"\n"
    lines = [_plain(line).replace(b"\n", end) for line in now]
    told = SequenceMatcher(None, [*map(_plain, before)], [*map(_plain, now)], autojunk=False)
    for at, to, size in told.get_matching_blocks():
        lines[to : to + size] = before[at : at + size]
    return b"".join(lines)
