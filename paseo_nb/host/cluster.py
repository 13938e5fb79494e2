"""Runs on the workers of a Dask cluster, seen from here: `paseo.connect(client)`.

The cluster places a run (`leases`); its desk there (`server.worker`) starts it, and from then on it
is that worker's: its processes, files and journal, whose bytes come here by offset. Where a run is,
and at which attempt, is written down here before it is told to begin. A worker that is gone makes
its runs `interrupted`: the copy is closed here, and `resume` goes on with it on another worker as
the next attempt. From then on nothing counts that still comes from the earlier one.
Longer than other files, as where a run is decides what is asked, read, begun and believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from .. import __version__
from ..drivers.acp_reading import as_dict, as_list, decode
from ..errors import PaseoError, Unreachable, UsageProblem
from ..journal import Journal, encode, last_own, private_dir, read_journal
from ..model import BUSY_STATES, short_id
from .leases import NONE, RESOURCE, Lease, Leases
from .mirror import Mirror, size_of
from .requests import PATIENCE_S, PROTOCOL, Answer, LineBroken, error_of, told_in
from .states import broke_off, journal_state

Json = dict[str, Any]
OP = "paseo_nb"
ANSWER_S = 60.0
FRESH_S = 1.5
LOOK_S = 1.0
GONE_S = 1.0
TRIES = 3  # of workers that are lost while a run begins
PLACED = "placed.json"
# What any worker can be asked, whether or not it has us.
_PROBE = (
    "(lambda u, o, s: (u.find_spec('paseo_nb') and __import__('paseo_nb').__version__,"
    " o.getpid(), s.gethostname()))"
    "(__import__('importlib.util').util, __import__('os'), __import__('socket'))"
)


class WorkerLost(Unreachable):
    """The worker that had a run is gone."""


class Order(msgspec.Struct):
    """What a run was wished for with, so that it can be placed again. env: the names of values that
    are kept nowhere. folder, commit: of the repository here that goes along."""

    wish: Json
    env: list[str] = []
    folder: str | None = None
    commit: str | None = None
    room: bool = False
    more: dict[str, str] = {}
    providers: dict[str, Json] = {}


class Placement(msgspec.Struct):
    """Where a run is: at which attempt, on which worker (`born` tells it from a later one at the
    same address)."""

    attempt: int
    address: str
    born: str
    order: Order
    lost: bool = False


# Brings the repository of an order to where a run is; where it lies there.
Carry = Callable[["DaskHost", Order, str], str | None]


class DaskHost(Mirror):
    """The host of runs on a cluster. Made by `paseo.connect`."""

    def __init__(self, name: str, client: Any, mirrors: Path, carry: Carry) -> None:
        self.name, self.client, self._carry = name, client, carry
        self._looked_at: set[str] = set()
        self.checked()
        ident = str(client.scheduler_info()["id"])
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:40]
        key = hashlib.sha256(ident.encode()).hexdigest()[:8]
        super().__init__(name, mirrors / f"{safe}-{key}")
        self._leases = Leases(client, self._leave)
        self._followed: dict[str, threading.Thread] = {}
        self._states_at: dict[str, tuple[float, Json]] = {}
        self._values: dict[str, dict[str, str]] = {}  # of `env=`, by run
        self._bringing: dict[str, threading.Lock] = {}
        self._beginning: dict[str, asyncio.Future[None]] = {}
        self._closed = False

    def __repr__(self) -> str:
        return f"<host {self.name}: {self.client.scheduler.address}>"

    def close(self) -> None:
        """Let it go; runs are not touched by that, nor the client."""
        self._closed = True

    # ------------------------------------------------------------ the cluster

    def _check_client(self) -> None:
        if getattr(self.client, "asynchronous", False):
            raise UsageProblem("give a Client that is not asynchronous: Client(address)")
        if self.client.status not in ("running", "connecting"):
            raise Unreachable(
                f"the Dask client of {self.name} is"
                f" {self.client.status}: make a Client, then paseo.connect(client)"
            )

    def _workers(self) -> dict[str, Json]:
        """The workers of the cluster, by address. Unreachable where it does not answer."""
        self._check_client()
        try:
            return cast("dict[str, Json]", self.client.scheduler_info()["workers"])
        except Exception as error:
            raise LineBroken(
                f"the scheduler of {self.client.scheduler.address} does not answer: {error}"
            ) from None

    def checked(self) -> int:
        """How many places the cluster has. UsageProblem where none of its workers has one, where
        one of those has no paseo_nb, or another version, or is a thread of this process."""
        workers = self._workers()
        having = {
            address: int(told.get("resources", {}).get(RESOURCE, 0))
            for address, told in workers.items()
        }
        places = {address: count for address, count in having.items() if count}
        if workers and not places:
            raise UsageProblem(NONE)
        found: dict[str, Any] = {}
        new = places.keys() - self._looked_at
        if new:
            found = self.client.run(eval, _PROBE, workers=list(new), on_error="return")
        for address, told in found.items():
            if isinstance(told, Exception):
                continue  # it is just going
            version, pid, machine = told
            if version is None:
                raise UsageProblem(
                    f"the worker at {address} has no paseo_nb: install paseo_nb {__version__} there"
                    " (with git, and the agents that shall run), or take the resource"
                    f" `{RESOURCE}` from it"
                )
            if version != __version__:
                raise UsageProblem(
                    f"the worker at {address} has paseo_nb {version}, this one is {__version__}:"
                    " have the same version on both"
                )
            if (pid, machine) == (os.getpid(), os.uname().nodename):
                raise UsageProblem(
                    "the cluster's workers are threads of this process; agents need workers that"
                    " are processes of their own: LocalCluster(processes=True)"
                )
            self._looked_at.add(address)
        return sum(places.values())

    def _once(
        self, address: str, method: str, path: str, query: Json, headers: Json, body: bytes
    ) -> Answer:
        """One request to a worker's desk. LineBroken where there is no answer."""
        self._check_client()
        message = {
            "op": OP, "method": method, "path": path, "query": query, "headers": headers,
            "body": body,
        }  # fmt: skip
        try:
            told = self._broadcast(message, address)
        except Exception as error:  # whatever Dask has for a cluster that is gone
            raise LineBroken(f"{self.name} does not answer: {error!r}") from None
        if not isinstance(told, dict) or "body" not in told:  # none of us, or an error, pickled
            raise LineBroken(f"the worker at {address} of {self.name} does not answer")
        facts = cast(Json, told)
        return Answer(facts["status"], facts["headers"], facts["body"])

    def _broadcast(self, message: Json, address: str) -> Any:
        """What a worker answers. Dask would try for half a minute to reach one that is gone: so it
        is looked at meanwhile whether it is."""
        asked: Any = self.client.scheduler.broadcast(
            msg=message, workers=[address], on_error="return_pickle"
        )
        loop: Any = self.client.loop.asyncio_loop
        answer: Any = asyncio.run_coroutine_threadsafe(asked, loop)
        deadline = time.monotonic() + ANSWER_S
        try:
            while True:
                try:
                    return answer.result(GONE_S)[address]
                except TimeoutError:
                    if time.monotonic() > deadline or address not in self._workers():
                        raise
        finally:
            answer.cancel()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Json | None = None,
        headers: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
        run: str | None = None,
    ) -> Answer:
        """See `Mirror.ask`; run: a run's id, or the address of a worker. WorkerLost."""
        known = re.match(r"/runs/([^/]+)/", path)
        whose = run if run is not None else known[1] if known else None
        if whose is None:
            raise UsageProblem(f"{self.name} is a cluster: say which run is meant")
        data = body if isinstance(body, bytes) else b"" if body is None else encode(body)
        placed = None if "://" in whose else self.placement(whose)
        deadline, pause = time.monotonic() + patience_s, 0.1
        while True:
            if placed is not None and placed.lost:
                raise self._lost(whose)
            address = whose if placed is None else placed.address
            told = dict(headers or {})
            if placed is not None:
                told["Paseo-Attempt"] = str(placed.attempt)
            try:
                answer = self._once(address, method, path, query or {}, told, data)
            except LineBroken:
                if placed is not None and self._gone(placed):
                    self.lose(whose, placed)
                    raise self._lost(whose) from None
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
                continue
            if placed is not None and answer.headers.get("Paseo-Born") != placed.born:
                self.lose(whose, placed)
                raise self._lost(whose)
            if answer.status >= 400:
                raise error_of(*told_in(answer))
            return answer

    def _gone(self, placed: Placement) -> bool:
        """Whether the cluster no longer has the worker of a run."""
        try:
            return placed.address not in self._workers()
        except Unreachable:
            return False  # not known

    def _lost(self, run_id: str) -> WorkerLost:
        return WorkerLost(
            f"the worker that had run {short_id(run_id)} is gone, with its files: what came here of"
            " it is kept. resume() begins its turn anew on another worker"
        )

    @property
    def parts(self) -> Sequence[str | None]:
        """See `Mirror.parts`: the workers that have runs."""
        placed = [self.placement(run_id) for run_id in self.list()]
        known = {one.address for one in placed if not one.lost}
        return sorted(known & self._workers().keys())

    def run_id_of(self, run: str) -> str:
        """See `Mirror.run_id_of`."""
        from ..finding import find_run

        return find_run(self, run)

    # ------------------------------------------------------------ where runs are

    def list(self) -> list[str]:
        """See `Host.list`: those that were placed from this machine."""
        return [one for one in super(Mirror, self).list() if self._placed(one).exists()]

    def _placed(self, run_id: str) -> Path:
        return self.folder(run_id).path / PLACED

    def placement(self, run_id: str) -> Placement:
        """Where a run is. UsageProblem where it was never placed."""
        try:
            return msgspec.json.decode(self._placed(run_id).read_bytes(), type=Placement)
        except FileNotFoundError:
            raise UsageProblem(f"no run {run_id!r} on {self.name}") from None

    def known(self, run_id: str) -> Placement | None:
        """The same; None where it was never placed."""
        return self.placement(run_id) if self._placed(run_id).exists() else None

    def _keep(self, run_id: str, placed: Placement) -> None:
        path = self._placed(run_id)
        private_dir(path.parent)
        beside = path.with_name(f".{PLACED}.{os.getpid()}.{threading.get_ident()}")
        beside.touch(mode=0o600)
        beside.write_bytes(msgspec.json.encode(placed))
        os.replace(beside, path)

    def _source(self, run_id: str) -> Any:
        placed = self.placement(run_id)
        return placed.attempt, placed.born

    def _counts(self, run_id: str, source: Any) -> bool:
        placed = self.placement(run_id)
        return not placed.lost and source == (placed.attempt, placed.born)

    def lose(self, run_id: str, placed: Placement) -> None:
        """Write down that a run's worker is gone, and close its copy."""
        folder = self.folder(run_id)
        with self._copying(run_id):
            if not self._counts(run_id, (placed.attempt, placed.born)):
                return
            self._keep(run_id, msgspec.structs.replace(placed, lost=True))
            if not size_of(folder.journal):  # it had not begun: the next attempt is the first line
                return
            told = journal_state(folder)
            with contextlib.closing(Journal(folder)) as journal:
                last = last_own(folder.journal, "turn_start", "turn_end")
                if last is not None and last.kind == "turn_start":
                    error = {
                        "code": "worker_lost",
                        "message": f"the worker at {placed.address} is gone",
                        "hint": "resume() begins the turn anew on another worker.",
                    }
                    journal.own("turn_end", outcome="interrupted", by="lost", error=error)
                if told in BUSY_STATES:
                    told = "interrupted"
                    journal.own("state", state=told)
                if broke_off(folder):
                    journal.own("run_ended", reason="interrupted", state=told)
        self._wanted.pop(run_id, None)

    # ------------------------------------------------------------ reading

    def _asked(self, run_id: str, told: str | None = None) -> Json:
        at, known = self._states_at.get(run_id, (0.0, {}))
        if known and time.monotonic() - at < FRESH_S and self._wanted.get(run_id):
            return known
        if self.placement(run_id).lost:
            return self._closed_state(run_id)
        try:
            return super()._asked(run_id, told)
        except WorkerLost:
            return self._closed_state(run_id)
        except UsageProblem:  # it has its place, and is on its way there
            return {"state": "starting", "alive": True}

    def _closed_state(self, run_id: str) -> Json:
        told = journal_state(self.folder(run_id))
        return {"state": "interrupted" if told in BUSY_STATES else told, "alive": False}

    def _bring(self, run_id: str) -> None:
        if self.placement(run_id).lost:
            return
        with contextlib.suppress(WorkerLost):
            super()._bring(run_id)

    def touched(self, run_id: str) -> None:
        """See `Mirror.touched`."""
        self._states_at.pop(run_id, None)
        super().touched(run_id)

    def _watch_for(self, run_id: str) -> None:
        address = self.placement(run_id).address
        with self._lock:
            if address in self._followed and self._followed[address].is_alive():
                return
            thread = threading.Thread(
                target=self._follow, args=(address,), name=f"paseo {address}", daemon=True
            )
            self._followed[address] = thread
            thread.start()

    def _follow(self, address: str) -> None:
        """Bring what is new of all runs of a worker, while there are some."""
        while not self._closed:
            sources = {run_id: self.known(run_id) for run_id in list(self._wanted)}
            here = {
                run_id: one
                for run_id, one in sources.items()
                if one is not None and one.address == address and not one.lost
            }
            if not here:
                return
            offsets = {run_id: size_of(self.folder(run_id).journal) for run_id in here}
            try:
                answer = self.ask("POST", "/changes", {"runs": offsets}, run=address, patience_s=0)
            except PaseoError:
                for run_id, one in here.items():
                    self._wanted[run_id] = False
                    if self._gone(one):
                        self.lose(run_id, one)
                if self.client.status == "closed":
                    return
                time.sleep(0.3)
                continue
            born = answer.headers["Paseo-Born"]
            head, _, data = answer.body.partition(b"\n")
            told, at = msgspec.json.decode(head), 0
            for run_id, offset, size in told["parts"]:
                part, at = data[at : at + size], at + size
                if b'"$blob"' in part:
                    with contextlib.suppress(PaseoError):
                        self._blobs(part, run_id)
                self.append(run_id, offset, part, (here[run_id].attempt, born))
            for run_id, state in told["states"].items():
                self._states_at[run_id] = time.monotonic(), state
                self._wanted[run_id] = True
            self._heard = time.monotonic()

    # ------------------------------------------------------------ placing

    async def place(self, run_id: str, order: Order, values: Mapping[str, str]) -> None:
        """Start a new run wherever the cluster has a place; it waits for one."""
        self._values[run_id] = dict(values)
        for attempt in range(1, TRIES + 1):
            try:
                await self._begin(run_id, order, attempt, {})
                return
            except WorkerLost:
                continue
        raise Unreachable(f"{self.name} lost {TRIES} workers while run {short_id(run_id)} began")

    async def again(
        self, run_id: str, prompt: list[Json], command_id: str, whole: bool = False
    ) -> None:
        """Go on with a run whose worker is gone: its next attempt, wherever there is a place.
        whole: the turn is all that there is to it, so that it is done again also if it was over."""
        before = self.placement(run_id)
        order, folder = before.order, self.folder(run_id)
        if set(order.env) - self._values.get(run_id, {}).keys():
            raise UsageProblem(
                f"run {short_id(run_id)} was given values by env= ({', '.join(order.env)}) that are"
                " kept nowhere: start it anew with them"
            )
        turn = last_own(folder.journal, "turn_start")
        if not whole and _has_done(folder.journal):
            raise UsageProblem(
                f"the worker that had run {short_id(run_id)} is gone, and with it the files of the"
                " turns that it had done: start a new run"
            )
        begun = [] if turn is None else as_list(as_dict(decode(turn.raw)).get("prompt"))
        attempt = before.attempt + 1
        more: Json = {}
        if size_of(folder.journal):
            said = (
                f"the worker at {before.address} was lost: this is attempt {attempt}, on another"
                " one, from the files that the run began with and in a new session"
            )
            told = prompt or begun or order.wish["prompt"]
            blocks = [{"type": "text", "text": told}] if isinstance(told, str) else told
            more = {"prompt": blocks, "said": said, "command": command_id}
        await self._begin(run_id, order, attempt, more)

    async def _begin(self, run_id: str, order: Order, attempt: int, more: Json) -> None:
        if not await asyncio.to_thread(self.checked):
            warnings.warn(f"{self.name} has no worker yet: waiting for one", stacklevel=2)
        told = await self._given()
        if (told["protocol"], told["version"]) != (PROTOCOL, __version__):
            await asyncio.to_thread(self._leave, told["address"], told["lease"])
            raise UsageProblem(
                f"the worker at {told['address']} has paseo_nb {told['version']}, this one is"
                f" {__version__}: have the same version on both"
            )
        placed = Placement(attempt, told["address"], told["born"], order)
        beginning = asyncio.ensure_future(
            asyncio.to_thread(self._started, run_id, placed, told["lease"], more)
        )
        self._beginning[run_id] = beginning
        beginning.add_done_callback(lambda _: self._beginning.pop(run_id, None))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await asyncio.wait([beginning])  # so that whoever cancels finds a run that can be ended
            raise
        except Exception as error:
            await asyncio.to_thread(self._leave, told["address"], told["lease"])
            if attempt == 1 and not isinstance(error, WorkerLost):  # it never was one
                self._placed(run_id).unlink(missing_ok=True)
            raise

    async def begun(self, run_id: str) -> None:
        """Wait until a run that is on its way to its place is there, or never will be."""
        beginning = self._beginning.get(run_id)
        if beginning is not None:
            await asyncio.wait([beginning])

    async def _given(self) -> Json:
        """A place: where it is. While none is given and a worker has one free, it is asked for
        there."""
        lease = await asyncio.to_thread(self._asked_for)
        try:
            while True:
                given = asyncio.wrap_future(lease.placed)
                if (await asyncio.wait({given}, timeout=LOOK_S))[0]:
                    return given.result()
                lease.check()
                lease = await asyncio.to_thread(self._asked_for, lease)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(lease.give_back))
            raise

    def _asked_for(self, lease: Lease | None = None) -> Lease:
        free = self._leases.free(self._workers())
        if lease is not None and (lease.at is not None or not free):
            return lease
        if lease is not None:
            lease.give_back()
        return self._leases.ask(free)

    def _keep_placed(self, run_id: str, placed: Placement) -> None:
        private_dir(self.folder(run_id).path)
        with self._copying(run_id):
            self._keep(run_id, placed)

    def _started(self, run_id: str, placed: Placement, lease: str, more: Json) -> None:
        """Have the run begin where its place is."""
        order, folder = placed.order, self.folder(run_id)
        self._keep_placed(run_id, placed)
        self.ask("POST", f"/leases/{lease}", {"run": run_id}, run=run_id)
        wish = {**order.wish, "env": self._values.get(run_id) or None}
        with self._bringing.setdefault(placed.address, threading.Lock()):
            path = self._carry(self, order, run_id)  # who comes next finds it there
        if path is not None:
            wish["repo"] = path
        if more:
            more = {**more, "journal": self.send_content(folder.journal, run_id)}
        body = {
            "wish": wish, "attempt": placed.attempt, "providers": order.providers,
            "more": order.more, "room": order.commit if order.room else None, **more,
        }  # fmt: skip
        while self.ask("POST", f"/runs/{run_id}/start", body, run=run_id).status == 202:
            pass
        folder.spec.unlink(missing_ok=True)  # an earlier attempt's had other folders
        self._stale.add(run_id)
        self.spec(run_id)
        super()._bring(run_id)  # its first words: from now on it is known here what it was

    def _leave(self, address: str, lease: str) -> None:
        with contextlib.suppress(PaseoError):
            self.ask("POST", f"/leases/{lease}", {"leave": True}, run=address, patience_s=0)

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
        """See `Host.command`. A further turn takes a place on the run's worker, too."""
        placed = await asyncio.to_thread(self.placement, run_id)
        try:
            if placed.lost:
                raise self._lost(run_id)
            done = await super().command(
                run_id, verb, args, command_id=command_id, environment=environment
            )
        except WorkerLost:
            if verb == "resume" and command_id is not None:
                await self.again(run_id, (args or {}).get("prompt") or [], command_id)
                self.touched(run_id)
                return {"alive": True}
            if verb in ("cancel", "stop"):
                return {"alive": False}
            raise
        if verb in ("send", "resume"):
            lease = await asyncio.to_thread(self._leases.ask, [placed.address])
            lease.placed.add_done_callback(lambda told: self._further(run_id, lease, told))
        return done

    def _further(self, run_id: str, lease: Lease, told: Any) -> None:
        def take() -> None:
            with contextlib.suppress(PaseoError):
                ident = told.result()["lease"]
                self.ask("POST", f"/leases/{ident}", {"run": run_id}, run=run_id, patience_s=0)

        if told.exception() is None:
            threading.Thread(target=take, daemon=True).start()


def _has_done(journal: Path) -> bool:
    """Whether a turn of a run has ended by itself."""
    ends = (
        as_dict(decode(line.raw)).get("outcome")
        for line in read_journal(journal)
        if (line.dir, line.kind) == ("own", "turn_end")
    )
    return any(outcome != "interrupted" for outcome in ends)
