"""A journal that is put away: packed beside its place, read from any offset, unpacked again.

`journal.jsonl.gz` is plain gzip (`gunzip` reads it) of many members of whole lines; each begins
with a field that tells its two sizes, so that a reader finds an offset without unpacking what is
before it. The first also has the inode of the file that was packed: to the index it is still the
same journal. Where both files are there, a crash came in between and the plain one counts.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from collections.abc import Callable, Generator
from pathlib import Path

MEMBER_BYTES = 1 << 20
_LEVEL = 6
# Magic, deflate, "has extra field", no time, no hints, unknown system; then that field: its length,
# "Pn", length of what follows, bytes of the member, bytes unpacked, inode.
_HEAD = struct.Struct("<4sIBBH2sHIIQ")
_TAIL = struct.Struct("<II")
_MAGIC = b"\x1f\x8b\x08\x04"
_FIELD = b"Pn"
_TOLD = 16


class Damaged(OSError):
    """A packed journal that cannot be read."""


def packed_path(journal: str | os.PathLike[str]) -> str:
    """Where a journal lies once it is packed."""
    return os.fspath(journal) + ".gz"


class PlainFile:
    """A journal as it is written. `inode`, `size` and `pread` are what readers need."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def size(self) -> int:
        """Its bytes now."""
        return os.fstat(self.fd).st_size

    @property
    def inode(self) -> int:
        """Which file it is."""
        return os.fstat(self.fd).st_ino

    def pread(self, count: int, offset: int) -> bytes:
        """At most so many bytes from there."""
        return os.pread(self.fd, count, offset)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


class PackedFile:
    """The same of a packed one. FileNotFoundError, Damaged."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.inode = 0
        self.size = 0
        self._members: list[tuple[int, int, int, int]] = []  # offset, length; in the file: at, size
        self._last: tuple[int, bytes] = (-1, b"")
        try:
            self._look()
        except BaseException:
            os.close(self.fd)
            raise

    def _look(self) -> None:
        at, end = 0, os.fstat(self.fd).st_size
        while at < end:
            head = os.pread(self.fd, _HEAD.size, at)
            if len(head) < _HEAD.size:
                raise Damaged(f"a packed journal ends in the middle of a member, at {at}")
            magic, _, _, _, _, field, _, size, length, inode = _HEAD.unpack(head)
            if magic != _MAGIC or field != _FIELD or size <= _HEAD.size or at + size > end:
                raise Damaged(f"a packed journal has no member of ours at {at}")
            self.inode = self.inode or inode
            self._members.append((self.size, length, at, size))
            self.size += length
            at += size

    def pread(self, count: int, offset: int) -> bytes:
        """At most so many bytes from there."""
        parts: list[bytes] = []
        for number, (start, length, _, _) in enumerate(self._members):
            if start + length > offset and start < offset + count:
                data = self._unpacked(number)
                parts.append(data[max(offset - start, 0) : offset + count - start])
        return b"".join(parts)

    def from_the_end(self) -> Generator[bytes]:
        """Its members, each of whole lines, the last first."""
        for number in reversed(range(len(self._members))):
            yield self._unpacked(number)

    def _unpacked(self, number: int) -> bytes:
        if self._last[0] != number:
            _, length, at, size = self._members[number]
            body = os.pread(self.fd, size - _HEAD.size, at + _HEAD.size)
            try:
                data = zlib.decompress(body[: -_TAIL.size], wbits=-15, bufsize=length or 1)
            except zlib.error as error:
                raise Damaged(f"a packed journal cannot be unpacked: {error}") from None
            if _TAIL.unpack(body[-_TAIL.size :]) != (zlib.crc32(data), length):
                raise Damaged("a packed journal's check sum is wrong")
            self._last = number, data
        return self._last[1]

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


def opened(journal: str | os.PathLike[str]) -> PlainFile | PackedFile:
    """The journal, packed or not; FileNotFoundError where there is neither."""
    for _ in range(3):  # it may just be packed, or unpacked
        with contextlib.suppress(FileNotFoundError):
            return PlainFile(journal)
        with contextlib.suppress(FileNotFoundError):
            return PackedFile(packed_path(journal))
    return PlainFile(journal)


@contextlib.contextmanager
def opening(journal: str | os.PathLike[str]) -> Generator[PlainFile | PackedFile]:
    """The same for a `with`."""
    file = opened(journal)
    try:
        yield file
    finally:
        file.close()


def pack(journal: Path) -> int:
    """Pack a journal that nobody writes to (hold the run lock); the bytes that are free by it.

    The plain file goes once the packed one is durable and was read back. OSError leaves it.
    """
    target, temp = packed_path(journal), packed_path(journal) + ".new"
    with contextlib.closing(PlainFile(journal)) as plain:
        try:
            _write(temp, lambda fd: _write_members(fd, plain))
            with contextlib.closing(PackedFile(temp)) as packed:
                _compare(plain, packed)
                freed = plain.size - os.fstat(packed.fd).st_size
            os.replace(temp, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temp)
            raise
    _sync_folder(journal.parent)
    os.unlink(journal)
    return freed


def unpack(journal: Path) -> None:
    """Bring a packed journal back where it was (hold the run lock); nothing to do where it is
    there. OSError leaves the packed one."""
    packed, temp = packed_path(journal), os.fspath(journal) + ".new"
    if not os.path.exists(journal):
        try:
            source = PackedFile(packed)
        except FileNotFoundError:
            return
        try:
            with contextlib.closing(source):
                _write(temp, lambda fd: _write_plain(fd, source))
            os.replace(temp, journal)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temp)
            raise
        _sync_folder(journal.parent)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(packed)


def _write(path: str, write: Callable[[int], None]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write(fd)
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_members(fd: int, plain: PlainFile) -> None:
    offset, inode = 0, plain.inode
    while data := _whole_lines(plain, offset):
        worker = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        body = worker.compress(data) + worker.flush()
        size = _HEAD.size + len(body) + _TAIL.size
        field = (_FIELD, _TOLD, size, len(data), inode)
        head = _HEAD.pack(_MAGIC, 0, 0, 255, 4 + _TOLD, *field)
        _write_all(fd, head + body + _TAIL.pack(zlib.crc32(data), len(data)))
        offset += len(data)


def _whole_lines(plain: PlainFile, offset: int) -> bytes:
    """About a member's worth, cut after a line; a longer line is one by itself."""
    data = plain.pread(MEMBER_BYTES, offset)
    end = data.rfind(b"\n") + 1
    if end or len(data) < MEMBER_BYTES:
        return data[:end] if len(data) >= MEMBER_BYTES else data
    parts = [data]
    while more := plain.pread(MEMBER_BYTES, offset + len(parts) * MEMBER_BYTES):
        end = more.find(b"\n") + 1
        parts.append(more[:end] if end else more)
        if end or len(more) < MEMBER_BYTES:
            break
    return b"".join(parts)


def _write_plain(fd: int, source: PackedFile) -> None:
    offset = 0
    while data := source.pread(MEMBER_BYTES, offset):
        _write_all(fd, data)
        offset += len(data)


def _compare(plain: PlainFile, packed: PackedFile) -> None:
    offset, inode = 0, packed.inode
    while data := plain.pread(MEMBER_BYTES, offset):
        if packed.pread(len(data), offset) != data:
            raise Damaged("a packed journal reads otherwise than it was written")
        offset += len(data)
    if packed.size != offset or (offset and inode != plain.inode):
        raise Damaged("a packed journal is not whole")


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some file systems refuse it on folders
            os.fsync(fd)
    finally:
        os.close(fd)
