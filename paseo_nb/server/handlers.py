"""The routes' handlers: each is a few lines between a request and the project's `LocalHost`.

What holds for all is `Base`'s: Jupyter's authentication, authorisation, XSRF and Origin checks, the
protocol's version, a body's bound, and errors that tell what they may. Longer than other files, as
it is one short handler after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web

from .. import __version__, config
from ..errors import PaseoError, UsageProblem
from ..handle import AsyncRun
from ..host.local import LocalHost
from ..host.requests import NOT_FOR_THIS, OTHER_NAME
from ..journal import read_lines
from ..model import now_us
from ..pairing import Grant
from . import desk, scoping, told
from .calls import Calls
from .desk import PIECE, PROTOCOL
from .keeping import Kept
from .letting_in import LetsDevicesIn, hide_token, let_in, refuse_who_is_out
from .refused import Refused
from .tails import Tails

Json = dict[str, Any]
T = TypeVar("T")
MOST_BODY = 16 << 20
# The commands of a supervisor that a paired device may give, and what right that takes.
PAIRED = {"answer": "answer", "cancel": "answer", "send": "send", "resume": "send"}
RESOURCE = "paseo"


class Shared:
    """What the handlers of one server share."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls, self.tails = Calls(), Tails()
        self.homes: set[Path] = set()
        self.reporting: asyncio.Task[None] | None = None

    def project(self, named: str) -> Path:
        """The folder that a request is about: the server's own, or one below it."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # no name that a folder has
            folder = (self.root / named).resolve()
            if folder.is_relative_to(self.root.resolve()) and folder.is_dir():
                return folder
        raise Refused(404, f"no project {named[:200]!r} below the server's folder")

    def host(self, project: Path) -> LocalHost:
        """The host of a project."""
        home = config.home(project)
        self.homes.add(home)
        return LocalHost(home)


@web.stream_request_body
class Base(LetsDevicesIn, APIHandler):
    """What every route has."""

    auth_resource = RESOURCE
    query: ClassVar[dict[str, tuple[type, str]]] = {}
    rights: ClassVar[dict[str, str]] = {}  # method -> what a token of `pair` must be good for
    most_body = MOST_BODY
    takes_body = needs_body = True  # of a POST

    def initialize(self, shared: Shared) -> None:
        """See tornado."""
        self.shared = shared
        self.grant: Grant | None = None
        self._body = bytearray()

    def set_default_headers(self) -> None:
        """What runs do is kept by no browser and by nobody on the way."""
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        """Refuse before the body is read."""
        hide_token(self.request)
        self.set_header("Paseo-Born", self.shared.calls.born)
        self.set_header("Paseo-Now", str(now_us()))
        if not self.check_host():
            raise Refused(403, OTHER_NAME, "Refused")
        self.grant = let_in(self)
        await super().prepare()
        if not self.current_user and self.request.method != "OPTIONS":
            refuse_who_is_out(self)
            raise web.HTTPError(403)
        if self.grant is not None:
            right = self.rights.get((self.request.method or "").lower())
            if not self.grant.allows(right, self.path_kwargs.get("run")):
                raise Refused(403, NOT_FOR_THIS, "Refused")
        wanted = self.request.headers.get("Paseo-Protocol", str(PROTOCOL))
        if wanted != str(PROTOCOL):
            raise Refused(
                426,
                f"this server (paseo_nb {__version__}) speaks protocol {PROTOCOL}, you speak"
                f" {wanted[:20]}: have the same version of paseo_nb on both machines",
                "Unreachable",
            )
        length = self.request.headers.get("Content-Length", "0")
        if length.isdigit() and int(length) > self.most_body:
            raise self._too_large()

    def data_received(self, chunk: bytes) -> None:
        """Collect a body, up to its bound. What is raised here is nobody's to answer: who sends too
        much without having said so is told at once, and the line is closed."""
        self._body += chunk
        if len(self._body) > self.most_body and not self._finished:
            self._body.clear()
            refused = self._too_large()
            self.send_error(refused.status, exc_info=(type(refused), refused, None))

    def _too_large(self) -> Refused:
        return Refused(413, f"a body may have {self.most_body} bytes at most")

    @property
    def body(self) -> bytes:
        """The request's body."""
        return bytes(self._body)

    def json(self) -> Json:
        """The request's body as an object."""
        try:
            given = msgspec.json.decode(self.body or b"{}")
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise Refused(400, "the body is no JSON") from None
        if not isinstance(given, dict):
            raise Refused(400, "the body is no JSON object")
        return cast(Json, given)

    @property
    def project(self) -> Path:
        """The folder that this is about."""
        return self.shared.project(self.get_query_argument("project", ""))

    @property
    def host(self) -> LocalHost:
        """Its host."""
        return self.shared.host(self.project)

    def number(self, name: str, default: int) -> int:
        """A count from the query."""
        given = self.get_query_argument(name, str(default))
        if not (given.isascii() and given.isdigit() and len(given) < 19):
            raise Refused(400, f"{name} is a number from 0 on")
        return int(given)

    async def apart(self, function: Callable[[], T]) -> T:
        """Something that may take its time, in a thread; about this project."""

        def work() -> T:
            config.standing.set(project)
            return function()

        project = self.project
        return await asyncio.to_thread(work)

    def run_of(self, run_id: str) -> AsyncRun:
        """A run by its whole id."""
        return desk.run_of(self.host, run_id)

    def tell(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(value if isinstance(value, bytes) else msgspec.json.encode(value, enc_hook=str))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """In JSON, one form for all."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        body: Json
        if isinstance(error, Refused):
            status_code = error.status
            body = {"error": {"code": error.code, "message": str(error)}}
        elif isinstance(error, web.HTTPError):
            said = "not authenticated" if status_code == 403 else self._reason
            body = {"error": {"code": "Refused", "message": error.log_message or said}}
        else:
            assert error is not None
            status_code, body = told.problem(error)
        self.set_status(status_code)
        if status_code == 405:
            there = [name.upper() for name in ("get", "post", "put") if name in vars(type(self))]
            self.set_header("Allow", ", ".join([*there, "OPTIONS"]))
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(body))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Only what nobody foresaw is worth a traceback."""
        if isinstance(value, Refused) or (value is not None and told.problem(value)[0] != 500):
            if isinstance(value, OSError) and not isinstance(value, PaseoError):
                self.log.warning("paseo_nb: %s", value)
            return
        super().log_exception(typ, value, tb)


class About(Base):
    """What this server is."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Version, protocol, machine and project: what is asked for first."""
        host = self.host
        self.tell({
            "name": "paseo_nb",
            "version": __version__,
            "protocol": PROTOCOL,
            "host": socket.gethostname(),
            "project": str(self.project),
            "home": str(host.home),
            "place": desk.place_of(host.home),
        })  # fmt: skip


class Runs(Base):
    """All runs."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    query: ClassVar[dict[str, tuple[type, str]]] = {
        "limit": (int, "how many at most"),
        "all": (int, "1: archived ones too"),
    }

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The runs, newest first, with their true states and what they ask."""
        limit, archived = self.number("limit", 50), self.number("all", 0)
        only = self.grant.runs if self.grant is not None else None
        found = await self.apart(lambda: _listed(self.host, limit, bool(archived), only))
        self.tell({"runs": found})


class Ids(Base):
    """All runs, by their ids."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The ids of all runs, oldest first."""
        only = self.grant.runs if self.grant is not None else None
        ids = await self.apart(self.host.list)
        self.tell({"ids": [one for one in ids if only is None or one in only]})


class OneRun(Base):
    """One run."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """What it is and how it stands."""
        found = self.run_of(run)
        self.tell({"run": await self.apart(lambda: told.facts_of(found))})


class Spec(Base):
    """A run's spec."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """What it was started with, as it is kept."""
        self.tell(await self.apart(self.run_of(run).host.folder(run).spec.read_bytes))


class State(Base):
    """A run's state."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    query: ClassVar[dict[str, tuple[type, str]]] = {
        "told": (str, "what its journal tells, where that is known")
    }

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """Its true state now, and whether it has processes."""
        host = self.run_of(run).host
        self.tell(await self.apart(lambda: desk.state_of(host, run)))


class JournalBytes(Base):
    """A run's journal."""

    rights: ClassVar[dict[str, str]] = {"get": "read"}

    query: ClassVar[dict[str, tuple[type, str]]] = {
        "offset": (int, "where to begin"),
        "limit": (int, "about how many bytes at most"),
    }

    @web.authenticated
    @authorized
    async def get(self, run: str) -> None:
        """Whole lines from an offset on, as they are; `Paseo-Offset` is the offset after them."""
        path = self.run_of(run).host.folder(run).journal
        offset, limit = self.number("offset", 0), min(self.number("limit", PIECE), PIECE) or PIECE
        data, after = await self.apart(lambda: read_lines(path, offset, limit))
        self.set_header("Paseo-Offset", str(after))
        self.finish(data, set_content_type="application/x-ndjson")


class Command(Base):
    """A command to a run's supervisor."""

    rights: ClassVar[dict[str, str]] = {"post": "read"}

    @web.authenticated
    @authorized
    async def post(self, run: str) -> None:
        """Have a command applied once, under the id that it brings (`id`, `verb`, `args`; `wake`:
        processes are started for it where there are none)."""
        found, given = self.run_of(run), self.json()
        _, verb, args = desk.command_of(given)
        if self.grant is not None:
            more = given.get("wake") is True and "send" not in self.grant.rights
            more = more or not scoping.may_say(self.grant, args)
            if more or not self.grant.allows(PAIRED.get(verb), run) or "most" in args:
                raise Refused(403, NOT_FOR_THIS, "Refused")
        await self.apart(lambda: desk.with_blobs(args, found.host))
        done, result = await desk.command(self.shared.calls, self.project, found, given)
        self.tell({"result": result} if done else {"pending": True}, 200 if done else 202)


class Wake(Base):
    """A run's processes."""

    takes_body = False

    @web.authenticated
    @authorized
    async def post(self, run: str) -> None:
        """See that it has processes, for what it owes."""
        await desk.wake(self.shared.calls, self.project, self.run_of(run))
        self.tell({"result": {}})


class Hold(Base):
    """A run's permission clock."""

    takes_body = False

    @web.authenticated
    @authorized
    async def post(self, run: str) -> None:
        """Hold it for some seconds: who thinks about an answer asks again and again."""
        await desk.hold(self.shared.calls, self.project, self.run_of(run))
        self.tell({"result": {}})


class VerbCall(Base):
    """A verb."""

    @web.authenticated
    @authorized
    async def post(self, verb: str) -> None:
        """Do it. Asked again under its `Paseo-Key` it is done once; 202 says that it is still at
        work: ask again. `Paseo-Born`, where this is not the first time, is what the server that was
        asked told in that header: another one does not know what became of it, and says so."""
        told_of = self.request.headers
        done, result = await desk.verb_done(
            self.shared.calls, self.project, verb, self.body, told_of.get("Paseo-Key"),
            told_of.get("Paseo-Born"),
        )  # fmt: skip
        if not done:
            self.tell({"pending": True}, 202)
            return
        if told.is_frame(result) and told.ARROW in self.request.headers.get("Accept", ""):
            table = await self.apart(lambda: told.arrow(result))
            if table is not None:
                self.finish(table, set_content_type=told.ARROW)
                return
        self.tell(await self.apart(lambda: told.answer(result)))


class Content(Base):
    """Contents by their SHA-256: attachments, bundles, and what was too long for a journal."""

    rights: ClassVar[dict[str, str]] = {"put": "send"}

    most_body = PIECE
    query: ClassVar[dict[str, tuple[type, str]]] = {
        "offset": (int, "where this piece begins"),
        "size": (int, "of the whole content, in bytes"),
    }

    @web.authenticated
    @authorized
    async def get(self, digest: str) -> None:
        """A piece of it from an offset on; `Paseo-Size` is the size of the whole."""
        offset = self.number("offset", 0)
        data, size = await self.apart(lambda: Kept(self.host.home, digest).read(offset, PIECE))
        self.set_header("Paseo-Size", str(size))
        self.finish(data, set_content_type="application/octet-stream")

    @web.authenticated
    @authorized
    async def put(self, digest: str) -> None:
        """Bring a piece of it: `have` is how much is here now, whatever was sent. Whole when that
        is its size and it has its sum."""
        offset, size, data = self.number("offset", 0), self.number("size", 0), self.body
        kept, who = Kept(self.host.home, digest), self.grant.name if self.grant else None
        self.tell({"have": await self.apart(lambda: kept.add(offset, size, data, who))})


class Repositories(Base):
    """Repositories that were brought."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Where a commit's repository is, brought along by a bundle where it is not here yet."""
        given, project = self.json(), self.project
        self.tell(await self.apart(lambda: desk.repository(config.home(), project, given)))


class Result(Base):
    """What a run did, as commits."""

    needs_body = False

    @web.authenticated
    @authorized
    async def post(self, run: str) -> None:
        """Its files now as a commit, in a bundle that lies among the contents; `have`: commits that
        the caller has."""
        found, given = self.run_of(run), self.json()
        self.tell(await self.apart(lambda: desk.result(found, given)))


class OpenApi(Base):
    """This page."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The routes in OpenAPI's form."""
        from .openapi import page

        self.tell(await self.apart(page))


def _listed(host: LocalHost, limit: int, archived: bool, only: list[str] | None) -> list[Json]:
    found: list[Json] = []
    for run_id in reversed(host.list() if only is None else sorted(only)):
        if len(found) >= limit:
            break
        run = AsyncRun(host, run_id)
        try:
            if archived or run.state != "archived":
                found.append(told.facts_of(run))
        except (UsageProblem, FileNotFoundError):  # a folder without a readable spec is no run
            continue
    return found
