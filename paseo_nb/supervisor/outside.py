"""What a turn changed outside the run's worktree: a worktree confines nobody, so that it is told.

Two looks, at a turn's end: at the paths that the agent's edits name, and at what git says of the
checkout that the run was started for, which somebody else may have changed meanwhile. What a
command did elsewhere, nobody tells.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from ..drivers.acp_reading import as_dict, as_str
from ..drivers.reading import reading_for
from ..journal import decode_line, read_lines
from .policy import CHANGING, inside, named_paths

if TYPE_CHECKING:
    from .main import Supervisor

_SHOWN = 10
_READ_BYTES = 1 << 20
_FIELDS = ("kind", "locations", "content", "rawInput", "status")

Seen = set[tuple[bytes, bytes]]


class Outside:
    """Follows one run's turns, where it has a worktree of its own."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._before: Seen | None = None
        self._offset = 0
        self._top: bytes | None = None  # of the checkout that the run was started for

    async def begin(self) -> None:
        """A turn begins: how the other checkout stands."""
        self._offset = self._supervisor.recorder.journal.size
        self._before = await self._look()

    async def end(self) -> None:
        """A turn has ended: what was changed outside is journaled."""
        if self._supervisor.spec.worktree is None or self._supervisor.recorder.full:
            return
        recorder = self._supervisor.recorder
        named = await self._named()
        if named:
            said = f"the agent changed files outside its worktree: {_listed(named)}"
            recorder.own("warning", message=said, outside=named)
        before, after = self._before, await self._look()
        if before is None or after is None:
            return
        changed = {path for path, _ in before ^ after}
        names = sorted(os.fsdecode(path).encode("utf-8", "replace").decode() for path in changed)
        if names:
            said = (
                f"{self._supervisor.spec.repo} changed while the turn ran, by the agent or by"
                f" somebody else: {_listed(names)}"
            )
            recorder.own("warning", message=said, meanwhile=names)

    async def _named(self) -> list[str]:
        """The paths outside that the turn's edits named and that did not fail."""
        spec, calls = self._supervisor.spec, dict[str, dict[str, Any]]()
        reading = reading_for(spec.dialect, spec.at_heart)
        offset, path = self._offset, self._supervisor.folder.journal
        while True:
            data, offset = read_lines(path, offset, _READ_BYTES)
            if not data:
                break
            for part in data.split(b"\n"):
                line = decode_line(part) if part else None
                if line is None or line.dir != "in":
                    continue
                for kind, told in reading.facts(line):
                    if kind in ("tool_call", "tool_call_update"):
                        call = calls.setdefault(str(told.get("toolCallId")), {})
                        call.update({name: told[name] for name in _FIELDS if told.get(name)})
            await asyncio.sleep(0)
        found: set[str] = set()
        for call in map(as_dict, calls.values()):
            if as_str(call.get("kind")) in CHANGING and call.get("status") != "failed":
                paths = [os.path.join(spec.cwd, one) for one in named_paths(call)]
                found.update(one for one in paths if not inside(one, [spec.cwd]))
        return sorted(os.path.normpath(one) for one in found)

    async def _look(self) -> Seen | None:
        """What is changed or untracked in the checkout that the run was started for, and its HEAD;
        None where there is none, or git does not tell."""
        spec = self._supervisor.spec
        if spec.worktree is None or spec.repo is None:
            return None
        ask = self._supervisor.snapshots.ask
        if self._top is None:
            self._top = await ask(spec.repo, "rev-parse", "--show-toplevel")
        told = await ask(spec.repo, *_STATUS)
        if told is None or self._top is None:
            return None
        return await asyncio.to_thread(_entries, told, self._top.rstrip(b"\n"))


_STATUS = ("status", "--porcelain=v2", "--branch", "-z", "--no-renames", "--untracked-files=all")


def _entries(told: bytes, top: bytes) -> Seen:
    """Each entry's path with its file's time and size, and HEAD with its commit."""
    found: Seen = set()
    for entry in told.split(b"\0"):
        parts = {b"1 ": 8, b"u ": 10, b"? ": 1}.get(entry[:2])
        if parts is not None:
            path = entry.split(b" ", parts)[-1]
            try:
                info = os.lstat(os.path.join(top, path))
                found.add((path, b"%d %d" % (info.st_mtime_ns, info.st_size)))
            except OSError:
                found.add((path, b""))
        elif entry.startswith(b"# branch.oid "):
            found.add((b"HEAD", entry))
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
