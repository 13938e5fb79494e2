"""Sessions on disk: what was said and how far a turn got, each line written before it is told.

One JSON-lines file per session, append-only, so that a new process can load it after `kill -9`.
The agent keeps `Session` objects; scenarios change a session only through its methods.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from .ledger import Ledger


class Opened(msgspec.Struct, tag_field="k", tag="opened"):
    """The first line."""

    id: str
    cwd: str
    model: str
    mode: str
    effort: str
    servers: list[Any] = []


class Chose(msgspec.Struct, tag_field="k", tag="chose", omit_defaults=True):
    """A setting changed; `always` is a standing answer to permissions of a kind."""

    model: str | None = None
    mode: str | None = None
    effort: str | None = None
    title: str | None = None
    always: dict[str, bool] | None = None


class Asked(msgspec.Struct, tag_field="k", tag="asked"):
    """A prompt came; the turn plays `scenario`, starting at step `start` of `of`. `turn` counts
    from 1; a resumed turn keeps its number, its first prompt is `goal`."""

    turn: int
    prompt: list[dict[str, Any]]
    scenario: str
    start: int
    of: int
    goal: list[dict[str, Any]] | None = None


class Told(msgspec.Struct, tag_field="k", tag="told"):
    """A `session/update`, for the replay."""

    update: dict[str, Any]


class Did(msgspec.Struct, tag_field="k", tag="did"):
    """So many steps of the turn are done."""

    step: int
    memory: dict[str, Any]
    ledger: Ledger


class Ended(msgspec.Struct, tag_field="k", tag="ended"):
    """The turn ended; if not `finished` a later prompt may continue it."""

    stop: str
    finished: bool
    ledger: Ledger


Record = Opened | Chose | Asked | Told | Did | Ended
_decoder = msgspec.json.Decoder(Record)
_encode = msgspec.json.Encoder().encode
_SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
_TOLD = b'{"k":"told"'


class Session:
    """One conversation. `unfinished` is the turn that a “continue” takes up, if there is one."""

    def __init__(self, path: Path, opened: Opened) -> None:
        self.path = path
        self.id = opened.id
        self.cwd = opened.cwd
        self.servers = opened.servers
        self.model = opened.model
        self.mode = opened.mode
        self.effort = opened.effort
        self.title: str | None = None
        self.always: dict[str, bool] = {}
        self.user_messages: list[list[dict[str, Any]]] = []
        self.turns = 0
        self.tool_calls = 0
        self.ledger = Ledger()
        self.unfinished: Asked | None = None
        self.done = 0
        self.memory: dict[str, Any] = {}
        self._fd: int | None = None

    def append(self, record: Record) -> None:
        """Write a line, then let it count. A full or read-only disk costs the history only."""
        self._apply(record)
        try:
            if self._fd is None:
                self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
                _cut_torn_tail(self._fd)
            os.write(self._fd, _encode(record) + b"\n")
        except OSError as error:
            print(f"paseo demo: the session could not be saved: {error}", file=sys.stderr)

    def choose(self, **settings: Any) -> None:
        """Change settings; the names are those of `Chose`."""
        self.append(Chose(**settings))

    def _apply(self, record: Record) -> None:
        if isinstance(record, Chose):
            self.model = record.model or self.model
            self.mode = record.mode or self.mode
            self.effort = record.effort or self.effort
            self.title = record.title or self.title
            self.always |= record.always or {}
        elif isinstance(record, Asked):
            self.user_messages.append(record.prompt)
            self.turns = record.turn
            self.unfinished = record
            self.done = record.start
            if record.goal is None:
                self.memory = {}
        elif isinstance(record, Told):
            self.tool_calls += record.update.get("sessionUpdate") == "tool_call"
        elif isinstance(record, Did):
            self.done, self.memory, self.ledger = record.step, record.memory, record.ledger
        elif isinstance(record, Ended):
            self.ledger = record.ledger
            if record.finished:
                self.unfinished = None

    def records(self) -> Iterator[Record]:
        """Every line of the file; what cannot be read (a torn tail) is left out."""
        with contextlib.suppress(OSError), self.path.open("rb") as lines:
            for line in lines:
                with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                    yield _decoder.decode(line)

    def close(self) -> None:
        """Close the file; the session can be loaded again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Shelf:
    """The folder of all sessions."""

    def __init__(self) -> None:
        self.folder = _writable_home()

    def create(self, cwd: str, model: str, mode: str, effort: str, servers: list[Any]) -> Session:
        """A new session, on disk when this returns."""
        name = f"demo_{time.time_ns() // 1_000_000:x}{os.urandom(4).hex()}"
        opened = Opened(name, cwd, model, mode, effort, servers)
        session = Session(self.folder / f"{name}.jsonl", opened)
        session.append(opened)
        return session

    def load(self, session_id: str) -> Session | None:
        """The session as it was when its last line was written, or None."""
        if not _SAFE_ID.fullmatch(session_id):
            return None
        path = self.folder / f"{session_id}.jsonl"
        blank = Session(path, Opened(session_id, "", "", "", ""))
        session: Session | None = None
        for record in blank.records():
            if isinstance(record, Opened):
                session = session or Session(path, record)
            elif session is not None:
                session._apply(record)  # pyright: ignore[reportPrivateUsage]
        return session

    def summaries(self, cwd: str | None) -> list[dict[str, Any]]:
        """`SessionInfo` of every session, the newest first."""
        found: list[tuple[float, dict[str, Any]]] = []
        for path in self.folder.glob("*.jsonl"):
            with contextlib.suppress(OSError):
                changed = path.stat().st_mtime
                session = self._head(path)
                if session is None or (cwd is not None and session.cwd != cwd):
                    continue
                when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(changed))
                info = {"sessionId": session.id, "cwd": session.cwd, "updatedAt": when}
                found.append((changed, info | ({"title": session.title} if session.title else {})))
        return [info for _, info in sorted(found, key=lambda pair: pair[0], reverse=True)]

    @staticmethod
    def _head(path: Path) -> Session | None:
        """A session with its settings and title; the long part, what was told, is not decoded."""
        session: Session | None = None
        with path.open("rb") as lines:
            for line in lines:
                if line.startswith(_TOLD):
                    continue
                with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                    record = _decoder.decode(line)
                    if isinstance(record, Opened):
                        session = Session(path, record)
                    elif session and isinstance(record, Chose):
                        session._apply(record)  # pyright: ignore[reportPrivateUsage]
        return session


def _cut_torn_tail(fd: int) -> None:
    size = os.fstat(fd).st_size
    end = size
    while end > 0:
        start = max(0, end - 65536)
        newline = os.pread(fd, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(fd, end)


def _writable_home() -> Path:
    """Where sessions lie; a temporary folder, the same for every process, if home is read-only."""
    user = "" if os.environ.get("HOME") == "" else os.path.expanduser("~")
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(user, ".local", "state")
    home = Path(os.environ.get("PASEO_DEMO_HOME") or os.path.join(state, "paseo_demo"))
    spare = Path(os.environ.get("TMPDIR") or "/tmp") / f"paseo_demo-{os.getuid()}"
    for folder in (home, spare):
        if folder.is_absolute() and _usable(folder, shared_place=folder == spare):
            return folder / "sessions"
    import tempfile  # slow to import, and needed only here

    return Path(tempfile.mkdtemp(prefix="paseo_demo-"))


def _usable(home: Path, *, shared_place: bool) -> bool:
    """Makes `home/sessions`, ours alone. In /tmp another user may have planted `home`: refused."""
    sessions = home / "sessions"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shared_place and (home.is_symlink() or home.stat().st_uid != os.getuid()):
            return False
        sessions.mkdir(mode=0o700, exist_ok=True)
        return os.access(sessions, os.W_OK | os.X_OK)
    except OSError:
        return False
