"""Reading Claude Code: what a line of its stream-json says, in the vocabulary of `reading`.

The model's words are read from the stream; the whole `assistant` message that follows repeats them
and adds the tool calls. Usage: each model call's from the stream (a later line of the same message
id takes the place of an earlier one), a turn's from its result's `model_usage_since_last_result`,
which holds sub-agents and what a cancelled stream has cost, too. Cost is the sum of those: Claude
Code's `total_cost_usd` counts for the session, what was spent elsewhere in it included.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..model import Event, Line, Usage
from .acp_reading import Json, as_dict, as_int, as_list, as_str, blocks_text, decode
from .claude_results import number, problem_of, turn_usage, usage_of
from .claude_system import introduced, rate_limit, system
from .claude_tools import ANSWER_TOOL, describe, permission, plan_of, result_content
from .claude_wire import PERMISSION
from .reading import Fact

FROM_FILE = "file/"
_SYNTHETIC = "<synthetic>"  # what Claude Code says in the model's name


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    thinking: str | None = None


class _Event(msgspec.Struct, gc=False):
    delta: _Delta | None = None


class _Chunk(msgspec.Struct, gc=False):
    """A streamed piece: all but its text is skipped, which is what makes it fast."""

    event: _Event | None = None


_chunk_decoder = msgspec.json.Decoder(_Chunk)


class Kept(msgspec.Struct):
    """What is remembered from turn to turn: what the run has cost, the session's total when last
    told, and the size of the context."""

    cost_usd: float = 0.0
    total_usd: float = 0.0
    size: int | None = None


class ClaudeReading:
    """Claude Code's stream-json."""

    version = 2

    def __init__(self, provider: str = "") -> None:
        self._kept = Kept()
        self._streamed: set[str] = set()
        self._silent: set[str] = set()
        self._call: Json = {}
        self._said = False
        self._at = 0
        self._used = Usage()

    def memory(self) -> Any:
        """See `reading.Reading.memory`."""
        return msgspec.to_builtins(self._kept)

    def recall(self, memory: Any) -> None:
        """See `reading.Reading.recall`."""
        self._kept = msgspec.convert(memory, Kept)

    def chunk_text(self, line: Line) -> str | None:
        """See `reading.Reading.chunk_text`."""
        try:
            event = _chunk_decoder.decode(line.raw).event
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        delta = event and event.delta
        if not delta:
            return None
        self._said = True
        return delta.text if delta.text is not None else delta.thinking

    def facts(self, line: Line) -> list[Fact]:
        """See `reading.Reading.facts`."""
        if line.dir != "in":
            return []
        kind = line.kind
        if kind in ("agent_message_chunk", "agent_thought_chunk"):
            text = self.chunk_text(line)
            return [] if text is None else [_chunk(kind, text)]
        if kind.endswith("_chunk"):
            return []
        message = as_dict(decode(line.raw))
        if kind == "stream_event":
            return self._stream(message)
        if kind in ("tool_call", "assistant"):
            return self._assistant(message)
        if kind in ("tool_call_update", "user"):
            return self._user(message)
        if kind.startswith(FROM_FILE):
            return self._from_file(kind, message)
        if kind == PERMISSION:
            call, options = permission(as_dict(message.get("request")))
            asked = {
                "request_id": message.get("request_id"),
                "tool_call": call,
                "options": options,
            }
            return [("permission_request", asked)]
        if kind in ("session/prompt:result", "session/prompt:error", "result"):
            return self._result(line, message)
        if kind == "initialize:result":
            return introduced(as_dict(as_dict(message.get("response")).get("response")))
        if kind == "retry":
            return system("api_retry", message)
        if kind.startswith("system/"):
            return system(kind.removeprefix("system/"), message)
        if kind == "rate_limit_event":
            return rate_limit(as_dict(message.get("rate_limit_info")))
        if kind.startswith("control_request/"):
            return [("request", {"method": kind, "params": as_dict(message.get("request"))})]
        return []

    def event(self, line: Line) -> Event:
        """See `reading.Reading.event`."""
        text: str | None = None
        call: str | None = None
        message = as_dict(decode(line.raw))
        if line.dir == "own":
            text, call = as_str(message.get("message")), as_str(message.get("tool_call_id"))
        elif line.kind.endswith("_chunk"):
            delta = as_dict(as_dict(message.get("event")).get("delta"))
            parts = (delta.get("text"), delta.get("thinking"), delta.get("partial_json"))
            text = next((part for part in parts if isinstance(part, str)), None)
        elif line.kind in ("session/prompt:result", "session/prompt:error", "result"):
            problem = problem_of(message) if message.get("is_error") else None
            text = problem.message if problem is not None else as_str(message.get("result"))
        elif line.kind == PERMISSION:
            told, _ = permission(as_dict(message.get("request")))
            text, call = told["title"], told["toolCallId"]
        elif "message" in message:
            blocks = _blocks(message)
            text = blocks_text([b for b in blocks if b.get("type") == "text"]) or None
            for block in blocks:
                if block.get("type") == "tool_use":
                    call = as_str(block.get("id"))
                    name = as_str(block.get("name")) or ""
                    text = text or describe(name, as_dict(block.get("input")))["title"]
                elif block.get("type") == "tool_result":
                    call = as_str(block.get("tool_use_id"))
                    text = text or blocks_text(result_content(block.get("content")))
        return Event(line.seq, line.t, line.turn, line.dir, line.kind, text, call, line.raw)

    def _from_file(self, kind: str, message: Json) -> list[Fact]:
        """A line of a session's file, as `claude_sessions` brings it over."""
        if message.get("isSidechain"):
            message["parent_tool_use_id"] = as_str(message.get("agentId")) or "sub-agent"
        message["tool_use_result"] = message.get("toolUseResult")
        if kind == f"{FROM_FILE}assistant":
            return self._assistant(message, whole=True)
        if kind == f"{FROM_FILE}user":
            return self._user(message)
        return system(kind.removeprefix(FROM_FILE), message)

    # ------------------------------------------------------------ the conversation

    def _stream(self, message: Json) -> list[Fact]:
        """An event of the API's stream: where a model call begins, and its last figures."""
        event = as_dict(message.get("event"))
        ours = message.get("parent_tool_use_id") is None
        if event.get("type") == "message_start":
            begun = as_dict(event.get("message"))
            ident = as_str(begun.get("id")) or ""
            # What it tells of the output is of the first word only: the last figures have it all.
            told = as_dict(begun.get("usage")).items()
            usage = {k: v for k, v in told if not k.startswith("output")}
            call: Json = {"id": ident, "model": begun.get("model"), "usage": usage}
            if ours:
                self._call = call
            self._streamed.add(ident)
            return [_model_call(call, parent=as_str(message.get("parent_tool_use_id")))]
        if event.get("type") == "message_delta":
            ident = as_str(message.get("api_message_id")) or self._call.get("id")
            if ident is None or ident != self._call.get("id"):
                return []
            told = {k: v for k, v in as_dict(event.get("usage")).items() if v is not None}
            self._call["usage"] = {**self._call["usage"], **told}
            reason = as_str(as_dict(event.get("delta")).get("stop_reason"))
            return [_model_call(self._call, reason), *self._gauge()]
        return []

    def _gauge(self) -> list[Fact]:
        """How full the context is after the main agent's last call. Its size comes with results."""
        usage = usage_of(as_dict(self._call.get("usage")))
        if usage.input_tokens is None or self._kept.size is None:
            return []
        used = usage.input_tokens + (usage.output_tokens or 0)
        return [("usage_update", {"used": used, "size": self._kept.size})]

    def _assistant(self, message: Json, whole: bool = False) -> list[Fact]:
        facts: list[Fact] = []
        said = as_dict(message.get("message"))
        parent = as_str(message.get("parent_tool_use_id"))
        streamed = said.get("id") in self._streamed
        invented = said.get("model") == _SYNTHETIC
        for block in _blocks(message):
            if block.get("type") == "tool_use":
                told = _tool_use(block, parent)
                if not any(kind == "tool_call" for kind, _ in told):
                    self._silent.add(str(block.get("id")))
                facts += told
            elif not streamed and parent is None and not (invented and message.get("error")):
                kind, key = "agent_message_chunk", "text"
                if block.get("type") == "thinking":
                    kind, key = "agent_thought_chunk", "thinking"
                text = as_str(block.get(key))
                if text:
                    self._said = True
                    facts.append(_chunk(kind, text))
        if not streamed and not invented and said.get("usage"):
            begun = as_dict(said["usage"])  # its output is not told: the message is cut off here
            usage = {k: v for k, v in begun.items() if whole or not k.startswith("output")}
            kind, call = _model_call({**said, "usage": usage}, parent=parent)
            call["usage"].source = "session file" if whole else None
            facts.append((kind, call))
        return facts

    def _user(self, message: Json) -> list[Fact]:
        """Tool results."""
        facts: list[Fact] = []
        parent = as_str(message.get("parent_tool_use_id"))
        for block in _blocks(message):
            if block.get("type") == "tool_result" and block.get("tool_use_id") not in self._silent:
                facts += _tool_result(block, message.get("tool_use_result"), parent)
        return facts

    def _result(self, line: Line, message: Json) -> list[Fact]:
        """How a turn ended. A result that answers no prompt (a background task came back) counts
        for the run's cost only."""
        kind = line.kind
        spent, size = self._spent(message)
        self._kept.size = size or self._kept.size
        facts: list[Fact] = []
        text = as_str(message.get("result"))
        if text and not self._said and not message.get("is_error"):
            facts.append(_chunk("agent_message_chunk", text))  # a slash command's output
        self._said = False
        self._streamed.clear()
        self._silent.clear()
        gauge = self._gauge()
        update: Json = gauge[0][1] if gauge else {}
        cost = {"amount": self._kept.cost_usd, "currency": "USD"}
        facts.append(("usage_update", {**update, "cost": cost}))
        if kind == "result":
            return facts
        if line.turn != self._at:
            self._at, self._used = line.turn, Usage(scope="turn")
        self._used = self._used.plus(spent)  # a turn may have several results
        reason = as_str(message.get("stop_reason"))
        fact: Json = {"stop_reason": reason, "usage": msgspec.structs.replace(self._used)}
        facts.append(("prompt_result", fact))
        if kind == "session/prompt:error":
            facts.append(("prompt_error", {"problem": problem_of(message)}))
        return facts

    def _spent(self, message: Json) -> tuple[Usage, int | None]:
        """What a turn has used; the context's size. Adds to what the run has cost."""
        spent = turn_usage(message)
        total = number(message.get("total_cost_usd"))
        if spent.cost_usd is None and total is not None:  # an older version
            before = self._kept.total_usd
            spent.cost_usd = total - before if total >= before else total
        self._kept.total_usd = self._kept.total_usd if total is None else total
        self._kept.cost_usd += spent.cost_usd or 0.0
        spent.cost_usd = None  # told by `usage_update`
        spent.scope = "turn"
        model = as_str(self._call.get("model"))
        by_model = as_dict(message.get("modelUsage"))
        sizes = [as_int(as_dict(by_model.get(model)).get("contextWindow"))] if model else []
        sizes += [as_int(as_dict(one).get("contextWindow")) for one in by_model.values()]
        return spent, next((size for size in sizes if size), None)


# ---------------------------------------------------------------- pieces


def _chunk(kind: str, text: str) -> Fact:
    return kind, {"sessionUpdate": kind, "content": {"type": "text", "text": text}}


def _blocks(message: Json) -> list[Json]:
    content = as_dict(message.get("message")).get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [as_dict(block) for block in as_list(content)]


def _model_call(call: Json, reason: str | None = None, parent: str | None = None) -> Fact:
    usage = usage_of(as_dict(call.get("usage")))
    told = {"message_id": call.get("id"), "model": as_str(call.get("model")), "usage": usage}
    told |= {"parent": parent} if parent is not None else {}
    return "model_call", {**told, "stop_reason": reason or as_str(call.get("stop_reason"))}


def _tool_use(block: Json, parent: str | None) -> list[Fact]:
    name, given = as_str(block.get("name")) or "tool", as_dict(block.get("input"))
    if name == ANSWER_TOOL:
        return []
    entries = plan_of(name, given)
    if entries is not None and parent is None:
        return [("plan", {"sessionUpdate": "plan", "entries": entries})]
    call: Json = {
        "sessionUpdate": "tool_call",
        "toolCallId": as_str(block.get("id")),
        "toolName": name,
        "status": "in_progress",
        **describe(name, given),
    }
    if parent is not None:
        call["_meta"] = {"parent_tool_call_id": parent}
    return [("tool_call", call)]


def _tool_result(block: Json, output: Any, parent: str | None) -> list[Fact]:
    failed = bool(block.get("is_error"))
    content = result_content(block.get("content"))
    details = as_dict(output)
    update: Json = {
        "sessionUpdate": "tool_call_update",
        "toolCallId": as_str(block.get("tool_use_id")),
        "status": "failed" if failed else "completed",
        "rawOutput": block.get("content"),
        "content": content,
    }
    path, after = as_str(details.get("filePath")), as_str(details.get("content"))
    if not failed and path is not None:
        if after is not None and "originalFile" in details:  # a file was written
            before = as_str(details.get("originalFile"))
            diff = {"type": "diff", "path": path, "oldText": before, "newText": after}
            update["content"] = [diff]
        elif "oldString" in details:  # its call has told the change
            del update["content"]
    if parent is not None:
        update["_meta"] = {"parent_tool_call_id": parent}
    return [("tool_call_update", update)]
