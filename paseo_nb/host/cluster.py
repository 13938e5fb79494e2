"""Runs on the workers of a Dask cluster, seen from here: `paseo.connect(client)`.

The cluster places a run (`leases`); its desk there (`server.worker`) starts it, and from then on it
is that worker's: its processes, files and journal, whose bytes come here by offset. Where a run is,
and at which attempt, is written down here (`placements`) before it is told to begin. A worker that
is gone makes its runs `interrupted`: the copy is closed here, and `resume` goes on with it on
another worker as the next attempt. From then on nothing counts that still comes from the earlier
one. The same goes for a cluster that is gone as a whole, once another one is connected.
Longer than other files, as where a run is decides what is asked, read, begun and believed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__
from ..drivers.acp_reading import as_dict, as_list, decode
from ..errors import PaseoError, Unreachable, UsageProblem
from ..journal import Journal, encode, last_own, private_dir, read_journal
from ..model import BUSY_STATES, short_id
from . import placements
from .leases import Lease, Leases
from .local import make_home
from .mirror import Mirror, size_of
from .placements import PLACED, Cluster, Order, Placement
from .requests import PATIENCE_S, PROTOCOL, Answer, LineBroken, error_of, told_in
from .scheduler import Scheduler
from .states import broke_off, journal_state

Json = dict[str, Any]
FRESH_S = 1.5
LOOK_S = 1.0
BROKEN_S = 3.0  # how long one waits for a scheduler that the client has no line to
TRIES = 3  # of workers that are lost while a run begins


class WorkerLost(Unreachable):
    """The worker that had a run is gone."""


def _checked(client: Any, name: str) -> Scheduler:
    cluster = Scheduler(client, name)
    cluster.identify()
    cluster.checked()
    return cluster


# Brings the repository of an order to where a run is; where it lies there.
Carry = Callable[["DaskHost", Order, str], str | None]


class DaskHost(Mirror):
    """The host of runs on a cluster. Made by `paseo.connect`."""

    def __init__(self, name: str, client: Any, mirrors: Path, carry: Carry) -> None:
        self._mirrors, self._carry = mirrors, carry
        self._closed = False
        self._beginning: dict[str, asyncio.Future[None]] = {}
        self._values: dict[str, dict[str, str]] = {}  # of `env=`, by run
        cluster = _checked(client, name)
        super().__init__(name, placements.home_of(mirrors, name, cluster.ident))
        self._is_now(cluster)

    def __repr__(self) -> str:
        return f"<host {self.name}: {self.cluster.address}>"

    def may_use(self, client: Any) -> bool:
        """Whether another client means what this host does: the same cluster, or one in the place
        of a cluster that is gone."""
        return self.cluster.closed and (
            self.cluster.gone() or self.cluster.address == str(client.scheduler.address)
        )

    def use(self, client: Any) -> None:
        """Go on with another client: of the same cluster, or of one that takes the place of a
        cluster that is gone, with its runs."""
        cluster = _checked(client, self.name)
        self.close()
        self.home = placements.home_of(self._mirrors, self.name, cluster.ident)
        make_home(self.home)
        self._is_now(cluster)

    def _is_now(self, cluster: Scheduler) -> None:
        self.cluster, self._closed = cluster, False
        self._leases = Leases(cluster, self._leave)
        self._followed: dict[str, threading.Thread] = {}
        self._states_at: dict[str, tuple[float, Json]] = {}
        self._bringing: dict[str, threading.Lock] = {}
        self._states.clear()
        self._wanted.clear()
        self._heard, self._tried = time.monotonic(), 0.0
        self._hold = placements.hold(self.home, Cluster(cluster.address, cluster.ident))
        for run_id in placements.take_over(self.home, cluster.address):
            placed = self.known(run_id)
            if placed is not None:
                self.lose(run_id, placed, "its cluster is gone")

    def close(self) -> None:
        """Let it go; runs are not touched by that, nor the client."""
        self._closed = True
        self._hold.release()

    def checked(self) -> int:
        """See `Scheduler.checked`."""
        return self.cluster.checked()

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
        deadline, pause, broken = time.monotonic() + patience_s, 0.1, False
        while True:
            if placed is not None and not placed.lost and self.cluster.gone():
                placed = self.lose(whose, placed)
            if placed is not None and placed.lost:
                raise self._lost(whose)
            address = whose if placed is None else placed.address
            told = dict(headers or {})
            if placed is not None:
                told["Paseo-Attempt"] = str(placed.attempt)
            try:
                answer = self.cluster.request(address, method, path, query or {}, told, data)
            except LineBroken:
                if placed is not None and self._gone(placed):
                    self.lose(whose, placed)
                    raise self._lost(whose) from None
                now = time.monotonic()
                if not (broken or self.cluster.connected):
                    broken, deadline = True, min(deadline, now + BROKEN_S)
                if now + pause > deadline:
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
        """Whether the cluster no longer has the worker of a run, or is gone itself."""
        try:
            return self.cluster.gone() or placed.address not in self.cluster.workers()
        except Unreachable:
            return False  # not known

    def _lost(self, run_id: str) -> WorkerLost:
        if self.cluster.gone():
            return WorkerLost(
                f"the cluster that had run {short_id(run_id)} is gone (nobody listens at"
                f" {self.cluster.address}): what came here of it is kept. Start a cluster, make a"
                f" Client, paseo.connect(client, name={self.name!r}); then resume() begins its turn"
                " anew there"
            )
        return WorkerLost(
            f"the worker that had run {short_id(run_id)} is gone, with its files: what came here of"
            " it is kept. resume() begins its turn anew on another worker"
        )

    @property
    def parts(self) -> Sequence[str | None]:
        """See `Mirror.parts`: the workers that have runs."""
        if self.cluster.gone():
            return []
        return [one for one in self.by_worker(self.list()) if one is not None]

    def by_worker(self, runs: Sequence[str]) -> dict[str | None, list[str]]:
        """Runs by the worker that has them; under None those whose workers are gone."""
        there = {} if self.cluster.gone() else self.cluster.workers()
        found: dict[str | None, list[str]] = {}
        for run_id in runs:
            placed = self.placement(run_id)
            if not placed.lost and placed.address not in there:
                placed = self.lose(run_id, placed)
            found.setdefault(None if placed.lost else placed.address, []).append(run_id)
        return found

    def run_id_of(self, run: str) -> str:
        """See `Mirror.run_id_of`."""
        from ..finding import find_run

        return find_run(self, run)

    # ------------------------------------------------------------ where runs are

    def list(self) -> list[str]:
        """See `Host.list`: those that were placed from this machine, and began."""
        return [one for one in super(Mirror, self).list() if self._began(one)]

    def _began(self, run_id: str) -> bool:
        placed = self.known(run_id)
        return placed is not None and (not placed.lost or self.folder(run_id).spec.exists())

    def placement(self, run_id: str) -> Placement:
        """Where a run is. UsageProblem where it was never placed."""
        found = self.known(run_id)
        if found is None:
            raise UsageProblem(f"no run {run_id!r} on {self.name}")
        return found

    def known(self, run_id: str) -> Placement | None:
        """The same; None where it was never placed."""
        try:
            return placements.read(self.folder(run_id).path)
        except FileNotFoundError:
            return None

    def _keep(self, run_id: str, placed: Placement) -> None:
        placements.keep(self.folder(run_id).path, placed)

    def _source(self, run_id: str) -> Any:
        placed = self.placement(run_id)
        return placed.attempt, placed.born

    def _counts(self, run_id: str, source: Any) -> bool:
        placed = self.placement(run_id)
        return not placed.lost and source == (placed.attempt, placed.born)

    def lose(self, run_id: str, placed: Placement, why: str = "") -> Placement:
        """Write down that a run's worker is gone, and close its copy; where it is now."""
        folder = self.folder(run_id)
        gone = self.cluster.gone()
        why = why or ("its cluster is gone" if gone else f"the worker at {placed.address} is gone")
        first = f"paseo.connect(client, name={self.name!r}) to another one; then " if gone else ""
        with self._copying(run_id):
            if not self._counts(run_id, (placed.attempt, placed.born)):
                return self.placement(run_id)
            placed = msgspec.structs.replace(placed, lost=True)
            self._keep(run_id, placed)
            self._wanted.pop(run_id, None)
            if not size_of(folder.journal):  # it had not begun: the next attempt is the first line
                return placed
            told = journal_state(folder)
            with contextlib.closing(Journal(folder)) as journal:
                last = last_own(folder.journal, "turn_start", "turn_end")
                if last is not None and last.kind == "turn_start":
                    error = {
                        "code": "worker_lost",
                        "message": why,
                        "hint": f"{first}resume() begins the turn anew on another worker.",
                    }
                    journal.own("turn_end", outcome="interrupted", by="lost", error=error)
                if told in BUSY_STATES:
                    told = "interrupted"
                    journal.own("state", state=told)
                if broke_off(folder):
                    journal.own("run_ended", reason="interrupted", state=told)
        return placed

    # ------------------------------------------------------------ reading

    def _asked(self, run_id: str, told: str | None = None) -> Json:
        at, known = self._states_at.get(run_id, (0.0, {}))
        if known and time.monotonic() - at < FRESH_S and self._wanted.get(run_id):
            return known
        if self.placement(run_id).lost:
            return self._closed_state(run_id)
        if self.cluster.closed and journal_state(self.folder(run_id)) not in BUSY_STATES:
            return self._closed_state(run_id)  # nothing of it goes on
        try:
            return super()._asked(run_id, told)
        except WorkerLost:
            return self._closed_state(run_id)
        except LineBroken:
            if time.monotonic() - self._heard > PATIENCE_S:
                raise
            return known or {"state": journal_state(self.folder(run_id)), "alive": True}
        except UsageProblem:  # it has its place, and is on its way there
            return {"state": "starting", "alive": True}

    def _closed_state(self, run_id: str) -> Json:
        told = journal_state(self.folder(run_id))
        return {"state": "interrupted" if told in BUSY_STATES else told, "alive": False}

    def _bring(self, run_id: str) -> None:
        placed = self.placement(run_id)
        if placed.lost:
            return
        if self.cluster.gone():
            self.lose(run_id, placed)
        elif not self.cluster.closed:  # then the copy is what there is
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
                if self.cluster.closed:
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
        if not order.wish:
            raise UsageProblem(
                f"run {short_id(run_id)} began with files of a worker that is gone: start a new run"
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
            if attempt == 1 and not isinstance(error, Unreachable):  # it never was one
                (self.folder(run_id).path / PLACED).unlink(missing_ok=True)
            raise

    async def made_there(self, run_id: str, by: str) -> None:
        """A run that was made where another one is: it is known here from now on, and has a place
        there for its turn. It is not begun anew elsewhere: it began with files of that worker's."""
        if self.known(run_id) is None:
            there = self.placement(by)
            made = Placement(1, there.address, there.born, Order({}))
            await asyncio.to_thread(self._keep_placed, run_id, made)
            await asyncio.to_thread(self._lease_for, run_id, there.address)

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
        free = self._leases.free(self.cluster.workers())
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
            await asyncio.to_thread(self._lease_for, run_id, placed.address)
        return done

    def _lease_for(self, run_id: str, address: str) -> None:
        """Ask for a place for a turn where its run is; nobody waits for it."""

        def take(told: Any) -> None:
            with contextlib.suppress(PaseoError):
                ident = told.result()["lease"]
                self.ask("POST", f"/leases/{ident}", {"run": run_id}, run=run_id, patience_s=0)

        def given(told: Any) -> None:
            if told.exception() is None:
                threading.Thread(target=take, args=(told,), daemon=True).start()

        self._leases.ask([address]).placed.add_done_callback(given)


def _has_done(journal: Path) -> bool:
    """Whether a turn of a run has ended by itself."""
    ends = (
        as_dict(decode(line.raw)).get("outcome")
        for line in read_journal(journal)
        if (line.dir, line.kind) == ("own", "turn_end")
    )
    return any(outcome != "interrupted" for outcome in ends)
