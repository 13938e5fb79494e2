"""The agent's process and its pipes: launch, read, write, end.

Reads eagerly (some agents lose turns when their client is slow) and writes every line to the
journal before the dialect hears of it. Standard error is drained into a file of bounded size.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..drivers.dialects import dialect_for
from ..drivers.differing import differences_of
from ..drivers.seat import Dialect, Seat
from ..drivers.transport import (
    BLOB_BYTES,
    READ_BYTES,
    LongLine,
    Splitter,
    mended,
)
from ..journal import FULL, RunFolder, encode
from .aside import Aside
from .breaches import WATCHED, Breaches
from .children import Children
from .masking import MASK, Splits
from .pem import Blocks
from .recorder import Recorder

STDERR_FILE_BYTES = 1 << 20
MUTE_S = 2.0  # how long an agent that closed its output may take to end by itself
STDERR_TAIL_BYTES = 4096
HELD_S = 0.5


class AgentLink:
    """One launch of the agent. `exited` is set once its pipes are read to the end."""

    def __init__(
        self,
        seat: Seat,
        folder: RunFolder,
        recorder: Recorder,
        children: Children,
        environment: Mapping[str, str],
        session_id: str | None,
    ) -> None:
        self.recorder, self.folder = recorder, folder
        self.dialect: Dialect = dialect_for(seat)
        self.last_heard = self._heard_before = time.monotonic()
        self.retries = 0  # told of since it was last heard
        self.stderr_tail = b""
        self._aside = Aside(recorder, differences_of(seat.spec.at_heart))
        self.exited = asyncio.Event()
        self.ending = False
        self._loop = asyncio.get_running_loop()
        self._splits = Splits(recorder.mask, self.dialect.quiet)
        self._held_timer: asyncio.TimerHandle | None = None
        self.breaches: Breaches | None = None
        self._splitter = Splitter(recorder.mask, folder.blobs, self._lines, self._blob)
        self._out: collections.deque[memoryview] = collections.deque()
        self._stderr_size = _size_of(folder.stderr)  # its bound holds for all of a run's agents
        self._stderr_held = b""
        self._stderr_blocks = Blocks(MASK)
        self.argv = self.dialect.argv(session_id)
        self._child = children.spawn(
            self.argv,
            env=environment,
            cwd=seat.spec.cwd,
            stdin=subprocess.PIPE,
        )
        popen = self._child.popen
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._stdin, self._stdout, self._stderr = (
            popen.stdin.fileno(),
            popen.stdout.fileno(),
            popen.stderr.fileno(),
        )
        for fd in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(fd, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # over the user's pipe quota: the default does
                fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
        self._loop.add_reader(self._stdout, self._read_stdout)
        self._loop.add_reader(self._stderr, self._read_stderr)
        self._child.exited.add_done_callback(self._on_exit)

    @property
    def pid(self) -> int:
        """The agent's process id."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it lives."""
        return self._child.returncode

    # ------------------------------------------------------------ reading

    def _read_stdout(self) -> bool:
        """Read once; False where there was nothing."""
        try:
            data = os.read(self._stdout, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self._heard_before, self.last_heard = self.last_heard, time.monotonic()
        if data:
            self._feed(data)
        else:
            self._close_stdout()
        return bool(data)

    def _feed(self, data: bytes) -> None:
        """Take what was read, or the end (b""). Where the disk is full it is dropped."""
        if self.recorder.full:
            self._splitter.abandon()
            return
        try:
            if data:
                self._splitter.feed(data)
            else:
                self._splitter.finish()
                self._flush_held()
        except OSError as error:  # the blob of a long line
            if error.errno not in FULL:
                raise
            self._splitter.abandon()
            self.recorder.disk_full()

    def _close_stdout(self) -> None:
        if self._stdout >= 0:
            self._loop.remove_reader(self._stdout)
            self._stdout = -1
            self._feed(b"")
            self._loop.call_later(MUTE_S, self._end_mute)

    def _end_mute(self) -> None:
        """An agent that closed its output will never be heard again, though it lives: it ends."""
        if not self.exited.is_set() and not self.ending:
            said = "the agent closed its output and went on: it is ended, as it cannot be heard"
            self.recorder.own("warning", message=said)
            self._child.kill_group(signal.SIGKILL)

    def _lines(self, lines: list[bytes], unmasked: dict[int, bytes], suspects: set[int]) -> None:
        """Journal a batch of lines, then let the dialect act, as they came, on those that ask for
        it."""
        recorder, dialect, splits = self.recorder, self.dialect, self._splits
        quiet, sight = dialect.quiet, dialect.sight
        journal = recorder.journal
        about = b',"t":%d,"mono":%d,"turn":%d,"dir":"in","kind":' % (
            time.time_ns() // 1000,
            time.monotonic_ns() // 1000,
            journal.turn,
        )
        heads: dict[str, bytes] = {}
        seq = journal.seq
        parts: list[bytes] = []
        acting: list[tuple[str, Any, bytes, int]] = []
        watched: list[bytes] = []
        watch = self.breaches if self.breaches is not None and self.breaches.due else None
        for number, line in enumerate(lines):
            if line[-1:] == b"\r":
                line = line[:-1]
            if not line:
                continue
            came = unmasked.get(number, line) if unmasked else line
            message = sight(came)
            if message is None:
                message, came, line = self._mended(came, line)
            kind = "garbage" if message is None else dialect.kind_of(message, came)
            if watch is not None and kind in WATCHED:
                watched.append(came)
            if kind in quiet:
                text = dialect.text_of(message)
                plain = number not in suspects and splits.passes(kind, text)
            else:
                plain = not splits.held
            if plain:
                seq += 1
                head = heads.get(kind) or self._head(heads, about, kind)
                parts += (b'{"seq":%d' % seq, head, line, b"}\n")
            else:
                for ready_kind, raw in self._by_pieces(kind, line):
                    seq += 1
                    head = self._head(heads, about, ready_kind)
                    parts += (b'{"seq":%d' % seq, head, raw, b"}\n")
            if message is not None and (kind not in quiet or message.id is not None):
                acting.append((kind, message, came, seq))
        if parts and not recorder.append_ready(parts, seq):
            return
        if splits.held:
            if self._held_timer is not None:
                self._held_timer.cancel()
            self._held_timer = self._loop.call_later(HELD_S, self._flush_held)
        if len(acting) == len(lines) and all(kind in dialect.retries for kind, *_ in acting):
            self.last_heard = self._heard_before  # some try again for ever, and say so each time
            self.retries += len(acting)
        else:
            self.retries = 0
        for kind, message, line, at in acting:
            dialect.handle(kind, message, line, at)
        if watch is not None:
            for line in watched:
                watch.take(line)

    def _mended(self, came: bytes, line: bytes) -> tuple[Any, bytes, bytes]:
        """What can be made of a line that is no JSON: (what it is, as it came, for the disk)."""
        sound = mended(came)
        message = None if sound is None else self.dialect.sight(sound)
        if sound is None or message is None:
            return None, came, encode(line[:65536].decode("utf-8", "replace"))
        return message, sound, self.recorder.mask(sound)

    def _by_pieces(self, kind: str, line: bytes) -> list[tuple[str, bytes]]:
        """The lines to write where a secret may go over the border of two chunks."""
        if kind in self.dialect.quiet:
            return self._splits.take(kind, line)
        return [*self._splits.flush(), (kind, line)]

    def _head(self, heads: dict[str, bytes], about: bytes, kind: str) -> bytes:
        """What stands between a line's seq and its message; the same for a batch's lines of a
        kind."""
        name = self.recorder.mask(encode(kind[:120]))  # an agent may call a method anything
        head = heads[kind] = b'%s%s,"raw":' % (about, name)
        return head

    def _flush_held(self) -> None:
        if self._held_timer is not None:
            self._held_timer.cancel()
            self._held_timer = None
        for kind, raw in self._splits.flush():
            self.recorder.append("in", kind, raw)

    def _blob(self, digest: str, size: int, head: bytes, tail: bytes, whole: bytes | None) -> None:
        self._flush_held()
        dialect = self.dialect
        message = dialect.sight(whole) if whole is not None else dialect.sight_of_blob(head, tail)
        sound = mended(whole) if whole is not None and message is None else None
        if sound is not None:
            message, whole = dialect.sight(sound), sound
        pointer = {"$blob": digest, "bytes": size, "head": head[:512].decode("utf-8", "replace")}
        if message is None:
            self.recorder.append("in", "garbage", encode(pointer))
            return
        kind = dialect.kind_of(message, whole or head)
        seq = self.recorder.append("in", kind, encode(pointer))
        if kind not in dialect.quiet or message.id is not None:
            dialect.handle(kind, message, whole, seq)

    def _read_stderr(self) -> bool:
        """Read once; False where there was nothing."""
        try:
            data = os.read(self._stderr, 1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            # What may be the beginning of a secret waits for the rest of it.
            data = self._stderr_held + data
            keep = self.recorder.mask.unsure(data)
            self._stderr_held = data[len(data) - keep :]
            self._note_stderr(data[: len(data) - keep])
        else:
            self._close_stderr()
        return bool(data)

    def _note_stderr(self, data: bytes) -> None:
        text = self.recorder.mask(data).decode("utf-8", "surrogateescape")
        data = self._stderr_blocks.cut(text).encode("utf-8", "surrogateescape")
        self.stderr_tail = (self.stderr_tail + data)[-STDERR_TAIL_BYTES:]
        self.retries += self._aside.take(data)
        if self._stderr_size < STDERR_FILE_BYTES:
            data = data[: STDERR_FILE_BYTES - self._stderr_size]
            self._stderr_size += len(data)
            try:
                with open(self.folder.stderr, "ab", opener=_private) as file:
                    file.write(data)
            except OSError:
                self._stderr_size = STDERR_FILE_BYTES  # a full disk: the tail is enough

    def _close_stderr(self) -> None:
        if self._stderr >= 0:
            self._loop.remove_reader(self._stderr)
            self._stderr = -1
            self._note_stderr(self._stderr_held)
            self._stderr_held = b""

    def _on_exit(self, _: Any) -> None:
        """The process is gone: read what its pipes still hold, then say so. Children that it left
        may keep the pipes open, so reading ends with what is there now."""
        for read, most in ((self._read_stdout, 1024), (self._read_stderr, 64)):
            for _ in range(most):  # a child that never stops writing must not hold us
                if not read():
                    break
        self.close_pipes()
        self.exited.set()

    # ------------------------------------------------------------ writing

    def send(self, kind: str, message: Any) -> None:
        """Journal a message as `out`, then write it to the agent."""
        raw = encode(message)
        if len(raw) > BLOB_BYTES:
            try:
                self.recorder.append("out", kind, encode(self._kept_apart(raw)))
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self.recorder.disk_full()
        else:
            self.recorder.append("out", kind, raw)
        self._out.append(memoryview(raw + b"\n"))
        self._write()

    def _kept_apart(self, raw: bytes) -> dict[str, Any]:
        """Put a long message into a blob; what points to it."""
        long = LongLine(self.folder.blobs, self.recorder.mask)
        try:
            long.write(raw)
            digest, size, head, _, _ = long.finish()
        except OSError:
            long.abandon()
            raise
        return {"$blob": digest, "bytes": size, "head": head[:512].decode("utf-8", "replace")}

    def _write(self) -> None:
        while self._out and self._stdin >= 0:
            try:
                sent = os.write(self._stdin, self._out[0])
            except BlockingIOError:
                self._loop.add_writer(self._stdin, self._write)
                return
            except OSError:  # the agent closed its end: its exit will be seen
                self.close_stdin()
                return
            if sent == len(self._out[0]):
                self._out.popleft()
            else:
                self._out[0] = self._out[0][sent:]
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)

    def close_stdin(self) -> None:
        """Tell the agent that nothing more comes; a second call does nothing."""
        if self._stdin >= 0:
            self._loop.remove_writer(self._stdin)
            self._stdin = -1
            self._out.clear()
            assert self._child.popen.stdin is not None
            with contextlib.suppress(OSError):
                self._child.popen.stdin.close()

    def close_pipes(self) -> None:
        """Close what is open of the three pipes."""
        self.close_stdin()
        self._close_stdout()
        self._close_stderr()
        for file in (self._child.popen.stdout, self._child.popen.stderr):
            if file is not None:
                file.close()

    async def end(self, eof_s: float = 5.0, term_s: float = 2.0) -> None:
        """End the agent in the safe order: close its input, wait, terminate its group, wait, kill.
        Whoever calls ends the rest of the tree afterwards."""
        self.ending = True
        self.dialect.close()
        self.close_stdin()
        for wait_s, sig in ((eof_s, signal.SIGTERM), (term_s, signal.SIGKILL)):
            try:
                await asyncio.wait_for(self.exited.wait(), wait_s)
                return
            except TimeoutError:
                self._child.kill_group(sig)
        await self.exited.wait()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
