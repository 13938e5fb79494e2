"""Claude Code's stream-json at first sight: what a line is, and the journal's kind of it.

One JSON object a line. What the model says comes as `stream_event` (the API's own stream), then
once more whole as `assistant`; tool results as `user`; questions either way as `control_request`,
answered by `control_response` of the same `request_id`; a turn ends with `result`.
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from .acp_reading import Json
from .transport import decode

_DELTA = ("event", "delta")
QUIET: dict[str, tuple[str, ...]] = {
    "agent_message_chunk": (*_DELTA, "text"),
    "agent_thought_chunk": (*_DELTA, "thinking"),
    "tool_input_chunk": (*_DELTA, "partial_json"),
    "subagent_message_chunk": (*_DELTA, "text"),
    "subagent_thought_chunk": (*_DELTA, "thinking"),
    "subagent_input_chunk": (*_DELTA, "partial_json"),
}
_CHUNKS = {
    "text_delta": ("agent_message_chunk", "subagent_message_chunk"),
    "thinking_delta": ("agent_thought_chunk", "subagent_thought_chunk"),
    "input_json_delta": ("tool_input_chunk", "subagent_input_chunk"),
}
PERMISSION = "session/request_permission"


class ControlError(Exception):
    """Claude Code refused a control request."""


class Delta(msgspec.Struct, gc=False):
    """A piece of what the model says."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class StreamEvent(msgspec.Struct, gc=False):
    """One event of the API's stream."""

    type: str = ""
    delta: Delta | None = None


class Control(msgspec.Struct, gc=False):
    """The inner part of a control message."""

    subtype: str | None = None
    request_id: str | None = None


class Block(msgspec.Struct, gc=False):
    """The type of a content block."""

    type: str = ""


class Said(msgspec.Struct, gc=False):
    """A message of the conversation."""

    content: list[Block] | str | None = None


class Sight(msgspec.Struct, gc=False):
    """Just enough of a line to know what it is."""

    type: str = ""
    subtype: str | None = None
    request_id: str | None = None
    parent_tool_use_id: str | None = None
    is_error: bool | None = None
    event: StreamEvent | None = None
    message: Said | str | None = None
    request: Control | None = None
    response: Control | None = None

    @property
    def id(self) -> str | None:
        """See `seat.Message.id`."""
        return self.request_id if self.type == "control_request" else None


_decode_sight = msgspec.json.Decoder(Sight).decode
_FIELDS = {field.name: field.type for field in msgspec.structs.fields(Sight)}
_TYPE = re.compile(rb'"type"\s*:\s*"([a-z_]+)"')
_SUBTYPE = re.compile(rb'"subtype"\s*:\s*"([a-z_]+)"')
_REQUEST = re.compile(rb'"request_id"\s*:\s*"([^"\\]+)"')
# What may be met within a long line before its own type is, and is none of a line's.
_LINES = (b"assistant", b"user", b"result", b"system", b"stream_event")


def sight(line: bytes) -> Sight | None:
    """What a line is; None if it is no JSON object."""
    try:
        return _decode_sight(line)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    message = decode(line)  # an object with fields of unexpected types: take what is usable
    if not isinstance(message, dict):
        return None
    usable: Json = {}
    for name, value in cast(Json, message).items():
        if name in _FIELDS:
            try:
                usable[name] = msgspec.convert(value, _FIELDS[name])
            except msgspec.ValidationError:
                continue
    return Sight(**usable)


def sight_of_blob(head: bytes, tail: bytes) -> Sight:
    """What can be told of a line too long to join, from its two ends."""
    control = head.find(b'"control_re')
    ident = _REQUEST.search(head) or _REQUEST.search(tail)
    named = ident.group(1).decode("utf-8", "replace") if ident else None
    if 0 <= control < 400:
        request = head.startswith(b'"control_request"', control)
        found = _SUBTYPE.search(head)
        inner = Control(found.group(1).decode() if found else None, named)
        if request:
            return Sight("control_request", request_id=named, request=inner)
        return Sight("control_response", response=inner)
    types = [*_TYPE.findall(head), *reversed(_TYPE.findall(tail))]
    kind = next((name for name in types if name in _LINES), b"unknown").decode()
    found = _SUBTYPE.search(head) or _SUBTYPE.search(tail)
    return Sight(kind, subtype=found.group(1).decode() if found else None)


def text_of(message: Sight) -> str | None:
    """The text of a streamed piece."""
    delta = message.event.delta if message.event is not None else None
    if delta is None:
        return None
    return next(
        (t for t in (delta.text, delta.thinking, delta.partial_json) if t is not None), None
    )


def kind_of(message: Sight) -> str:
    """The journal's kind of a line, for what needs no memory; see `reading`."""
    match message.type:
        case "stream_event":
            delta = message.event.delta if message.event is not None else None
            kinds = _CHUNKS.get(delta.type) if delta is not None else None
            if kinds is None or text_of(message) is None:
                return "stream_event"
            return kinds[message.parent_tool_use_id is not None]
        case "assistant":
            return "tool_call" if _has(message, "tool_use") else "assistant"
        case "user":
            return "tool_call_update" if _has(message, "tool_result") else "user"
        case "control_request":
            subtype = message.request.subtype if message.request is not None else None
            return PERMISSION if subtype == "can_use_tool" else f"control_request/{subtype}"
        case "system":
            retry = message.subtype == "api_retry"
            return "retry" if retry else f"system/{message.subtype}"
        case _:
            return message.type or "unknown"


def _has(message: Sight, what: str) -> bool:
    said = message.message
    blocks = said.content if isinstance(said, Said) else None
    return isinstance(blocks, list) and any(block.type == what for block in blocks)


def control(subtype: str, request_id: str, **more: Any) -> Json:
    """A control request of ours."""
    return {
        "type": "control_request",
        "request_id": request_id,
        "request": {"subtype": subtype, **more},
    }


def answer(request_id: Any, response: Json) -> Json:
    """The answer to a control request."""
    return {
        "type": "control_response",
        "response": {"subtype": "success", "request_id": request_id, "response": response},
    }


def refusal(request_id: Any, why: str) -> Json:
    """The answer to a control request that cannot be served."""
    return {
        "type": "control_response",
        "response": {"subtype": "error", "request_id": request_id, "error": why},
    }


def user_message(content: list[Json], ident: str, **more: Any) -> Json:
    """What the user says; `ident` is the id by which its fate is told (`command_lifecycle`)."""
    return {
        "type": "user",
        "message": {"role": "user", "content": content},
        "parent_tool_use_id": None,
        "session_id": "",
        "uuid": ident,
        **more,
    }
