"""Sessions on disk: what was asked, said, returned by tools and told, each line when it is done.

A model's answers and tools' results are kept as the model library writes them, undecoded here: a
session opens without that library. `kill -9` loses the running model call or tool at most.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..common.files import LineFile, fork, new_name, newest_first, session_path, sessions_folder

PROGRAM = "paseo_api"


class Opened(msgspec.Struct, tag_field="k", tag="opened"):
    """The first line."""

    id: str
    cwd: str
    model: str
    mode: str
    effort: str
    version: int = 1


class Chose(msgspec.Struct, tag_field="k", tag="chose", omit_defaults=True):
    """A setting changed; `always` is a standing answer to a permission."""

    model: str | None = None
    mode: str | None = None
    effort: str | None = None
    title: str | None = None
    always: dict[str, bool] | None = None


class Asked(msgspec.Struct, tag_field="k", tag="asked"):
    """A prompt came."""

    prompt: list[dict[str, Any]]


class Said(msgspec.Struct, tag_field="k", tag="said"):
    """A model call ended: its answer, and the session's cost so far, in USD, where priced."""

    message: msgspec.Raw
    cost_usd: float | None = None


class Returned(msgspec.Struct, tag_field="k", tag="returned"):
    """A tool ended: what the model gets to see."""

    message: msgspec.Raw


class Shortened(msgspec.Struct, tag_field="k", tag="shortened"):
    """Room was made: from here on the model sees these messages in place of all before."""

    messages: msgspec.Raw


class Told(msgspec.Struct, tag_field="k", tag="told"):
    """A `session/update`, for the replay; text that was streamed is told here in one piece."""

    update: dict[str, Any]


Spoken = Asked | Said | Returned | Shortened
Record = Opened | Chose | Asked | Said | Returned | Shortened | Told
_decoder = msgspec.json.Decoder(Record)
_encode = msgspec.json.Encoder().encode
_LONG = tuple(
    b'{"k":"%b"' % kind for kind in (b"said", b"returned", b"told", b"asked", b"shortened")
)


class Session:
    """One conversation, with its settings. `spoken`: what the model is to see again."""

    def __init__(self, path: Path, opened: Opened) -> None:
        self.id = opened.id
        self.cwd = opened.cwd
        self.model = opened.model
        self.mode = opened.mode
        self.effort = opened.effort
        self.title: str | None = None
        self.servers: list[dict[str, Any]] = []
        self.always: dict[str, bool] = {}
        self.spoken: list[Spoken] = []
        self.turns = 0
        self.tool_calls = 0
        self.cost_usd: float | None = None
        self._file = LineFile(path, PROGRAM)

    def append(self, record: Record) -> None:
        """Write a line, then let it count."""
        self.apply(record)
        self._file.append(_encode(record))

    def choose(self, **settings: Any) -> None:
        """Change settings; the names are those of `Chose`."""
        self.append(Chose(**settings))

    def apply(self, record: Record) -> None:
        """Let a line count that is in the file already."""
        if isinstance(record, Chose):
            self.model = record.model or self.model
            self.mode = record.mode or self.mode
            self.effort = record.effort or self.effort
            self.title = record.title or self.title
            self.always |= record.always or {}
        elif isinstance(record, Told):
            self.tool_calls += record.update.get("sessionUpdate") == "tool_call"
        elif isinstance(record, Shortened):
            self.spoken = [record]
        elif isinstance(record, Asked | Said | Returned):
            self.spoken.append(record)
            self.turns += isinstance(record, Asked)
            if isinstance(record, Said):
                self.cost_usd = record.cost_usd

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
        self.folder = sessions_folder(PROGRAM)

    def create(self, cwd: str, model: str) -> Session:
        """A new session, on disk when this returns."""
        opened = Opened(new_name("api"), cwd, model, "ask", "default")
        session = Session(self.folder / f"{opened.id}.jsonl", opened)
        session.append(opened)
        return session

    def fork(self, session_id: str, cwd: str, prompts: int | None) -> Session | None:
        """A new session that begins as another one was after so many prompts (None: as it is)."""
        made = fork(self.folder, session_id, "api", cwd, prompts)
        return None if made is None else self.load(made)

    def load(self, session_id: str) -> Session | None:
        """The session as it was when its last line was written, or None."""
        path = session_path(self.folder, session_id)
        return None if path is None else self._read(path, ())

    def summaries(self, cwd: str | None) -> list[dict[str, Any]]:
        """`SessionInfo` of every session, the newest first."""
        found: list[dict[str, Any]] = []
        for path, when in newest_first(self.folder):
            session = self._read(path, _LONG)
            if session is None or (cwd is not None and session.cwd != cwd):
                continue
            info = {"sessionId": session.id, "cwd": session.cwd, "updatedAt": when}
            found.append(info | ({"title": session.title} if session.title else {}))
        return found

    @staticmethod
    def _read(path: Path, without: tuple[bytes, ...]) -> Session | None:
        """A session; lines that begin like `without` are not decoded."""
        session: Session | None = None
        for line in LineFile(path, PROGRAM).lines():
            if without and line.startswith(without):
                continue
            with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
                record = _decoder.decode(line)
                if isinstance(record, Opened):
                    session = session or Session(path, record)
                elif session is not None:
                    session.apply(record)
        return session
