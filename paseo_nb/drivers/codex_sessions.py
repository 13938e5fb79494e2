"""Codex's own sessions: `$CODEX_HOME/sessions/YYYY/MM/DD/rollout-TIME-ID.jsonl`, an object a line:
`{timestamp, type, payload}`. Brought over as the notifications that `codex_reading` reads.

There are two ways of writing. Today's (`history_mode` paginated) has each turn's items whole, as
`item_completed` in the core's own spelling. Older ones have plain messages as events, and the tool
calls only as what the model asked for and was given (`codex_rollouts`). Tokens come as the thread's
totals in both. The very first versions told no folder and cannot be gone on with: passed over.
A sub-agent has a file of its own that names its parent. It is no session of the user's: its tokens
count in the turn of its parent that they fall into, as they do in a run, and what it said is left
out; its answer stands in the parent's file.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..journal import encode
from ..model import Outcome
from .acp_reading import Json, as_dict, as_list, as_str
from .claude_sessions import TITLE_CHARACTERS, time_us
from .codex_items import LIMITING, REFUSING, TOOLS, error_info, turn_problem
from .codex_lines import SUBAGENT
from .codex_rollouts import Calls, camel, camel_word, item_of, prompt_of
from .sessions import Session, Told
from .transport import decode

FROM_FILE = "session file"  # the usage's source
# An interrupt of a budget is a limit; any other is somebody's wish.
_ABORTED: dict[str, Outcome] = {"budget_limited": "limit"}
_BEFORE_ID = len("rollout-2026-11-21T14-56-00-")
_BOOK_KEEPING = frozenset({"world_state", "token_usage_record"})
_LISTED = frozenset({"session_meta", "turn_context", "event_msg"})


class _Head(msgspec.Struct, gc=False):
    """Just enough of a line to pass over book-keeping."""

    type: str = ""


_head = msgspec.json.Decoder(_Head).decode


def sessions_folder(environment: Mapping[str, str]) -> Path:
    """Where Codex keeps its sessions."""
    own = os.path.join(environment.get("HOME") or "~", ".codex")
    return Path(environment.get("CODEX_HOME") or own).expanduser() / "sessions"


class _SubAgent(msgspec.Struct):
    """The file of a sub-agent."""

    ident: str
    parent: str
    path: Path


class CodexSessions:
    """See `sessions.Sessions`. `told` knows the sub-agents that `found` has met."""

    def __init__(self) -> None:
        self._subagents: list[_SubAgent] = []

    def found(self, environment: Mapping[str, str]) -> Iterator[Session]:
        """See `sessions.Sessions.found`."""
        self._subagents.clear()
        for path in sessions_folder(environment).rglob("rollout-*.jsonl"):
            session = _session(path)
            if isinstance(session, _SubAgent):
                self._subagents.append(session)
            elif session is not None:
                yield session

    def unlisted(self, session_id: str) -> Session | None:
        """See `sessions.Sessions.unlisted`."""
        return None

    def told(self, session: Session, environment: Mapping[str, str]) -> Iterator[Told]:
        """See `sessions.Sessions.told`."""
        assert session.path is not None
        listed = _lines(session.path, _LISTED)
        whole = any(prompt_of(line, True) is not None for _, line in listed)
        rollout = _Rollout(session, whole)
        for at, line in _lines(session.path):
            rollout.read(at, line)
        rollout.end()
        for one in self._below(session.session_id):
            for at, line in _lines(one.path, _LISTED):
                rollout.read_subagent(at, one.ident, line)
        yield from sorted(rollout.told, key=lambda told: told.t_us)

    def _below(self, session_id: str) -> list[_SubAgent]:
        """A session's sub-agents, and theirs."""
        known, found = {session_id}, list[_SubAgent]()
        while more := [
            one for one in self._subagents if one.parent in known and one.ident not in known
        ]:
            found += more
            known |= {one.ident for one in more}
        return found


def _lines(path: Path, wanted: frozenset[str] | None = None) -> Iterator[tuple[int, Json]]:
    """The lines of a file and when they were written; a line that is half-written or damaged is
    passed over. Time does not go backwards."""
    at = 0
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            for raw in file:
                try:
                    kind = _head(raw).type
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    continue
                if kind not in _BOOK_KEEPING and (wanted is None or kind in wanted):
                    line = as_dict(decode(raw))
                    at = max(at, time_us(line))
                    yield at, line
    except OSError:
        return


class _Turns:
    """Which prompts begin a turn: others are said into one that runs. Old versions do not tell of
    turns: there each prompt begins one."""

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.ident: str | None = None
        self.began = 0
        self._fresh = False

    def read(self, at: int, line: Json) -> tuple[str, bool] | None:
        """A prompt, and whether it is said into a turn that runs."""
        payload = as_dict(line.get("payload"))
        kind = payload.get("type") if line.get("type") == "event_msg" else None
        if kind in ("task_started", "turn_started"):
            self.ident, self.began, self._fresh = as_str(payload.get("turn_id")), at, True
        elif kind in ENDS:
            self._fresh = True
        prompt = prompt_of(line, self.whole)
        if prompt is None:
            return None
        steers = not self._fresh and self.ident is not None
        if self.ident is None or (self._fresh and not self.began):
            self.began = at
        self._fresh = False
        return prompt, steers


ENDS = frozenset({"task_complete", "turn_complete", "turn_aborted"})


def _parent_of(meta: Json) -> str | None:
    """The thread that started this one, if it is a sub-agent; "" where it does not say which."""
    subagent = as_dict(meta.get("source")).get("subagent")
    told = as_dict(as_dict(subagent).get("thread_spawn")).get("parent_thread_id")
    parent = as_str(meta.get("parent_thread_id")) or as_str(told)
    return parent or (None if subagent is None else "")


def _session(path: Path) -> Session | _SubAgent | None:
    meta: Json = {}
    turns = {whole: _Turns(whole) for whole in (True, False)}
    prompts: dict[bool, list[str]] = {True: [], False: []}
    started = finished = 0
    model = None
    for at, line in _lines(path, _LISTED):
        payload = as_dict(line.get("payload"))
        if line.get("type") == "session_meta":
            meta = meta or payload  # a fork has its origin's too, after its own
            parent = _parent_of(meta)
            if parent is not None:
                return _SubAgent(as_str(meta.get("id")) or "", parent, path)
        elif line.get("type") == "turn_context":
            model = as_str(payload.get("model")) or model
        started, finished = started or at, at
        for whole, known in turns.items():
            said = known.read(at, line)
            if said is not None and not said[1]:
                prompts[whole].append(said[0])
    said = prompts[True] or prompts[False]
    ident, cwd = as_str(meta.get("id")), as_str(meta.get("cwd"))
    if not said or not started or not ident or not cwd or path.stem[_BEFORE_ID:] != ident:
        return None
    return Session(
        provider="codex",
        session_id=ident,
        cwd=cwd,
        title=" ".join(said[0].split())[:TITLE_CHARACTERS],
        started_us=started,
        finished_us=finished,
        turns=len(said),
        path=path,
        model=model,
    )


class _Rollout:
    """A file's lines, told as the app-server would have told them."""

    def __init__(self, session: Session, whole: bool) -> None:
        self.told: list[Told] = []
        self._session, self._whole = session, whole
        self._turns, self._calls = _Turns(whole), Calls()
        self._plans: set[str] = set()
        self._begun: str | None = None
        self._failure: Json = {}
        self._model: str | None = None
        self._runs = False  # a turn of which its end is told, once it has come
        self._count = self._items = 0

    def read(self, at: int, line: Json) -> None:
        """The next line of the file."""
        payload = as_dict(line.get("payload"))
        said = self._turns.read(at, line)
        if said is not None:
            self._prompt(at, *said)
            return
        kind = as_str(payload.get("type")) or ""
        match line.get("type"):
            case "turn_context":
                self._settings(at, as_str(payload.get("model")), payload.get("effort"))
            case "compacted":
                self._say(at, "thread/compacted")
            case "event_msg" if kind in ENDS:
                self._ended(at, kind, payload)
            case "event_msg" if kind == "error":
                self._failure = payload
            case "event_msg" if kind == "token_count":
                self._tokens(at, as_dict(payload.get("info")))
            case "event_msg" if kind == "item_completed" and self._whole:
                began = payload.get("started_at_ms")
                began = began * 1000 if isinstance(began, int) else at
                self._item(began, at, item_of(as_dict(payload.get("item"))))
            case "event_msg" if not self._whole and kind in _SPOKEN:
                self._items += 1
                text = as_str(payload.get("message")) or as_str(payload.get("text")) or ""
                item = {"type": _SPOKEN[kind], "id": f"m{self._items}", "text": text}
                self._item(at, at, {**item, "summary": [text]})
            case "event_msg" | "response_item":
                self._call(at, kind, payload)
            case _:
                pass

    def read_subagent(self, at: int, ident: str, line: Json) -> None:
        """A line of a sub-agent's file: when its turns began, and its tokens."""
        payload = as_dict(line.get("payload"))
        kind = payload.get("type") if line.get("type") == "event_msg" else None
        about: Json = {"threadId": ident, "turnId": ident}
        if kind in ("task_started", "turn_started"):
            raw = encode({"method": "turn/started", "params": {**about, "turn": {"id": ident}}})
            self.told.append(Told(at, None, SUBAGENT + "turn/started", raw))
        elif kind == "token_count":
            self._tokens(at, as_dict(payload.get("info")), about)

    def end(self) -> None:
        """The file has ended."""
        for at, item in self._calls.left():
            self._item(at, at, item)
        if self._runs:
            self._left(self.told[-1].t_us, "interrupted")

    def _prompt(self, at: int, text: str, steers: bool) -> None:
        if steers:
            self.told.append(Told(at, text, steers=True))
            return
        if self._runs:  # Codex was ended in the midst of it
            self._left(self.told[-1].t_us, "interrupted")
        at = self._turns.began or at
        self._count, self._runs = self._count + 1, self._turns.ident is not None
        self._failure = {}
        self.told.append(Told(at, text))
        self._begin(at)
        if self._count == 1:
            model, self._model = self._model, None
            self._settings(at, model, None)

    def _begin(self, at: int) -> None:
        """A turn begins; also one that nobody's prompt began, which goes to the one before it."""
        self._begun = self._turns.ident or f"turn-{self._count}"
        self._say(at, "turn/started", turn={"id": self._begun})

    def _say(
        self,
        at: int,
        method: str,
        kind: str | None = None,
        *,
        outcome: Outcome | None = None,
        **params: Any,
    ) -> None:
        ours = params.get("threadId") in (None, self._session.session_id)
        if ours and method != "turn/started" and self._turns.ident not in (None, self._begun):
            self._begin(at)
        whole = {"threadId": self._session.session_id, "turnId": self._begun, **params}
        try:
            raw = encode({"method": method, "params": whole})
        except (
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
        ):  # what JSON knows and we cannot write
            return
        self.told.append(Told(at, None, kind or method, raw, outcome))

    def _settings(self, at: int, model: str | None, effort: Any) -> None:
        if model is not None and model != self._model:
            self._model = model
            if self._count:
                told = {"model": model, "effort": as_str(effort)}
                self._say(at, "thread/settings/updated", threadSettings=told)

    def _item(self, began: int, at: int, item: Json) -> None:
        if item.get("type") not in TOOLS:
            self._say(at, "item/completed", item=item)
            return
        if item.get("type") == "commandExecution" and not item.get("cwd"):
            item["cwd"] = self._session.cwd
        known = {key: value for key, value in item.items() if key not in _RESULTS}
        began = min(max(began, self._turns.began), at)
        self._say(began, "item/started", "tool_call", item={**known, "status": "inProgress"})
        if item.get("status") != "inProgress":
            self._say(at, "item/completed", "tool_call_update", item=item)

    def _call(self, at: int, kind: str, payload: Json) -> None:
        """What the model asked for, or was given. Of whole items only plans are told so."""
        ident = as_str(payload.get("call_id")) or ""
        if kind == "function_call" and payload.get("name") == "update_plan":
            given = as_dict(
                decode((as_str(payload.get("arguments")) or "").encode(errors="replace"))
            )
            self._plans.add(ident)
            steps = [as_dict(step) for step in as_list(given.get("plan"))]
            self._say(at, "turn/plan/updated", "plan", plan=steps)
        elif not self._whole and ident not in self._plans:
            told = self._calls.read(at, payload)
            if told is not None:
                self._item(told[0], at, told[1])

    def _tokens(self, at: int, info: Json, about: Json | None = None) -> None:
        total, last = info.get("total_token_usage"), info.get("last_token_usage")
        if total:
            size = info.get("model_context_window")
            usage: Json = {"total": camel(total), "last": camel(last), "modelContextWindow": size}
            method = "thread/tokenUsage/updated"
            said: Json = {"tokenUsage": usage, "source": FROM_FILE, **(about or {})}
            self._say(at, method, "usage_update", **said)

    def _ended(self, at: int, kind: str, payload: Json) -> None:
        error = as_dict(payload.get("error")) or self._failure
        self._failure, self._runs = {}, False
        if kind == "turn_aborted":
            self._left(at, _ABORTED.get(str(payload.get("reason")), "cancelled"))
        elif error:
            info = error.get("codex_error_info")
            info = camel_word(info) if isinstance(info, str) else camel(info)
            told: Json = {"message": error.get("message"), "codexErrorInfo": info}
            turn: Json = {"id": self._begun, "status": "failed", "error": told}
            name, _ = error_info(told)
            outcome = "limit" if name in LIMITING else "refused" if name in REFUSING else "error"
            self._say(at, "turn/completed", "session/prompt:error", turn=turn)
            self.told.append(Told(at, None, "turn/completed", b"{}", outcome, turn_problem(told)))

    def _left(self, at: int, outcome: Outcome) -> None:
        """The turn did not come to its end."""
        turn = {"id": self._begun, "status": "interrupted"}
        self._say(at, "turn/completed", outcome=outcome, turn=turn)


_SPOKEN = {"agent_message": "agentMessage", "agent_reasoning": "reasoning"}
_RESULTS = frozenset({"aggregatedOutput", "exitCode", "result", "error", "contentItems"})
