"""Requests to the Jupyter Server of another machine: one form, patient with a line that breaks.

Everything that is asked bears being asked twice (reads, pieces by offset, commands and calls under
a key), so what got no answer is asked again until patience ends. An error comes back as ours.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
import time
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import msgspec

from .. import errors
from ..errors import PaseoError, Unreachable, UsageProblem
from ..model import now_us

Json = dict[str, Any]
PROTOCOL = 1
PATIENCE_S = 60.0
REFUSED_S = 5.0  # where nobody listens: a server that is started anew, at most
CONNECT_S = 10.0  # to be connected, TLS included
STALE_S = 1.0
SAME_US = 2_000_000  # clocks that are no further apart go the same
ANSWER_S = 60.0  # longer than the server lets a call wait


# Why a server lets nobody in, where that is not the token; it says so in these words.
NOT_FOR_THIS = "this token is not for that"
OTHER_NAME = (
    "the server does not go by the name that it was asked under. Behind a tunnel or a proxy it is"
    " started with --ServerApp.allow_remote_access=True"
)
TOLD = (NOT_FOR_THIS, OTHER_NAME)


class Answer(msgspec.Struct):
    """What a server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        """The body as an object."""
        return msgspec.json.decode(self.body)


class LineBroken(Unreachable):
    """There was no answer: it is not known whether the other side heard. nobody: none listened."""

    nobody = False


class Server:
    """The address of one server, and how to ask it. Any thread may."""

    def __init__(self, url: str, token: str | None, project: str = "") -> None:
        parts = _parts_of(url)
        if parts is None:
            raise UsageProblem(f"{url!r} is no address: write http://MACHINE:PORT, or https://…")
        if token is not None and not _is_token(token):
            raise UsageProblem("the token has characters that no token has")
        self.parts, self.token, self.project = parts, token, project
        self.base = parts.path.rstrip("/") + "/paseo/api"
        self._own = threading.local()
        self.born: str | None = None  # the server that answered last
        self.ahead_us = 0  # what its clock is ahead of ours

    @property
    def named(self) -> str:
        """The address as errors tell it: without a token."""
        return f"{self.parts.scheme}://{self.parts.netloc.rpartition('@')[2]}{self.parts.path}"

    def same(self, other: Server) -> bool:
        """Whether both mean the same place, with the same token."""
        return (self.parts, self.token, self.project) == (other.parts, other.token, other.project)

    @property
    def headers(self) -> dict[str, str]:
        """What every request has."""
        told = {"Authorization": f"token {self.token}"} if self.token else {}
        return {**told, "Paseo-Protocol": str(PROTOCOL)}

    def target(self, path: str, query: Json | None = None) -> str:
        """A route with its query, from the server's root on."""
        asked = {**({"project": self.project} if self.project else {}), **(query or {})}
        return self.base + quote(path) + (f"?{urlencode(asked)}" if asked else "")

    @property
    def stream(self) -> str:
        """The WebSocket's address."""
        scheme = "wss" if self.parts.scheme == "https" else "ws"
        return f"{scheme}://{self.parts.netloc.rpartition('@')[2]}{self.target('/stream')}"

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Json | None = None,
        headers: dict[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Answer:
        """The answer. Unreachable where there is none for so long, or for some seconds nobody who
        would listen; else what the server says is wrong, as the error that it was there. Asked
        again, it says which server it had asked: another one does not know what became of that."""
        told = dict(headers or {})
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        begun, pause, nobody = time.monotonic(), 0.05, True
        deadline = begun + patience_s
        while True:
            tried = time.monotonic()
            try:
                answer = self._once(method, self.target(path, query), data, told)
                break
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise Unreachable(f"{self.named}: {error.verify_message}") from None
                nobody = nobody and _is_nobody(error, time.monotonic() - tried)
                until = min(deadline, begun + REFUSED_S) if nobody else deadline
                if time.monotonic() + pause > until:
                    raise self._broken(error, nobody) from None
                if self.born is not None:
                    told["Paseo-Born"] = self.born
                time.sleep(pause)
                pause = min(pause * 2, 2.0)
        self.born = answer.headers.get("Paseo-Born", self.born)
        self._hear_time(answer.headers.get("Paseo-Now", ""), time.monotonic() - tried)
        if answer.status in (502, 504) and time.monotonic() < deadline:  # a proxy's, not its own
            raise LineBroken(f"{self.named} does not answer: {answer.status} from a proxy")
        if answer.status >= 400:
            raise self._problem(answer)
        if answer.status >= 300:
            to = answer.headers.get("Location", "nowhere")[:200]
            raise Unreachable(f"{self.named} sends us elsewhere ({to!r}): connect to where it is")
        return answer

    def _hear_time(self, told: str, took_s: float) -> None:
        """Note what its clock says; not where its answer took so long that this tells nothing."""
        if told.isdigit() and took_s < STALE_S:
            ahead = int(told) - now_us()
            self.ahead_us = ahead if abs(ahead) > SAME_US else 0

    def _broken(self, error: Exception, nobody: bool) -> LineBroken:
        if not nobody:
            return LineBroken(f"{self.named} does not answer: {error}")
        made = LineBroken(
            f"{self.named} does not answer: nobody listens there ({error}). Look whether its server"
            " is up (`paseo-nb serve`, JupyterLab) and the address right; its runs go on meanwhile"
        )
        made.nobody = True
        return made

    def _once(
        self, method: str, target: str, data: bytes | None, headers: dict[str, str]
    ) -> Answer:
        for fresh in (False, True):
            connection, begun = self._connection(), time.monotonic()
            known = connection.sock is not None
            try:
                if connection.sock is None:
                    connection.connect()
                    made: Any = connection.sock
                    made.settimeout(ANSWER_S)
                connection.request(method, target, data, {**self.headers, **headers})
                got = connection.getresponse()
                # As the server writes their names: proxies (a JupyterHub's) make them small.
                heads = {name.title(): value for name, value in got.getheaders()}
                return Answer(got.status, heads, got.read())
            except (OSError, http.client.HTTPException):
                connection.close()
                # A kept connection may have been closed for its age; then that shows at once.
                if fresh or not known or time.monotonic() - begun > STALE_S:
                    raise
        raise AssertionError

    def _connection(self) -> http.client.HTTPConnection:
        kept = getattr(self._own, "connection", None)
        if kept is None:
            make = (
                http.client.HTTPSConnection
                if self.parts.scheme == "https"
                else http.client.HTTPConnection
            )
            kept = make(self.parts.hostname or "", self.parts.port, timeout=CONNECT_S)
            self._own.connection = kept
        return kept

    def _problem(self, answer: Answer) -> PaseoError:
        code, message = told_in(answer)
        if answer.status == 403 and message in TOLD:
            return Unreachable(f"{self.named}: {message}")
        if answer.status in (401, 403):
            return Unreachable(
                f"{self.named} does not let us in: the token is missing, wrong or has expired"
            )
        if answer.status == 404 and code != "UsageProblem":
            return Unreachable(f"{self.named} has no paseo_nb (or an older one) that it serves")
        return error_of(code, message)


def _parts_of(url: str) -> SplitResult | None:
    """An address in its parts; None for what is none."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, _ = (parts.hostname or "").encode("idna"), parts.port
    except ValueError:  # UnicodeError, too
        return None
    fits = url.isprintable() and " " not in url and parts.path.isascii()
    return parts if fits and host and parts.scheme in ("http", "https") else None


def _is_nobody(error: Exception, after_s: float) -> bool:
    """Whether nobody listens at an address, or at the other end of its tunnel (which takes a line
    up, and lets it go at once), or there is no such address."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_NONAME
    quick = isinstance(error, ConnectionError) and after_s < STALE_S
    return quick or isinstance(error, ConnectionRefusedError)


def _is_token(given: Any) -> bool:
    return isinstance(given, str) and given.isascii() and given.isprintable()


def told_in(answer: Answer) -> tuple[str, str]:
    """The code and the message of an answer that is an error."""
    try:
        told: Any = answer.json["error"]
        return str(told["code"]), str(told["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "", f"it answered {answer.status}"


def error_of(code: str, message: str) -> PaseoError:
    """An error as it was there."""
    kind: Any = getattr(errors, code, None)
    if not (isinstance(kind, type) and issubclass(kind, PaseoError)):
        return PaseoError(message)
    return PaseoError(message) if issubclass(kind, errors.RunError) else kind(message)
