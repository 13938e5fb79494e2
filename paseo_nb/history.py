"""A run's story so far: folds journal lines into turns, transcript items, tool calls, permissions.

Fed line by line, live or from a file: the handle, the store and the renderers read the same fold,
so that a cell, a frame and a widget never tell different stories. It opens no file (but blobs) and
starts nothing. Longer than other files, as there is one state, and a few lines for each kind of
line that changes it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from .drivers.acp_reading import SUMMARY, as_dict, as_int, as_list, as_str, content_text, decode
from .drivers.attached import pictures
from .drivers.beside import points_to_blob, with_blob
from .drivers.differing import Called
from .drivers.options import options_of
from .drivers.reading import reading_for
from .model import (
    TOKENS,
    TURN_STATES,
    BroughtBack,
    FilesAt,
    ForkKind,
    Item,
    Line,
    ModelCall,
    Outcome,
    Permission,
    Problem,
    PutAway,
    Segment,
    Step,
    ToolCall,
    Turn,
    Usage,
)

TEXT_KINDS = {
    "agent_message_chunk": ("agent", "message"),
    "agent_thought_chunk": ("agent", "thought"),
    "user_message_chunk": ("user", "message"),
    SUMMARY: ("system", "note"),
}
_NAME = re.compile(r"[A-Za-z_][\w.-]{1,63}")
DONE_STATUSES = {"completed", "failed"}
_CANCELLED = {
    "user": "Cancelled by the user.",
    "interrupt": "Cancelled for the next prompt.",
    "stopped": "Cancelled as the run was stopped.",
}
_T = TypeVar("_T", PutAway, BroughtBack)
FOLD_VERSION = 6  # raise it when the same lines fold into something else: the index is read anew


class History:
    """The fold. `feed` lines in order of seq; a line seen before is passed over."""

    shows_pictures = True

    def __init__(self, dialect: str = "acp", provider: str = "", blobs: Path | None = None) -> None:
        self.reading = reading_for(dialect, provider)
        self.blobs = blobs
        self.commands_done: set[str] = set()
        self.seq = 0
        self.facts = 0  # those that were more than a piece of text
        self.last_us = 0
        self.state: str = "starting"
        self.archived = False
        self.put_away = PutAway()
        self.session_id: str | None = None
        self.agent_name: str | None = None
        self.agent_version: str | None = None
        self._metered_usd = 0.0
        self.model_answered: str | None = None
        self.git_head: str | None = None
        self.files: list[FilesAt] = []
        self.applied: str | None = None  # onto which branch
        self.resumed: list[tuple[int, int]] = []  # when its processes were brought back, which turn
        self.fork_kind: ForkKind | None = None  # how it was forked off another run, if it was
        self.agent_mode: str | None = None
        self.asked: dict[str, str] = {}  # what was asked for since: model, mode, effort
        self._asking: dict[str, dict[str, str]] = {}
        self.recorded = False  # its model calls are those that a recorder saw
        self.imported = False  # and nobody has gone on with it through us
        self.host: str | None = None
        self.boot_id: str | None = None
        self.title: str | None = None
        self.ended: str | None = None
        self.error: Problem | None = None
        self.modes: dict[str, Any] = {}
        self.models: dict[str, Any] = {}
        self.config_options: list[Any] = []
        self.commands: list[Any] = []
        self.plan: list[Any] = []
        self.turns: list[Turn] = []
        self.items: list[Item] = []
        self.tool_calls: dict[str, ToolCall] = {}
        self.permissions: dict[str, Permission] = {}
        self.model_calls: dict[str, ModelCall] = {}
        self.warnings: list[str] = []
        self.steps: dict[str, Step] = {}  # that were begun
        self.live_usage = Usage()
        self.queued: dict[str, str] = {}  # messages that wait for their turn, by their command's id
        self.followed: dict[int, Item] | None = None  # items that changed, once somebody asks
        self._open_item: Item | None = None
        self._parts: list[str] = []
        self._closed: set[str] = set()
        self._answer: Item | None = None  # the last of the messages that are the turn's text
        self._answer_before: str | None = None  # those before it
        self._answer_new = False
        self._answer_over = False
        self._plan_items: dict[str, Item] = {}
        self._call_items: dict[str, Item] = {}
        self._permission_items: dict[str, Item] = {}
        self._segments: list[Segment] = []
        self._told_calls: dict[str, ModelCall] = {}  # what the agent tells of these
        self._reported_cost = 0.0
        self._cost_before = 0.0
        self._turn_command: str | None = None
        self._setup_item: Item | None = None

    # ------------------------------------------------------------ what readers ask

    @property
    def turn(self) -> Turn | None:
        """The latest turn."""
        return self.turns[-1] if self.turns else None

    @property
    def turn_open(self) -> bool:
        """Whether a turn has begun and not ended."""
        return bool(self.turns) and self.turns[-1].outcome is None

    @property
    def usage(self) -> Usage:
        """The sum over all turns."""
        used = [turn.usage for turn in self.turns]
        return functools.reduce(Usage.plus, used) if used else Usage()

    @property
    def text(self) -> str:
        """The agent's text after the last turn's last tool call, else its last text."""
        return self.turns[-1].text if self.turns else ""

    def open_permissions(self) -> list[Permission]:
        """Questions that wait for an answer."""
        known = list(self.permissions.values())  # at once: another thread may be reading on
        return [p for p in known if p.answered_us is None]

    def call_item(self, turn: int, call_id: str | None) -> Item | None:
        """The item of a tool call."""
        return self._call_items.get(f"{turn}/{call_id}")

    def follow(self, *, anew: bool = False) -> list[Item]:
        """The items that are new or changed since the last call; all of them at the first, or
        `anew`. For one follower: it brings what it shows up to date without looking at all."""
        changed = self.items if anew or self.followed is None else self.followed.values()
        self.followed, out = {}, list(changed)
        return out

    def _changed(self, item: Item) -> None:
        if self.followed is not None:
            self.followed[id(item)] = item

    # ------------------------------------------------------------ folding

    def feed(self, lines: Iterable[Line]) -> History:
        """Take further lines; returns itself."""
        chunk_text = self.reading.chunk_text
        row: list[Line] = []  # of chunks of one text: what most lines are
        texts: list[str] = []
        for line in lines:
            text = None
            if line.kind in TEXT_KINDS and line.dir == "in" and line.seq > self.seq:
                text = chunk_text(line)
            if row and (text is None or line.kind != row[0].kind or line.turn != row[0].turn):
                self.take_chunks(row[0], row[-1], "".join(texts))
                row, texts = [], []
            if text is not None:
                row.append(line)
                texts.append(text)
                continue
            if self.blobs is not None and points_to_blob(line) and line.seq > self.seq:
                line = self.opened(line)
            self.take(line)
        if row:
            self.take_chunks(row[0], row[-1], "".join(texts))
        self._flush_text()
        self._tell_answer()
        return self

    def take_chunks(self, first: Line, last: Line, text: str) -> None:
        """Take a row of text chunks of one kind and turn at once."""
        if last.seq <= self.seq:
            return
        self.seq, self.last_us = last.seq, last.t
        if self.turn_open and first.turn == self.turns[-1].turn:
            self.turns[-1].last_seq = last.seq
        role, kind = TEXT_KINDS[first.kind]
        self._text(first, role, kind, text)
        if self._open_item is not None:
            self._open_item.finished_us = last.t

    def opened(self, line: Line) -> Line:
        """The line with the message that lies beside the journal, if that can be read."""
        if self.blobs is None or line.dir != "in":
            return line
        whole = with_blob(line, self.blobs)
        if whole is line and not line.kind.startswith("replay/"):
            size = as_int(as_dict(decode(line.raw)).get("bytes")) or 0
            text = f"A message of {size:,} bytes is kept beside the journal, unread."
            self._add(line, "system", "note", text)
        return whole

    def take(self, line: Line) -> None:
        """Take one line, its message whole. Texts are brought up to date by `feed` only."""
        if line.seq <= self.seq:
            return
        self.seq = line.seq
        self.last_us = line.t
        if self.turns:
            turn = self.turns[-1]
            if line.turn == turn.turn and turn.outcome is None:
                turn.last_seq = line.seq
        if line.dir == "in":
            for kind, data in self.reading.facts(line):
                self._fact(line, kind, data)
        elif line.dir == "own":
            self.facts += 1
            self._flush_text()
            self._tell_answer()
            handler = getattr(self, f"_own_{line.kind}", None)
            if handler is not None:
                handler(line, as_dict(decode(line.raw)))
        elif line.kind == "session/prompt":
            self.facts += 1
            self._prompt_sent()
            self.reading.facts(line)  # what a reading has to know of the prompt

    def _prompt_sent(self) -> None:
        """What an agent said before (a notice of a newer version) is no answer to the prompt."""
        self._flush_text()
        self._open_item, self._answer_new = None, False
        self._answer = self._answer_before = None
        if self.turn_open:
            self.turns[-1].text = ""

    def _fact(self, line: Line, kind: str, data: dict[str, Any]) -> None:
        if kind in TEXT_KINDS:
            role, item_kind = TEXT_KINDS[kind]
            self._text(line, role, item_kind, content_text(data.get("content")))
            return
        self.facts += 1
        handler = getattr(self, f"_on_{kind}", None)
        if handler is not None:
            handler(line, data)

    def _text(self, line: Line, role: str, kind: str, text: str) -> None:
        item = self._open_item
        if item is None or item.kind != kind or item.role != role or item.turn != line.turn:
            title = "compaction" if kind == "note" else None
            item = self._add(line, role, kind, "", title=title)
            self._open_item = item
        self._parts.append(text)
        item.finished_us = line.t

    def _flush_text(self) -> None:
        """Give the open item its new text. Once a feed, as adding each chunk would be quadratic."""
        item = self._open_item
        if item is None or not self._parts:
            return
        item.text += "".join(self._parts)
        self._parts.clear()
        self._changed(item)
        if item.kind == "message" and item.role == "agent" and self.turns:
            self._answered(item)

    def _answered(self, item: Item) -> None:
        """Keep the turn's text: the messages after its last tool call, else its last ones. What
        comes after its end is told, and changes no answer that somebody may have read."""
        if self.turns[-1].outcome is not None:
            return
        if self._answer_over:
            self._answer = self._answer_before = None
            self._answer_over = False
        before, last = self._answer_before, self._answer
        if last is not None and last is not item and last.text:
            part = last.text.strip("\n")
            self._answer_before = part if before is None else f"{before}\n\n{part}"
        self._answer = item
        self._answer_new = True

    def _tell_answer(self) -> None:
        """Join the turn's text. Once a feed, as there may be very many messages."""
        if self._answer_new and self._answer is not None:
            self._answer_new = False
            before = self._answer_before
            self.turns[-1].text = (f"{before}\n\n" if before else "") + self._answer.text

    def _add(self, line: Line, role: str, kind: str, text: str, **more: Any) -> Item:
        self._flush_text()
        item = Item(line.seq, line.turn, role, kind, text, line.t, **more)
        self.items.append(item)
        self._changed(item)
        self._open_item = None
        return item

    def _new_call(self, line: Line, key: str, call_id: str) -> ToolCall:
        call = ToolCall(call_id, line.turn, line.seq, None, None, None, None, None, [], [], line.t)
        self.tool_calls[key] = call
        self._call_items[key] = self._add(line, "agent", "tool_call", "", ref=call)
        self._answer_over = True
        if self.turns:
            self.turns[-1].tool_calls += 1
        return call

    def _on_tool_call(self, line: Line, data: dict[str, Any]) -> None:
        """What comes after a call's turn has ended is an event, and changes no story, though the
        next turn may have begun. (Ids may be used again: a new call begins as `tool_call`.)"""
        get = data.get
        call_id = as_str(get("toolCallId"))
        key = f"{line.turn}/{call_id}"
        if call_id is None or key in self._closed:
            return
        status = as_str(get("status"))
        call = self.tool_calls.get(key)
        if call is None:
            late = f"{line.turn - 1}/{call_id}" in self._closed
            if late and get("sessionUpdate") != "tool_call":
                return
            call = self._new_call(line, key, call_id)
            call.told_at_once = status not in DONE_STATUSES
        meta = as_dict(get("_meta"))
        call.parent = as_str(meta.get("parent_tool_call_id")) or call.parent
        call.kind = as_str(get("kind")) or call.kind
        call.title = as_str(get("title")) or call.title
        name = as_str(get("toolName")) or as_str(get("name")) or as_str(meta.get("toolName"))
        if name:
            call.tool_name = name
        elif call.tool_name is None:  # ACP has no name; some agents' first title is one
            call.tool_name = call.title if _NAME.fullmatch(call.title or "") else call.kind
        given = get("rawInput")
        if given is not None and given != {}:
            call.input = given
        given = get("rawOutput")
        if given is not None:
            call.output = given
        given = get("content")
        if given is not None:
            call.content = as_list(given)
        if "locations" in data:
            paths = [as_str(as_dict(place).get("path")) for place in as_list(data["locations"])]
            call.locations = [path for path in paths if path]
        if status is not None:
            call.status = status
            if status in DONE_STATUSES:
                call.finished_us, call.outcome = line.t, status
                if status == "failed":
                    call.error = content_text_of(call.content) or str(call.output or "failed")
        self._show_call(line, key, call)

    _on_tool_call_update = _on_tool_call

    def _show_call(self, line: Line, key: str, call: ToolCall) -> None:
        item = self._call_items[key]
        item.title = call.title or call.tool_name or call.tool_call_id
        item.text = content_text_of(call.content)
        item.outcome, item.finished_us = call.outcome, call.finished_us
        self._changed(item)

    def _on_plan(self, line: Line, data: dict[str, Any]) -> None:
        self._tell_plan(line, "", data)

    def _on_plan_update(self, line: Line, data: dict[str, Any]) -> None:
        plan = as_dict(data.get("plan"))
        self._tell_plan(line, str(plan.get("planId")), plan)

    def _tell_plan(self, line: Line, key: str, plan: dict[str, Any]) -> None:
        """One item for each plan of a turn: its entries, or (newer agents) its text or file."""
        self.plan = as_list(plan.get("entries"))
        text = "\n".join(plan_line(entry) for entry in self.plan)
        text = text or as_str(plan.get("content")) or as_str(plan.get("uri")) or ""
        item = self._plan_items.get(key)
        if item is None or item.turn != line.turn:
            item = self._plan_items[key] = self._add(line, "agent", "plan", text)
        item.text, item.ref, item.finished_us = text, self.plan, line.t
        self._changed(item)

    def _on_permission_request(
        self, line: Line, data: dict[str, Any], ident: str | None = None
    ) -> None:
        tool = as_dict(data.get("tool_call"))
        call_id = as_str(tool.get("toolCallId"))
        if call_id and f"{line.turn}/{call_id}" not in self.tool_calls:
            self._on_tool_call(line, tool)  # some agents tell of a call only when it was allowed
        known = self.tool_calls.get(f"{line.turn}/{call_id}") if call_id else None
        permission = Permission(
            id=ident or f"p{line.seq}",
            turn=line.turn,
            tool_call_id=call_id,
            title=as_str(tool.get("title")) or (known.title if known else None),
            kind=as_str(tool.get("kind")) or (known.kind if known else None),
            input=tool.get("rawInput") or (known.input if known else None),
            options=[],
            asked_us=line.t,
        )
        permission.options = options_of(as_list(data.get("options")), permission.kind)
        self.permissions[permission.id] = permission
        item = self._add(line, "agent", "permission", "", title=permission.title, ref=permission)
        self._permission_items[permission.id] = item

    def _on_model_call(self, line: Line, data: dict[str, Any]) -> None:
        ident = as_str(data.get("message_id")) or f"m{line.seq}"
        key = f"{line.turn}/{ident}"
        calls = self._told_calls if self.recorded else self.model_calls
        call = calls.get(key)
        if call is None:
            call = calls[key] = ModelCall(ident, line.turn, line.seq, line.t)
        call.finished_us = line.t
        call.model = as_str(data.get("model")) or call.model
        call.parent = as_str(data.get("parent")) or call.parent
        call.usage = data.get("usage") or call.usage
        if call.usage.source is None and any(getattr(call.usage, name) for name in TOKENS):
            call.usage.source = "agent"
        call.stop_reason = as_str(data.get("stop_reason")) or call.stop_reason
        problem = data.get("problem")
        call.error = problem.message if isinstance(problem, Problem) else call.error
        self.model_answered = call.model or self.model_answered
        self._join(key)

    def _on_model_request(self, line: Line, data: dict[str, Any]) -> None:
        """What a model call sent: hashes and sizes, those that lead the last request left out."""
        call = self.model_calls.get(f"{line.turn}/{data.get('messageId')}")
        same, told = as_int(data.get("same")) or 0, as_list(data.get("segments"))
        if call is None or not 0 <= same <= len(self._segments):
            return
        try:
            rest = msgspec.convert(told, list[Segment])
        except msgspec.ValidationError:  # an agent may say anything
            return
        call.segments = self._segments = [*self._segments[:same], *rest]

    def _on_retry(self, line: Line, data: dict[str, Any]) -> None:
        most = as_int(data.get("max_attempts"))
        attempt = as_int(data.get("attempt"))
        said = f"retry {attempt}" if attempt is not None else "retry"
        said += f" of {most}" if most else ""
        text = ": ".join(part for part in (said, as_str(data.get("message"))) if part)
        self._add(line, "system", "note", text, title="retry")

    def _on_compaction(self, line: Line, data: dict[str, Any]) -> None:
        text = as_str(data.get("message")) or "the agent shortened its context"
        self._add(line, "system", "note", text, title="compaction")

    def _on_notice(self, line: Line, data: dict[str, Any]) -> None:
        self._add(line, "system", "note", as_str(data.get("message")) or "", title="notice")

    def _on_prompt_result(self, line: Line, data: dict[str, Any]) -> None:
        if self.turn_open:
            turn = self.turns[-1]
            self._used(data["usage"])
            turn.stop_reason = as_str(data.get("stop_reason"))

    def _used(self, told: Usage) -> None:
        """Take the token counts of the running turn: they are its own, not what is added to it."""
        turn = self.turns[-1]
        for name in (*TOKENS, "cost_usd"):
            if getattr(told, name) is not None:
                setattr(turn.usage, name, getattr(told, name))
        if any(getattr(told, name) is not None for name in TOKENS):
            turn.usage.source = told.source or "agent"
            turn.usage.scope = told.scope or "turn"
        if turn.usage.scope == "last model call":
            if turn.tool_calls == 0:  # then there was no other call
                turn.usage.scope = "turn"
            else:
                turn.usage = turn.usage.without_tokens("last model call")

    def _on_usage_update(self, line: Line, data: dict[str, Any]) -> None:
        cost = as_dict(data.get("cost"))
        self.live_usage.context_used = as_int(data.get("used"))
        self.live_usage.context_size = as_int(data.get("size"))
        amount = cost.get("amount")
        turn = self.turn
        if turn is not None:
            turn.usage.context_used = self.live_usage.context_used
            turn.usage.context_size = self.live_usage.context_size
        if isinstance(amount, (int, float)) and cost.get("currency", "USD") == "USD":
            if amount < self._reported_cost:  # a new process counts from zero again
                self._cost_before = 0.0
            self._reported_cost = float(amount)
            if turn is not None:
                turn.usage.cost_usd = max(self._reported_cost - self._cost_before, 0.0)
                self._unreport_zeros()

    def _unreport_zeros(self) -> None:
        """Zeros of a turn that ended badly are no report, and a cost of 0 is none where no tokens
        were told: some agents send both where they counted nothing."""
        turn = self.turns[-1]
        used = {getattr(turn.usage, name) for name in TOKENS}
        if used <= {None, 0} and turn.outcome not in (None, "end_turn"):
            turn.usage = msgspec.structs.replace(turn.usage.without_tokens(None), source=None)
            used = {None}
        if used == {None} and turn.outcome is not None and not turn.usage.cost_usd:
            turn.usage.cost_usd = None

    def _on_agent_info(self, line: Line, data: dict[str, Any]) -> None:
        self.agent_name = as_str(data.get("title")) or as_str(data.get("name"))
        self.agent_version = as_str(data.get("version"))

    def _on_session(self, line: Line, data: dict[str, Any]) -> None:
        self.session_id = data.get("session_id") or self.session_id
        self.modes = data["modes"] or self.modes
        self.models = data["models"] or self.models
        self.config_options = data["config_options"] or self.config_options
        self.agent_mode = as_str(self.modes.get("currentModeId")) or self.agent_mode
        self.model_answered = as_str(self.models.get("currentModelId")) or self.model_answered
        self._model_option()

    def _model_option(self) -> None:
        for option in map(as_dict, self.config_options):
            if option.get("category") == "model" or option.get("id") == "model":
                self.model_answered = as_str(option.get("currentValue")) or self.model_answered
            elif option.get("category") == "mode":
                self.agent_mode = as_str(option.get("currentValue")) or self.agent_mode

    def _on_config_option_update(self, line: Line, data: dict[str, Any]) -> None:
        self.config_options = as_list(data.get("configOptions")) or self.config_options
        self._model_option()

    def _on_current_mode_update(self, line: Line, data: dict[str, Any]) -> None:
        self.agent_mode = as_str(data.get("currentModeId")) or self.agent_mode

    def _on_available_commands_update(self, line: Line, data: dict[str, Any]) -> None:
        self.commands = as_list(data.get("availableCommands"))

    def _on_session_info_update(self, line: Line, data: dict[str, Any]) -> None:
        self.title = as_str(data.get("title")) or self.title

    # ------------------------------------------------------------ our own lines

    def _own_run_started(self, line: Line, data: dict[str, Any]) -> None:
        self.host, self.boot_id = as_str(data.get("host")), as_str(data.get("boot_id"))
        self.imported = bool(data.get("imported"))
        self.ended = None
        if data.get("resumed"):
            self.resumed.append((line.t, len(self.turns)))
        if not self.turns:
            self.state = "starting"
        elif self.state == "stopped":
            self.state = "idle"  # brought back: it stands ready

    def _own_session(self, line: Line, data: dict[str, Any]) -> None:
        self.session_id = as_str(data.get("session_id")) or self.session_id

    def _own_state(self, line: Line, data: dict[str, Any]) -> None:
        self.state = as_str(data.get("state")) or self.state

    def _own_turn_start(self, line: Line, data: dict[str, Any]) -> None:
        prompt = prompt_text(as_list(data.get("prompt")))
        self._turn_command = as_str(data.get("command_id"))
        self.queued.pop(self._turn_command or "", None)
        origin = as_str(data.get("origin")) or "user"
        self._cost_before = self._reported_cost
        self._plan_items.clear()
        self.error = None
        self._answer = self._answer_before = None
        self._answer_over = False
        self.turns.append(
            Turn(line.turn, origin, prompt, line.t, first_seq=line.seq, last_seq=line.seq)
        )
        title = None if origin == "user" else origin
        self._add(line, "user", "message", prompt, title=title, ref=self._pictures(data))

    def _own_snapshot(self, line: Line, data: dict[str, Any]) -> None:
        turn, commit, at = self.turn, str(data.get("commit")), str(data.get("at"))
        if turn is None or turn.turn != line.turn:
            return
        self.git_head = commit
        self.files.append(FilesAt(line.turn, at, commit, as_str(data.get("head"))))
        if at == "start":
            turn.git_before = commit
        else:
            turn.git_after = commit
            turn.files_changed = as_int(data.get("files"))
            turn.lines_added = as_int(data.get("added"))
            turn.lines_removed = as_int(data.get("removed"))

    def _own_setup(self, line: Line, data: dict[str, Any]) -> None:
        """A command of the repository's that is run in a new worktree, and what it prints."""
        at, item = data.get("at"), self._setup_item
        if at == "start":
            self._setup_item = self._add(line, "system", "note", f"$ {data.get('command')}\n")
            self._setup_item.title = "setup"
        elif item is not None:
            item.finished_us = line.t
            if at == "output":
                item.text += as_str(data.get("text")) or ""
            else:
                item.outcome = "completed" if data.get("code") == 0 else "failed"
            self._changed(item)

    def _own_undone(self, line: Line, data: dict[str, Any]) -> None:
        self.git_head = as_str(data.get("commit")) or self.git_head
        for at, name in (("kept", "kept"), ("undo", "commit")):
            self.files.append(FilesAt(line.turn, at, str(data.get(name))))
        self._add(line, "system", "note", undone_text(data), title="undo")

    def _own_applied(self, line: Line, data: dict[str, Any]) -> None:
        self.applied = as_str(data.get("onto"))
        commit = as_str(data.get("commit"))
        how = f": commit {commit[:10]}" if commit else ", not committed"
        self._add(line, "system", "note", f"Applied onto {self.applied}{how}.", title="apply")

    def _own_forked(self, line: Line, data: dict[str, Any]) -> None:
        self.fork_kind = "session" if data.get("how") == "session" else "context"
        self._add(line, "system", "note", forked_text(data), title="fork")

    def _own_turn_end(self, line: Line, data: dict[str, Any]) -> None:
        turn = self.turn
        if turn is None or turn.outcome is not None:
            return
        outcome: Outcome = data.get("outcome", "error")
        if self._turn_command is not None:
            self.commands_done.add(self._turn_command)
        turn.outcome, turn.finished_us = outcome, line.t
        turn.stop_reason = as_str(data.get("stop_reason")) or turn.stop_reason
        problem = as_dict(data.get("error"))
        if problem:
            turn.error = self.error = msgspec.convert(problem, Problem)
        calls = [call.usage for call in self.model_calls.values() if call.turn == turn.turn]
        if self.recorded:  # one that failed is a row of its own, and used nothing
            calls = [usage for usage in calls if usage != Usage()]
        if calls and turn.usage.input_tokens is None and turn.usage.output_tokens is None:
            self._used(functools.reduce(Usage.plus, calls))
        costs = [usage.cost_usd for usage in calls if usage != Usage()]
        if turn.usage.cost_usd is None and costs and None not in costs:
            turn.usage.cost_usd = sum(cost for cost in costs if cost is not None)
        self._unreport_zeros()
        left = "interrupted" if outcome == "interrupted" else "cancelled"
        for key, call in self.tool_calls.items():
            if call.turn == turn.turn and call.outcome is None:
                call.outcome, call.finished_us = left, line.t
                item = self._call_items[key]
                item.outcome, item.finished_us = left, line.t
                self._changed(item)
        self._closed = {key for key, call in self.tool_calls.items() if call.turn == turn.turn}
        for permission in self.open_permissions():
            permission.answered_us, permission.outcome = line.t, "cancelled"
            permission.by = permission.by or "turn end"
            self._changed(self._permission_items[permission.id])
        self._open_item = None
        self.state = TURN_STATES.get(outcome, "idle")
        if turn.error is not None:
            self._tell_end(line, turn.error.message, outcome)
        elif outcome == "cancelled":
            by = as_str(data.get("by")) or "the agent"
            self._tell_end(line, _CANCELLED.get(by, f"Cancelled by {by}."), outcome)

    def _tell_end(self, line: Line, text: str, outcome: Outcome) -> None:
        """A note on how the turn ended; a limit that ended it has been told of when it struck."""
        for item in reversed(self.items):
            if item.turn != line.turn:
                break
            if item.kind == "note" and item.text == text:
                item.outcome, item.finished_us = outcome, line.t
                self._changed(item)
                return
        self._add(line, "system", "note", text, outcome=outcome)

    def _own_permission_answer(self, line: Line, data: dict[str, Any]) -> None:
        ident = str(data.get("permission"))
        if ident not in self.permissions and data.get("tool_call"):
            self._on_permission_request(line, data, ident)  # denied before the agent could ask
        permission = self.permissions.get(ident)
        if permission is not None and permission.answered_us is None:
            permission.answered_us = line.t
            permission.outcome = as_str(data.get("outcome"))
            permission.option_id = as_str(data.get("option_id"))
            permission.by, permission.rule = as_str(data.get("by")), as_str(data.get("rule"))
            permission.message, permission.edited = as_str(data.get("message")), data.get("input")
            item = self._permission_items[ident]
            item.outcome, item.finished_us = permission.outcome, line.t
            self._changed(item)
            if permission.outcome == "denied":
                self._denied(line, permission)

    def _denied(self, line: Line, permission: Permission) -> None:
        """Some agents tell no more of a call that was denied; what they tell later counts."""
        key = f"{line.turn}/{permission.tool_call_id}"
        call = self.tool_calls.get(key)
        if call is not None and call.outcome is None:
            call.status = call.outcome = "failed"
            call.finished_us = line.t
            why = permission.message or permission.rule
            call.error = f"denied: {why}" if why else "denied"
            self._show_call(line, key, call)

    def _own_option(self, line: Line, data: dict[str, Any]) -> None:
        chosen = as_str(data.get("value"))
        if data.get("what") == "model":
            self.model_answered = chosen or self.model_answered
        elif data.get("what") == "agent_mode":
            self.agent_mode = chosen or self.agent_mode

    def _own_limit(self, line: Line, data: dict[str, Any]) -> None:
        self._add(line, "system", "note", as_str(data.get("message")) or "a limit was reached")

    def _own_warning(self, line: Line, data: dict[str, Any]) -> None:
        self.warnings.append(as_str(data.get("message")) or "")
        self._own_limit(line, data)

    _on_warning = _own_warning

    def _own_retry(self, line: Line, data: dict[str, Any]) -> None:
        """One that the agent tells on its standard error only."""
        self._on_retry(line, data)

    def _own_value(self, line: Line, data: dict[str, Any]) -> None:
        if self.turns:
            self.turns[-1].value = data.get("value")

    def _own_schema_retry(self, line: Line, data: dict[str, Any]) -> None:
        text = f"The answer does not fit the schema: {data.get('message')}. Asked again."
        self._add(line, "system", "note", text, title="schema")

    def _own_steered(self, line: Line, data: dict[str, Any]) -> None:
        prompt = prompt_text(as_list(data.get("prompt")))
        self._add(line, "user", "message", prompt, title="steer", ref=self._pictures(data))

    def _pictures(self, data: dict[str, Any]) -> list[tuple[str, str]] | None:
        if self.blobs is None or not self.shows_pictures:
            return None
        return pictures(as_list(data.get("prompt")), self.blobs) or None

    def _own_model(self, line: Line, data: dict[str, Any]) -> None:
        self.model_answered = as_str(data.get("answered")) or self.model_answered

    def _own_model_call(self, line: Line, data: dict[str, Any]) -> None:
        """One that we read in the agent's own record of the session, at the turn's end."""
        told = msgspec.convert(data, Called)
        begun, ended = told.started_us or told.finished_us, told.finished_us or told.started_us
        key = f"{line.turn}/{told.message_id}"
        calls = self._told_calls if self.recorded else self.model_calls
        calls[key] = ModelCall(
            told.message_id, line.turn, line.seq, begun or line.t, ended or line.t,
            told.model, told.usage, told.stop_reason, told.error,
        )  # fmt: skip
        self._join(key)

    def _own_agent_started(self, line: Line, data: dict[str, Any]) -> None:
        self.recorded = data.get("recorded") is True

    def _own_recorded(self, line: Line, data: dict[str, Any]) -> None:
        """A model call that a recorder saw."""
        began = as_int(data.get("started_us")) or line.t
        ident = as_str(data.get("id")) or f"m{line.seq}"
        usage = Usage()
        if data.get("usage"):
            told = msgspec.convert(data["usage"], Usage)
            usage = msgspec.structs.replace(told, source="recorder", scope="turn")
        call = ModelCall(ident, line.turn, line.seq, began, as_int(data.get("finished_us")),
                         as_str(data.get("model")) or as_str(data.get("asked_model")), usage,
                         as_str(data.get("stop_reason")), as_str(data.get("error")))  # fmt: skip
        call.status, call.attempt = as_int(data.get("status")), as_int(data.get("attempt"))
        call.first_token_us = as_int(data.get("first_token_us"))
        same = as_int(data.get("same")) or 0
        if same <= len(self._segments):
            told_now = msgspec.convert(as_list(data.get("segments")), list[Segment])
            call.segments = self._segments = [*self._segments[:same], *told_now]
        key = f"{line.turn}/{ident}"
        self.model_calls[key] = call
        self._join(key)

    def _join(self, key: str) -> None:
        """What an agent tells of a call that a recorder saw: who asked for it, what it cost."""
        seen, told = self.model_calls.get(key), self._told_calls.get(key)
        if seen is not None and told is not None:
            seen.parent = told.parent
            seen.usage.cost_usd = told.usage.cost_usd

    def _own_tool_call(self, line: Line, data: dict[str, Any]) -> None:
        """What that record tells of a tool call, where the agent itself left it out."""
        call = self.tool_calls.get(f"{line.turn}/{data.get('toolCallId')}")
        if call is not None:
            call.tool_name = as_str(data.get("toolName")) or call.tool_name
            call.input = data.get("rawInput") if call.input is None else call.input

    def _own_metered(self, line: Line, data: dict[str, Any]) -> None:
        """What its model calls cost, where a budget in US dollars holds."""
        self._metered_usd = max(float(data.get("usd") or 0.0), self._metered_usd)

    @property
    def charged(self) -> Usage:
        """The usage with its cost as budgets count it."""
        told, usage = self._metered_usd, self.usage
        if told <= (usage.cost_usd or 0.0):
            return usage
        return msgspec.structs.replace(usage, cost_usd=told)

    def _own_usage(self, line: Line, data: dict[str, Any]) -> None:
        """What we read in the agent's own record of the session."""
        if self.turn_open:
            self._used(msgspec.convert(data, Usage))

    def _own_run_ended(self, line: Line, data: dict[str, Any]) -> None:
        self.ended = as_str(data.get("reason")) or "ended"
        if data.get("state"):
            self.state = str(data["state"])

    def _own_command(self, line: Line, data: dict[str, Any]) -> None:
        verb, args = str(data.get("verb")), as_dict(data.get("args"))
        value = as_str(args.get("mode") if verb == "set_mode" else args.get("value"))
        if verb in ("set_mode", "set_model", "set_effort") and value is not None:
            self._asking[str(data.get("id"))] = {verb.removeprefix("set_"): value}
        elif verb == "step":
            name, done = str(args.get("name")), bool(args.get("done"))
            self.steps[name] = Step(name, True, done, str(args.get("note") or ""))
        elif verb in ("send", "resume") and args.get("prompt"):
            self.queued[str(data.get("id"))] = prompt_text(as_list(args["prompt"]))

    def _own_command_result(self, line: Line, data: dict[str, Any]) -> None:
        self.queued.pop(str(data.get("id")), None)
        wish = self._asking.pop(str(data.get("id")), None)
        if wish is not None and data.get("ok"):
            self.asked = {**self.asked, **wish}
        if not data.get("ok") or not self.turn_open or self._turn_command != data.get("id"):
            self.commands_done.add(str(data.get("id")))

    def _own_archived(self, line: Line, data: dict[str, Any]) -> None:
        self.archived, self.put_away = True, _typed(data, PutAway)
        if self.put_away.stays:
            self._add(line, "system", "note", f"Archived; {self.put_away.stays}.", title="archive")

    def _own_unarchived(self, line: Line, data: dict[str, Any]) -> None:
        self.archived, self.put_away = False, PutAway()
        said = _typed(data, BroughtBack).said
        if said:
            self._add(line, "system", "note", f"Unarchived; {said}.", title="archive")


def _typed(data: dict[str, Any], kind: type[_T]) -> _T:
    """The facts of a line of ours; of one that is damaged, nothing."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError:
        return kind()


def prompt_text(blocks: list[Any]) -> str:
    """What somebody wrote to an agent. What went along may be large: it is only named, in lines."""
    lines: list[str] = []
    for block in map(as_dict, blocks):
        uri = as_str(as_dict(block.get("resource")).get("uri"))
        name = unquote(uri.rpartition("/")[2].removeprefix("notebook:")) if uri else None
        name = name or as_str(block.get("name"))
        lines.append(f"[{name}]" if name else content_text(block))
    return "\n".join(lines)


def undone_text(data: dict[str, Any]) -> str:
    """What an undo put back, in words."""
    names = [str(name) for name in as_list(data.get("files"))]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return f"Undone: {shown}, as before turn {data.get('turn')}."


def forked_text(data: dict[str, Any]) -> str:
    """What a run goes on with, in words."""
    whence = f"Forked off run {str(data.get('run_id'))[:10]} after its turn {data.get('turn')}"
    if data.get("how") == "session":
        return f"{whence}: the agent forked its own session."
    return f"{whence}: the agent was told that conversation in short."


def content_text_of(content: list[Any]) -> str:
    """The plain text of a tool call's content list: text blocks, and diffs by their path."""
    parts: list[str] = []
    for block in map(as_dict, content):
        if block.get("type") == "diff":
            parts.append(f"[diff {block.get('path')}]")
        elif block.get("type") == "terminal":
            continue
        else:
            parts.append(content_text(block))
    return "\n".join(part for part in parts if part)


def plan_line(entry: Any) -> str:
    """One entry of a plan as a Markdown task."""
    entry = as_dict(entry)
    mark = {"completed": "x", "in_progress": "~"}.get(str(entry.get("status")), " ")
    return f"- [{mark}] {entry.get('content', '')}"
