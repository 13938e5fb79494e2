"""The HTTP/1.1 side: keep-alive, request bodies in either framing, chunked event streams.

One thread per connection, all of them joined by `close`. Knows dialects by their common parts
(dialect.py) and no API by name.
"""

from __future__ import annotations

import json
import math
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .conversation import Conversation, Failure, Reply, Usage
from .dialect import Dialect

if TYPE_CHECKING:
    from .server import ModelServer

_LOOK_EVERY_S = 0.02
_TAG = re.compile(r"/t/([^/]+)/")


@dataclass(eq=False)
class Request:
    """One HTTP request and how it ended: a row of the ledger.

    `kind`: `main`; `title` or `summary`, which a CLI asks on the side; `aside`, which needs no
    model (a list of models, a count of tokens); `unknown`. `usage` is what the client was told
    of it: None where the answer did not get so far.
    `outcome`: `open` while being answered, then `complete`, `disconnected` (the client hung up),
    `cut` (by the script), `closed` (the server was closed meanwhile) or `failed` (a bug here,
    printed). `status` is None until the answer begins.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    tag: str = ""
    dialect: str | None = None
    kind: str = "unknown"
    conversation: Conversation | None = None
    answer: Reply | Failure | dict[str, Any] | None = None
    status: int | None = None
    usage: Usage | None = None
    outcome: str = "open"
    events_sent: int = 0
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None


class HttpServer:
    """The listening socket, its thread, and the connections' threads."""

    def __init__(self, owner: ModelServer, dialects: Sequence[Dialect], port: int) -> None:
        self.owner = owner
        self.dialects = dialects
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._listener = _Listener(("127.0.0.1", port), _Handler)
        self._listener.http = self
        self.port: int = self._listener.server_address[1]
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name="modelserver", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        if self._thread.ident is not None:
            self._listener.shutdown()
            self._thread.join(5)
        self._listener.server_close()
        with self._lock:
            open_now = dict(self._connections)
        for connection in open_now.values():
            _hang_up(connection)
        for thread in open_now:
            thread.join(5)

    def opened(self, thread: threading.Thread, connection: socket.socket) -> None:
        with self._lock:
            self._connections[thread] = connection

    def closed(self, thread: threading.Thread) -> None:
        with self._lock:
            self._connections.pop(thread, None)


class _Listener(ThreadingHTTPServer):
    request_queue_size = 128
    http: HttpServer

    def process_request(self, request: Any, client_address: Any) -> None:
        # daemons, though HttpServer.close joins them: a server left open must not hang pytest
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self.http.opened(thread, request)
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.http.closed(threading.current_thread())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is the client's right; anything else is printed."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Gone(ConnectionError):
    """The client hung up, or the server is being closed: nobody reads on."""


class _Cut(ConnectionError):
    """The script wants the connection to break here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def _http(self) -> HttpServer:
        return self.server.http  # pyright: ignore[reportAttributeAccessIssue]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Silent: requests are recorded, not printed."""

    def do_HEAD(self) -> None:
        """Claude Code looks whether its endpoint is there."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        raw = self._read_body()
        try:
            body = json.loads(raw or b"{}")
        except ValueError as error:
            self._send_json(400, {"error": {"message": f"the body is not JSON: {error}"}}, {})
            return
        self._serve(body)

    def _read_body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(parts)

    def _serve(self, body: dict[str, Any]) -> None:
        owner = self._http.owner
        path = urlsplit(self.path).path.rstrip("/")
        dialect = next((d for d in self._http.dialects if d.matches(path)), None)
        request = Request(
            self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body
        )
        if tagged := _TAG.match(path):
            request.tag = tagged[1]
        if dialect:
            request.dialect = dialect.NAME
        owner.record(request)
        outcome = "complete"
        try:
            if dialect is None:
                self._json(request, 404, {"error": {"message": f"no such path: {self.path}"}})
            else:
                self._converse(dialect, path, request)
        except _Cut:
            outcome = "cut"
            raise
        except ConnectionError:
            outcome = "closed" if self._http.closing.is_set() else "disconnected"
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            owner.update(request, outcome=outcome, ended=time.monotonic())

    def _converse(self, dialect: Dialect, path: str, request: Request) -> None:
        owner = self._http.owner
        known = dialect.aside(path, request.body, owner.models)
        if known is not None:
            owner.update(request, answer=known, kind="aside")
            self._json(request, 200, known)
            return
        conversation = dialect.parse(path, request.body)
        owner.update(request, conversation=conversation, kind=conversation.kind)
        answer = owner.answer(conversation, request.tag)
        owner.update(request, answer=answer)
        if isinstance(answer, Failure):
            headers = _retry_headers(answer.retry_after_s)
            self._json(request, answer.status, dialect.failure(answer), headers)
            return
        self._rest(answer.wait_s)
        usage = answer.usage or Usage()
        if owner.cache is not None and conversation.kind == "main":
            usage = owner.cache.usage(conversation.model, request.body, usage.output_tokens)
        if conversation.stream:
            self._stream(dialect, request, conversation, answer, usage)
            return
        if answer.cut_after is not None:
            raise _Cut
        if answer.hang_after is not None:
            self._rest(math.inf)
        owner.update(request, usage=usage)  # before the client can look into the ledger
        self._json(request, 200, dialect.whole(answer, conversation, usage))

    def _stream(
        self,
        dialect: Dialect,
        request: Request,
        conversation: Conversation,
        reply: Reply,
        usage: Usage,
    ) -> None:
        owner = self._http.owner
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        owner.update(request, status=200)
        for event in dialect.stream(reply, conversation, usage):
            if request.events_sent:
                self._rest(reply.pause_s)
            if request.events_sent == reply.cut_after:
                raise _Cut
            if request.events_sent == reply.hang_after:
                self._rest(math.inf)
            data = event.encode()
            if event.tells:
                owner.update(request, usage=event.tells)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            owner.update(request, events_sent=request.events_sent + 1)
        self.wfile.write(b"0\r\n\r\n")

    def _json(
        self,
        request: Request,
        status: int,
        value: dict[str, Any],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._http.owner.update(request, status=status)
        self._send_json(status, value, headers or {})

    def _send_json(self, status: int, value: dict[str, Any], headers: Mapping[str, str]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _rest(self, seconds: float) -> None:
        """Sleep, but notice at once that the client hung up or the server closes."""
        until = time.monotonic() + seconds
        while True:
            if self._http.closing.is_set() or _hung_up(self.connection):
                raise _Gone
            left = until - time.monotonic()
            if left <= 0:
                return
            self._http.closing.wait(min(left, _LOOK_EVERY_S))


def _retry_headers(seconds: float | None) -> dict[str, str]:
    if seconds is None:
        return {}
    return {"retry-after-ms": f"{seconds * 1000:.0f}", "Retry-After": f"{math.ceil(seconds)}"}


def _hung_up(connection: socket.socket) -> bool:
    """Whether the peer has closed; bytes of a next, pipelined request do not count."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed by the other side or by its own thread
