"""The official SDK of each API behind one small face, so that one test holds all dialects.

A client asks one question, in a stream or plainly, and tells what its SDK understood.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
    "required": ["path", "content"],
}


@dataclass
class Understood:
    """What an SDK made of an answer. `usage`: (input, cached, written, output, reasoning), with
    None for what the API has no field for."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    usage: tuple[int | None, ...] = ()
    stop: str = ""


Ask = Callable[..., Understood]


def ask_chat(url: str, texts: Sequence[str], *, stream: bool, image: bool = False) -> Understood:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=10)
    messages: list[Any] = [{"role": "user", "content": t} for t in texts]
    if image:
        data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        messages[-1]["content"] = [
            {"type": "text", "text": texts[-1]},
            {"type": "image_url", "image_url": {"url": data}},
        ]
    function = {"name": "write_file", "description": "writes", "parameters": SCHEMA}
    tools: Any = [{"type": "function", "function": function}]
    wish: dict[str, Any] = {"model": "m", "messages": messages, "tools": tools}
    found = Understood()
    if stream:
        names: dict[int, list[str]] = {}
        usage: Any = None
        more = {"stream": True, "stream_options": {"include_usage": True}}
        for chunk in client.chat.completions.create(**wish, **more):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                found.text += choice.delta.content or ""
                found.reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                found.stop = choice.finish_reason or found.stop
                for call in choice.delta.tool_calls or ():
                    part = names.setdefault(call.index, ["", ""])
                    part[0] += call.function.name or ""
                    part[1] += call.function.arguments or ""
        found.calls = [(name, json.loads(text)) for name, text in names.values()]
    else:
        answer = client.chat.completions.create(**wish)
        message, usage = answer.choices[0].message, answer.usage
        found.text, found.stop = message.content or "", answer.choices[0].finish_reason
        found.reasoning = getattr(message, "reasoning_content", None) or ""
        found.calls = [
            (c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls or ()
        ]
    assert usage.prompt_cache_hit_tokens == usage.prompt_tokens_details.cached_tokens
    assert usage.prompt_cache_miss_tokens + usage.prompt_cache_hit_tokens == usage.prompt_tokens
    found.usage = (
        usage.prompt_tokens,
        usage.prompt_tokens_details.cached_tokens,
        usage.prompt_tokens_details.cache_write_tokens,
        usage.completion_tokens,
        usage.completion_tokens_details.reasoning_tokens,
    )
    return found


def ask_responses(
    url: str, texts: Sequence[str], *, stream: bool, image: bool = False
) -> Understood:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=10)
    given: list[Any] = [{"role": "user", "content": t} for t in texts]
    if image:
        data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
        picture = {"type": "input_image", "image_url": data, "detail": "auto"}
        given[-1]["content"] = [{"type": "input_text", "text": texts[-1]}, picture]
    tools: Any = [{"type": "function", "name": "write_file", "parameters": SCHEMA, "strict": False}]
    wish: dict[str, Any] = {"model": "m", "input": given, "tools": tools}
    if stream:
        with client.responses.stream(**wish) as events:
            deltas = "".join(e.delta for e in events if e.type == "response.output_text.delta")
            answer: Any = events.get_final_response()
        assert deltas == answer.output_text
    else:
        answer = client.responses.create(**wish)
    found = Understood(answer.output_text, stop=answer.status)
    for item in answer.output:
        if item.type == "reasoning":
            found.reasoning += "".join(part.text for part in item.summary)
        elif item.type == "function_call":
            found.calls.append((item.name, json.loads(item.arguments)))
    usage = answer.usage
    found.usage = (
        usage.input_tokens,
        usage.input_tokens_details.cached_tokens,
        usage.input_tokens_details.cache_write_tokens,
        usage.output_tokens,
        usage.output_tokens_details.reasoning_tokens,
    )
    return found


def ask_anthropic(
    url: str, texts: Sequence[str], *, stream: bool, image: bool = False
) -> Understood:
    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=10)
    messages: list[Any] = [{"role": "user", "content": t} for t in texts]
    if image:
        data = base64.b64encode(PNG).decode()
        source = {"type": "base64", "media_type": "image/png", "data": data}
        picture = {"type": "image", "source": source}
        messages[-1]["content"] = [picture, {"type": "text", "text": texts[-1]}]
    tools: Any = [{"name": "write_file", "description": "writes", "input_schema": SCHEMA}]
    wish: dict[str, Any] = dict(model="m", max_tokens=99, messages=messages, tools=tools)
    if stream:
        with client.messages.stream(**wish) as events:
            deltas = "".join(events.text_stream)
            answer: Any = events.get_final_message()
        assert deltas == "".join(b.text for b in answer.content if b.type == "text")
    else:
        answer = client.messages.create(**wish)
    found = Understood(stop=answer.stop_reason)
    for block in answer.content:
        if block.type == "thinking":
            found.reasoning += block.thinking
        elif block.type == "text":
            found.text += block.text
        else:
            found.calls.append((block.name, block.input))
    usage = answer.usage
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    thinking = usage.output_tokens_details.thinking_tokens
    whole_input = usage.input_tokens + cached + written
    found.usage = (whole_input, cached, written, usage.output_tokens, thinking)
    return found


def ask_gemini(url: str, texts: Sequence[str], *, stream: bool, image: bool = False) -> Understood:
    options = google.HttpOptions(base_url=url, timeout=10_000)
    client = genai.Client(api_key="none", http_options=options)
    contents: list[Any] = [
        google.Content(role="user", parts=[google.Part.from_text(text=t)]) for t in texts
    ]
    if image:
        picture = google.Part.from_bytes(data=PNG, mime_type="image/png")
        contents[-1].parts.append(picture)
    function = google.FunctionDeclaration(name="write_file", parameters_json_schema=SCHEMA)
    config = google.GenerateContentConfig(
        tools=[google.Tool(function_declarations=[function])],
        automatic_function_calling=google.AutomaticFunctionCallingConfig(disable=True),
    )
    models: Any = client.models
    wish: dict[str, Any] = {"model": "m", "contents": contents, "config": config}
    if stream:
        chunks = list(models.generate_content_stream(**wish))
    else:
        chunks = [models.generate_content(**wish)]
    found = Understood(stop=chunks[-1].candidates[0].finish_reason.value)
    for part in (p for c in chunks for p in c.candidates[0].content.parts):
        if part.function_call:
            found.calls.append((part.function_call.name, part.function_call.args))
        elif part.thought:
            found.reasoning += part.text
        else:
            found.text += part.text or ""
    usage = chunks[-1].usage_metadata
    output = usage.candidates_token_count + usage.thoughts_token_count
    assert usage.total_token_count == usage.prompt_token_count + output
    cached, thoughts = usage.cached_content_token_count, usage.thoughts_token_count
    found.usage = (usage.prompt_token_count, cached, None, output, thoughts)
    return found


ASKS: dict[str, Ask] = {
    "chat_completions": ask_chat,
    "responses": ask_responses,
    "anthropic": ask_anthropic,
    "gemini": ask_gemini,
}
STOPS = {
    "chat_completions": ("stop", "tool_calls"),
    "responses": ("completed", "completed"),
    "anthropic": ("end_turn", "tool_use"),
    "gemini": ("STOP", "STOP"),
}
ERRORS: dict[str, type[Exception]] = {
    "chat_completions": openai.APIStatusError,
    "responses": openai.APIStatusError,
    "anthropic": anthropic.APIStatusError,
    "gemini": google_errors.APIError,
}


def status_of(error: Any) -> int:
    """The HTTP status that an SDK's error tells."""
    return error.code if isinstance(error, google_errors.APIError) else error.status_code
