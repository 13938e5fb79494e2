"""Sessions on disk: what was said and how far a turn got, each line written before it is told.

One JSON-lines file per session, append-only, so that a new process can load it after `kill -9`.
The agent keeps `Session` objects; scenarios change a session only through its methods.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..common.files import LineFile, fork, new_name, newest_first, session_path, sessions_folder
from .ledger import Ledger

_PROGRAM = "paseo_demo"


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
_TOLD = b'{"k":"told"'


class Session:
    """One conversation. `unfinished` is the turn that a “continue” takes up, if there is one."""

    def __init__(self, path: Path, opened: Opened) -> None:
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
        self._file = LineFile(path, _PROGRAM)

    def append(self, record: Record) -> None:
        """Write a line, then let it count. A full or read-only disk costs the history only."""
        self._apply(record)
        self._file.append(_encode(record))

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
        for line in self._file.lines():
            with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                yield _decoder.decode(line)

    def story(self) -> Iterator[list[dict[str, Any]] | dict[str, Any]]:
        """What was asked and told, as `replay` takes it."""
        for record in self.records():
            if isinstance(record, Asked):
                yield record.prompt
            elif isinstance(record, Told):
                yield record.update

    def close(self) -> None:
        """Close the file; the session can be loaded again."""
        self._file.close()


class Shelf:
    """The folder of all sessions."""

    def __init__(self) -> None:
        self.folder = sessions_folder(_PROGRAM)

    def create(self, cwd: str, model: str, mode: str, effort: str, servers: list[Any]) -> Session:
        """A new session, on disk when this returns."""
        name = new_name("demo")
        opened = Opened(name, cwd, model, mode, effort, servers)
        session = Session(self.folder / f"{name}.jsonl", opened)
        session.append(opened)
        return session

    def fork(self, session_id: str, cwd: str, prompts: int | None) -> Session | None:
        """A new session that begins as another one was after so many prompts (None: as it is)."""
        made = fork(self.folder, session_id, "demo", cwd, prompts)
        return None if made is None else self.load(made)

    def load(self, session_id: str) -> Session | None:
        """The session as it was when its last line was written, or None."""
        path = session_path(self.folder, session_id)
        if path is None:
            return None
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
        found: list[dict[str, Any]] = []
        for path, when in newest_first(self.folder):
            with contextlib.suppress(OSError):
                session = self._head(path)
                if session is None or (cwd is not None and session.cwd != cwd):
                    continue
                info = {"sessionId": session.id, "cwd": session.cwd, "updatedAt": when}
                found.append(info | ({"title": session.title} if session.title else {}))
        return found

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
