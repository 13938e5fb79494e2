"""The dialect "OpenAI Responses", with the custom tools of Codex's code mode.

Spoken by Codex. Shapes: https://platform.openai.com/docs/api-reference/responses-streaming
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

NAME: str = "responses"

# what Codex says in the user's name: facts about the machine, files of instructions
_NOT_THE_USER = ("<environment_context>", "<user_instructions>", "# AGENTS.md instructions")


def matches(path: str) -> bool:
    return path.endswith("/responses")


def aside(path: str, body: dict[str, Any], models: Sequence[str]) -> dict[str, Any] | None:
    """The answer to a request that needs no model: there is none in this API."""
    return None


def parse(path: str, body: dict[str, Any]) -> Conversation:
    system: list[str] = [body.get("instructions") or ""]
    messages: list[Message] = []
    declared: list[dict[str, Any]] = list(body.get("tools") or ())
    names: dict[str, str] = {}
    given = body.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        kind = item.get("type", "message")
        if kind == "additional_tools":
            declared += item.get("tools") or ()
        elif kind in ("function_call", "custom_tool_call"):
            call = _call(item)
            names[call.id] = call.name
            messages.append(Message("assistant", tool_calls=(call,)))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            call_id, output = item["call_id"], item.get("output")
            result = ToolResult(call_id, names.get(call_id, ""), _text(output))
            messages.append(Message("tool", tool_results=(result,), images=_images(output)))
        elif kind == "message":
            role, content = item.get("role"), item.get("content")
            text = _text(content)
            if role in ("system", "developer") or text.startswith(_NOT_THE_USER):
                system.append(text)
            else:
                who = "assistant" if role == "assistant" else "user"
                messages.append(Message(who, text, images=_images(content)))
    return Conversation(
        model=body.get("model", ""),
        system="\n".join(system),
        messages=tuple(messages),
        tools=tuple(_tools(declared)),
        stream=bool(body.get("stream")),
        schema=((body.get("text") or {}).get("format") or {}).get("schema"),
    )


def whole(reply: Reply, conversation: Conversation, usage: Usage) -> dict[str, Any]:
    head = _head(conversation)
    return head | {"status": "completed", "output": _items(reply), "usage": _usage(usage)}


def stream(reply: Reply, conversation: Conversation, usage: Usage) -> Iterator[Event]:
    head, items = _head(conversation), _items(reply)
    numbers = iter(range(1_000_000_000))

    def event(kind: str, tells: Usage | None = None, **parts: Any) -> Event:
        return Event({"type": kind, "sequence_number": next(numbers), **parts}, kind, tells)

    yield event("response.created", response=head)
    yield event("response.in_progress", response=head)
    for index, item in enumerate(items):
        opened = item | {"status": "in_progress"} if "status" in item else item
        at = {"item_id": item["id"], "output_index": index}
        match item["type"]:
            case "reasoning":
                opened = opened | {"summary": []}
                yield event("response.output_item.added", output_index=index, item=opened)
                told = item["summary"][0]
                part = at | {"summary_index": 0}
                empty = {"type": "summary_text", "text": ""}
                yield event("response.reasoning_summary_part.added", part=empty, **part)
                for text in pieces(told["text"], reply.piece):
                    yield event("response.reasoning_summary_text.delta", delta=text, **part)
                yield event("response.reasoning_summary_text.done", text=told["text"], **part)
                yield event("response.reasoning_summary_part.done", part=told, **part)
            case "message":
                opened = opened | {"content": []}
                yield event("response.output_item.added", output_index=index, item=opened)
                said = item["content"][0]
                part = at | {"content_index": 0}
                empty = said | {"text": ""}
                yield event("response.content_part.added", part=empty, **part)
                for text in pieces(said["text"], reply.piece):
                    yield event("response.output_text.delta", delta=text, logprobs=[], **part)
                whole_text = {"text": said["text"], "logprobs": []}
                yield event("response.output_text.done", **whole_text, **part)
                yield event("response.content_part.done", part=said, **part)
            case "custom_tool_call":
                opened = opened | {"input": ""}
                yield event("response.output_item.added", output_index=index, item=opened)
                for text in pieces(item["input"], 64):
                    yield event("response.custom_tool_call_input.delta", delta=text, **at)
                yield event("response.custom_tool_call_input.done", input=item["input"], **at)
            case _:
                opened = opened | {"arguments": ""}
                yield event("response.output_item.added", output_index=index, item=opened)
                for text in pieces(item["arguments"], 64):
                    yield event("response.function_call_arguments.delta", delta=text, **at)
                ended = {"arguments": item["arguments"], "name": item["name"]}
                yield event("response.function_call_arguments.done", **ended, **at)
        yield event("response.output_item.done", output_index=index, item=item)
    done = head | {"status": "completed", "output": items, "usage": _usage(usage)}
    yield event("response.completed", usage, response=done)


def failure(failure: Failure) -> dict[str, Any]:
    code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(failure.status)
    kind = "server_error" if failure.status >= 500 else "invalid_request_error"
    message = failure.message
    if failure.overflow:
        code = "context_length_exceeded"
        message = "Your input exceeds the context window of this model."
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part["text"] for part in content if "text" in part)
    return content or ""


def _images(content: Any) -> tuple[Image, ...]:
    parts = content if isinstance(content, list) else ()
    found = [p for p in parts if p.get("type") == "input_image"]
    return tuple(image_of(p.get("image_url") or "") for p in found)


def _call(item: dict[str, Any]) -> ToolCall:
    namespace = item.get("namespace") or ""
    if item["type"] == "custom_tool_call":
        return ToolCall(item["call_id"], item["name"], {}, item.get("input", ""), namespace)
    arguments = json.loads(item.get("arguments") or "{}")
    return ToolCall(item["call_id"], item["name"], arguments, namespace=namespace)


def _tools(declared: Sequence[dict[str, Any]], namespace: str = "") -> Iterator[Tool]:
    for tool in declared:
        kind, about = tool.get("type"), tool.get("description") or ""
        if kind == "namespace":
            yield from _tools(tool.get("tools") or (), tool["name"])
        elif kind == "function":
            schema = tool.get("parameters") or {}
            yield Tool(tool["name"], about, schema, namespace=namespace)
        elif kind == "custom":
            yield Tool(tool["name"], about, custom=True, namespace=namespace)


def _items(reply: Reply) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if reply.reasoning:
        summary = [{"type": "summary_text", "text": reply.reasoning}]
        found.append({"id": f"rs_{uuid.uuid4().hex}", "type": "reasoning", "summary": summary})
    if reply.text or not reply.calls:
        said = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message = {"id": f"msg_{uuid.uuid4().hex}", "type": "message", "role": "assistant"}
        found.append(message | {"status": "completed", "content": [said]})
    return found + [_wire_call(c) for c in reply.calls]


def _wire_call(call: ToolCall) -> dict[str, Any]:
    item: dict[str, Any] = {"call_id": call.id, "name": call.name, "status": "completed"}
    if call.namespace:
        item["namespace"] = call.namespace
    if call.text is not None:
        more = {"id": f"ctc_{uuid.uuid4().hex}", "type": "custom_tool_call", "input": call.text}
        return item | more
    arguments = json.dumps(dict(call.arguments))
    return item | {"id": f"fc_{uuid.uuid4().hex}", "type": "function_call", "arguments": arguments}


def _head(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "model": conversation.model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }
