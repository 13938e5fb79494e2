"""A session's history as the model library's messages: from prompts and from the session's file."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserContent,
    UserPromptPart,
)

from ..common.errors import RpcError
from ..common.value import as_dict
from .compacting import compact, used_tokens
from .sessions import Asked, Returned, Said, Session, Shortened
from .tools import Done

_NO_ANSWER = "[This turn was interrupted before there was an answer.]"
_LOST = "This call was interrupted; whether it took place is not known."


class Conversation:
    """What the model has seen and will see. Every addition is in the session's file first."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.messages: list[ModelMessage] = []
        for record in list(session.spoken):
            if isinstance(record, Asked):
                self._ask(record.prompt)
            elif isinstance(record, Shortened):
                self.messages = ModelMessagesTypeAdapter.validate_json(bytes(record.messages))
            else:
                for message in ModelMessagesTypeAdapter.validate_json(bytes(record.message)):
                    self._add(message)

    def ask(self, blocks: list[dict[str, Any]]) -> None:
        """A prompt. RpcError for a block that cannot be sent."""
        prompt_content(blocks)  # before anything is kept
        self._session.append(Asked(blocks))
        self._ask(blocks)

    def say(self, response: ModelResponse, cost_usd: float | None) -> None:
        """A model call ended."""
        self._session.append(Said(_raw(response), cost_usd))
        self._add(response)

    def break_off(self, response: ModelResponse) -> None:
        """A model call was cancelled: the text that came is kept, unfinished calls are not."""
        texts = [part for part in response.parts if isinstance(part, TextPart) and part.content]
        if texts:
            self.say(ModelResponse(texts, model_name=response.model_name), self._session.cost_usd)

    def give_back(self, call: ToolCallPart, done: Done, *, failed: bool = False) -> None:
        """A tool ended."""
        content: Any = done.text
        if done.image is not None:
            content = [done.text, BinaryContent(done.image[0], media_type=done.image[1])]
        part = ToolReturnPart(
            call.tool_name, content, call.tool_call_id, outcome="failed" if failed else "success"
        )
        request = ModelRequest([part])
        self._session.append(Returned(_raw(request)))
        self._add(request)

    def used(self) -> int:
        """How many tokens of the model's context it takes, as far as that is known."""
        return used_tokens(self.messages)

    def shorten(self, share: float) -> str:
        """Cut it to this share of its size, or as near as can be; what was left out, in words."""
        made = compact(self.messages, share)
        if made is None:
            return ""
        raw = ModelMessagesTypeAdapter.dump_json(made.messages)
        self._session.append(Shortened(msgspec.Raw(raw)))
        self.messages = made.messages
        return made.left_out

    def _ask(self, blocks: list[dict[str, Any]]) -> None:
        lost = [
            ToolReturnPart(call.tool_name, _LOST, call.tool_call_id, outcome="failed")
            for call in self._unanswered()
        ]
        last = self.messages[-1] if self.messages else None
        if last is not None and any(isinstance(part, UserPromptPart) for part in last.parts):
            self._add(ModelResponse([TextPart(_NO_ANSWER)]))
        self._add(ModelRequest([*lost, UserPromptPart(prompt_content(blocks))]))

    def _unanswered(self) -> list[ToolCallPart]:
        """The calls of the last answer that no result followed."""
        done: set[str] = set()
        for message in reversed(self.messages):
            if isinstance(message, ModelResponse):
                calls = [part for part in message.parts if isinstance(part, ToolCallPart)]
                return [call for call in calls if call.tool_call_id not in done]
            done |= {p.tool_call_id for p in message.parts if isinstance(p, ToolReturnPart)}
        return []

    def _add(self, message: ModelMessage) -> None:
        """Requests that follow each other become one: endpoints want the roles to alternate."""
        last = self.messages[-1] if self.messages else None
        if isinstance(message, ModelRequest) and isinstance(last, ModelRequest):
            parts: Sequence[ModelRequestPart] = [*last.parts, *message.parts]
            self.messages[-1] = ModelRequest(parts)
        else:
            self.messages.append(message)


def prompt_content(blocks: list[dict[str, Any]]) -> list[UserContent]:
    """A prompt's content blocks for the model. RpcError for one that it cannot be."""
    return [_content(block) for block in blocks] or [""]


def _content(block: dict[str, Any]) -> UserContent:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind == "image":
        return _image(block.get("data"), block.get("mimeType"))
    if kind == "resource_link":
        uri = str(block.get("uri"))
        where = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
        return f"[{block.get('name') or where}]({where})"
    if kind == "resource":
        inner = as_dict(block.get("resource"))
        uri, media = str(inner.get("uri")), str(inner.get("mimeType") or "")
        if isinstance(inner.get("text"), str):
            return f"<file uri={uri!r}>\n{inner['text']}\n</file>"
        if media.startswith("image/"):
            return _image(inner.get("blob"), media)
        raise RpcError(-32602, f"{uri} is neither text nor an image: it cannot be sent")
    raise RpcError(-32602, f"a prompt's block of type {kind!r} cannot be sent")


def _image(data: Any, media_type: Any) -> BinaryContent:
    try:
        found = base64.b64decode(str(data), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RpcError(-32602, f"an image's data is not base64: {error}") from error
    return BinaryContent(found, media_type=str(media_type or "image/png"))


def _raw(message: ModelMessage) -> msgspec.Raw:
    return msgspec.Raw(ModelMessagesTypeAdapter.dump_json([message]))
