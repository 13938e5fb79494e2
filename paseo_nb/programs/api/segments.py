"""What a model request is made of, as `_paseo_nb/model_request` tells the client: hashes and sizes
of the instructions, each tool, each part of each message, and what is attached. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_ai.messages import BinaryContent, ModelMessage, ModelRequest
from pydantic_ai.tools import ToolDefinition

from ..common.segments import segment

_SENT = ("part_kind", "tool_name", "tool_call_id", "args")


def segments_of(
    api: str, messages: Sequence[ModelMessage], instructions: str, tools: Sequence[ToolDefinition]
) -> list[dict[str, Any]]:
    """In the order in which the endpoint's cache counts them: Anthropic's begins with the tools."""
    system = [segment("system", "instructions", instructions)]
    named = [
        segment("tool", tool.name, [tool.name, tool.description, tool.parameters_json_schema])
        for tool in tools
    ]
    found = [*named, *system] if api == "anthropic" else [*system, *named]
    for number, message in enumerate(messages, 1):
        role = "user" if isinstance(message, ModelRequest) else "assistant"
        for part in message.parts:
            content = getattr(part, "content", None)
            pieces: list[Any] = list(content) if isinstance(content, list) else [content]  # pyright: ignore[reportUnknownArgumentType]
            attached = [piece for piece in pieces if isinstance(piece, BinaryContent)]
            texts = [str(piece) for piece in pieces if not isinstance(piece, BinaryContent)]
            told = [str(getattr(part, name, "")) for name in _SENT]
            found += [
                segment("attachment", f"message {number} ({one.media_type})", one.data)
                for one in attached
            ]
            found.append(segment("message", f"message {number} ({role})", [told, texts]))
    return found
