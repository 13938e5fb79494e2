"""Where an HTTP/1.1 message ends, and what its body holds. Pure: bytes in, payload out."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_HEAD = 1 << 18
_CODINGS = re.compile(rb"(?im)^(accept-encoding:[ \t]*)([^\r\n]*)")


class Broken(ValueError):
    """What came is no HTTP/1.1 message."""


class Head:
    """The first lines of a message, as they came."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        first, _, rest = raw.partition(b"\r\n")
        self.first = first.decode("latin-1").split(" ", 2)
        if len(self.first) < 2:
            raise Broken("no such first line")
        self.headers: dict[str, str] = {}
        for line in rest.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                key, value = name.strip().lower(), value.strip()
                known = self.headers.get(key)
                self.headers[key] = value if known is None else f"{known}, {value}"

    def says(self, name: str, word: str) -> bool:
        """Whether a header has that word in its list."""
        words = self.headers.get(name, "").lower().split(",")
        return word in (one.partition(";")[0].strip() for one in words)

    @property
    def status(self) -> int:
        """Of an answer."""
        try:
            return int(self.first[1])
        except ValueError:
            raise Broken("no status") from None

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this message."""
        old = "HTTP/1.0" in (self.first[0], self.first[-1])
        return self.says("connection", "close") or (
            old and not self.says("connection", "keep-alive")
        )

    def request_for(self, target: str, host: str) -> bytes:
        """A request's head for another address. Besides the host, what it takes as encodings of
        the answer is cut down to those that can be read here."""
        first = f"{self.first[0]} {target} {self.first[2]}".encode("latin-1")
        rest = self.raw.partition(b"\r\n")[2]
        rest = re.sub(rb"(?im)^host:[^\r\n]*", b"Host: " + host.encode("latin-1"), rest, count=1)
        return first + b"\r\n" + _CODINGS.sub(_readable, rest)


def _readable(found: re.Match[bytes]) -> bytes:
    kept = [
        one.strip()
        for one in found[2].split(b",")
        if one.partition(b";")[0].strip().lower() in (b"gzip", b"deflate", b"identity")
    ]
    return found[1] + (b", ".join(kept) or b"identity")


class Body:
    """A body as it passes: `feed` takes bytes and says how many of them belong to it; `payload` is
    called with its content, without the framing. `done` once it has ended."""

    def __init__(self, head: Head, payload: Callable[[bytes], None], answers: str | None) -> None:
        """answers: the method of the request that this is the answer to; None: a request."""
        self._payload = payload
        self.done = False
        self.until_close = False
        self._chunked = head.says("transfer-encoding", "chunked")
        self._left = 0
        self._line = b""
        self._state = "size" if self._chunked else "data"
        if answers is not None and (
            answers == "HEAD" or head.status in (204, 304) or head.status < 200
        ):
            self.done = True
        elif not self._chunked:
            told = head.headers.get("content-length")
            if told is not None:
                if not told.isdecimal():
                    raise Broken("content-length is no number")
                self._left = int(told)
                self.done = self._left == 0
            elif answers is not None:
                self.until_close = True
            else:
                self.done = True

    def feed(self, data: bytes) -> int:
        """Take what came; how much of it was part of this body."""
        if self.done:
            return 0
        if self.until_close:
            self._payload(data)
            return len(data)
        if not self._chunked:
            part = data[: self._left]
            self._payload(part)
            self._left -= len(part)
            self.done = self._left == 0
            return len(part)
        at = 0
        while at < len(data) and not self.done:
            at = self._step(data, at)
        return at

    def _step(self, data: bytes, at: int) -> int:
        if self._state == "data":
            part = data[at : at + self._left]
            self._payload(part)
            self._left -= len(part)
            if self._left == 0:
                self._state = "end"
            return at + len(part)
        end = data.find(b"\n", at)
        if end < 0:
            self._line += data[at:]
            if len(self._line) > MAX_HEAD:
                raise Broken("a chunk's line is too long")
            return len(data)
        line, self._line = (self._line + data[at:end]).strip(), b""
        if self._state == "size":
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError:
                raise Broken("a chunk has no size") from None
            self._state = "data" if self._left else "trailer"
        elif self._state == "end":
            self._state = "size"
        elif not line:
            self.done = True
        return end + 1
