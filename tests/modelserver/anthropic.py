"""The dialect "Anthropic Messages", with count_tokens.

Spoken by Claude Code and by any client of Anthropic's SDK.
Shapes: https://docs.anthropic.com/en/api/messages and …/messages-streaming
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from .conversation import (
    Conversation,
    Failure,
    Image,
    Message,
    Reply,
    Tool,
    ToolCall,
    ToolResult,
    Usage,
    pieces,
)
from .dialect import Event, image_of

NAME: str = "anthropic"

# what Claude Code says in the user's name: reminders, and what follows the loading of a tool
_NOT_THE_USER = ("<system-reminder>", "Tool loaded.")
# how it passes on what the user says in mid-turn, under the role `system`
_STEERED = re.compile(
    r"The user sent a new message while you were working:\n(.*?)\n\nThis is how", re.DOTALL
)


def matches(path: str) -> bool:
    return path.endswith(("/v1/messages", "/v1/messages/count_tokens"))


def aside(path: str, body: dict[str, Any], models: Sequence[str]) -> dict[str, Any] | None:
    """The answer to a request that needs no model, here a count of tokens; else None."""
    if path.endswith("/count_tokens"):
        return {"input_tokens": max(1, len(str(body.get("messages") or "")) // 4)}
    return None


def parse(path: str, body: dict[str, Any]) -> Conversation:
    messages: list[Message] = []
    system = [_text(_blocks(body.get("system")))]
    names: dict[str, str] = {}
    for raw in body.get("messages", []):
        blocks = _blocks(raw.get("content"))
        if raw.get("role") == "system":
            if steered := _STEERED.match(_text(blocks)):
                messages.append(Message("user", steered[1]))
            else:
                system.append(_text(blocks))
        elif raw.get("role") == "assistant":
            calls = tuple(
                ToolCall(b["id"], b["name"], b.get("input") or {})
                for b in blocks
                if b.get("type") == "tool_use"
            )
            names |= {c.id: c.name for c in calls}
            messages.append(Message("assistant", _text(blocks), tool_calls=calls))
        else:
            messages += _said(blocks, names)
    declared = [t for t in body.get("tools") or () if "input_schema" in t]
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return Conversation(
        model=body.get("model", ""),
        system="\n".join(system),
        messages=tuple(messages),
        tools=tuple(Tool(t["name"], t.get("description", ""), t["input_schema"]) for t in declared),
        stream=bool(body.get("stream")),
        schema=wanted.get("schema"),
    )


def whole(reply: Reply, conversation: Conversation, usage: Usage) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    if reply.reasoning:
        content.append(_thought(reply.reasoning))
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    content += [_wire_call(c, c.arguments) for c in reply.calls]
    message = _message(conversation, content, usage, usage.output_tokens)
    return message | {"stop_reason": _stop(reply)}


def stream(reply: Reply, conversation: Conversation, usage: Usage) -> Iterator[Event]:
    head = _message(conversation, [], usage, 1)
    # the input is told first and the output last: of a stream cut off, the client knows the first
    begun = Usage(usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens, 1, 0)
    yield _event("message_start", begun, message=head)
    index = 0

    def block(start: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[Event]:
        nonlocal index
        yield _event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
        index += 1

    if reply.reasoning:
        thoughts = pieces(reply.reasoning, reply.piece)
        deltas = [{"type": "thinking_delta", "thinking": t} for t in thoughts]
        sealed = {"type": "signature_delta", "signature": _thought("")["signature"]}
        yield from block({"type": "thinking", "thinking": "", "signature": ""}, [*deltas, sealed])
    if reply.text:
        texts = pieces(reply.text, reply.piece)
        deltas = [{"type": "text_delta", "text": t} for t in texts]
        yield from block({"type": "text", "text": ""}, deltas)
    for call in reply.calls:
        parts = pieces(json.dumps(dict(call.arguments)), 64)
        deltas = [{"type": "input_json_delta", "partial_json": p} for p in parts]
        yield from block(_wire_call(call, {}), deltas)
    ended = {"stop_reason": _stop(reply), "stop_sequence": None}
    told = _usage(usage, usage.output_tokens)
    yield _event("message_delta", usage, delta=ended, usage=told)
    yield _event("message_stop")


def failure(failure: Failure) -> dict[str, Any]:
    kinds = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    message = failure.message
    if failure.overflow:
        message = "prompt is too long: 210000 tokens > 200000 maximum"
    error = {"type": kinds.get(failure.status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": f"req_{uuid.uuid4().hex}"}


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _text(blocks: Sequence[dict[str, Any]]) -> str:
    return "\n".join(b["text"] for b in blocks if b.get("type") == "text")


def _said(blocks: list[dict[str, Any]], names: dict[str, str]) -> list[Message]:
    """One user message as messages: tool results come in it, with or without words beside them."""
    results = tuple(
        ToolResult(
            b["tool_use_id"], names.get(b["tool_use_id"], ""), _text(_blocks(b.get("content")))
        )
        for b in blocks
        if b.get("type") == "tool_result"
    )
    nested = [
        c for b in blocks if b.get("type") == "tool_result" for c in _blocks(b.get("content"))
    ]
    images = tuple(_image(b) for b in [*blocks, *nested] if b.get("type") == "image")
    words = [
        b["text"]
        for b in blocks
        if b.get("type") == "text" and not b["text"].lstrip().startswith(_NOT_THE_USER)
    ]
    found = [Message("tool", tool_results=results)] if results else []
    if words or (images and not results):
        return [*found, Message("user", "\n".join(words), images=images)]
    return [Message("tool", tool_results=results, images=images)] if results else []


def _image(block: dict[str, Any]) -> Image:
    source = block.get("source") or {}
    if source.get("type") == "base64":
        return Image(source.get("media_type", ""), base64.b64decode(source.get("data", "")))
    return image_of(source.get("url", ""))


def _thought(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "signature": "c2lnbmVkIGJ5IG5vYm9keQ=="}


def _wire_call(call: ToolCall, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": dict(arguments)}


def _stop(reply: Reply) -> str:
    return "tool_use" if reply.calls else "end_turn"


def _event(kind: str, tells: Usage | None = None, **parts: Any) -> Event:
    return Event({"type": kind, **parts}, kind, tells)


def _message(
    conversation: Conversation, content: list[dict[str, Any]], usage: Usage, output: int
) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": conversation.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(usage, output),
    }


def _usage(usage: Usage, output: int) -> dict[str, Any]:
    return {
        "input_tokens": usage.fresh_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": min(usage.reasoning_tokens, output)},
    }
