"""Reading ACP: what a journal line of an ACP agent says (protocol version 1).

The journal's `kind` of an `in` line is the update's own kind for `session/update`, the method for
other messages, `METHOD:result` / `METHOD:error` for answers, and `replay/KIND` for history that
an agent replays after `session/load`, which readers pass over (but for `PRESENT` ones).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..model import TOKENS, Event, Line, Problem, Usage
from .differing import differences_of
from .failing import model_problem

Json = dict[str, Any]
MODEL_CALL = "_paseo_nb/model_call"  # what our own agents tell beyond ACP
RETRY = "_paseo_nb/retry"
MODEL_REQUEST = "_paseo_nb/model_request"
SUMMARY = "summary_chunk"  # our kind for a chunk of what an agent keeps of a context it shortens
INTERNAL = -32603  # what JSON-RPC calls a failure of the agent's own: of its model, mostly
NO_MESSAGE = "the agent reported an error without a message"
# Updates that tell of the present: they count even where they come amid replayed history.
PRESENT = frozenset(
    {
        "available_commands_update",
        "current_mode_update",
        "config_option_update",
        "session_info_update",
    }
)
# Names of facts that are no updates: an update that calls itself so is kept, and means nothing.
NOT_UPDATES = frozenset(
    {
        "agent_info",
        "session",
        "prompt_result",
        "prompt_error",
        "permission_request",
        "request",
        "model_call",
        "retry",
        "notice",
        "compaction",
        "warning",
    }
)
_decode = msgspec.json.decode

TAIL = 64_000  # characters of a running command's output that are kept of deltas

SESSION_RESULTS = {
    "session/new:result",
    "session/load:result",
    "session/resume:result",
    "session/fork:result",
}


class _Content(msgspec.Struct, gc=False):
    type: Literal["text"]
    text: str


class _Update(msgspec.Struct, gc=False):
    content: _Content
    toolCallId: None = None


class _Params(msgspec.Struct, gc=False):
    update: _Update


class _Chunk(msgspec.Struct, gc=False):
    """A chunk of plain text, and nothing else passes: all but the text is skipped, which is what
    makes it fast."""

    params: _Params


_decode_chunk = msgspec.json.Decoder(_Chunk).decode


class AcpReading:
    """ACP, with what differs by provider."""

    version = 4

    def __init__(self, provider: str = "") -> None:
        self.differences = differences_of(provider)
        told = (self.differences.retry, self.differences.notice)
        self._no_text = [pattern for pattern in told if pattern is not None]
        self._before = Usage()
        self._outputs: dict[str, str] = {}
        self._read: tuple[Line | None, Json] = (None, {})

    def memory(self) -> Any:
        """See `reading.Reading.memory`."""
        return msgspec.to_builtins(self._before)

    def recall(self, memory: Any) -> None:
        """See `reading.Reading.recall`."""
        self._before = msgspec.convert(memory, Usage)

    def chunk_text(self, line: Line) -> str | None:
        """See `reading.Reading.chunk_text`."""
        try:
            text = _decode_chunk(line.raw).params.update.content.text
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        for pattern in self._no_text:
            if pattern.fullmatch(text):
                return None
        return text

    def _message(self, line: Line) -> Json:
        """The line's message; decoded once for `facts` and `event` of the same line."""
        if self._read[0] is not line:
            self._read = (line, as_dict(decode(line.raw)))
        return self._read[1]

    def facts(self, line: Line) -> list[tuple[str, Json]]:
        """See `reading.Reading.facts`."""
        kind = line.kind
        if line.dir != "in" or kind.startswith("replay/"):
            if kind == "session/prompt":
                self._outputs.clear()
            return []
        message = self._message(line)
        params = as_dict(message.get("params"))
        if message.get("method") == "session/update":
            update = as_dict(params.get("update"))
            return [] if kind in NOT_UPDATES else [self._update(kind, update)]
        result = as_dict(message.get("result"))
        if kind == "initialize:result":
            self._before = Usage()  # a new process: cumulative counts begin at zero
            info = as_dict(result.get("agentInfo"))
            return [("agent_info", {**info, "capabilities": result.get("agentCapabilities")})]
        if kind in SESSION_RESULTS:
            return [("session", session_facts(result))]
        if kind == "session/set_config_option:result":
            return [("config_option_update", result)]
        if kind == "session/prompt:result":
            fact = {"stop_reason": result.get("stopReason"), "usage": self.turn_usage(result)}
            return [("prompt_result", fact)]
        if kind == "session/prompt:error":
            return [("prompt_error", {"problem": problem_of(message.get("error"))})]
        if kind == "session/request_permission":
            return [
                (
                    "permission_request",
                    {
                        "request_id": message.get("id"),
                        "tool_call": as_dict(params.get("toolCall")),
                        "options": as_list(params.get("options")),
                    },
                )
            ]
        if kind == MODEL_CALL:
            return [("model_call", model_call(params))]
        if kind == MODEL_REQUEST:
            return [("model_request", params)]
        if kind in ("retry", RETRY):
            return [("retry", retry(params))]
        if kind in ("_paseo_nb/compaction", "_paseo_nb/warning"):
            fact = kind.removeprefix("_paseo_nb/")
            return [(fact, {"message": as_str(params.get("message"))})]
        if "method" in message:
            return [("request", {"method": kind, "params": params})]
        return []

    def _update(self, kind: str, update: Json) -> tuple[str, Json]:
        """An update as a fact: a retry or a notice that is told as text is no text."""
        if kind in ("tool_call", "tool_call_update"):
            return kind, self._with_output(update)
        retry, notice = self.differences.retry, self.differences.notice
        if kind == "agent_message_chunk" and (retry or notice):
            text = content_text(update.get("content"))
            found = retry.fullmatch(text) if retry else None
            if found is not None:
                told = {k: int(v) for k, v in found.groupdict().items() if v is not None}
                attempt, most = told.get("attempt"), told.get("most")
                return "retry", {"attempt": attempt, "max_attempts": most, "message": text}
            if notice is not None and notice.fullmatch(text):
                return "notice", {"message": text}
        return kind, update

    def _with_output(self, update: Json) -> Json:
        """A tool call's update with the command's output so far: some agents tell what is new of it
        in `_meta.terminal_output` (for a terminal that the client shows and they feed)."""
        meta = update.get("_meta")
        if not meta:
            return update
        new = as_str(as_dict(as_dict(meta).get("terminal_output")).get("data"))
        call_id = as_str(update.get("toolCallId"))
        if new is None or call_id is None:
            return update
        shown = self._outputs[call_id] = (self._outputs.get(call_id, "") + new)[-TAIL:]
        text: Json = {"type": "text", "text": shown}
        blocks = [{"type": "content", "content": text}, *as_list(update.get("content"))]
        return {**update, "content": blocks}

    def event(self, line: Line) -> Event:
        """See `reading.Reading.event`."""
        text: str | None = None
        call: str | None = None
        if line.dir == "in":
            message = self._message(line)
            params = as_dict(message.get("params"))
            update = as_dict(params.get("update")) or as_dict(params.get("toolCall"))
            call = as_str(update.get("toolCallId"))
            text = update_text(update)
            if "error" in message:
                text = problem_of(message["error"]).message
        elif line.dir == "out" and line.kind == "session/prompt":
            params = as_dict(self._message(line).get("params"))
            text = blocks_text(as_list(params.get("prompt")))
        elif line.dir == "own":
            facts = self._message(line)
            text = as_str(facts.get("message"))
            call = as_str(facts.get("tool_call_id"))
        return Event(line.seq, line.t, line.turn, line.dir, line.kind, text, call, line.raw)

    def turn_usage(self, result: Json) -> Usage:
        """What the answer to a prompt tells of its turn."""
        differs = self.differences
        usage = usage_of(result, includes_cache=differs.input_includes_cache)
        if differs.usage_of is not None and not result.get("usage"):
            usage = differs.usage_of(result)
        cancelled = result.get("stopReason") == "cancelled"
        if cancelled and not usage.input_tokens and not usage.total_tokens:
            return Usage()  # some agents report zeros for a turn that was cancelled
        if usage == Usage():
            return usage
        if differs.cumulative:
            usage, self._before = minus(usage, self._before), usage
        return msgspec.structs.replace(usage, source="agent", scope=differs.scope)


def decode(raw: msgspec.Raw) -> Any:
    """The raw message; a string that no decoder takes reads as None."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def as_dict(value: Any) -> Json:
    """The value if it is an object, else an empty one: agents send what they like."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def as_str(value: Any) -> str | None:
    """The value if it is text."""
    return value if isinstance(value, str) else None


MOST = 2**53  # what JSON writes exactly; sums of it fit the tables' columns


def as_int(value: Any) -> int | None:
    """The value if it is a number that can be counted with, as an integer."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return int(value) if number and abs(value) <= MOST else None


def blocks_text(blocks: list[Any]) -> str:
    """The plain text of content blocks; other kinds are named in brackets."""
    return "".join(content_text(block) for block in blocks)


def content_text(block: Any) -> str:
    """The plain text of one content block."""
    block = as_dict(block)
    kind = block.get("type")
    if kind == "text":
        return as_str(block.get("text")) or ""
    if kind == "content":
        return content_text(block.get("content"))
    if kind == "resource":
        return as_str(as_dict(block.get("resource")).get("text")) or "[resource]"
    if kind == "resource_link":
        return f"[{block.get('name') or block.get('uri')}]"
    return f"[{kind}]" if kind else ""


def update_text(update: Json) -> str | None:
    """The plain text of a session update: a chunk's text, a plan's entries, a call's title."""
    content = update.get("content")
    if isinstance(content, dict):
        return content_text(content)
    plan = as_dict(update.get("plan")) or update
    if "entries" in plan:
        return "\n".join(str(as_dict(e).get("content", "")) for e in as_list(plan["entries"]))
    if plan is not update:
        return as_str(plan.get("content")) or as_str(plan.get("uri"))
    return as_str(update.get("title"))


def session_facts(result: Json) -> Json:
    """What a session answer tells, under names of ours."""
    return {
        "session_id": as_str(result.get("sessionId")),
        "modes": as_dict(result.get("modes")),
        "models": as_dict(result.get("models")),
        "config_options": as_list(result.get("configOptions")),
    }


def usage_of(result: Json, *, includes_cache: bool = False) -> Usage:
    """Tokens of a prompt's answer, input inclusive of cached ones. ACP's `usage` excludes them
    unless the agent is known to include them."""
    told = as_dict(result.get("usage"))
    if not told:
        return Usage()
    tokens = as_int(told.get("inputTokens"))
    read, written = as_int(told.get("cachedReadTokens")), as_int(told.get("cachedWriteTokens"))
    if tokens is not None and not includes_cache:
        tokens += (read or 0) + (written or 0)
    return Usage(
        input_tokens=tokens,
        output_tokens=as_int(told.get("outputTokens")),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=as_int(told.get("thoughtTokens")),
        total_tokens=as_int(told.get("totalTokens")),
    )


def model_call(told: Json) -> Json:
    """What our own agents tell of a model call, which ACP has no word for, by the notification
    `_paseo_nb/model_call`: first that it began, then its end; `usage` as in a prompt's answer."""
    error, cost = told.get("error"), told.get("costUsd")
    usage = usage_of(told)
    if isinstance(cost, (int, float)) and not isinstance(cost, bool):
        usage.cost_usd = float(cost)
    return {
        "message_id": as_str(told.get("messageId")),
        "model": as_str(told.get("model")),
        "usage": usage,
        "stop_reason": as_str(told.get("stopReason")),
        "problem": problem_of(error) if error else None,
    }


def retry(told: Json) -> Json:
    """What our own agents tell of a model call that is tried again: `_paseo_nb/retry`."""
    error = as_dict(told.get("error"))
    return {
        "attempt": as_int(told.get("attempt")),
        "max_attempts": as_int(told.get("maxAttempts")),
        "delay_s": told.get("delaySeconds"),
        "status": as_int(as_dict(error.get("data")).get("status")),
        "message": problem_of(error).message,
    }


def minus(later: Usage, earlier: Usage) -> Usage:
    """What was added between two cumulative counts; all of the later where it counts anew."""
    names = [name for name in TOKENS if getattr(earlier, name) is not None]
    if any((getattr(later, name) or 0) < getattr(earlier, name) for name in names):
        return later
    out = Usage()
    for name in TOKENS:
        a, b = getattr(later, name), getattr(earlier, name)
        setattr(out, name, a if a is None or b is None else a - b)
    return out


def problem_of(error: Any) -> Problem:
    """A JSON-RPC error in words; with what to do where its model failed."""
    said = as_str(error)
    error = as_dict(error)
    data = error.get("data")
    details = (
        as_str(data) or as_str(as_dict(data).get("details")) or as_str(as_dict(data).get("message"))
    )
    message = as_str(error.get("message")) or said or NO_MESSAGE
    if details and details not in message:
        message = f"{message}: {details}"
    code = str(error.get("code", "error"))
    cause, hint = (as_str(as_dict(data).get(name)) for name in ("cause", "hint"))
    if cause and cause.isidentifier():  # as our own agent tells it
        return Problem(cause, message, hint)
    if code == "-32000":
        return Problem("auth", message, "Sign in to the agent in a terminal, then try again.")
    number = as_int(error.get("code"))
    if number == INTERNAL:
        return model_problem(message, unknown=code)
    if number is not None and 400 <= number < 600:
        return model_problem(message, number, unknown=code)
    return Problem(code, message)
