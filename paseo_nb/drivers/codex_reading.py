"""Reading Codex's app-server: what a journal line of it says. The acting half is `codex_dialect`.

Two things are not as in ACP. Tokens come as a thread's total and its last model call, with cached
ones in the input; a report may come twice, and a thread that is gone on with reports first what it
had before: so a call is what a total grew by since the last report of a turn of ours. And an answer
comes in items, each streamed, then told whole: an item that was not streamed is taken whole.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..model import Event, Line, Usage
from .acp_reading import (
    Json,
    as_dict,
    as_int,
    as_list,
    as_str,
    decode,
    minus,
    problem_of,
    update_text,
)
from .codex_asking import asked_for, options_for
from .codex_items import (
    rate_limit,
    retry,
    text_content,
    tool_call,
    turn_problem,
    usage_of,
)
from .codex_settings import AGENT_MODES, agent_mode, thread_options, version_of
from .reading import Fact

TAIL = 16_000  # characters of a running command's output that are shown
_PLAN_STATUS = {"inProgress": "in_progress"}
_SPEECH = frozenset({"agent_message_chunk", "agent_thought_chunk"})
_SILENT = frozenset({"usage_update", "model_call", "tool_call_update", "config_option_update"})
_WARNINGS = {
    "warning": "message",
    "guardianWarning": "message",
    "configWarning": "summary",
    "modelProvider/authRecoveryStarted": "message",
}


class _Params(msgspec.Struct, gc=False):
    delta: str | None = None
    itemId: str | None = None


class _Delta(msgspec.Struct, gc=False):
    """A piece of text: all else is skipped, which is what makes it fast."""

    params: _Params | None = None


_delta_decoder = msgspec.json.Decoder(_Delta)


class Memory(msgspec.Struct):
    """What is remembered from turn to turn. before: each thread's last reported total.
    forked: the thread that began as a fork."""

    before: dict[str, Usage] = msgspec.field(default_factory=dict[str, Usage])
    thread: str | None = None
    forked: str | None = None
    model: str | None = None
    warned: list[str] = msgspec.field(default_factory=list[str])


class CodexReading:
    """The app-server protocol, version 2."""

    version = 2

    def __init__(self, provider: str = "") -> None:
        self._kept = Memory()
        self._turns: set[str] = set()  # turns that this process of Codex has begun
        self._speaking: tuple[str, str | None] | None = None
        self._streamed: set[str] = set()
        self._outputs: dict[str, str] = {}
        self._mcp: dict[str, str] = {}
        self._usage = Usage()
        self._answer: str | None = None
        self._schema = self._compacted = False
        self._read: tuple[Line | None, Json] = (None, {})

    def memory(self) -> Any:
        """See `reading.Reading.memory`."""
        return msgspec.to_builtins(self._kept)

    def recall(self, memory: Any) -> None:
        """See `reading.Reading.recall`."""
        self._kept = msgspec.convert(memory, Memory)

    # ------------------------------------------------------------ text

    def chunk_text(self, line: Line) -> str | None:
        """See `reading.Reading.chunk_text`."""
        try:
            params = _delta_decoder.decode(line.raw).params
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if params is None or params.delta is None:
            return None
        return self._said(line.kind, params.itemId, params.delta)

    def _said(self, kind: str, item: str | None, text: str) -> str:
        """The text, apart from that of an item before it that it would be joined to."""
        before, self._speaking = self._speaking, (kind, item)
        if item is not None:
            self._streamed.add(item)
        joined = before is not None and before[0] == kind and before[1] != item
        return f"\n\n{text}" if joined else text

    def _chunk(self, kind: str, item: str | None, text: str) -> Fact:
        content = {"type": "text", "text": self._said(kind, item, text)}
        return (kind, {"sessionUpdate": kind, "content": content})

    # ------------------------------------------------------------ facts

    def _message(self, line: Line) -> Json:
        """The line's message; decoded once for `facts` and `event` of the same line."""
        if self._read[0] is not line:
            self._read = (line, as_dict(decode(line.raw)))
        return self._read[1]

    def facts(self, line: Line) -> list[Fact]:
        """See `reading.Reading.facts`."""
        if line.dir == "own":
            return []
        message = self._message(line)
        params = as_dict(message.get("params"))
        if line.dir == "out":
            if line.kind == "session/prompt":
                self._begin(message, params)
            return []
        if message.get("method") == "turn/started":
            self._turns.add(str(as_dict(params.get("turn")).get("id")))
            if line.kind == "turn/started":  # no sub-agent's; a session's file has no prompts sent
                self._kept.thread = self._kept.thread or as_str(params.get("threadId"))
                self._speaking, self._compacted = None, False
        facts = self._facts(line.kind, message, params)
        if any(kind not in _SPEECH and kind not in _SILENT for kind, _ in facts):
            self._speaking = None
        return facts

    def _begin(self, message: Json, params: Json) -> None:
        """A prompt is sent. One that lies beside the journal shows its head, where a schema is."""
        asked = params.get("outputSchema") is not None
        self._schema = asked or '"outputSchema":' in str(message.get("head"))[:300]
        self._answer, self._speaking, self._compacted = None, None, False
        self._usage = Usage()
        for known in (self._streamed, self._outputs, self._mcp):
            known.clear()

    def _facts(self, kind: str, message: Json, params: Json) -> list[Fact]:
        item = as_dict(params.get("item"))
        if kind == "usage_update":
            return self._used(params)
        if kind in _SPEECH:
            text = as_str(params.get("delta"))
            return [] if text is None else [self._chunk(kind, as_str(params.get("itemId")), text)]
        if kind == "item/commandExecution/outputDelta":
            return self._output(params)
        if kind in ("tool_call", "tool_call_update"):
            return self._tool_call(kind, params, item)
        if kind == "item/completed":
            return self._item(item)
        if kind == "plan":
            return [("plan", {"entries": [_step(step) for step in as_list(params.get("plan"))]})]
        if kind == "session/request_permission":
            return [("permission_request", self._asked(message, params))]
        if kind == "session/prompt:result":
            fact: Json = {"stop_reason": as_dict(params.get("turn")).get("status")}
            fact["usage"], self._usage = self._usage, Usage()
            if self._schema:
                fact["value"] = _json(self._answer)
            return [("prompt_result", fact)]
        if kind == "session/prompt:error":
            error = as_dict(as_dict(params.get("turn")).get("error"))
            problem = turn_problem(error) if error else problem_of(message.get("error"))
            return [("prompt_error", {"problem": problem})]
        if kind.endswith(":result"):
            return self._answered(kind, as_dict(message.get("result")))
        return self._noticed(kind, message, params)

    def _answered(self, kind: str, result: Json) -> list[Fact]:
        """What an answer to a request of ours tells."""
        if kind == "initialize:result":
            self._turns.clear()
            about = {"name": "codex", "title": "Codex", "version": version_of(result)}
            return [("agent_info", about)]
        if kind == "turn/start:result":
            self._turns.add(str(as_dict(result.get("turn")).get("id")))
            return []
        if kind in ("thread/start:result", "thread/resume:result", "thread/fork:result"):
            thread = as_str(as_dict(result.get("thread")).get("id"))
            self._kept.thread = thread
            self._kept.forked = thread if kind == "thread/fork:result" else self._kept.forked
            self._kept.model = as_str(result.get("model")) or self._kept.model
            collaboration = result.get("collaborationMode")
            mode = agent_mode(result.get("sandbox"), result.get("approvalPolicy"), collaboration)
            session: Json = {
                "session_id": thread,
                "modes": {
                    "currentModeId": mode,
                    "availableModes": [{"id": name, "name": name} for name in AGENT_MODES],
                },
                "models": {"currentModelId": self._kept.model},
                "config_options": thread_options(
                    self._kept.model, mode, result.get("reasoningEffort")
                ),
            }
            return [("session", session)]
        if kind == "skills/list:result":
            skills = [
                as_dict(skill)
                for entry in as_list(result.get("data"))
                for skill in as_list(as_dict(entry).get("skills"))
            ]
            known = [
                {
                    "name": f"${skill.get('name')}",
                    "description": skill.get("shortDescription") or skill.get("description"),
                }
                for skill in skills
                if skill.get("enabled", True)
            ]
            return [("available_commands_update", {"availableCommands": known})]
        return []

    def _noticed(self, kind: str, message: Json, params: Json) -> list[Fact]:
        """What a notification tells that is no part of the answer."""
        if kind in ("retry", "error") and params.get("willRetry"):
            return [("retry", retry(as_dict(params.get("error"))))]
        if kind in _WARNINGS:
            return self._warn(as_str(params.get(_WARNINGS[kind])))
        if kind == "mcpServer/startupStatus/updated" and params.get("status") == "failed":
            error = params.get("error") or params.get("failureReason")
            return self._warn(f"MCP server {params.get('name')} did not start: {error}")
        if kind == "account/rateLimits/updated":
            return self._warn(rate_limit(as_dict(params.get("rateLimits"))))
        if kind == "model/rerouted":
            self._kept.model = as_str(params.get("toModel")) or self._kept.model
            said = f"Codex went from {params.get('fromModel')} to {params.get('toModel')}"
            options = thread_options(self._kept.model, None, None)
            told: Fact = ("config_option_update", {"configOptions": options})
            return [*self._warn(f"{said}: {params.get('reason')}"), told]
        if kind == "thread/settings/updated":
            now = as_dict(params.get("threadSettings"))
            self._kept.model = as_str(now.get("model")) or self._kept.model
            collaboration = now.get("collaborationMode")
            mode = agent_mode(now.get("sandboxPolicy"), now.get("approvalPolicy"), collaboration)
            options = thread_options(self._kept.model, mode, now.get("effort"))
            return [("config_option_update", {"configOptions": options})]
        if kind == "thread/name/updated":
            return [("session_info_update", {"title": params.get("threadName")})]
        if kind == "thread/compacted" and not self._compacted:
            self._compacted = True
            return [("compaction", {})]
        if kind.startswith("item/reasoning/summaryPartAdded") and params.get("summaryIndex"):
            item = as_str(params.get("itemId"))
            return [self._chunk("agent_thought_chunk", item, "\n\n")]
        if "method" in message and "id" in message:
            return [("request", {"method": kind, "params": params})]
        return []

    def _warn(self, text: str | None) -> list[Fact]:
        """Codex says some of them again before each turn: told once a run."""
        if not text or text in self._kept.warned:
            return []
        self._kept.warned.append(text)
        return [("warning", {"message": text})]

    # ------------------------------------------------------------ items

    def _tool_call(self, kind: str, params: Json, item: Json) -> list[Fact]:
        if not item:  # the patch as the model writes it
            changes = params.get("changes")
            item = {"type": "fileChange", "id": params.get("itemId"), "changes": changes}
        told = tool_call(item)
        if item.get("type") == "mcpToolCall":
            self._mcp[f"{item.get('server')}.{item.get('tool')}"] = told["toolCallId"]
        if kind == "tool_call_update":
            self._outputs.pop(told["toolCallId"], None)
        return [(kind, {"sessionUpdate": kind, **told})]

    def _output(self, params: Json) -> list[Fact]:
        item, text = as_str(params.get("itemId")), as_str(params.get("delta"))
        if item is None or not text:
            return []
        shown = self._outputs[item] = (self._outputs.get(item, "") + text)[-TAIL:]
        told: Json = {"sessionUpdate": "tool_call_update", "toolCallId": item}
        return [("tool_call_update", {**told, "content": [text_content(shown)]})]

    def _item(self, item: Json) -> list[Fact]:
        """An item that is no tool call has ended."""
        kind, ident = item.get("type"), as_str(item.get("id"))
        if kind == "agentMessage":
            text = self._answer = as_str(item.get("text")) or ""
            if text and ident not in self._streamed:
                return [self._chunk("agent_message_chunk", ident, text)]
        elif kind == "reasoning" and ident not in self._streamed:
            parts = [*as_list(item.get("summary")), *as_list(item.get("content"))]
            text = "\n\n".join(part for part in parts if isinstance(part, str))
            return [self._chunk("agent_thought_chunk", ident, text)] if text else []
        elif kind == "plan":
            return [("plan_update", {"plan": {"planId": ident, "content": item.get("text")}})]
        elif kind == "contextCompaction" and not self._compacted:
            self._compacted = True
            return [("compaction", {})]
        return []

    def _asked(self, message: Json, params: Json) -> Json:
        method = str(message.get("method"))
        asked = asked_for(method, params)
        if "toolCallId" not in asked:
            tool = as_dict(params.get("_meta")).get("tool_name")
            ident = self._mcp.get(f"{params.get('serverName')}.{tool}")
            asked = {**asked, "toolCallId": ident} if ident else asked
        options = options_for(method, params)
        return {"request_id": message.get("id"), "tool_call": asked, "options": options}

    # ------------------------------------------------------------ usage

    def _used(self, params: Json) -> list[Fact]:
        told = as_dict(params.get("tokenUsage"))
        thread = str(params.get("threadId"))
        total, last = as_dict(told.get("total")), as_dict(told.get("last"))
        now = usage_of(total)
        if self._kept.forked == thread and thread not in self._kept.before:
            self._kept.before[thread] = minus(now, usage_of(last))  # it counts from the original's
        grown = minus(now, self._kept.before.get(thread, Usage()))
        self._kept.before[thread] = now
        facts: list[Fact] = []
        grown.source = as_str(params.get("source"))  # a session's file (`codex_sessions`)
        if str(params.get("turnId")) in self._turns and (grown.input_tokens or grown.output_tokens):
            self._usage = self._usage.plus(grown)
            call = {"message_id": None, "model": self._kept.model, "usage": grown}
            facts.append(("model_call", call))
        if self._kept.thread in (None, thread):
            used, size = as_int(last.get("totalTokens")), as_int(told.get("modelContextWindow"))
            facts.append(("usage_update", {"used": used, "size": size}))
        return facts

    # ------------------------------------------------------------ events

    def event(self, line: Line) -> Event:
        """See `reading.Reading.event`."""
        message = self._message(line)
        params = as_dict(message.get("params"))
        text, call = as_str(params.get("delta")), as_str(params.get("itemId"))
        if line.dir == "own":
            text, call = as_str(message.get("message")), as_str(message.get("tool_call_id"))
        elif line.dir == "out" and line.kind in ("session/prompt", "turn/steer"):
            parts = [as_dict(part) for part in as_list(params.get("input"))]
            text = "".join(as_str(p.get("text")) or f"[{p.get('type')}]" for p in parts)
        elif line.kind in ("tool_call", "tool_call_update"):
            told = tool_call(as_dict(params.get("item"))) if "item" in params else {}
            text = text or as_str(told.get("title"))
            call = as_str(told.get("toolCallId")) or call
        elif line.kind == "plan":
            entries = [_step(step) for step in as_list(params.get("plan"))]
            text = update_text({"entries": entries})
        elif line.kind == "session/request_permission":
            text = as_str(asked_for(str(message.get("method")), params).get("title"))
        elif message.get("error") is not None:
            text = problem_of(message["error"]).message
        elif text is None:
            error = as_dict(params.get("error")) or as_dict(
                as_dict(params.get("turn")).get("error")
            )
            text = as_str(error.get("message")) or as_str(params.get("message"))
            text = text or as_str(as_dict(params.get("item")).get("text"))
        if line.kind in _SPEECH:
            call = None
        return Event(line.seq, line.t, line.turn, line.dir, line.kind, text, call, line.raw)


def _step(step: Any) -> Json:
    step = as_dict(step)
    status = str(step.get("status"))
    return {"content": step.get("step"), "status": _PLAN_STATUS.get(status, status)}


def _json(text: str | None) -> Any:
    try:
        return msgspec.json.decode(text or "")
    except msgspec.DecodeError:
        return None
