"""A commit of the working folder's files at both ends of every turn, under the run's own refs.

By plain `git`, with an index of our own beside the journal: the user's branch, index, stash and
hooks are not touched. The index is kept from one snapshot to the next, so that git looks again
only into files whose time stamp changed. Outside git nothing happens; where git fails, the run
goes on and says that a turn's files are not kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import re
import signal
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from ..journal import write_all
from ..plain_git import NOT_PASSED_ON, OPTIONS, QUIET, WHO, Steps, staging
from .children import Child

if TYPE_CHECKING:
    from .main import Supervisor

LIMIT_S = 60.0
ENDING_S = 2.0  # where the pair is to end meanwhile

At = Literal["start", "end"]
T = TypeVar("T")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\n?")
_mine: contextvars.ContextVar[set[Child]] = contextvars.ContextVar("mine")


class _Place(NamedTuple):
    """The top of the working tree, its own git folder, and the one that all worktrees share."""

    top: str
    own: Path
    common: Path


class GitFailed(Exception):
    """git said no, or took too long."""


class Snapshots:
    """Takes the snapshots of one run. `last`: commit and tree of the latest one, if any."""

    def __init__(self, supervisor: Supervisor, last: tuple[str, str] | None) -> None:
        spec = supervisor.spec
        self._folder, self._recorder = supervisor.folder, supervisor.recorder
        self._children = supervisor.children
        self._base, self._cwd, self._last = spec.git_start or spec.git_base, spec.cwd, last
        self._refs = f"refs/paseo/{spec.run_id}"
        self._index = self._folder.path / "index"
        given = supervisor.environment
        kept = {name: value for name, value in given.items() if name not in NOT_PASSED_ON}
        self._env = {**kept, **QUIET, **WHO, "GIT_INDEX_FILE": str(self._index)}
        self._place: _Place | None = None
        self._stamp: tuple[int, int] | None = None
        self._failed = False
        self.ending = asyncio.Event()
        self.after_setup = False  # commands of the repository's may have changed files

    async def note(self, turn: int, at: At) -> None:
        """Take one and journal it. Where git fails that is said, once."""
        if self._base is None or self._recorder.full or not os.path.isdir(self._cwd):
            return
        begun = time.monotonic()
        try:
            facts = await self._in_time(self._take(turn, at))
        except (GitFailed, OSError) as error:
            if not self._failed:
                self._failed = True
                self._recorder.own(
                    "warning", message=f"the files of turn {turn} are not kept: {error}"
                )
            return
        took = round((time.monotonic() - begun) * 1e3, 1)
        self._recorder.own("snapshot", at=at, **facts, took_ms=took)

    async def ask(self, folder: str, *arguments: str) -> bytes | None:
        """What git says in another folder, by its own index; None where it does not."""
        env = {name: value for name, value in self._env.items() if name != "GIT_INDEX_FILE"}
        try:
            return await self._in_time(self._git(*arguments, where=folder, env=env))
        except (GitFailed, OSError):
            return None

    async def _in_time(self, work: Coroutine[Any, Any, T]) -> T:
        mine = set[Child]()
        _mine.set(mine)  # its task and those below get it
        taking = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self.ending.wait())
        try:
            await asyncio.wait({taking, ending}, timeout=LIMIT_S, return_when="FIRST_COMPLETED")
            if not taking.done() and ending.done():
                await asyncio.wait({taking}, timeout=ENDING_S)
            if taking.done():
                return taking.result()
            raise GitFailed("git took too long")
        finally:
            ending.cancel()
            taking.cancel()
            for child in mine:
                child.kill_group(signal.SIGKILL)

    async def _take(self, turn: int, at: At) -> dict[str, Any]:
        top = await self._find()
        fresh = turn == 1 and at == "start" and not self.after_setup
        if self._last is not None and fresh:  # the base, just taken
            return {"commit": self._last[0], "tree": self._last[1]}
        steps = staging(os.fsencode(top), "--all", new=self._copy_index())
        head, left = await asyncio.gather(self._head(), self._stage(steps))
        tree = (await self._git("write-tree")).decode().strip()
        facts: dict[str, Any] = {"tree": tree, "head": head}
        facts["commit"], changes = await asyncio.gather(
            self._commit(turn, at, tree, head), self._changes(at, tree)
        )
        facts.update(changes)
        if left:
            facts["left_out"] = sorted(os.fsdecode(path) for path in left)[:100]
        self._last = (facts["commit"], tree)
        return facts

    async def _stage(self, steps: Steps) -> set[bytes]:
        """Carry the steps out; which files are left out."""
        try:
            step = next(steps)
            while True:
                told = await self._git(*step.words, given=step.given, fine=step.fine)
                step = steps.send(told)
        except StopIteration as done:
            return done.value[1]

    async def _head(self) -> str | None:
        """HEAD's commit, if there is one. Read where it is a plain file: a process less, and each
        of them counts while an agent is at work."""
        assert self._place is not None
        with contextlib.suppress(OSError):
            told = os.fsdecode((self._place.own / "HEAD").read_bytes())
            if told.startswith("ref: refs/heads/"):
                told = os.fsdecode((self._place.common / told[5:].strip()).read_bytes())
            if _COMMIT.fullmatch(told):
                return told.strip()
        told = await self._git("rev-parse", "--verify", "--quiet", "HEAD", fine=(0, 1))
        return told.decode().strip() or None

    async def _find(self) -> str:
        """The top of the working tree. What the run started from is the first snapshot."""
        if self._place is None:
            names = ("--show-toplevel", "--absolute-git-dir", "--git-common-dir")
            words = ("rev-parse", *names, f"{self._base}^{{tree}}")
            told = os.fsdecode(await self._git(*words)).splitlines()
            if len(told) != 4 or self._base is None:
                raise GitFailed("git does not tell where the repository is")
            self._place = _Place(told[0], Path(told[1]), Path(self._cwd, told[2]))
            self._last = self._last or (self._base, told[3])
        return self._place.top

    def _copy_index(self) -> bool:
        """Start from the repository's own index, and say so, where that has changed since: it knows
        files that are ignored and yet tracked, and what a sparse checkout leaves out."""
        assert self._place is not None
        with contextlib.suppress(FileNotFoundError):  # of a git of ours that was killed
            os.unlink(f"{self._index}.lock")
        try:
            found = (self._place.own / "index").stat()
        except FileNotFoundError:
            return False
        stamp = found.st_mtime_ns, found.st_size
        if stamp == self._stamp:
            return False
        self._index.write_bytes((self._place.own / "index").read_bytes())
        os.utime(self._index, ns=(found.st_atime_ns, found.st_mtime_ns))  # git goes by it
        self._stamp = stamp
        return True

    async def _commit(self, turn: int, at: At, tree: str, head: str | None) -> str:
        """A commit on top of the last snapshot and of HEAD, so that git keeps both; the last one
        itself where nothing changed."""
        if self._last is not None and self._last[1] == tree:
            return self._last[0]
        before = self._last[0] if self._last is not None else None
        parents = [part for one in dict.fromkeys((before, head)) if one for part in ("-p", one)]
        words = f"paseo_nb: {at} of turn {turn} of run {self._folder.run_id}"
        made = await self._git("commit-tree", tree, *parents, "-m", words)
        commit = made.decode().strip()
        name = str(turn) if at == "end" else f"{turn}-start"
        await self._git("update-ref", f"{self._refs}/{name}", commit)
        return commit

    async def _changes(self, at: At, after: str) -> dict[str, int]:
        """How many files and lines a turn changed; a binary file has no lines."""
        if at == "start" or self._last is None:
            return {}
        before = self._last[1]
        if before == after:
            return {"files": 0, "added": 0, "removed": 0}
        told = await self._git("diff-tree", "-r", "--numstat", "--no-renames", "-z", before, after)
        counts = [record.split(b"\t", 2) for record in told.split(b"\0")[:-1]]
        added, removed = (sum(int(c[at]) for c in counts if c[at] != b"-") for at in (0, 1))
        return {"files": len(counts), "added": added, "removed": removed}

    async def _git(
        self,
        *arguments: str,
        fine: tuple[int, ...] = (0,),
        given: bytes = b"",
        where: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """git's output. GitFailed with its own words."""
        out, said = self._scratch("out"), self._scratch("err")
        reads = self._scratch("in") if given else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if given:
                write_all(reads, given)
                os.lseek(reads, 0, os.SEEK_SET)
            where = where or (self._cwd if self._place is None else self._place.top)
            argv = ["git", "-C", where, *OPTIONS, *arguments]
            child = self._children.spawn(
                argv, env=env or self._env, cwd="/", stdin=reads, stdout=out, stderr=said
            )
            _mine.get().add(child)
            await asyncio.shield(child.exited)
            _mine.get().discard(child)
            if child.returncode not in fine:
                lines = _read(said).decode("utf-8", "replace").strip().splitlines()
                why = lines[-1][:300] if lines else f"exit code {child.returncode}"
                raise GitFailed(f"git {arguments[0]}: {why}")
            return _read(out)
        finally:
            for fd in (reads, out, said):
                os.close(fd)

    def _scratch(self, name: str) -> int:
        """A file without a name: a pipe would fill up while git is waited for."""
        path = self._folder.path / f".git-{name}"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.unlink(path)
        return fd


def _read(fd: int) -> bytes:
    parts: list[bytes] = []
    os.lseek(fd, 0, os.SEEK_SET)
    while part := os.read(fd, 1 << 20):
        parts.append(part)
    return b"".join(parts)
