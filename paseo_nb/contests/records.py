"""A match's files, `matches/<id>/`: `match.json` (what it is), `ended.json` (how its contestants
ended) and `verdicts.jsonl`, to which judges and people add. Anyone may read them at any time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from ..errors import UsageProblem
from ..host.local import make_home, storage_problem
from ..journal import fsync_dir, private_dir, write_all, write_file_once
from ..locks import take_lock
from ..model import now_us
from .values import Ended, Header, Json, Verdict

LOCK_S = 30.0
_header = msgspec.json.Decoder(Header).decode
_ended = msgspec.json.Decoder(list[Ended]).decode
_verdict = msgspec.json.Decoder(Verdict).decode
_line = msgspec.json.Decoder(Json).decode


class MatchFolder:
    """Where one match's files lie."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.home = path.parent.parent

    def begin(self, header: Header) -> None:
        """Write what it is; nothing where that was written before."""
        try:
            make_home(self.home)
            private_dir(self.path)
            write_file_once(self.path / "match.json", msgspec.json.encode(header))
            fsync_dir(self.path)
        except OSError as error:
            raise storage_problem(error, self.home) from error

    def header(self) -> Header | None:
        """What it is; None before it has begun."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return _header((self.path / "match.json").read_bytes())
        return None

    def end(self, ended: list[Ended]) -> None:
        """Keep how its contestants ended; the first word counts."""
        write_file_once(self.path / "ended.json", msgspec.json.encode(ended))
        fsync_dir(self.path)

    def ended(self) -> list[Ended] | None:
        """How its contestants ended; None while one is at work."""
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return _ended((self.path / "ended.json").read_bytes())
        return None

    def add(self, verdict: Verdict) -> Verdict:
        """Add a verdict; one of a name that is there already is not added again."""
        known = {one.name: one for one in self.verdicts()}
        if verdict.name in known:
            return known[verdict.name]
        verdict.time_us = now_us()
        self._append(msgspec.json.encode(verdict))
        return verdict

    def verdicts(self) -> list[Verdict]:
        """All verdicts, oldest first."""
        return [one for one in map(self._read, self._lines()) if one is not None]

    def mark(self, what: str) -> None:
        """Keep that something happened: `revealed`, `judged`."""
        if not self.marked(what):
            self.note(what)

    def note(self, what: str, **facts: str | None) -> None:
        """Keep that something happened, each time: `applied`."""
        self._append(msgspec.json.encode({"mark": what, "time_us": now_us(), **facts}))

    def marked(self, what: str) -> bool:
        """Whether it has happened."""
        return self.last(what) is not None

    def last(self, what: str) -> Json | None:
        """What is kept of the last time that it happened; None where it did not."""
        found: Json | None = None
        for line in self._lines():
            with contextlib.suppress(msgspec.DecodeError):
                told = _line(line)
                found = told if told.get("mark") == what else found
        return found

    def _read(self, line: bytes) -> Verdict | None:
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            return _verdict(line)
        return None

    def _lines(self) -> list[bytes]:
        try:
            data = (self.path / "verdicts.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        return data[: data.rfind(b"\n") + 1].splitlines()

    def _append(self, line: bytes) -> None:
        lock = take_lock(self.path / "lock", wait_s=LOCK_S)
        if lock is None:
            raise UsageProblem(f"match {self.id} is being written to by another process: try again")
        with lock:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            fd = os.open(self.path / "verdicts.jsonl", flags, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    write_all(fd, b"\n")  # a torn line stays one of its own
                write_all(fd, line + b"\n")
                os.fdatasync(fd)
            finally:
                os.close(fd)


def match_folders(home: Path) -> list[MatchFolder]:
    """The matches of a project, oldest first."""
    try:
        with os.scandir(home / "matches") as found:
            names = sorted(one.name for one in found if one.is_dir() and one.name[0] != ".")
    except FileNotFoundError:
        return []
    return [MatchFolder(home / "matches" / name) for name in names]


def find_match(home: Path, text: str) -> MatchFolder:
    """The match that a beginning of an id means. UsageProblem where it fits none or several."""
    wanted = text.strip().upper()
    found = [one for one in match_folders(home) if wanted and one.id.startswith(wanted)]
    if len(found) != 1:
        fits = f"fits {len(found)}" if found else "fits none"
        raise UsageProblem(f"match {text!r} {fits} in {home}")
    return found[0]
