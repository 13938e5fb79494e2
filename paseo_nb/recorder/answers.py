"""What a model's answer tells of itself: id, model, usage, when its first token came, why it ended.
Pure: the pieces of a body with their times in, facts out.

A stream's usage may come in several events, of which a later one adds to the earlier ones.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict, as_list, as_str
from ..tracing.accounting import counted

Json = dict[str, Any]
MAX_UNPACKED = 256 << 20
Piece = tuple[int, bytes]  # µs since the epoch, and what came then


class Told(msgspec.Struct, omit_defaults=True):
    """What an answer tells. None: it does not."""

    id: str | None = None
    model: str | None = None
    first_token_us: int | None = None
    usage: Json = {}
    stop_reason: str | None = None
    error: str | None = None
    finished: bool = False  # a stream's own last event was there


def told_by(pieces: Sequence[Piece], headers: dict[str, str], status: int) -> Told:
    """What is told by an answer's body."""
    told = Told()
    plain = list(_decoded(pieces, headers.get("content-encoding", "")))
    if "text/event-stream" in headers.get("content-type", ""):
        for at_us, event in _events(plain):
            if event is None:
                told.finished = True
                continue
            if told.first_token_us is None and _says_something(event):
                told.first_token_us = at_us
            _take(told, event)
    else:
        body: Any = _json(b"".join(data for _, data in plain))
        for event in as_list(body) if isinstance(body, list) else [body]:  # Gemini's, unstreamed
            _take(told, as_dict(event))
        told.finished = body is not None
    if told.usage:
        found = counted(told.usage)
        told.usage = {} if found is None else msgspec.to_builtins(found.usage)
    if status >= 400 and told.error is None:
        told.error = f"HTTP {status}"
    return told


def _decoded(pieces: Sequence[Piece], coding: str) -> Iterator[Piece]:
    """The same without the encoding; nothing where it cannot be read."""
    if coding in ("", "identity"):
        yield from pieces
        return
    if coding not in ("gzip", "deflate"):
        return
    unpack, left = zlib.decompressobj(zlib.MAX_WBITS | 32), MAX_UNPACKED
    try:
        for at_us, data in pieces:
            plain = unpack.decompress(data, left)
            left -= len(plain)
            if left <= 0:  # 0 would mean: as much as there is
                return
            yield at_us, plain
    except zlib.error:
        return


def _events(pieces: Sequence[Piece]) -> Iterator[tuple[int, Json | None]]:
    """The events of a stream; None for its mark of the end."""
    held = b""
    for at_us, data in pieces:
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                text = line[5:].strip()
                if text == b"[DONE]":
                    yield at_us, None
                    continue
                event = _json(text)
                if isinstance(event, dict):
                    yield at_us, as_dict(event)


def _take(told: Told, event: Json) -> None:
    kind = event.get("type")
    inner = as_dict(event.get("message")) or as_dict(event.get("response")) or event
    told.id = told.id or as_str(inner.get("id")) or as_str(inner.get("responseId"))
    told.model = as_str(inner.get("model")) or as_str(inner.get("modelVersion")) or told.model
    for usage in (event.get("usage"), inner.get("usage"), inner.get("usageMetadata")):
        told.usage |= {k: v for k, v in as_dict(usage).items() if v is not None}
    for choice in (*as_list(inner.get("choices")), *as_list(inner.get("candidates"))):
        one = as_dict(choice)
        ended = as_str(one.get("finish_reason")) or as_str(one.get("finishReason"))
        told.stop_reason = ended or told.stop_reason
    ended = as_dict(event.get("delta")).get("stop_reason") or inner.get("stop_reason")
    told.stop_reason = as_str(ended) or told.stop_reason
    if kind in ("response.completed", "response.incomplete", "response.failed"):
        told.stop_reason = as_str(inner.get("status"))
    if kind == "message_stop" or (isinstance(kind, str) and kind.startswith("response.c")):
        told.finished = told.finished or kind in ("message_stop", "response.completed")
    error = event.get("error") or inner.get("error")
    if error:
        said = as_dict(error).get("message") if isinstance(error, dict) else error
        told.error = as_str(said) or json.dumps(error)


def _says_something(event: Json) -> bool:
    """Whether a stream's event has something of the model's in it."""
    kind = as_str(event.get("type")) or ""
    if kind == "content_block_delta" or kind.endswith(".delta"):
        return True
    if kind == "content_block_start":
        return as_dict(event.get("content_block")).get("type") in ("tool_use", "server_tool_use")
    for choice in map(as_dict, as_list(event.get("choices"))):
        delta = {k: v for k, v in as_dict(choice.get("delta")).items() if k != "role"}
        if any(delta.values()):
            return True
    return any(
        as_dict(as_dict(one).get("content")).get("parts")
        for one in as_list(event.get("candidates"))
    )


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None
