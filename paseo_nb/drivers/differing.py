"""What may differ between agents that speak ACP, as data and small functions; each provider's file
fills it in. The common code asks for a difference, never for a provider's name.
"""

from __future__ import annotations

import functools
import importlib
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from ..model import Problem, Scope, Usage
from .table import ROWS

Json = dict[str, Any]
MAX_RECORD = 64 << 20


class Called(msgspec.Struct, omit_defaults=True):
    """One model call as an agent's own record has it: a `model_call` line of ours. Times: µs since
    the epoch; `usage` is empty where the call was broken off or failed."""

    message_id: str
    started_us: int | None = None
    finished_us: int | None = None
    model: str | None = None
    usage: Usage = msgspec.field(default_factory=Usage)
    stop_reason: str | None = None
    error: str | None = None


class Used(msgspec.Struct, rename="camel", omit_defaults=True):
    """What a record tells of a tool call that ACP does not: a `tool_call` line of ours."""

    tool_call_id: str
    tool_name: str | None = None
    raw_input: Any = None


class Account(msgspec.Struct):
    """What an agent's own record tells of one turn: its model calls, in order, and its tool calls.
    `problem`: why it failed, though the agent says that it ended well; `model`: the one that
    answered; `cut`: whether its last model call was broken off, or has asked for tools since."""

    calls: list[Called] = []
    tools: list[Used] = []
    problem: Problem | None = None
    model: str | None = None
    cut: bool = False

    @property
    def usage(self) -> Usage | None:
        """The sum over the model calls; None where none of them was counted."""
        told = [call.usage for call in self.calls if call.usage.scope is not None]
        return functools.reduce(Usage.plus, told) if told else None


class Record(Protocol):
    """An agent's own record of a session, read after each turn."""

    def mark(self, session_id: str | None, environment: Mapping[str, str]) -> int:
        """Where the part of the turn that begins now will begin."""
        ...

    def since(self, mark: int, session_id: str, environment: Mapping[str, str]) -> Account | None:
        """What was added after that; None where the record cannot be read."""
        ...


class Lines(msgspec.Struct, frozen=True):
    """A record that is one file of JSON lines, which only grows.

    find: its path, from the session's id and the agent's environment; None where there is none.
    read: what the lines that a turn has added say.
    place: whether a line begins a turn (True), is part of one (False) or neither (None).
    """

    find: Callable[[str, Mapping[str, str]], Path | None]
    read: Callable[[list[Json]], Account]
    place: Callable[[Json], bool | None]

    def mark(self, session_id: str | None, environment: Mapping[str, str]) -> int:
        """See `Record.mark`: its size."""
        try:
            path = self.find(session_id, environment) if session_id else None
            return path.stat().st_size if path else 0
        except OSError:
            return 0

    def since(self, mark: int, session_id: str, environment: Mapping[str, str]) -> Account | None:
        """See `Record.since`."""
        entries = self._entries(mark, session_id, environment)
        return None if entries is None else self.read(entries)

    def turns(self, session_id: str, environment: Mapping[str, str]) -> list[list[Json]]:
        """The lines of each turn, the prompt's own first; none where there is no record."""
        turns: list[list[Json]] = []
        for entry in self._entries(0, session_id, environment) or ():
            begins = self.place(entry)
            if begins:
                turns.append([entry])
            elif begins is not None and turns:
                turns[-1].append(entry)
        return turns

    def _entries(
        self, mark: int, session_id: str, environment: Mapping[str, str]
    ) -> list[Json] | None:
        try:
            path = self.find(session_id, environment)
            if path is None:
                return None
            with path.open("rb") as file:
                file.seek(mark)
                return entries_of(file.read(MAX_RECORD))
        except OSError:
            return None


def entries_of(lines: bytes) -> list[Json]:
    """The objects among JSON lines; what is none (a torn line) is passed over."""
    entries: list[Json] = []
    for line in lines.splitlines():
        try:
            entry: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(cast(Json, entry))
    return entries


def iso_us(timestamp: object) -> int | None:
    """A time as records write it, in µs since the epoch; None where it is none."""
    try:
        return round(datetime.fromisoformat(str(timestamp)).timestamp() * 1e6)
    except ValueError:
        return None


def now_ms() -> int:
    """The mark of a record whose entries have times."""
    return time.time_ns() // 1_000_000


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent differs from plain ACP.

    input_includes_cache: its input tokens have cached ones in them already. cumulative: its counts
    go up over the session's process. scope: what its counts cover. usage_of: reads them where they
    are not in the answer's `usage`.
    retry: a text chunk that is no text of the model's but tells of a retry; it may have the groups
    `attempt` and `most`. notice: one that the agent says itself, about itself. failure: one that
    tells why the turn failed, though it ends well.
    aside_retry: a line of its standard error that tells of a model call that failed, and nothing
    else does; with the group `message`, and `attempt` perhaps. aside_mcp: one that tells of an MCP
    server that cannot be used; with the groups `name`, and `message` perhaps.
    summary: whether a message, by its id, is what it says to itself to shorten its context.
    record: its own record of the session, read after each turn.
    command: the command of an `execute` call that it asks for without its input; "" where that is
    not told either.
    effort_as_modes: its modes are levels of thinking.
    offer_files: whether it works by way of our files where they are offered.
    mend_session: called before the agent is launched to load a session, and after it was loaded.
    not_said: a message of the user's, in a session that it replays, that is none.
    allows: the file, if there is one, in which its user has allowed it things in a folder for good,
    which it does unasked there.
    embeds: whether embedded text reaches its model as it is, and all else with it.
    replays_on_s: it goes on replaying after its answer to `session/load`, until it has been quiet
    for so long.
    """

    input_includes_cache: bool = False
    cumulative: bool = False
    scope: Scope = "turn"
    usage_of: Callable[[Json], Usage] | None = None
    retry: re.Pattern[str] | None = None
    notice: re.Pattern[str] | None = None
    failure: re.Pattern[str] | None = None
    aside_retry: re.Pattern[str] | None = None
    aside_mcp: re.Pattern[str] | None = None
    summary: Callable[[str, Mapping[str, str]], bool] | None = None
    record: Record | None = None
    command: Callable[[Json], str] | None = None
    effort_as_modes: bool = False
    offer_files: bool = True
    mend_session: Callable[[str, Mapping[str, str]], None] | None = None
    not_said: re.Pattern[str] | None = None
    allows: Callable[[Path, Mapping[str, str]], str | None] | None = None
    replays_on_s: float = 0.0
    embeds: bool = True


NONE = Differences()
_FILES = frozenset(row.name for row in ROWS if row.differs)


def differences_of(provider: str) -> Differences:
    """The differences of a built-in provider; plain ACP for any other name."""
    if provider not in _FILES:
        return NONE
    return cast(Differences, importlib.import_module(f".{provider}", __package__).DIFFERENCES)


def home_of(environment: Mapping[str, str]) -> Path:
    """The home folder of a process with this environment."""
    home = environment.get("HOME")
    return Path(home) if home else Path.home()
