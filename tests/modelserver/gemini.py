"""The dialect "Gemini API": generateContent, streamGenerateContent, countTokens.

Spoken by gemini-cli. Shapes: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import base64
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
from .dialect import Event

NAME: str = "gemini"

_METHOD = re.compile(
    r"/models/(?P<model>[^/:]+):(?P<verb>generateContent|streamGenerateContent|countTokens)$"
)
_SESSION_CONTEXT = "<session_context>"
_URL_SAFE = str.maketrans("-_", "+/")  # Google's SDK writes this alphabet, gemini-cli the other


def matches(path: str) -> bool:
    return path.endswith("/v1beta/models") or _METHOD.search(path) is not None


def aside(path: str, body: dict[str, Any], models: Sequence[str]) -> dict[str, Any] | None:
    """The answer to a request that needs no model: models, a count of tokens; else None."""
    if path.endswith("/models"):
        methods = ["generateContent", "countTokens"]
        rows = [{"name": f"models/{m}", "supportedGenerationMethods": methods} for m in models]
        return {"models": rows}
    if not path.endswith(":countTokens"):
        return None
    contents = body.get("contents") or (body.get("generateContentRequest") or {}).get("contents")
    return {"totalTokens": max(1, len(str(contents or "")) // 4)}


def parse(path: str, body: dict[str, Any]) -> Conversation:
    found = _METHOD.search(path)
    if found is None:
        raise ValueError(f"not a Gemini method: {path}")
    system = _texts(body.get("systemInstruction") or {})
    messages: list[Message] = []
    for content in body.get("contents", []):
        texts = _texts(content)
        # gemini-cli sends facts about the session as the first part of the first user content
        system += [t for t in texts if t.startswith(_SESSION_CONTEXT)]
        said = "\n".join(t for t in texts if not t.startswith(_SESSION_CONTEXT))
        messages += _messages(content, said)
    declared = [f for t in body.get("tools") or () for f in t.get("functionDeclarations") or ()]
    wanted = body.get("generationConfig") or {}
    return Conversation(
        model=found["model"],
        system="\n".join(system),
        messages=tuple(messages),
        tools=tuple(Tool(f["name"], f.get("description", ""), _schema(f)) for f in declared),
        stream=found["verb"] == "streamGenerateContent",
        schema=wanted.get("responseJsonSchema") or wanted.get("responseSchema"),
    )


def whole(reply: Reply, conversation: Conversation, usage: Usage) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if reply.reasoning:
        parts.append(_thought(reply.reasoning))
    if reply.text:
        parts.append({"text": reply.text})
    parts += [_wire_call(c) for c in reply.calls]
    return _chunk(parts, conversation, uuid.uuid4().hex, usage)


def stream(reply: Reply, conversation: Conversation, usage: Usage) -> Iterator[Event]:
    response_id = uuid.uuid4().hex
    if reply.reasoning:
        yield Event(_chunk([_thought(reply.reasoning)], conversation, response_id))
    for part in pieces(reply.text, reply.piece):
        yield Event(_chunk([{"text": part}], conversation, response_id))
    last = [_wire_call(c) for c in reply.calls] or [{"text": ""}]
    yield Event(_chunk(last, conversation, response_id, usage), tells=usage)


def failure(failure: Failure) -> dict[str, Any]:
    words = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        429: "RESOURCE_EXHAUSTED",
        503: "UNAVAILABLE",
    }
    message = failure.message
    if failure.overflow:
        message = "The input token count (1100000) exceeds the maximum number of tokens allowed."
    word = words.get(failure.status, "INTERNAL")
    return {"error": {"code": failure.status, "message": message, "status": word}}


def _messages(content: dict[str, Any], said: str) -> list[Message]:
    """One `content` as messages: function responses arrive under the role `user`."""
    parts = content.get("parts", [])
    if content.get("role") == "model":
        calls = tuple(
            ToolCall(c.get("id") or "", c["name"], c.get("args") or {})
            for p in parts
            if (c := p.get("functionCall"))
        )
        return [Message("assistant", said, tool_calls=calls)]
    results = tuple(
        ToolResult(r.get("id") or "", r["name"], _result(r.get("response") or {}))
        for p in parts
        if (r := p.get("functionResponse"))
    )
    images = tuple(
        Image(
            d.get("mimeType") or d.get("mime_type", ""),
            base64.b64decode(d.get("data", "").translate(_URL_SAFE)),
        )
        for p in parts
        if (d := p.get("inlineData"))
    )
    if said or (images and not results):
        found = [Message("tool", tool_results=results)] if results else []
        return [*found, Message("user", said, images=images)]
    return [Message("tool", tool_results=results, images=images)] if results else []


def _result(response: dict[str, Any]) -> str:
    return str(
        response.get("output") or response.get("return_value") or response.get("error") or response
    )


def _schema(declared: dict[str, Any]) -> dict[str, Any]:
    # Google's SDK spells some names in its own way, which the API takes as well
    names = ("parametersJsonSchema", "parameters_json_schema", "parameters")
    return next((declared[n] for n in names if declared.get(n)), {})


def _texts(content: dict[str, Any]) -> list[str]:
    parts = content.get("parts", [])
    return [p["text"] for p in parts if p.get("text") and not p.get("thought")]


def _thought(text: str) -> dict[str, Any]:
    """A thought summary; Gemini opens each with a bold heading, and gemini-cli looks for it."""
    return {"text": f"**Thinking** {text}", "thought": True}


def _wire_call(call: ToolCall) -> dict[str, Any]:
    return {"functionCall": {"id": call.id, "name": call.name, "args": dict(call.arguments)}}


def _chunk(
    parts: list[dict[str, Any]],
    conversation: Conversation,
    response_id: str,
    usage: Usage | None = None,
) -> dict[str, Any]:
    """One GenerateContentResponse; the one with `usage` is the last and has the finish reason."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    chunk: dict[str, Any] = {
        "candidates": [candidate],
        "modelVersion": conversation.model,
        "responseId": response_id,
    }
    if usage is not None:
        candidate["finishReason"] = "STOP"
        chunk["usageMetadata"] = {
            "promptTokenCount": usage.input_tokens,
            "cachedContentTokenCount": usage.cached_tokens,
            "candidatesTokenCount": usage.output_tokens - usage.reasoning_tokens,
            "thoughtsTokenCount": usage.reasoning_tokens,
            "totalTokenCount": usage.total_tokens,
        }
    return chunk
