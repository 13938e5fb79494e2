"""The sessions of an agent that lists and loads them over ACP (`session/list`, `session/load`).

Each look starts the agent's program once, and no model is asked. What an agent replays of a session
is told as the lines that it would have sent; times of turns are not among it, tokens only where the
agent's own record has them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from . import visiting
from .drivers.acp_ending import facts_of
from .drivers.acp_reading import PRESENT, Json, as_dict, as_list, as_str, content_text, problem_of
from .drivers.claude_sessions import TITLE_CHARACTERS, time_us
from .drivers.differing import Lines, differences_of
from .drivers.jsonrpc import RequestError
from .drivers.registry import Resolved
from .drivers.sessions import CannotList, Session, Told
from .errors import UsageProblem
from .model import now_us

LIST_S, LOAD_S = 60.0, 120.0
MOST_PAGES = 1000
_SAID = frozenset({"user_message_chunk", "agent_message_chunk", "agent_thought_chunk"})
_REPLAYED = _SAID | {"tool_call", "tool_call_update", "plan", "plan_update"} | PRESENT


class AcpSessions:
    """See `sessions.Sessions`."""

    def __init__(self, resolved: Resolved, folder: Path) -> None:
        self._resolved, self._folder = resolved, folder
        self._differs = differences_of(resolved.extends)

    # ------------------------------------------------------------ listing

    def found(self, environment: Mapping[str, str]) -> Iterator[Session]:
        """See `sessions.Sessions.found`. CannotList, UsageProblem."""
        yield from self._ask(self._list(environment), LIST_S, "list its sessions")

    async def _list(self, environment: Mapping[str, str]) -> list[Session]:
        command, name = self._resolved.command, self._resolved.provider
        async with visiting.visiting(command, environment, str(self._folder)) as visit:
            can, _ = await visiting.introduce(visit, self._resolved)
            if as_dict(can.get("sessionCapabilities")).get("list") in (None, False):
                raise CannotList(
                    f"{name} cannot list its sessions. If you know the id of one:"
                    f" import_session({name!r}, ID), in the folder that it worked in"
                )
            known: dict[str, Session] = {}
            cursors: list[str] = []
            while len(cursors) < MOST_PAGES:
                wish: Json = {"cursor": cursors[-1]} if cursors else {}
                told, _ = await visit.ask("session/list", wish)
                for one in map(as_dict, as_list(told.get("sessions"))):
                    session = self._listed(one)
                    if session is not None:
                        known.setdefault(session.session_id, session)
                cursor = as_str(told.get("nextCursor"))
                if not cursor or cursor in cursors:
                    break
                cursors.append(cursor)
            return list(known.values())

    def _listed(self, told: Json) -> Session | None:
        ident, cwd = as_str(told.get("sessionId")), as_str(told.get("cwd"))
        if not ident:
            return None
        title = " ".join((as_str(told.get("title")) or "").split())[:TITLE_CHARACTERS]
        at = time_us({"timestamp": told.get("updatedAt")}) or None
        return self._session(ident, cwd if cwd and os.path.isabs(cwd) else None, title, at)

    def unlisted(self, session_id: str) -> Session:
        """See `sessions.Sessions.unlisted`: it is taken for one of the user's folder."""
        return self._session(session_id)

    def _session(
        self, ident: str, cwd: str | None = None, title: str | None = None, at: int | None = None
    ) -> Session:
        return Session(
            provider=self._resolved.provider,
            session_id=ident,
            cwd=cwd or str(self._folder),
            title=title or None,
            started_us=None,
            finished_us=at,
            turns=None,
            path=None,
        )

    # ------------------------------------------------------------ loading

    def told(self, session: Session, environment: Mapping[str, str]) -> list[Told]:
        """See `sessions.Sessions.told`. UsageProblem where the agent cannot load it."""
        mend = self._differs.mend_session
        if mend is not None:
            mend(session.session_id, environment)
        try:
            what = f"load session {session.session_id}"
            lines = self._ask(self._load(session, environment), LOAD_S, what)
        finally:
            if mend is not None:
                mend(session.session_id, environment)
        record = self._differs.record
        replay = _Replay(session.finished_us or now_us(), self._differs.not_said)
        replay.read(lines)
        if isinstance(record, Lines):
            replay.compare(record, record.turns(session.session_id, environment))
        return replay.told

    async def _load(self, session: Session, environment: Mapping[str, str]) -> _Heard:
        name, ident = self._resolved.provider, session.session_id
        folder = session.cwd if os.path.isdir(session.cwd) else str(self._folder)
        heard = _Heard()

        def hear(message: Json, line: bytes) -> None:
            params = as_dict(message.get("params"))
            of = params.get("sessionId") in (None, ident)
            if message.get("method") == "session/update" and of:
                heard.updates.append((as_dict(params.get("update")), line))

        async with visiting.visiting(self._resolved.command, environment, folder) as visit:
            can, heard.introduced = await visiting.introduce(visit, self._resolved)
            if not can.get("loadSession"):
                raise UsageProblem(f"{name} cannot load a session: what was said in it is not told")
            visit.heard = hear
            wish: Json = {"sessionId": ident, "cwd": session.cwd, "mcpServers": []}
            _, heard.loaded = await visit.ask("session/load", wish)
            if self._differs.replays_on_s:
                await visit.listen(self._differs.replays_on_s)
        return heard

    def _ask(self, visit: Any, limit_s: float, what: str) -> Any:
        """Run a visit; what goes wrong in it in words."""
        name = self._resolved.provider
        try:
            return visiting.run(visit, limit_s)
        except TimeoutError:
            why, hint = f"no answer in {limit_s:g} s", ""
        except RequestError as error:
            problem = problem_of({"code": error.code, "message": str(error), "data": error.data})
            why, hint = problem.message, problem.hint or ""
        except (OSError, EOFError) as error:
            why, hint = str(error), ""
        hint = hint or f"paseo.doctor({name!r}) says what it is able to do."
        raise UsageProblem(f"{name} did not {what}: {why.rstrip('.')}. {hint}")


class _Heard(msgspec.Struct):
    """What an agent said when it loaded a session: lines as they were, updates also decoded."""

    introduced: bytes = b""
    loaded: bytes = b""
    updates: list[tuple[Json, bytes]] = []


class _Replay:
    """A replayed session as lines for a journal. A message of the user's begins a turn; chunks of
    one that follow each other are one, unless they say that they are two."""

    def __init__(self, at_us: int, not_said: re.Pattern[str] | None) -> None:
        self.told: list[Told] = []
        self._at, self._not_said = at_us, not_said
        self._said: list[str] = []
        self._message: str | None = None

    def read(self, heard: _Heard) -> None:
        """Take all of it."""
        self.told = [
            Told(self._at, kind="initialize:result", raw=heard.introduced, head=True),
            Told(self._at, kind="session/load:result", raw=heard.loaded, head=True),
        ]
        for update, line in heard.updates:
            kind = update.get("sessionUpdate")
            if kind not in _REPLAYED:
                continue
            if kind == "user_message_chunk":
                self._chunk(update)
            else:
                self._prompt()
                told = Told(self._at, kind=kind, raw=line, head=kind in PRESENT)
                self.told.append(told)
        self._prompt()

    def _chunk(self, update: Json) -> None:
        message, text = as_str(update.get("messageId")), content_text(update.get("content"))
        if self._not_said is not None and self._not_said.fullmatch(text):
            return
        if self._said and message != self._message:
            self._prompt()
        self._message = message
        self._said.append(text)

    def _prompt(self) -> None:
        text, self._said = "".join(self._said), []
        if text:
            self.told.append(Told(self._at, text))

    def compare(self, record: Lines, turns: list[list[Json]]) -> None:
        """Give each turn what the agent's own record says of it: when, tokens, why it failed. Only
        where both have as many turns."""
        begins = [at for at, told in enumerate(self.told) if told.prompt is not None]
        if len(begins) != len(turns):
            return
        ends = [*(at - 1 for at in begins[1:]), len(self.told) - 1]
        for first, last, entries in zip(begins, ends, turns, strict=True):
            account = record.read(entries)
            started = time_us(entries[0]) or self._at
            for told in self.told[first : last + 1]:
                told.t_us = started
            told = self.told[last]
            told.t_us = max(started, time_us(entries[-1]))
            told.facts, told.model = list(facts_of(account)), account.model
            told.problem = account.problem
            told.outcome = None if account.problem is None else "error"
        for told in self.told[: begins[0]] if begins else ():
            told.t_us = self.told[begins[0]].t_us
