"""The dialect "OpenAI Chat Completions", with DeepSeek's reasoning and cache fields.

Spoken by opencode, pi, copilot and every OpenAI-compatible endpoint.
Shapes: https://platform.openai.com/docs/api-reference/chat-streaming and
https://api-docs.deepseek.com/api/create-chat-completion
"""

from __future__ import annotations

import json
import time
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

NAME: str = "chat_completions"


def matches(path: str) -> bool:
    return path.endswith(("/chat/completions", "/models"))


def aside(path: str, body: dict[str, Any], models: Sequence[str]) -> dict[str, Any] | None:
    """The answer to a request that needs no model, here the list of models; else None."""
    if not path.endswith("/models"):
        return None
    # Anthropic's list has the same path: each client finds its own fields
    ours = {"object": "model", "created": 0, "owned_by": "modelserver"}
    theirs = {"type": "model", "created_at": "2026-01-01T00:00:00Z"}
    rows = [{"id": m, "display_name": m} | ours | theirs for m in models]
    return {"object": "list", "data": rows, "has_more": False}


def parse(path: str, body: dict[str, Any]) -> Conversation:
    system: list[str] = []
    messages: list[Message] = []
    names: dict[str, str] = {}
    for raw in body.get("messages", []):
        role, text = raw.get("role"), _text(raw.get("content"))
        if role in ("system", "developer"):
            system.append(text)
        elif role == "assistant":
            calls = tuple(_call(c) for c in raw.get("tool_calls") or ())
            names |= {c.id: c.name for c in calls}
            messages.append(Message("assistant", text, tool_calls=calls))
        elif role == "tool":
            call_id = raw.get("tool_call_id", "")
            result = ToolResult(call_id, names.get(call_id, ""), text)
            messages.append(
                Message("tool", tool_results=(result,), images=_images(raw.get("content")))
            )
        else:
            messages.append(Message("user", text, images=_images(raw.get("content"))))
    functions = [t["function"] for t in body.get("tools") or () if t.get("type") == "function"]
    return Conversation(
        model=body.get("model", ""),
        system="\n".join(system),
        messages=tuple(messages),
        tools=tuple(
            Tool(f["name"], f.get("description", ""), f.get("parameters", {})) for f in functions
        ),
        stream=bool(body.get("stream")),
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        schema=((body.get("response_format") or {}).get("json_schema") or {}).get("schema"),
    )


def whole(reply: Reply, conversation: Conversation, usage: Usage) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.calls:
        message["tool_calls"] = [_wire_call(c) for c in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": _finish(reply), "logprobs": None}
    return _head("chat.completion", conversation) | {"choices": [choice], "usage": _usage(usage)}


def stream(reply: Reply, conversation: Conversation, usage: Usage) -> Iterator[Event]:
    head = _head("chat.completion.chunk", conversation)

    def chunk(delta: dict[str, Any], finish: str | None = None) -> Event:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return Event(head | {"choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for part in pieces(reply.reasoning, reply.piece):
        yield chunk({"reasoning_content": part})
    for part in pieces(reply.text, reply.piece):
        yield chunk({"content": part})
    for index, call in enumerate(reply.calls):
        named = {"name": call.name, "arguments": ""}
        opened = {"index": index, "id": call.id, "type": "function", "function": named}
        yield chunk({"tool_calls": [opened]})
        for part in pieces(json.dumps(dict(call.arguments)), 64):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
    yield chunk({}, _finish(reply))
    if conversation.include_usage:
        yield Event(head | {"choices": [], "usage": _usage(usage)}, tells=usage)
    yield Event("[DONE]")


def failure(failure: Failure) -> dict[str, Any]:
    code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(failure.status)
    kind = "server_error" if failure.status >= 500 else "invalid_request_error"
    message = failure.message
    if failure.overflow:
        code = "context_length_exceeded"
        message = "This model's maximum context length is 128000 tokens; you sent 210000."
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", "") for part in content if part.get("type") == "text")
    return content or ""


def _images(content: Any) -> tuple[Image, ...]:
    parts = content if isinstance(content, list) else ()
    return tuple(image_of(p["image_url"]["url"]) for p in parts if p.get("type") == "image_url")


def _call(raw: dict[str, Any]) -> ToolCall:
    function = raw["function"]
    return ToolCall(raw["id"], function["name"], json.loads(function.get("arguments") or "{}"))


def _wire_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(dict(call.arguments))}
    return {"id": call.id, "type": "function", "function": function}


def _finish(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


def _head(kind: str, conversation: Conversation) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": conversation.model,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "prompt_cache_hit_tokens": usage.cached_tokens,
        "prompt_cache_miss_tokens": usage.input_tokens - usage.cached_tokens,
    }
