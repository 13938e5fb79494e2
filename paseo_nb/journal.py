"""The journal: a run's append-only event file, and how it is read.

One writer (whoever holds the run lock) appends lines `seq, t, mono, turn, dir, kind, raw`; any
number of readers keep a file offset. Nothing here knows what a message means: that is a dialect's.
A reader consumes up to the last line feed only; a writer first cuts a torn tail. A run that is put
away has its journal packed (`packing`): readers see no difference, a writer unpacks it. `t` is µs
since the epoch, `mono` µs of the monotonic clock; order is `seq` alone.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from .locks import lock_held as lock_held
from .locks import take_lock as take_lock
from .model import Direction, Line, RunSpec
from .packing import PackedFile, opened, opening, unpack

RESERVE_BYTES = 64 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_BYTES = 4 << 20

_line_decoder = msgspec.json.Decoder(Line)
_spec_decoder = msgspec.json.Decoder(RunSpec)
encode = msgspec.json.encode


class DiskFull(OSError):
    """The journal could not grow; it was cut back to its last whole line and the reserve freed."""


class RunFolder:
    """Where one run's files lie: `runs/<run_id>/{spec.json, journal.jsonl, lock, reserve}`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.run_id = self.path.name
        self.home = self.path.parent.parent
        self.spec = self.path / "spec.json"
        self.journal = self.path / "journal.jsonl"
        self.lock = self.path / "lock"
        self.reserve = self.path / "reserve"
        self.stderr = self.path / "agent-stderr.log"
        self.log = self.path / "supervisor.log"
        self.live_marker = self.home / "live" / self.run_id
        self.blobs = self.home / "blobs"

    def read_spec(self) -> RunSpec:
        """The spec; FileNotFoundError where there is none."""
        return _spec_decoder.decode(self.spec.read_bytes())


def private_dir(path: Path) -> Path:
    """Make a folder that only its owner can enter (0700), with its parents."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def write_file_once(path: Path, data: bytes) -> bool:
    """Create `path` whole and durable, or leave the one that is there: True if it was made here.

    The data is written beside it and linked in, so that no reader sees half a file and only one
    of several racing processes wins.
    """
    temp = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(temp, path)
        except FileExistsError:
            return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temp)
    fsync_dir(path.parent)
    return True


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, or raise."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def fsync_dir(path: Path) -> None:
    """Make a new name in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some file systems refuse fsync on folders
    finally:
        os.close(fd)


# ---------------------------------------------------------------- reading


def decode_line(data: bytes) -> Line:
    """One line. A line that is no journal line (a damaged disk) becomes kind `damaged`, seq -1."""
    try:
        return _line_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = json.dumps(data.decode("utf-8", "replace"))
        return Line(-1, 0, 0, 0, "own", "damaged", msgspec.Raw(text.encode()))


def decode_lines(data: bytes) -> list[Line]:
    """Whole lines; see `decode_line`."""
    try:
        return _line_decoder.decode_lines(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [decode_line(part) for part in data.split(b"\n") if part]


def read_lines(
    path: Path | str, offset: int = 0, limit_bytes: int | None = None
) -> tuple[bytes, int]:
    """The whole lines from `offset` on, as bytes, and the offset after them.

    At most about `limit_bytes` (one line may exceed it). A missing file reads as empty.
    """
    try:
        file = opened(path)
    except FileNotFoundError:
        return b"", offset
    try:
        want = limit_bytes or max(file.size - offset, 0)
        data = file.pread(want, offset)
        end = data.rfind(b"\n")
        while end < 0 and len(data) == want and want:
            more = file.pread(_READ_BYTES, offset + len(data))
            if not more:
                break
            want += len(more)
            data += more
            end = data.rfind(b"\n")
    finally:
        file.close()
    return data[: end + 1], offset + end + 1


def read_batches(path: Path, offset: int = 0) -> Iterator[tuple[list[Line], int]]:
    """Batches of lines from `offset` to the present end, each with the offset after it."""
    while True:
        data, after = read_lines(path, offset, _READ_BYTES)
        if after == offset:
            return
        yield decode_lines(data), after
        offset = after


def read_journal(path: Path, offset: int = 0) -> Iterator[Line]:
    """Every line from `offset` to the present end."""
    for lines, _ in read_batches(path, offset):
        yield from lines


def first_line(path: Path) -> Line | None:
    """The journal's first line: host, boot id, versions, socket."""
    data, _ = read_lines(path, 0, 64 * 1024)
    return decode_line(data.split(b"\n", 1)[0]) if data else None


def size_of(path: Path) -> int:
    """The bytes of a journal, as they are before it is packed; 0 where there is none."""
    try:
        with opening(path) as file:
            return file.size
    except FileNotFoundError:
        return 0


def last_own(path: Path, *kinds: str) -> Line | None:
    """The last line of our own of one of these kinds, found from the file's end."""
    for data in _from_the_end(path):
        found = _last_own_in(data, kinds)
        if found is not None:
            return found
    return None


def _last_own_in(data: mmap.mmap | bytes, kinds: Iterable[str]) -> Line | None:
    best: Line | None = None
    best_at = -1
    for kind in kinds:
        needle = b'"dir":"own","kind":"%s"' % kind.encode()
        end = data.rfind(b"\n") + 1
        while (at := data.rfind(needle, max(best_at, 0), end)) >= 0:
            start = data.rfind(b"\n", 0, at) + 1
            line = decode_line(data[start : data.find(b"\n", at)])
            if line.dir == "own" and line.kind == kind:  # else: an agent's look-alike
                best, best_at = line, at
                break
            end = start
    return best


def last_line(path: Path) -> Line | None:
    """The last whole line that is not damaged."""
    for data in _from_the_end(path):
        end = data.rfind(b"\n")
        while end > 0:
            begin = data.rfind(b"\n", 0, end)
            line = decode_line(data[begin + 1 : end])
            if line.seq >= 0:
                return line
            end = begin
    return None


def _from_the_end(path: Path) -> Iterator[mmap.mmap | bytes]:
    """The journal in pieces of whole lines, the last first: all of it where it is not packed."""
    try:
        with opening(path) as file:
            if isinstance(file, PackedFile):
                yield from file.from_the_end()
            elif file.size:  # an empty file cannot be mapped
                with mmap.mmap(file.fd, 0, access=mmap.ACCESS_READ) as data:
                    yield data
    except (FileNotFoundError, ValueError):  # ValueError: it was cut to nothing meanwhile
        return


# ---------------------------------------------------------------- writing


def _is_whole(reserve: Path) -> bool:
    """Whether it is there and was not cut short by a full disk."""
    try:
        return reserve.stat().st_size >= RESERVE_BYTES
    except FileNotFoundError:
        return False


class Journal:
    """The one writer. Hold the run lock while one is open.

    `append` gives lines to the operating system before it returns (a reader sees them at once);
    `sync` makes them survive a power cut.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        unpack(folder.journal)
        self.fd = os.open(
            folder.journal, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        self.turn = 0
        self.seq = 0
        self.dirty = False
        self.size = self._repair()
        last = last_line(folder.journal)
        if last is not None:
            self.seq, self.turn = last.seq, last.turn
        if self.size == 0:
            fsync_dir(folder.path)
        self._make_reserve()

    def _repair(self) -> int:
        """Cut a torn last line (the writer died in mid-write)."""
        size = os.fstat(self.fd).st_size
        at = size
        while at > 0:
            step = min(at, 1 << 16)
            end = os.pread(self.fd, step, at - step).rfind(b"\n")
            if end >= 0:
                at = at - step + end + 1
                break
            at -= step
        if at != size:
            os.ftruncate(self.fd, at)
        return at

    def _make_reserve(self) -> None:
        """Keep space for the closing lines of a full disk."""
        with contextlib.suppress(OSError):
            if not _is_whole(self.folder.reserve):
                fd = os.open(self.folder.reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    write_all(fd, b"\0" * RESERVE_BYTES)
                finally:
                    os.close(fd)

    def free_reserve(self) -> None:
        """Give the reserved space back to the disk."""
        with contextlib.suppress(OSError):
            self.folder.reserve.unlink()

    def append(self, lines: Iterable[tuple[Direction, str, bytes]]) -> int:
        """Append lines of (direction, kind, raw JSON) with one time stamp; the last seq.

        Raises DiskFull, having cut the file back to whole lines, where the disk is full.
        """
        head = b',"t":%d,"mono":%d,"turn":%d,"dir":"' % (
            time.time_ns() // 1000,
            time.monotonic_ns() // 1000,
            self.turn,
        )
        seq = self.seq
        parts: list[bytes] = []
        for direction, kind, raw in lines:
            seq += 1
            parts.append(
                b'{"seq":%d%s%s","kind":%s,"raw":%s}\n'
                % (seq, head, direction.encode(), encode(kind), raw)
            )
        return self.append_encoded(parts, seq)

    def append_encoded(self, parts: list[bytes], last_seq: int) -> int:
        """Append ready lines (the hot path builds them itself); `last_seq` is the last one's."""
        data = b"".join(parts)
        try:
            write_all(self.fd, data)
        except OSError as error:
            os.ftruncate(self.fd, self.size)
            if error.errno in FULL:
                self.free_reserve()
                raise DiskFull(error.errno, "the disk is full") from error
            raise
        self.size += len(data)
        self.seq = last_seq
        self.dirty = True
        return last_seq

    def own(self, kind: str, **facts: Any) -> int:
        """Append one fact of ours; its seq. On a full disk into the space of the reserve."""
        line: list[tuple[Direction, str, bytes]] = [("own", kind, encode(facts))]
        try:
            return self.append(line)
        except DiskFull:
            return self.append(line)

    def sync(self) -> None:
        """fdatasync, if anything was written since the last one."""
        if self.dirty:
            self.dirty = False
            getattr(os, "fdatasync", os.fsync)(self.fd)

    def close(self) -> None:
        """Sync and close; a second close does nothing."""
        if self.fd >= 0:
            with contextlib.suppress(OSError):
                self.sync()
            os.close(self.fd)
            self.fd = -1
