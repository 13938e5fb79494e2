"""One model call: streamed to the client as it comes, tried again where that may help, counted.

The client learns by the notification `_paseo_nb/model_call` that a call began and how it ended, by
`_paseo_nb/model_request` what was sent (hashes and sizes, no content), and by `_paseo_nb/retry` of
a try that failed and is repeated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic_ai.direct import model_request_stream
from pydantic_ai.exceptions import ModelAPIError
from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage

from ..common.segments import since
from .endpoints import Endpoint
from .failures import explain, worth_another_try
from .segments import segments_of

RETRIES = 2
_LONGEST_WAIT_S = 20.0
_KINDS = {"text": "agent_message_chunk", "thinking": "agent_thought_chunk"}
# Who tells of cached and reasoning tokens always, so that their 0 is a number.
_TELLS_CACHE = frozenset({"responses", "anthropic", "google"})


class Listener(Protocol):
    """Who a call tells: the turn."""

    async def update(self, update: dict[str, Any], *, keep: bool = True) -> None:
        """A `session/update`; `keep`: for the replay."""
        ...

    def keep(self, update: dict[str, Any]) -> None:
        """For the replay, told already."""
        ...

    def extension(self, method: str, params: dict[str, Any]) -> None:
        """A notification of our own."""
        ...


class Broken(Exception):
    """A call was cancelled; what came of the answer until then."""

    def __init__(self, response: ModelResponse | None) -> None:
        super().__init__("cancelled")
        self.response = response


class Calls:
    """The calls of one turn, to one model. `usage` is their sum as ACP counts, None where no call
    told any."""

    def __init__(
        self, endpoint: Endpoint, model: Model[Any], settings: ModelSettings, listener: Listener
    ) -> None:
        self.endpoint = endpoint
        self.model = model
        self.settings = settings
        self.usage: dict[str, int] | None = None
        self.used: int | None = None
        self._listener = listener
        self._segments: list[dict[str, Any]] = []  # of the turn's last request

    async def call(
        self,
        messages: Sequence[ModelMessage],
        instructions: str,
        tools: list[ToolDefinition],
        message_id: str,
    ) -> ModelResponse:
        """The model's answer. RpcError says what went wrong; Broken where the task is cancelled."""
        parameters = ModelRequestParameters(
            function_tools=tools, instruction_parts=[InstructionPart(content=instructions)]
        )
        self._tell(messageId=message_id, modelAsked=self.endpoint.model)
        self._tell_segments(
            message_id, segments_of(self.endpoint.api, messages, instructions, tools)
        )
        for attempt in range(RETRIES + 1):
            stream = _Streamed(self._listener, message_id)
            try:
                response = await self._stream(messages, parameters, stream)
            except asyncio.CancelledError:
                self._tell(messageId=message_id, stopReason="cancelled")
                raise Broken(stream.so_far()) from None
            except Exception as error:
                problem = explain(error, self.endpoint)
                if attempt == RETRIES or stream.begun or not worth_another_try(error):
                    self._tell(messageId=message_id, stopReason="error", error=problem.wire())
                    raise problem from error
                wait_s = _wait_s(error, attempt)
                told = {"attempt": attempt + 1, "maxAttempts": RETRIES, "delaySeconds": wait_s}
                self._listener.extension("_paseo_nb/retry", {**told, "error": problem.wire()})
                await asyncio.sleep(wait_s)
            else:
                self._tell(
                    messageId=message_id,
                    model=response.model_name,
                    stopReason=response.finish_reason or "stop",
                    usage=self._count(response.usage),
                    costUsd=self.cost_usd(response),
                )
                return response
            finally:
                stream.end()
        raise AssertionError("unreachable")

    async def _stream(
        self,
        messages: Sequence[ModelMessage],
        parameters: ModelRequestParameters,
        streamed: _Streamed,
    ) -> ModelResponse:
        async with model_request_stream(
            self.model,
            messages,
            model_settings=self.settings,
            model_request_parameters=parameters,
            instrument=False,
        ) as stream:
            streamed.so_far = stream.get
            async for event in stream:
                if isinstance(event, PartStartEvent):
                    part = event.part
                    if isinstance(part, TextPart | ThinkingPart):
                        await streamed.piece(part.part_kind, part.content)
                elif isinstance(event, PartDeltaEvent):
                    delta = event.delta
                    if isinstance(delta, TextPartDelta):
                        await streamed.piece("text", delta.content_delta)
                    elif isinstance(delta, ThinkingPartDelta):
                        await streamed.piece("thinking", delta.content_delta or "")
            return stream.get()

    def _count(self, usage: RequestUsage) -> dict[str, int] | None:
        """A call's tokens as ACP's `Usage`: input without what came from or went to a cache."""
        if usage.unmeasured_requests or not (usage.input_tokens or usage.output_tokens):
            return None
        read, written = usage.cache_read_tokens, usage.cache_write_tokens
        counts = {
            "inputTokens": usage.input_tokens - read - written,
            "outputTokens": usage.output_tokens,
            "totalTokens": usage.input_tokens + usage.output_tokens,
        }
        known = self.endpoint.vendor or self.endpoint.service == "deepseek"
        always = known or self.endpoint.api in _TELLS_CACHE
        if read or always:
            counts["cachedReadTokens"] = read
        if written or self.endpoint.api == "anthropic":
            counts["cachedWriteTokens"] = written
        if usage.output_reasoning_tokens or always:
            counts["thoughtTokens"] = usage.output_reasoning_tokens
        self.used = counts["totalTokens"]
        total = self.usage or {}
        self.usage = {k: total.get(k, 0) + counts.get(k, 0) for k in {**total, **counts}}
        return counts

    def cost_usd(self, response: ModelResponse) -> float | None:
        """What a call cost by the library's price list; None for a model that is not on it."""
        if not self.endpoint.vendor:
            return None
        try:
            return float(response.cost().total_price)
        except (LookupError, ValueError, AssertionError):
            return None

    def _tell_segments(self, message_id: str, segments: list[dict[str, Any]]) -> None:
        told = since(self._segments, segments)
        self._listener.extension("_paseo_nb/model_request", {"messageId": message_id, **told})
        self._segments = segments

    def _tell(self, **call: Any) -> None:
        told = {name: value for name, value in call.items() if value is not None}
        self._listener.extension("_paseo_nb/model_call", told)


class _Streamed:
    """What one try has streamed, told in pieces and kept whole."""

    def __init__(self, listener: Listener, message_id: str) -> None:
        self.begun = False
        self.so_far: Any = lambda: None
        self._listener = listener
        self._message_id = message_id
        self._kind = ""
        self._text: list[str] = []

    async def piece(self, kind: str, text: str) -> None:
        """A piece of text or thought, if it is not empty."""
        if not text:
            return
        self.begun = True
        if kind != self._kind:
            self.end()
            self._kind = kind
        self._text.append(text)
        await self._listener.update(self._update(text), keep=False)

    def end(self) -> None:
        """The text that was told goes to the session's file, whole."""
        if self._text:
            self._listener.keep(self._update("".join(self._text)))
        self._text = []

    def _update(self, text: str) -> dict[str, Any]:
        suffix = "_t" if self._kind == "thinking" else ""
        return {
            "sessionUpdate": _KINDS[self._kind],
            "content": {"type": "text", "text": text},
            "messageId": self._message_id + suffix,
        }


def _wait_s(error: Exception, attempt: int) -> float:
    """How long to wait: what the endpoint asks for within reason, else half a second and more."""
    asked = error.retry_after if isinstance(error, ModelAPIError) else None
    wait_s = 0.5 * 2**attempt * random.uniform(0.8, 1.2) if asked is None else asked
    return round(min(wait_s, _LONGEST_WAIT_S), 3)
