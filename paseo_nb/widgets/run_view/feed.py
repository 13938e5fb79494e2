"""What goes to the browsers that look at a run: one feed per run and kernel, shared by its views.

A feed follows the run's fold, keeps its rows as the front ends have them, and sends what changed:
at most ten deltas a second, each with a number, so that a front end that missed one (iopub drops
messages when a client stalls) says so and gets everything anew, in parts. Everything here runs in
the portal's loop; one ticker serves all feeds, and there is none when nobody looks.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import anyio
import anyio.to_thread
import msgspec

from ...errors import GitProblem, PaseoError
from ...git.values import DiffSummary
from ...handle import AsyncRun
from ...history import History
from ...model import BUSY_STATES
from .head import Beyond, Head, head_of, went
from .rows import Row, Rows, apply, index_of, ops_between

Message = dict[str, Any]
Op = list[Any]
TICK_S = 0.03
SEND_S = 0.1
SMALL, SMALL_S = 4000, 0.15  # each delta has 700 bytes around it: after a small one a bit longer
STILL_S = 0.3  # between two looks at a run that is not at work
BEAT_S = 2.0
LOOK_S = 1.0  # between two looks at the processes of a run that is
DIFF_S, DIFF_REST_S = 10.0, 1.0
CHANGING = frozenset({"edit", "delete", "move", "execute"})
PART = 256_000
_GONE = frozenset({"interrupted", "unresponsive", "unknown"})
_encode = msgspec.json.encode


class Viewer(Protocol):
    """Who gets the messages: a widget, or a test."""

    def tell(self, message: Message) -> None:
        """Send one message."""
        ...


class Feed:
    """The rows, head and questions of one run, as its viewers have them."""

    def __init__(self, run: AsyncRun) -> None:
        self.run = run
        self.epoch = uuid.uuid4().hex[:8]
        self.n = 0
        self.rows: list[Row] = []
        self.head: Head = {}
        self.asks: list[Row] = []
        self.viewers: list[Viewer] = []
        self.ready = False
        self.busy = True
        self.broken = False
        self.beyond = Beyond()
        self._unsettled: set[int] = set()
        self._moment: Any = None
        self._seen: Any = None
        self._around: Any = None
        self._told = ""
        self._looked = self._sent = self._due = self._diff_due = self._diff_rest = 0.0
        self._edited = False
        self._going: set[str] = set()

    # ------------------------------------------------------------ what changed

    def changes(self) -> list[Op]:
        """Bring the rows up to date; the operations that do the same to a front end's."""
        with self.run.reading() as history:
            state = self._state(history)
            seen = (history.seq, state, self.beyond)
            if seen == self._seen:
                return []
            self._seen = seen
            return self._changes(history, state)

    def _changes(self, history: History, state: str) -> list[Op]:
        spec, items = self.run.spec, history.items
        made = Rows(history, spec, state, self.run.host.now_us())
        ops: list[Op] = []
        for index in self._stale(history, state):
            new = made.row(items[index])
            if index == len(self.rows):
                more: list[Op] = [["r", index, new]]
            else:
                more = ops_between(index, self.rows[index], new)
            apply(self.rows, more)
            ops += more
            if made.is_settled(items[index]):
                self._unsettled.discard(index)
                self._edited = self._edited or new.get("kind") in CHANGING
            else:
                self._unsettled.add(index)
        if self._edited and (diff := self.beyond.diff) is not None and not diff.files:
            self.beyond = msgspec.structs.replace(self.beyond, diff=None)  # that is no longer so
        around = (history.facts, state, self.beyond)
        if around != self._around:  # else there is only more text
            self._around = around
            ops += self._tell_around(history, state, made)
        return ops

    def _tell_around(self, history: History, state: str, made: Rows) -> list[Op]:
        """What is new of the head and the questions."""
        ops: list[Op] = []
        asks = made.asks()
        if asks != self.asks:
            gone = {str(one["id"]) for one in self.asks} - {str(one["id"]) for one in asks}
            self.asks = asks
            ops.append(["a", asks, {ident: went(history.permissions[ident]) for ident in gone}])
        head = head_of(history, self.run.spec, state, self.beyond)
        head["notices"] = made.notices()
        changed = {key: value for key, value in head.items() if self.head.get(key, self) != value}
        if changed:
            self.head = head
            ops.append(["h", {**changed, "now_us": self.run.host.now_us()}])
        if self.busy and state not in BUSY_STATES:
            self._diff_due = 0.0
        self.busy = state in BUSY_STATES
        return ops

    def _stale(self, history: History, state: str) -> list[int]:
        """Rows that are new or may have changed, in order."""
        items, known = history.items, len(self.rows)
        stale = {index_of(items, item) for item in history.follow(anew=known == 0)}
        if 0 < known < len(items):
            stale.add(known - 1)  # it was the last one, and may have said so
        turn = history.turn
        moment = (state in BUSY_STATES, history.turn_open, turn.turn if turn else 0)
        if moment != self._moment:
            self._moment = moment
            stale |= self._unsettled
        return sorted(stale)

    def _state(self, history: History) -> str:
        """The journal's word, but where the processes are found dead or silent."""
        if history.archived:
            return "archived"
        found = history.state in BUSY_STATES and self._told in _GONE
        return self._told if found else history.state

    # ------------------------------------------------------------ sending

    def tick(self, now: float) -> None:
        """Send what is new, if it is time, or a beat."""
        if now < self._due:
            return
        ops = self.changes()
        for batch in batches(ops):
            self.n += 1
            self._tell_all({"k": "delta", "epoch": self.epoch, "n": self.n, "ops": batch})
        if ops:
            small = len(ops) < 20 and len(_encode(ops)) < SMALL
            self._sent, self._due = now, now + (SMALL_S if small else SEND_S)
            return
        self._due = now + (0.0 if self.busy else STILL_S)
        if self.busy and now - self._sent >= BEAT_S:
            self._sent = now
            self._tell_all(self._at())

    def hello(self, viewer: Viewer, epoch: Any, n: Any) -> None:
        """A front end says what it has: it gets everything, where that is not all."""
        if (epoch, n) == (self.epoch, self.n) and self.ready:
            self._tell(viewer, self._at())
        else:
            self.tell_all_of_it(viewer)

    def tell_all_of_it(self, viewer: Viewer) -> None:
        """Everything, in parts; later if it is not read yet."""
        if not self.ready:
            return
        parts = list(batches(self.rows)) or [[]]
        base = {"k": "full", "epoch": self.epoch, "n": self.n, "parts": len(parts)}
        for number, rows in enumerate(parts):
            message = {**base, "part": number, "rows": rows}
            if number == 0:
                message |= {
                    "head": {**self.head, "now_us": self.run.host.now_us()},
                    "asks": self.asks,
                }
            self._tell(viewer, message)

    def _at(self) -> Message:
        return {"k": "at", "epoch": self.epoch, "n": self.n}

    def _tell_all(self, message: Message) -> None:
        for viewer in list(self.viewers):
            self._tell(viewer, message)

    def _tell(self, viewer: Viewer, message: Message) -> None:
        try:
            viewer.tell(message)
        except Exception:  # its comm was closed under us
            self.leave(viewer)

    def measure_soon(self) -> None:
        """Files were put back or applied, by a person: what changed is worked out anew."""
        self._diff_due = 0.0

    def dismiss(self, viewer: Viewer) -> None:
        """A view ends: it shows the run as it stands now, not as it stood at the last tick."""
        if not self.broken:
            self._due = 0.0
            _tick_one(self, time.monotonic())
        self.leave(viewer)

    def leave(self, viewer: Viewer) -> None:
        """It looks no longer."""
        self.viewers = [one for one in self.viewers if one is not viewer]

    def fail(self, error: Exception) -> None:
        """Say what keeps the feed from going on."""
        self.broken = True
        known = isinstance(error, (PaseoError, OSError))
        said = str(error) if known else f"{type(error).__name__}: {error}"
        note = {"tone": "bad", "text": f"This view has stopped: {said}", "hint": ""}
        self.head = {**self.head, "notices": [*self.head.get("notices", []), note]}
        self.n += 1
        ops = [["h", {"notices": self.head["notices"]}]]
        self._tell_all({"k": "delta", "epoch": self.epoch, "n": self.n, "ops": ops})

    # ------------------------------------------------------------ what takes its time

    def chores(self, now: float) -> Iterator[Any]:
        """What is to be done beside the ticks, now."""
        if not self.ready:
            yield from self._once("prepare", self._prepare)
            return
        if self.busy and now - self._looked >= LOOK_S:
            self._looked = now
            yield from self._once("look", self._look)
        if now >= self._diff_due or (self._edited and now >= self._diff_rest):
            yield from self._once("diff", self._measure)

    def _once(self, name: str, work: Any) -> Iterator[Any]:
        if name in self._going:
            return
        self._going.add(name)

        async def done() -> None:
            try:
                await work()
            except Exception as error:
                self.fail(error)
            finally:
                self._going.discard(name)

        yield done

    async def _prepare(self) -> None:
        """The first reading, which may be long; then everything goes to whoever waits."""
        from .acting import takes_steering

        steer = await anyio.to_thread.run_sync(takes_steering, self.run)
        self.beyond = msgspec.structs.replace(self.beyond, steer=steer)
        await anyio.to_thread.run_sync(self.changes)
        self.ready = True
        for viewer in list(self.viewers):
            self.tell_all_of_it(viewer)

    async def _look(self) -> None:
        """Whether the run's processes live: the journal cannot tell."""
        with self.run.reading() as history:
            told = history.state
        self._told = await anyio.to_thread.run_sync(self.run.host.state, self.run.id, told)

    async def _measure(self) -> None:
        """What changed in the folder: at the beginning, at a turn's end, soon after a call that
        may have changed something, and now and then."""
        begun = time.monotonic()
        self._diff_due = self._diff_rest = float("inf")
        self._edited = False
        diff = await anyio.to_thread.run_sync(_diff_of, self.run)
        self.beyond = msgspec.structs.replace(self.beyond, diff=diff)
        now = time.monotonic()
        self._diff_rest = now + max(DIFF_REST_S, 20 * (now - begun))
        if self.busy:
            self._diff_due = max(now + DIFF_S, self._diff_rest)


def _diff_of(run: AsyncRun) -> DiffSummary | None:
    try:
        return run.diff_summary()
    except (GitProblem, OSError):
        return None


def batches(parts: Iterable[Any]) -> Iterator[list[Any]]:
    """Rows or operations in lists of at most about 256 kB."""
    batch: list[Any] = []
    size = 0
    for part in parts:
        length = len(_encode(part))
        if batch and size + length > PART:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += length
    if batch:
        yield batch


# ---------------------------------------------------------------- all feeds of this process

_feeds: dict[tuple[str, str], Feed] = {}
_ticking = False


async def join(run: AsyncRun, viewer: Viewer) -> None:
    """Show a run to a viewer, who shares the feed of those who look at it already. In the portal's
    loop; the first one's call goes on as the ticker of all, until nobody looks any more."""
    global _ticking
    key = (str(run.host.home), run.id)
    feed = _feeds.get(key)
    if feed is None:
        feed = _feeds[key] = Feed(run)
    feed.viewers.append(viewer)
    feed.tell_all_of_it(viewer)
    if _ticking:
        return
    _ticking = True
    try:
        await _tick()
    finally:
        _ticking = False
        _feeds.clear()


def feed_of(run: AsyncRun) -> Feed | None:
    """The feed of a run that somebody looks at."""
    return _feeds.get((str(run.host.home), run.id))


async def _tick() -> None:
    async with anyio.create_task_group() as group:
        while _feeds:
            now = time.monotonic()
            for key, feed in list(_feeds.items()):
                if not feed.viewers:
                    del _feeds[key]
                elif not feed.broken:
                    for chore in feed.chores(now):
                        group.start_soon(chore)
                    _tick_one(feed, now)
            await anyio.sleep(TICK_S)


def _tick_one(feed: Feed, now: float) -> None:
    if feed.ready:
        try:
            feed.tick(now)
        except Exception as error:  # one broken run leaves the others alone
            feed.fail(error)


def _forget() -> None:
    """A forked child has no loop, and nobody looks at it."""
    global _ticking
    _feeds.clear()
    _ticking = False


os.register_at_fork(after_in_child=_forget)
