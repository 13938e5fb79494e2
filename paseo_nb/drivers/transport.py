"""The byte path: newline-delimited JSON from an agent's pipe to journal lines, fast and bounded.

Chunks are split at line feeds, each line decoded just far enough to know its kind, masked, wrapped
and handed on in order and in batches. Nothing is queued: what is read is written before the next
read. A line over 1 MB streams into a blob while it arrives; up to `JOIN_BYTES` it is still
understood, beyond that only its head and tail are looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

BLOB_BYTES = 1 << 20
JOIN_BYTES = 16 << 20
READ_BYTES = 1 << 16  # larger ones cost more: their memory is fetched anew for each read
HEAD_BYTES = 2048
NULL = msgspec.Raw(b"null")


class Content(msgspec.Struct, gc=False):
    """The text of a chunk."""

    text: str | None = None


class Update(msgspec.Struct, gc=False):
    """The kind of a session update, the tool call or message that it is about, and its content."""

    sessionUpdate: str = "unknown"
    toolCallId: str | None = None
    status: str | None = None
    messageId: str | None = None
    content: Content | list[msgspec.Raw] | None = None


class Params(msgspec.Struct, gc=False):
    """The parameters of a session update."""

    update: Update | None = None


class Envelope(msgspec.Struct, gc=False):
    """Just enough of a JSON-RPC message to know what it is."""

    method: str | None = None
    id: int | str | float | None = None
    params: Params | None = None
    error: msgspec.Raw = NULL


class Mask(Protocol):
    """What masks secrets in bytes; `longest` is the length of the longest one."""

    longest: int

    def __call__(self, data: bytes) -> bytes: ...

    def lines(self, block: bytes) -> tuple[list[bytes], dict[int, bytes], set[int]]: ...

    def safe_cut(self, data: bytes, cut: int) -> int: ...


_decode_envelope = msgspec.json.Decoder(Envelope).decode
_ID_HEAD = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.)*"|-?\d+)')
_METHOD = re.compile(rb'"method"\s*:\s*"([^"\\]*)"')
_UPDATE = re.compile(rb'"sessionUpdate"\s*:\s*"([^"\\]*)"')


class Splitter:
    """Feeds bytes in, gives lines out through `on_lines(masked lines, came, suspects)`.

    `came` has by number the lines that a mask changed, as they came: for the dialect and for no
    disk (a file that the agent has us write is written as it said). In suspects a token may begin.

    A long line goes to `on_blob(digest, size, head, tail, whole)` instead, where `whole` is the
    line as it came if it is at most `JOIN_BYTES`, else None.
    """

    def __init__(
        self,
        mask: Mask,
        blobs: Path,
        on_lines: Callable[[list[bytes], dict[int, bytes], set[int]], None],
        on_blob: Callable[[str, int, bytes, bytes, bytes | None], None],
    ) -> None:
        self.mask, self.blobs = mask, blobs
        self.on_lines, self.on_blob = on_lines, on_blob
        self._parts: list[bytes] = []
        self._size = 0
        self._long: LongLine | None = None

    def feed(self, chunk: bytes) -> None:
        """Take what a read returned."""
        if self._long is not None:
            end = chunk.find(b"\n")
            if end < 0:
                self._long.write(chunk)
                return
            self._long.write(chunk[:end])
            self._finish_long()
            chunk = chunk[end + 1 :]
        end = chunk.rfind(b"\n")
        if end >= 0:
            block = b"".join((*self._parts, chunk[:end])) if self._parts else chunk[:end]
            self._parts, self._size = [], 0
            chunk = chunk[end + 1 :]
            if len(block) > BLOB_BYTES:
                self._block_with_long_lines(block)
            else:
                self._short(block)
        if chunk:
            self._parts.append(chunk)
            self._size += len(chunk)
            if self._size > BLOB_BYTES:
                self._long = LongLine(self.blobs, self.mask)
                for part in self._parts:
                    self._long.write(part)
                self._parts, self._size = [], 0

    def finish(self) -> None:
        """The pipe ended: a last line without a line feed counts as a line."""
        if self._long is not None:
            self._finish_long()
        if self._parts:
            block, self._parts = b"".join(self._parts), []
            self._short(block)

    def abandon(self) -> None:
        """Forget what has not been given out; a second call does nothing."""
        long, self._long = self._long, None
        self._parts, self._size = [], 0
        if long is not None:
            long.abandon()

    def _short(self, block: bytes) -> None:
        lines, came, suspects = self.mask.lines(block)
        if not block.isascii():
            for number, line in enumerate(lines):
                if not line.isascii():
                    lines[number] = sound(line)
        self.on_lines(lines, {number: sound(line) for number, line in came.items()}, suspects)

    def _block_with_long_lines(self, block: bytes) -> None:
        short: list[bytes] = []
        for line in block.split(b"\n"):
            if len(line) <= BLOB_BYTES:
                short.append(line)
                continue
            if short:
                self._short(b"\n".join(short))
                short = []
            self._long = LongLine(self.blobs, self.mask)
            self._long.write(line)
            self._finish_long()
        if short:
            self._short(b"\n".join(short))

    def _finish_long(self) -> None:
        if self._long is not None:
            told = self._long.finish()
            self._long = None
            self.on_blob(*told)


class LongLine:
    """One line over 1 MB on its way to `blobs/<sha256>`: masked across chunk borders, hashed."""

    def __init__(self, blobs: Path, mask: Mask) -> None:
        blobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(blobs)
        self.blobs, self.mask = blobs, mask
        self._temp = blobs / f"{_ARRIVING}{os.getpid()}-{id(self)}"
        self._file = open(self._temp, "wb", opener=_private)  # noqa: SIM115 - closed in finish
        self._hash = hashlib.sha256()
        self._carry = b""
        self._size = 0
        self._head = b""
        self._tail = b""
        self._whole: list[bytes] | None = []

    def write(self, data: bytes) -> None:
        """Take the next part."""
        data = self._carry + data
        cut = self.mask.safe_cut(data, max(len(data) - self.mask.longest, 0))
        self._put(data[:cut])
        self._carry = data[cut:]

    def _put(self, came: bytes) -> None:
        data = self.mask(came)
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
        self._tail = (self._tail + data[-HEAD_BYTES:])[-HEAD_BYTES:]
        if self._whole is not None:
            self._whole.append(came)
            if self._size > JOIN_BYTES:
                self._whole = None

    def finish(self) -> tuple[str, int, bytes, bytes, bytes | None]:
        """Name the blob by its hash: (digest, size, masked head and tail, whole as it came)."""
        self._put(self._carry)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        digest = self._hash.hexdigest()
        os.replace(self._temp, self.blobs / digest)
        whole = b"".join(self._whole) if self._whole is not None else None
        return digest, self._size, self._head, self._tail, whole

    def abandon(self) -> None:
        """Give its space back."""
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._temp.unlink()


_ARRIVING = ".arriving-"


def _sweep(blobs: Path) -> None:
    """Remove what was arriving when its supervisor was killed."""
    for left in blobs.glob(f"{_ARRIVING}*-*"):
        try:
            os.kill(int(left.name.split("-")[1]), 0)
        except ProcessLookupError:
            left.unlink(missing_ok=True)
        except (ValueError, OSError):
            pass


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def sound(line: bytes) -> bytes:
    """The line, with what is no UTF-8 replaced."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode("utf-8", "replace").encode()
    return line


def envelope(line: bytes) -> Envelope | None:
    """What a line is; None if it is no JSON object at all."""
    try:
        return _decode_envelope(line)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = decode(line)  # an object with fields of unexpected types: take what is usable
    if not isinstance(message, dict):
        return None
    method, ident, params = (message.get(key) for key in ("method", "id", "params"))  # pyright: ignore
    update = params.get("update") if isinstance(params, dict) else None  # pyright: ignore
    told: list[Any] = []
    if isinstance(update, dict):
        told = [update.get(key) for key in Update.__struct_fields__[:4]]  # pyright: ignore
        told = [value if isinstance(value, str) else None for value in told]
    return Envelope(
        method if isinstance(method, str) else None,
        ident if isinstance(ident, (int, str, float)) else None,  # pyright: ignore
        Params(Update(told[0] or "unknown", *told[1:])) if told else None,
    )


def envelope_of_blob(head: bytes, tail: bytes) -> Envelope:
    """What can be told of a line too long to join: method, id and update kind from its ends."""
    method, kind = _METHOD.search(head), _UPDATE.search(head)
    before = head[: head.find(b'"params"')] if b'"params"' in head else head
    after = tail[tail.rfind(b"}") - 80 if tail.rfind(b"}") > 80 else 0 :]
    ident = _ID_HEAD.search(before) or _ID_HEAD.search(after)
    return Envelope(
        method.group(1).decode("utf-8", "replace") if method else None,
        decode(ident.group(1)) if ident else None,
        Params(Update(kind.group(1).decode("utf-8", "replace"))) if kind else None,
    )


def mended(line: bytes) -> bytes | None:
    """A line that is JSON to many writers but not by the book, made sound: halves of surrogate
    pairs (JavaScript cuts texts there), NaN, raw control characters. None if it is no object."""
    if line[:1] != b"{":
        return None
    try:
        message = json.loads(line, strict=False, parse_constant=lambda _: None)
        text = json.dumps(message, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def text_of(message: Envelope) -> str | None:
    """The text of an ACP chunk."""
    update = message.params.update if message.params is not None else None
    content = update.content if update is not None else None
    return content.text if isinstance(content, Content) else None


def decode(line: bytes) -> Any:
    """A whole message; None if it is not JSON."""
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
