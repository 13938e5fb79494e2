"""What a page shows of runs, as values: the board, a run's changes, its trace, and what it asks of
a run. The same values that the notebook's widgets get by their comms.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

from jupyter_server.auth.decorator import authorized
from tornado import web

from .. import config
from ..attaching import Blocks
from ..drivers.acp_reading import as_dict
from ..errors import PaseoError, UsageProblem
from ..handle import AsyncRun
from ..host.local import LocalHost
from ..host.requests import NOT_FOR_THIS
from ..model import BUSY_STATES, When, now_us
from ..pairing import Grant
from ..tracing.seen import seen_of
from ..tracing.spans import run_span
from ..widgets import live
from ..widgets.dashboard.board import Board
from ..widgets.run_view import acting
from ..widgets.trace import rows
from . import scoping
from .handlers import Base
from .letting_in import refuse_who_is_out
from .refused import Refused

Json = dict[str, Any]
LOOK_S = 0.7
MOST_ATTACHED = 20
WAIT_S = 20.0  # shorter than what proxies allow a request
MOST_ALSO = 8


class Watched:
    """One project's board, for all who watch it: one look for all, while somebody waits."""

    _all: ClassVar[dict[Path, Watched]] = {}

    def __init__(self, home: Path) -> None:
        self.board = Board(LocalHost(home))
        self.told: Json = {}
        self.n = 0
        self._looking = asyncio.Lock()
        self._looked = 0.0

    @classmethod
    def of(cls, home: Path) -> Watched:
        """The one of a project."""
        return cls._all.setdefault(home, cls(home))

    async def after(
        self, known: int, project: Path, grant: Grant | None, check: Callable[[], None]
    ) -> Json:
        """The board, as soon as it is another one than the caller knows; or after a while. `check`
        raises once the caller may not see it any more."""
        deadline = time.monotonic() + WAIT_S
        whole, told, n = -1, self.told, 0
        while True:
            await self._look(project)
            check()
            if self.n != whole:
                whole, told = self.n, scoping.board_for(grant, self.told)
                n = whole if grant is None else scoping.number_of(told)
            if n != known or time.monotonic() > deadline:
                return {**told, "n": n, "now_us": now_us()}
            await asyncio.sleep(LOOK_S)

    async def _look(self, project: Path) -> None:
        def look() -> Json:
            config.standing.set(project)
            self.board.look()
            board = self.board
            return {"head": board.head, "lines": list(board.lines.values()), "asks": board.asks}

        async with self._looking:
            if time.monotonic() - self._looked < LOOK_S / 2:
                return
            now = await asyncio.to_thread(look)
            now = {**now, "lines": [dict(line) for line in now["lines"]]}
            self._looked = time.monotonic()
            if now != self.told:
                self.told = now
                self.n = max(self.n + 1, now_us())  # another server's numbers are never known here

    @classmethod
    async def together(cls, known: int, places: dict[Path, tuple[str, Path]]) -> Json:
        """The same of several projects, by their homes: the first one's board, with the lines and
        the questions of the others, which say the `project` as it was named."""
        deadline = time.monotonic() + WAIT_S
        boards = [(name, cls.of(home), folder) for home, (name, folder) in places.items()]
        while True:
            for at, (_, one, folder) in enumerate(boards):
                with contextlib.suppress(*((PaseoError, OSError) if at else ())):
                    await one._look(folder)
            n = max(one.n for _, one, _ in boards)
            if n != known or time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_S)
        told: Json = {**boards[0][1].told, "n": n, "now_us": now_us()}
        for name, one, _ in boards[1:]:
            for kind in ("lines", "asks"):
                more = ({**each, "project": name} for each in one.told.get(kind, ()))
                told[kind] = [*told[kind], *more]
        told["lines"] = sorted(told["lines"], key=lambda line: line["id"], reverse=True)
        return told


class BoardNow(Base):
    """The board."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}
    query: ClassVar[dict[str, tuple[type, str]]] = {
        "known": (int, "the `n` that the caller has: it is answered when there is another one"),
        "also": (
            str,
            "further folders whose projects' runs are shown, too (said once for each); their lines"
            " and questions say `project`",
        ),
    }

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The runs by state and the questions that wait, as the dashboard shows them; waits up to
        20 s for news."""
        project, known = self.project, self.number("known", 0)
        places = self.beside({self.host.home: ("", project)})
        if len(places) > 1:  # nobody's who has a token of `pair`
            self.tell(await Watched.together(known, places))
            return
        board = Watched.of(self.host.home)
        self.tell(await board.after(known, project, self.grant, lambda: refuse_who_is_out(self)))

    def beside(self, places: dict[Path, tuple[str, Path]]) -> dict[Path, tuple[str, Path]]:
        """The places, and those named by `also` that have runs."""
        for named in self.get_query_arguments("also")[:MOST_ALSO]:
            with contextlib.suppress(Refused):  # a folder that is gone
                folder = self.shared.project(named)
                if config.home(folder).is_dir():
                    places.setdefault(self.shared.host(folder).home, (named, folder))
        return places


class Act(Base):
    """What a page asks of a run."""

    rights: ClassVar[dict[str, str]] = {"post": "read"}

    @web.authenticated
    @authorized
    async def post(self, run: str) -> None:
        """Carry out `verb`: send, cancel, stop, resume, retry, unqueue, allow, deny, archive,
        unarchive, set_model, set_effort, set_mode, set_agent_mode, undo, apply; `ok`, and in `said`
        why not. An answer names its `permission`, and may bring an `option`, a changed `input`
        (allow), or a `reason` (deny); a prompt (`text`) may bring blocks to `attach`."""
        found, given = self.run_of(run), self.json()
        verb = given.get("verb")
        if not isinstance(verb, str) or verb not in scoping.ACTS:
            raise Refused(400, "verb is one of " + ", ".join(sorted(scoping.ACTS)))
        if not (scoping.may(self.grant, verb, run) and scoping.may_say(self.grant, given)):
            raise Refused(403, NOT_FOR_THIS, "Refused")
        key = self.request.headers.get("Paseo-Key")
        call = None if key is None else f"act {self.host.home} {run} {verb} {key}"
        done, answer = await self.shared.calls.result(
            call, self.project, lambda: _acted(found, given, key)
        )
        self.tell(answer if done else {"pending": True}, 200 if done else 202)


class Story(Base):
    """A run that has ended, as a cell's output."""

    query: ClassVar[dict[str, tuple[type, str]]] = {
        "beside": (int, "1: its HTML as it stands beside a live widget, which hides it")
    }
    rights: ClassVar[dict[str, str]] = {"get": "read"}

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """Its `data` and `metadata`, as a notebook keeps them; only `busy` while it is at work."""
        found, beside = self.run_of(run), self.number("beside", 0)

        def look() -> Json:
            if found.state in BUSY_STATES:
                return {"busy": True}
            data = live.bundle_of(found)
            if beside:
                data["text/html"] = live.beside(found.id, data["text/html"])
            return {"busy": False, "data": data, "metadata": live.about_of(found)}

        self.tell(await self.apart(look))


class Changes(Base):
    """What a run changed."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """Its files' changes, line by line; `said` where there are none."""
        found = self.run_of(run)
        done, told = await self.shared.calls.result(
            None, self.project, lambda: acting.diff_of(found)
        )
        self.tell(told if done else {"pending": True}, 200 if done else 202)


class Trace(Base):
    """A run's trace."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}
    query: ClassVar[dict[str, tuple[type, str]]] = {
        "span": (str, "only the details of this one"),
        "find": (str, "only the ids of spans that have this text"),
    }

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """Its spans as rows, parents first, with times in ms since it began."""
        found = self.run_of(run)
        span, text = self.get_query_argument("span", ""), self.get_query_argument("find", "")

        def look() -> Json:
            root, at_us = run_span(scoping.seen_for(self.grant, seen_of(found))), now_us()
            if span:
                return rows.detail_of(root, span) or {}
            if text:
                return {"ids": rows.found_in(root, text)}
            head = rows.head_of(root, at_us, found.state in BUSY_STATES)
            return {"head": head, "rows": list(rows.rows_of(root, at_us).values())}

        self.tell(await self.apart(look))


async def _acted(run: AsyncRun, given: Json, key: str | None) -> Json:
    verb = given["verb"]
    try:
        if verb == "send":
            await _sent(run, given, key)
        elif verb in ("archive", "unarchive"):
            await (run.archive() if verb == "archive" else run.unarchive())
        else:
            return await acting.act(run, given)
    except (PaseoError, OSError) as error:
        return {"ok": False, "said": str(error)}
    return {"ok": True, "said": ""}


async def _sent(run: AsyncRun, given: Json, key: str | None) -> None:
    """A prompt, with contents that were brought before; under a key it counts once, also where the
    server was restarted meanwhile."""
    attach, text, when = given.get("attach"), given.get("text"), given.get("when", "queue")
    if not isinstance(text, str) or not isinstance(when, str):
        raise UsageProblem("a prompt has a text, and `when` is a word")
    if not isinstance(attach, list | None) or len(cast(list[Any], attach or [])) > MOST_ATTACHED:
        raise UsageProblem(f"attach is a list of {MOST_ATTACHED} blocks at most")
    blocks = Blocks(as_dict(one) for one in cast(list[Any], attach or []))
    ident = hashlib.sha256(key.encode()).hexdigest()[:32] if key else uuid.uuid4().hex
    await run.send_once(ident, text, when=cast(When, when), attach=blocks)
