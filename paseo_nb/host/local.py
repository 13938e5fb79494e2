"""Runs on this machine: files under a project's `.paseo_nb`, locks, and one socket per live run."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import anyio
import anyio.abc
import anyio.to_thread
import msgspec

from ..drivers.acp_reading import as_dict, decode
from ..errors import PaseoError, StorageProblem, Unreachable, UsageProblem
from ..hints import command
from ..journal import (
    Journal,
    RunFolder,
    decode_lines,
    encode,
    last_own,
    lock_held,
    private_dir,
    read_lines,
    take_lock,
    write_file_once,
)
from ..model import BUSY_STATES, Line, RunSpec, now_us, short_id
from ..packing import pack
from ..supervisor import cleanup
from .base import Launch
from .foreign import came_along
from .launch import Entry, launch
from .states import broke_off, control_path, settle, true_state

Json = dict[str, Any]
T = TypeVar("T")
ANSWER_S = 10.0
PING_S = 2.0
LEAVING_S = 15.0
KILL_S = 6.0  # longer than a warden takes to end a tree
_REFUSED_FS = {errno.EACCES, errno.EPERM, errno.EROFS}


class LocalHost:
    """The host of one project folder."""

    name = "local"

    def __init__(self, home: Path) -> None:
        self.home = home

    def now_us(self) -> int:
        """Now, by the clock that its journals have their times of."""
        return now_us()

    def folder(self, run_id: str) -> RunFolder:
        """Where a run's files lie."""
        return RunFolder(self.home / "runs" / run_id)

    # ------------------------------------------------------------ starting

    async def ensure(
        self, run_id: str, spec: RunSpec | None, environment: Mapping[str, str]
    ) -> None:
        """See `Host.ensure`."""
        folder = self.folder(run_id)
        if spec is not None:
            self._make(folder, spec)
        elif not folder.spec.exists():
            raise UsageProblem(f"no run {run_id!r} in {self.home}")
        elif self.spec(run_id).bundled:
            raise UsageProblem(
                f"run {short_id(run_id)} came here in a bundle: it can only be looked at"
            )
        elif not lock_held(folder.lock) and await anyio.to_thread.run_sync(came_along, folder.spec):
            raise UsageProblem(
                f"run {short_id(run_id)} came here with a repository (its files are in a commit),"
                " so its agent's command is somebody else's: it can only be looked at"
            )
        else:
            self._mark(folder)
        if not lock_held(folder.lock):
            await anyio.to_thread.run_sync(launch, {str(folder.path): environment})

    def entry(self, run_id: str) -> Entry:
        """What will start a new run's pair, while the run is being made."""
        return Entry([str(self.folder(run_id).path)])

    async def start_many(self, launches: Sequence[Launch]) -> None:
        """See `Host.start_many`."""
        environments: dict[str, Mapping[str, str]] = {}
        for one in launches:
            folder = self.folder(one.spec.run_id)
            self._make(folder, one.spec)
            environments[str(folder.path)] = one.environment
        if environments:
            await anyio.to_thread.run_sync(launch, environments)

    def _make(self, folder: RunFolder, spec: RunSpec) -> None:
        written = encode(spec)  # before anything is made
        try:
            make_home(self.home)
            private_dir(folder.path)
            self._mark(folder)
            write_file_once(folder.spec, written)
        except OSError as error:
            if not folder.spec.exists():  # nothing half made: it would look like a run
                folder.live_marker.unlink(missing_ok=True)
                with contextlib.suppress(OSError):
                    folder.path.rmdir()
            raise storage_problem(error, self.home) from error

    @contextlib.contextmanager
    def holding(self, name: str, wait_s: float) -> Generator[None]:
        """One process of a project at a time, of those that hold the lock of that name.
        StorageProblem where another one does so for too long."""
        path = self.home / name
        try:
            make_home(self.home)
            lock = take_lock(path, wait_s)
        except OSError as error:
            raise storage_problem(error, self.home) from error
        if lock is None:
            raise StorageProblem(f"another process has held {path} for more than {wait_s:g} s")
        with lock:
            yield

    def putting(self, run_id: str, wait_s: float) -> contextlib.AbstractContextManager[None]:
        """One process at a time puts a run away, brings it back, or removes it. Not the lock that
        tells whether it lives: this may take long."""
        return self.holding(f"runs/{run_id}/away.lock", wait_s)

    def _mark(self, folder: RunFolder) -> None:
        try:
            private_dir(folder.live_marker.parent)
            folder.live_marker.touch(mode=0o600)
        except OSError as error:
            raise storage_problem(error, self.home) from error

    # ------------------------------------------------------------ reading

    def events(self, run_id: str, offset: int = 0) -> tuple[list[Line], int]:
        """See `Host.events`."""
        # No RunFolder: this is asked for many times a second.
        data, after = read_lines(f"{self.home}/runs/{run_id}/journal.jsonl", offset)
        return decode_lines(data), after

    def spec(self, run_id: str) -> RunSpec:
        """See `Host.spec`."""
        try:
            return self.folder(run_id).read_spec()
        except FileNotFoundError:
            raise UsageProblem(f"no run {run_id!r} in {self.home}") from None
        except msgspec.MsgspecError as error:
            raise UsageProblem(f"the spec of run {run_id} cannot be read: {error}") from None

    def list(self) -> list[str]:
        """See `Host.list`."""
        try:
            with os.scandir(self.home / "runs") as found:
                return sorted(e.name for e in found if e.is_dir() and e.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise storage_problem(error, self.home) from error

    def make(self, spec: RunSpec) -> None:
        """Make a new run's files without starting it."""
        self._make(self.folder(spec.run_id), spec)

    def state(self, run_id: str, told: str | None = None) -> str:
        """See `Host.state`. A run found dead in mid-turn has its books closed here."""
        folder = self.folder(run_id)
        try:
            state = true_state(folder, told)
        except FileNotFoundError:
            raise UsageProblem(f"no run {run_id!r} in {self.home}") from None
        if lock_held(folder.lock):
            if state != "interrupted" and not _answers(folder):
                return "unresponsive" if lock_held(folder.lock) else self.state(run_id)
        elif state == "interrupted" or (state not in BUSY_STATES and broke_off(folder)):
            settle(folder)
        return state

    def put(
        self,
        run_id: str,
        kind: Literal["archived", "unarchived", "told"],
        facts: Json,
        then: Callable[[], T] = lambda: None,
    ) -> T:
        """Journal of a run without processes that it is put away, or back, and how, or that
        somebody was told of its turn; then do what must not be done beside processes of its.
        UsageProblem where it has some, StorageProblem where the project cannot be written."""
        folder = self.folder(run_id)
        self.state(run_id)  # closes the books of one that died
        try:
            lock = take_lock(folder.lock, 2.0)
            if lock is None:
                raise UsageProblem(f"run {short_id(run_id)} is busy: stop it first")
            with lock:
                folder.live_marker.touch(mode=0o600)
                journal = Journal(folder)
                try:
                    journal.own(kind, **facts)
                finally:
                    journal.close()
                done = then()
                if kind == "archived":
                    journal.free_reserve()
                    with contextlib.suppress(OSError):  # then it stays as it is
                        pack(folder.journal)
                return done
        except OSError as error:
            raise storage_problem(error, self.home) from error

    def alive(self, run_id: str) -> bool:
        """See `Host.alive`."""
        return lock_held(self.folder(run_id).lock)

    def kill(self, run_id: str) -> None:
        """kill -9 of a run's supervisor, by the id in its journal: its warden, woken, ends the
        agent's tree (killed too where it does not), and the books are closed.

        Unreachable where those processes are not there, or not a pair of this run's."""
        folder = self.folder(run_id)
        pids = _pair(folder)
        cleanup.kill(pids[1:], signal.SIGKILL)
        cleanup.kill(pids[:1], signal.SIGCONT)
        begun = time.monotonic()
        while lock_held(folder.lock):
            if not pids or time.monotonic() - begun > LEAVING_S:
                raise Unreachable(
                    f"the processes of run {short_id(run_id)} cannot be found on this machine; who"
                    f" holds {folder.lock}?"
                )
            if time.monotonic() - begun > KILL_S:
                cleanup.kill(pids, signal.SIGKILL)
            time.sleep(0.02)
        settle(folder)

    # ------------------------------------------------------------ commands

    async def command(
        self,
        run_id: str,
        verb: str,
        args: dict[str, Any] | None = None,
        *,
        command_id: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """See `Host.command`. Retried with the same id while the pair comes or goes.

        Raises Unreachable where a living pair does not answer, UsageProblem where it refuses.
        `{"alive": False}` where there is no pair and none is to be started.
        """
        folder = self.folder(run_id)
        message = {"id": command_id or uuid.uuid4().hex, "verb": verb, "args": args or {}}
        starts = 0
        with anyio.move_on_after(LEAVING_S + ANSWER_S):
            while True:
                if not lock_held(folder.lock):
                    if environment is None:
                        await anyio.to_thread.run_sync(settle, folder)
                        return {"alive": False}
                    starts += 1
                    if starts > 3:
                        raise StorageProblem(f"the supervisor does not stay up: see {folder.log}")
                    await self.ensure(run_id, None, environment)
                    await self._until(folder, held=True, at_most_s=2.0)
                answer = await self._ask(folder, message)
                if answer is None:
                    await anyio.sleep(0.05)
                    continue
                if answer.get("ok"):
                    return {"alive": True, **cast(Json, answer.get("result") or {})}
                error = cast(Json, answer.get("error") or {})
                if error.get("code") != "ending":
                    raise UsageProblem(str(error.get("message")))
                await self._until(folder, held=False, at_most_s=LEAVING_S)
        raise self.unreachable(run_id)

    def unreachable(self, run_id: str) -> Unreachable:
        """The error for a pair that is alive and does not do what it is asked."""
        return Unreachable(
            f"run {short_id(run_id)} is alive but does not answer: its processes"
            f" {_pair(self.folder(run_id))} may be suspended. Wake them with `kill -CONT PID …`, or"
            f" end them with {command(f'stop {short_id(run_id)} --force')}; what it did so far is"
            " kept."
        )

    async def _until(self, folder: RunFolder, held: bool, at_most_s: float) -> None:
        with anyio.move_on_after(at_most_s):
            while lock_held(folder.lock) != held:
                await anyio.sleep(0.01)

    async def hold(self, run_id: str) -> None:
        """Hold the permission clock of a run until cancelled, through its comings and goings."""
        folder = self.folder(run_id)
        message = encode({"id": "hold", "verb": "hold", "args": {}}) + b"\n"
        while True:
            with contextlib.suppress(OSError, anyio.EndOfStream, anyio.BrokenResourceError):
                async with await anyio.connect_unix(control_path(folder)) as stream:
                    await stream.send(message)
                    lines = Lines(stream)
                    while True:
                        await lines.receive()
            await anyio.sleep(0.2)

    async def _ask(self, folder: RunFolder, message: dict[str, Any]) -> dict[str, Any] | None:
        """One attempt: the answer, or None where the connection failed."""
        try:
            async with await anyio.connect_unix(control_path(folder)) as stream:
                await stream.send(json.dumps(message).encode() + b"\n")
                lines = Lines(stream)
                with anyio.move_on_after(ANSWER_S):
                    while True:
                        answer = await lines.receive()
                        if answer.get("id") == message["id"]:
                            return answer
        except PermissionError as error:
            raise Unreachable(
                f"run {folder.run_id} belongs to another user ({error}); set PASEO_NB_HOME to a"
                " folder of your own"
            ) from error
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
            return None
        return None


def _pair(folder: RunFolder) -> list[int]:
    """The pids of a run's warden and supervisor, where they are alive and really its own."""
    started = last_own(folder.journal, "run_started")
    facts = as_dict(decode(started.raw)) if started is not None else {}
    told = [facts.get("warden_pid"), facts.get("pid")]
    if facts.get("boot_id") != cleanup.boot_id():
        return []
    pids = [pid for pid in told if isinstance(pid, int)]
    return [pid for pid in pids if str(folder.path) in cleanup.command_line(pid)]


def _answers(folder: RunFolder) -> bool:
    """Whether the pair of a held lock greets within 2 s (a fresh one may take that long)."""
    deadline = time.monotonic() + PING_S
    while (left := deadline - time.monotonic()) > 0 and lock_held(folder.lock):
        with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
            sock.settimeout(left)
            sock.connect(str(control_path(folder)))
            if sock.recv(1):
                return True
        time.sleep(0.02)
    return False


class Lines:
    """JSON lines from a stream."""

    def __init__(self, stream: anyio.abc.ByteReceiveStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def receive(self) -> dict[str, Any]:
        """The next message; EndOfStream where there is none."""
        while b"\n" not in self._buffer:
            self._buffer += await self._stream.receive()
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)


def make_home(home: Path) -> None:
    """Make a project's `.paseo_nb` (0700, ignored by git)."""
    private_dir(home)
    ignore = home / ".gitignore"
    if not ignore.exists():
        write_file_once(ignore, b"*\n")
    for name in ("runs", "live", "blobs"):
        private_dir(home / name)


def storage_problem(error: OSError, home: Path) -> PaseoError:
    """A file system's refusal in words that say what to do."""
    if error.errno in _REFUSED_FS:
        return StorageProblem(
            f"{home} cannot be written ({error.strerror}). It may be read-only or another user's."
            " Set PASEO_NB_HOME to a folder that you can write."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageProblem(f"no space left under {home}. Free some, then try again.")
    return StorageProblem(f"{home}: {error.strerror or error}")
