"""A model request's body as segments, for each API that agents speak. Pure.

In the order in which the endpoint's cache counts them: Anthropic's begins with the tools.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict, as_list, as_str
from ..programs.common.segments import segment

Json = dict[str, Any]
MAX_TEXT = 1 << 16
_PATHS: dict[str, re.Pattern[str]] = {
    "anthropic": re.compile(r"/messages$"),
    "chat": re.compile(r"/chat/completions$"),
    "responses": re.compile(r"/responses$"),
    "google": re.compile(r"/models/(?P<model>[^/]+):(stream)?[gG]enerateContent$"),
}


def api_of(path: str) -> str | None:
    """Which API a path without its query is a model call of; None: of none."""
    return next((name for name, pattern in _PATHS.items() if pattern.search(path)), None)


def model_of(api: str, path: str, body: Json) -> str | None:
    """The model that is asked."""
    found = _PATHS[api].search(path)
    named = found["model"] if found is not None and api == "google" else body.get("model")
    return as_str(named)


def segments_of(api: str, body: Json, content: bool = False) -> list[Json]:
    """What was sent, in order. content: with the text of each, but for attachments'."""
    return list(_READ[api](_Maker(content), body))


class _Maker:
    def __init__(self, content: bool) -> None:
        self._content = content

    def __call__(self, kind: str, name: str, value: Any) -> Json:
        marked = isinstance(value, dict) and "cache_control" in value
        if marked:
            value = {k: v for k, v in as_dict(value).items() if k != "cache_control"}
        made = segment(kind, name, value)
        if marked:
            made["mark"] = True
        if self._content:
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            made["text"] = text[:MAX_TEXT]
        return made

    def attached(self, name: str, media: str | None, data: str) -> Json:
        """An attachment: its bytes, where they are in the request; else what names them."""
        content: Any = data
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            content = data
        return segment("attachment", f"{name} ({media or 'file'})", content)


def _anthropic(make: _Maker, body: Json) -> Iterator[Json]:
    for tool in map(as_dict, as_list(body.get("tools"))):
        yield make("tool", str(tool.get("name")), tool)
    system = body.get("system")
    parts: list[Any] = [system] if isinstance(system, str) else as_list(system)
    for number, part in enumerate(parts, 1):
        yield make("system", f"system {number}", part)
    for number, message in enumerate(map(as_dict, as_list(body.get("messages"))), 1):
        yield from _parts(make, number, message, message.get("content"))


def _chat(make: _Maker, body: Json) -> Iterator[Json]:
    yield from _functions(make, body)
    for number, message in enumerate(map(as_dict, as_list(body.get("messages"))), 1):
        if message.get("role") in ("system", "developer"):
            yield make("system", f"message {number} (system)", message.get("content"))
            continue
        beside = {k: v for k, v in message.items() if k not in ("role", "content")}
        yield from _parts(make, number, message, message.get("content"), beside)


def _responses(make: _Maker, body: Json) -> Iterator[Json]:
    yield from _functions(make, body)
    if body.get("instructions"):
        yield make("system", "instructions", body["instructions"])
    told = body.get("input")
    if isinstance(told, str):
        yield make("message", "message 1 (user)", told)
        return
    for number, item in enumerate(map(as_dict, as_list(told)), 1):
        kind, role = as_str(item.get("type")) or "message", as_str(item.get("role"))
        if kind == "additional_tools":
            yield make("tool", "additional tools", item)
        elif role in ("system", "developer"):
            yield make("system", f"message {number} ({role})", item.get("content"))
        elif kind == "message":
            yield from _parts(make, number, item, item.get("content"))
        else:
            yield make("message", f"message {number} ({kind})", item)


def _google(make: _Maker, body: Json) -> Iterator[Json]:
    system = body.get("systemInstruction") or body.get("system_instruction")
    if system:
        yield make("system", "system", system)
    for tools in map(as_dict, as_list(body.get("tools"))):
        for one in map(as_dict, as_list(tools.get("functionDeclarations"))):
            yield make("tool", str(one.get("name")), one)
    for number, content in enumerate(map(as_dict, as_list(body.get("contents"))), 1):
        yield from _parts(make, number, content, content.get("parts"))


def _functions(make: _Maker, body: Json) -> Iterator[Json]:
    for tool in map(as_dict, as_list(body.get("tools"))):
        named = as_dict(tool.get("function")) or tool
        yield make("tool", str(named.get("name") or tool.get("type")), tool)


def _parts(
    make: _Maker, number: int, message: Json, content: Any, beside: Json | None = None
) -> Iterator[Json]:
    """The parts of one message, one segment each: a breakpoint may stand after any of them."""
    name = f"message {number} ({as_str(message.get('role')) or 'user'})"
    parts: list[Any] = as_list(content) if isinstance(content, list) else [content]
    for part in parts:
        attached = _attachment(as_dict(part))
        if attached is not None:
            yield make.attached(name, *attached)
        elif part is not None:
            yield make("message", name, part)
    if beside:
        yield make("message", name, beside)


def _attachment(part: Json) -> tuple[str | None, str] | None:
    """The media type and the data of a part that is a file or an image; None for any other."""
    source = as_dict(part.get("source"))
    if part.get("type") in ("image", "document") and source:
        return as_str(source.get("media_type")), str(source.get("data") or source.get("url"))
    for inline in (as_dict(part.get("inlineData")), as_dict(part.get("inline_data"))):
        if inline:
            return as_str(inline.get("mimeType")), str(inline.get("data"))
    url = part.get("image_url")
    url = as_dict(url).get("url") if isinstance(url, dict) else url
    if isinstance(url, str):
        if not url.startswith("data:"):
            return None, url
        head, _, data = url.removeprefix("data:").partition(",")
        return head.partition(";")[0], data
    return None


_READ: dict[str, Callable[[_Maker, Json], Iterator[Json]]] = {
    "anthropic": _anthropic,
    "chat": _chat,
    "responses": _responses,
    "google": _google,
}
