"""What runs on a worker of a Dask cluster: a project folder of its own, and a desk for it.

The desk answers requests as the Jupyter Server's routes do, by a handler of the Dask worker. The
pair of processes of a run and its journal live in that folder; they are no task of Dask's and
outlive one. What a task does here is hold a place: see `held`. The folders of workers of this
machine that are gone are cleared away by the next one, with what is still at work in them.
Longer than other files, as its routes, places and clearing are one worker's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from .. import __version__, config, preparing
from ..attaching import Blocks
from ..drivers import registry
from ..errors import StorageProblem, UsageProblem
from ..git import rooms
from ..handle import launch
from ..host.local import LocalHost, make_home
from ..journal import Journal, encode, last_own, private_dir, read_lines, take_lock, write_file_once
from ..locks import HeldLock
from ..model import BUSY_STATES
from ..preparing import Wish
from ..supervisor import cleanup
from ..unfinished import making
from . import desk, told
from .calls import Calls
from .desk import PIECE, PROTOCOL
from .keeping import Kept
from .refused import Refused

Json = dict[str, Any]
T = TypeVar("T")
Answered = tuple[int, dict[str, str], bytes]
OP = "paseo_nb"
LOOK_S = 0.05
CHANGES_S = 0.5
TELL_S = 2.0
UNHEARD_S = 20.0  # a place that nobody takes is given back
START_S = 900.0  # a repository may take its time to come
CLEAR_S = 60.0
BEGIN_S = 30.0
ATTEMPT = "attempt"


class Place(msgspec.Struct):
    """A place for one turn, as a task holds it. run: None until somebody takes it."""

    run: str | None = None
    left: bool = False
    heard: float = 0.0


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """A run to start here: what was wished for, and what that takes. room: a commit that it begins
    with in a clone; journal: the content that its earlier attempts left; prompt, by a command of
    that id: what it is told again then; said: why."""

    wish: Json
    attempt: int
    providers: dict[str, Json] = {}
    more: dict[str, str] = {}
    room: str | None = None
    journal: str | None = None
    prompt: list[Json] = []
    command: str = ""
    said: str = ""


class WorkerDesk:
    """The desk of one worker."""

    def __init__(self, beside: Path, address: str) -> None:
        self.address, self.calls = address, Calls()
        self.places: dict[str, Place] = {}
        self.folder, self._held = _own_folder(beside)
        self.project = private_dir(self.folder / "project")
        self.host = LocalHost(self.project / config.HOME_NAME)
        make_home(self.host.home)
        # Agents and what they start find their project by it, wherever Dask's folders lie.
        os.environ[config.PREFIX + "HOME"] = str(self.host.home)

    # ------------------------------------------------------------ answers

    async def answer(
        self, method: str, path: str, query: Json, headers: dict[str, str], body: bytes
    ) -> Answered:
        """The answer to a request, as a status, headers and a body; never an exception."""
        try:
            status, more, data = await self._routed(method, path, query, headers, body)
        except Refused as error:
            told_error = {"error": {"code": error.code, "message": str(error)}}
            status, more, data = error.status, {}, encode(told_error)
        except Exception as error:
            status, facts = told.problem(error)
            if status == 500:
                logging.getLogger(__name__).exception("%s %s", method, path)
                facts["error"]["message"] = f"something unexpected: {type(error).__name__}"
            more, data = {}, encode(facts)
        return status, {"Paseo-Born": self.calls.born, **more}, data

    async def _routed(
        self, method: str, path: str, query: Json, headers: dict[str, str], body: bytes
    ) -> Answered:
        given = _object(body) if method == "POST" and not path.startswith("/verbs/") else {}
        match method, path.strip("/").split("/"):
            case "GET", ["about"]:
                return _said(self.about())
            case "GET", ["ids"]:
                return _said({"ids": await self._apart(self.host.list)})
            case "POST", ["changes"]:
                return await self._changes(given)
            case "POST", ["leases", lease]:
                return _said(self._told(lease, given))
            case "POST", ["repositories"]:
                home, project = self.host.home, self.project
                return _said(await self._apart(lambda: desk.repository(home, project, given)))
            case "POST", ["verbs", verb]:
                return await self._verb(verb, headers, body)
            case "GET", ["contents", digest]:
                kept, offset = Kept(self.host.home, digest), int(query.get("offset", 0))
                data, size = await self._apart(lambda: kept.read(offset, PIECE))
                return 200, {"Paseo-Size": str(size)}, data
            case "PUT", ["contents", digest]:
                kept, offset, size = Kept(self.host.home, digest), query["offset"], query["size"]
                return _said({"have": await self._apart(lambda: kept.add(offset, size, body))})
            case "POST", ["runs", run_id, "start"]:
                order = msgspec.convert(given, Order)
                done, _ = await self.calls.result(
                    f"start-{run_id}-{order.attempt}", self.project,
                    lambda: self._start(run_id, order),
                )  # fmt: skip
                return _said({"done": done}, 200 if done else 202)
            case _, ["runs", run_id, what]:
                wanted = headers.get("Paseo-Attempt")
                if wanted is not None and self._attempt(run_id) not in (None, wanted):
                    raise Refused(409, f"run {run_id[:10]} is at another attempt", "Unreachable")
                return await self._of_run(run_id, what, query, given)
            case _:
                raise Refused(404, f"no route {method} {path[:80]}")

    async def _of_run(self, run_id: str, what: str, query: Json, given: Json) -> Answered:
        run = desk.run_of(self.host, run_id)
        match what:
            case "spec":
                spec = self.host.folder(run_id).spec
                return 200, {}, await self._apart(spec.read_bytes)
            case "state":
                return _said(await self._apart(lambda: desk.state_of(self.host, run_id)))
            case "journal":
                journal, offset = self.host.folder(run_id).journal, int(query.get("offset", 0))
                data, after = await self._apart(lambda: read_lines(journal, offset, PIECE))
                return 200, {"Paseo-Offset": str(after)}, data
            case "command":
                _, _, args = desk.command_of(given)
                await self._apart(lambda: desk.with_blobs(args, self.host))
                done, result = await desk.command(self.calls, self.project, run, given)
                return _said({"result": result} if done else {}, 200 if done else 202)
            case "wake":
                await desk.wake(self.calls, self.project, run)
            case "hold":
                await desk.hold(self.calls, self.project, run)
            case "result":
                return _said(await self._apart(lambda: desk.result(run, given)))
            case "away":
                await self._apart(lambda: rooms.remove_room(run_id))
            case _:
                raise Refused(404, f"no route to a run's {what[:40]}")
        return _said({"result": {}})

    async def _verb(self, verb: str, headers: dict[str, str], body: bytes) -> Answered:
        done, result = await desk.verb_done(
            self.calls, self.project, verb, body, headers.get("Paseo-Key"),
            headers.get("Paseo-Born"),
        )  # fmt: skip
        if not done:
            return _said({"pending": True}, 202)
        if told.is_frame(result):
            table = await self._apart(lambda: told.arrow(result))
            if table is not None:
                return 200, {"Content-Type": told.ARROW}, table
        data = await self._apart(lambda: told.answer(result))
        return 200, {"Content-Type": "application/json"}, data

    def about(self) -> Json:
        """What this worker is."""
        return {
            "version": __version__, "protocol": PROTOCOL, "born": self.calls.born,
            "address": self.address, "host": socket.gethostname(), "pid": os.getpid(),
        }  # fmt: skip

    async def _apart(self, function: Callable[[], T]) -> T:
        def work() -> T:
            config.standing.set(self.project)
            return function()

        return await asyncio.to_thread(work)

    async def _changes(self, given: Json) -> Answered:
        """What was written to journals since the offsets given, as soon as there is something, or
        after a moment; and how those runs stand."""
        offsets = cast(dict[str, int], given["runs"])
        deadline = time.monotonic() + CHANGES_S

        def look() -> list[tuple[str, int, bytes]]:
            found: list[tuple[str, int, bytes]] = []
            for run_id, offset in offsets.items():
                data, _ = read_lines(self.host.folder(run_id).journal, offset, PIECE)
                if data:
                    found.append((run_id, offset, data))
            return found

        while not (found := await self._apart(look)) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_S)

        def states() -> dict[str, Json]:
            there = [one for one in offsets if self.host.folder(one).spec.exists()]
            return {one: desk.state_of(self.host, one) for one in there}

        head = {
            "parts": [(run_id, offset, len(data)) for run_id, offset, data in found],
            "states": await self._apart(states),
        }
        return 200, {}, encode(head) + b"\n" + b"".join(data for _, _, data in found)

    # ------------------------------------------------------------ runs

    def _attempt(self, run_id: str) -> str | None:
        with contextlib.suppress(OSError):
            return (self.host.folder(run_id).path / ATTEMPT).read_text()
        return None

    async def _start(self, run_id: str, order: Order) -> None:
        """Start a run, or go on with one that another worker was lost with. Asked again, it is
        done once."""
        folder = self.host.folder(run_id)
        if folder.spec.exists():
            return
        for name, given in order.providers.items():
            registry.register_provider(name, **given)
        wish = msgspec.convert({**order.wish, "attach": None, "cell": None}, Wish)
        wish.attach = Blocks(order.wish.get("attach") or [])
        if order.room is not None:
            repository, commit = Path(wish.repo or ""), order.room
            made = await asyncio.to_thread(rooms.make_room, run_id, repository, commit)
            wish.repo = str(made)
        elif wish.repo is None:
            wish.repo = str(private_dir(self.project / "work" / run_id))
        if order.attempt > 1:  # the earlier one may be at work on this machine yet
            await asyncio.to_thread(_end_pairs, f"/runs/{run_id}")
            await asyncio.to_thread(cleanup.sweep, run_id)
        private_dir(folder.path)
        write_file_once(folder.path / ATTEMPT, str(order.attempt).encode())
        prepared = await asyncio.to_thread(self._prepared, wish)
        if order.journal is None:
            await launch(self.host, prepared, run_id, order.more)
            await asyncio.to_thread(self._until_begun, run_id, 0)
            return
        again, seq = await asyncio.to_thread(self._again, run_id, prepared, order)
        args: Json = {"prompt": order.prompt}
        desk.with_blobs(args, self.host)
        await self.host.ensure(run_id, None, {**again, **order.more})
        await asyncio.to_thread(self._until_begun, run_id, seq)
        await self.host.command(
            run_id, "resume", args, command_id=order.command or uuid.uuid4().hex,
            environment={**again, **order.more},
        )  # fmt: skip

    def _prepared(self, wish: Wish) -> preparing.Prepared:
        config.standing.set(self.project)
        return preparing.prepare(wish, self.host)

    def _again(
        self, run_id: str, prepared: preparing.Prepared, order: Order
    ) -> tuple[dict[str, str], int]:
        """The run's files, with the journal that its earlier attempts left; its agent's
        environment, and how far that journal goes. The agent's session was lost with the worker:
        it gets a new one."""
        folder = self.host.folder(run_id)
        with (
            self.host.holding("launch.lock", preparing.LAUNCH_S),
            making(self.host, run_id),
        ):
            one = preparing.make(prepared, self.host, run_id)
            shutil.copyfile(self.host.home / "blobs" / str(order.journal), folder.journal)
            with contextlib.closing(Journal(folder)) as journal:
                journal.own("session", session_id=None, how="lost")
                seq = journal.own("warning", message=order.said)
            self.host.make(one.spec)
        return one.environment, seq

    def _until_begun(self, run_id: str, seq: int) -> None:
        """Wait for the first word of a new pair: until then the journal names the socket of the
        earlier attempt's, which may still be at work."""
        folder, deadline = self.host.folder(run_id), time.monotonic() + BEGIN_S
        while (last := last_own(folder.journal, "run_started")) is None or last.seq <= seq:
            if time.monotonic() > deadline:
                raise StorageProblem(f"the supervisor does not begin: see {folder.log}")
            time.sleep(LOOK_S)

    # ------------------------------------------------------------ places

    def _told(self, lease: str, given: Json) -> Json:
        """What whoever wanted a place says about it: which run it is for, or that it is left."""
        place = self.places.get(lease)
        if place is None:
            return {"there": False}
        place.heard = time.monotonic()
        place.run = given.get("run", place.run)
        place.left = place.left or bool(given.get("leave"))
        return {"there": True}

    def hold(self, lease: str, tell: Callable[[Json], None]) -> str:
        """Hold a place until the turn that it is for is over, or nobody wants it."""
        place = self.places[lease] = Place(heard=time.monotonic())
        try:
            said = 0.0
            while place.run is None and not place.left:
                now = time.monotonic()
                if now - place.heard > UNHEARD_S:
                    return "nobody took it"
                if now - said > TELL_S:
                    said = now
                    tell({"lease": lease, **self.about()})
                time.sleep(LOOK_S)
            while not place.left and not self._over(place):
                time.sleep(LOOK_S)
            return "left" if place.left else "over"
        finally:
            del self.places[lease]

    def _over(self, place: Place) -> bool:
        assert place.run is not None
        if not self.host.folder(place.run).spec.exists():
            return time.monotonic() - place.heard > START_S
        return self.host.state(place.run) not in BUSY_STATES


def _said(facts: Json, status: int = 200) -> Answered:
    return status, {"Content-Type": "application/json"}, msgspec.json.encode(facts, enc_hook=str)


def _object(body: bytes) -> Json:
    given = json.loads(body or b"{}")
    if not isinstance(given, dict):
        raise Refused(400, "the body is no JSON object")
    return cast(Json, given)


def _own_folder(beside: Path) -> tuple[Path, HeldLock]:
    """A folder for this worker, which it holds while it lives; those of dead ones are cleared."""
    above = private_dir(beside / "paseo_nb")
    making = take_lock(above / "making", CLEAR_S)  # who is new is not taken for a dead one
    with making if making is not None else contextlib.nullcontext():
        for other in above.iterdir() if making is not None else ():
            lock = take_lock(other / "held", 0) if other.is_dir() else None
            if lock is not None:
                with lock:
                    _clear(other)
        folder = private_dir(above / uuid.uuid4().hex[:12])
        lock = take_lock(folder / "held")
    assert lock is not None
    return folder, lock


def _clear(folder: Path) -> None:
    """End what a worker that is gone left at work, and remove its files. Not what carries the same
    runs' ids elsewhere: those are their next attempts."""
    host = LocalHost(folder / "project" / config.HOME_NAME)
    for run_id in host.list():
        _end_pairs(str(host.folder(run_id).path))
        home = str(host.home)
        theirs = [pid for pid in cleanup.marked(run_id) if not cleanup.elsewhere(pid, home)]
        cleanup.kill(theirs, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def _end_pairs(named: str) -> None:
    """kill -9 of supervisors whose run's folder has this in its name."""
    pairs = [
        pid
        for pid in cleanup.parents()
        if pid != os.getpid() and f"{named} " in (told := cleanup.command_line(pid)) + " "
        and "supervisor" in told
    ]  # fmt: skip
    cleanup.kill(pairs, signal.SIGKILL)


# ---------------------------------------------------------------- on the worker

_desk: WorkerDesk | None = None
_lock = threading.Lock()


def desk_of(worker: Any) -> WorkerDesk:
    """The desk of this process's worker, made where there is none yet."""
    global _desk
    with _lock:
        if _desk is None:
            _desk = WorkerDesk(Path(worker.local_directory).parent, str(worker.address))
        if _desk.address != str(worker.address):
            raise UsageProblem("two Dask workers in one process cannot both have agents")
        made = _desk

    async def answer(
        method: str, path: str, query: Json, headers: dict[str, str], body: bytes
    ) -> Json:
        status, more, data = await made.answer(method, path, query, headers, body)
        return {"status": status, "headers": more, "body": data}

    worker.handlers.setdefault(OP, answer)
    return made


def held(lease: str, topic: str) -> str:
    """The task that holds a place: it has the worker's resource for as long as the turn lasts that
    the place is for, and no thread of its pool."""
    import distributed

    worker: Any = distributed.get_worker()
    made = desk_of(worker)
    distributed.secede()
    return made.hold(lease, lambda facts: worker.log_event(topic, facts))
