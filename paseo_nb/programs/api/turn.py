"""A turn: the model is asked, its tools are run, it is asked again, until it needs no more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.tools import ToolDefinition

from ..common.errors import RpcError
from ..common.value import as_dict
from .calls import Broken, Calls
from .compacting import FULL, ROOM
from .conversation import Conversation, prompt_content
from .failures import failure
from .instructions import instructions
from .sessions import Session, Told
from .toolcalls import Cancelled, ToolCall
from .tools import TOOLS, Done, Tool, ToolFailed, schema

if TYPE_CHECKING:
    from ..common.wire import Wire
    from .mcp_servers import McpTool

_STOPS = {"length": "max_tokens", "content_filter": "refusal"}


class Turn:
    """One prompt and all that follows. `usage`: see `Calls`."""

    def __init__(
        self,
        wire: Wire,
        session: Session,
        conversation: Conversation,
        mcp: Mapping[str, McpTool],
        *,
        max_requests: int,
    ) -> None:
        self.session = session
        self.calls: Calls | None = None
        self._wire = wire
        self._conversation = conversation
        self._mcp = mcp
        self._max_requests = max_requests
        self._steered: list[list[dict[str, Any]]] = []

    # -- what calls and tools tell -------------------------------------------------------------

    def update_now(self, update: dict[str, Any], *, keep: bool = True) -> None:
        """Send a `session/update` without waiting for a slow reader."""
        if keep:
            self.keep(update)
        params = {"sessionId": self.session.id, "update": update}
        self._wire.send({"jsonrpc": "2.0", "method": "session/update", "params": params})

    async def update(self, update: dict[str, Any], *, keep: bool = True) -> None:
        """Send a `session/update`."""
        self.update_now(update, keep=keep)
        await self._wire.drain()

    def keep(self, update: dict[str, Any]) -> None:
        """For the replay."""
        self.session.append(Told(update))

    def extension(self, method: str, params: dict[str, Any]) -> None:
        """A notification of our own."""
        given = {"sessionId": self.session.id, **params}
        self._wire.send({"jsonrpc": "2.0", "method": method, "params": given})

    async def ask_client(self, method: str, params: dict[str, Any]) -> Any:
        """A request to the client. ClientError for an error answer."""
        return await self._wire.request(method, params)

    def steer(self, blocks: list[dict[str, Any]]) -> None:
        """A prompt into the running turn: the next model call has it. RpcError for a block that
        cannot be sent."""
        prompt_content(blocks)
        self._steered.append(blocks)

    def take_steered(self) -> None:
        """What was said meanwhile becomes part of the conversation."""
        for blocks in self._steered:
            self._conversation.ask(blocks)
        self._steered = []

    # -- the loop ------------------------------------------------------------------------------

    async def run(self, calls: Calls) -> str:
        """The turn's stop reason. RpcError for a model call that failed."""
        self.calls = calls
        definitions = self._definitions()
        prompt = await asyncio.to_thread(instructions, self.session.cwd, self.session.mode)
        for number in range(1, self._max_requests + 1):
            self.take_steered()
            message_id = f"msg_{self.session.turns}_{number}"
            self._make_room(calls)
            try:
                response = await self._call(calls, prompt, definitions, message_id)
            except Broken as broken:
                if broken.response is not None:
                    self._conversation.break_off(broken.response)
                raise asyncio.CancelledError from None
            self._count(calls, response)
            uses = [part for part in response.parts if isinstance(part, ToolCallPart)]
            if not uses and not self._steered:
                return _stop(response, number, calls.endpoint.model)
            for use in uses:
                try:
                    await self._use(use)
                except Cancelled:
                    return "cancelled"
        return "max_turn_requests"

    async def _call(
        self, calls: Calls, prompt: str, definitions: list[ToolDefinition], message_id: str
    ) -> ModelResponse:
        """A model call. Where the endpoint says that it is too much, with less of it: half, a
        quarter, as long as that leaves anything out."""
        while True:
            messages = self._conversation.messages
            try:
                return await calls.call(messages, prompt, definitions, message_id)
            except RpcError as error:
                if as_dict(error.data).get("cause") != "context_overflow":
                    raise
                left_out = self._conversation.shorten(ROOM)
                if not left_out:
                    raise
                self._tell_room(f"{calls.endpoint.model} said that it was too long", left_out)

    def _make_room(self, calls: Calls) -> None:
        """Before the model's window is full, where it is known."""
        used, window = self._conversation.used(), calls.model.context_window
        if window is not None and used > window * FULL:
            left_out = self._conversation.shorten(window * ROOM / used)
            if left_out:
                self._tell_room(f"{used:,} of {window:,} tokens were used", left_out)

    def _tell_room(self, why: str, left_out: str) -> None:
        said = f"The model no longer sees {left_out}, to make room in its context: {why}."
        self.extension("_paseo_nb/compaction", {"message": said})

    def _count(self, calls: Calls, response: ModelResponse) -> None:
        cost = calls.cost_usd(response)
        if cost is not None:
            cost += self.session.cost_usd or 0.0
        self._conversation.say(response, self.session.cost_usd if cost is None else cost)
        window = calls.model.context_window
        if calls.used is None or window is None:
            return
        update: dict[str, Any] = {"sessionUpdate": "usage_update", "used": calls.used}
        update["size"] = window
        if self.session.cost_usd is not None:
            update["cost"] = {"amount": round(self.session.cost_usd, 6), "currency": "USD"}
        self.update_now(update, keep=False)

    def _definitions(self) -> list[ToolDefinition]:
        own = [
            ToolDefinition(
                name=name,
                parameters_json_schema=schema(tool),
                description=" ".join((tool.__doc__ or "").split()),
                strict=False,
            )
            for name, tool in TOOLS.items()
        ]
        return own + [
            ToolDefinition(
                name=name,
                parameters_json_schema=tool.schema,
                description=tool.description,
                strict=False,
            )
            for name, tool in self._mcp.items()
        ]

    async def _use(self, use: ToolCallPart) -> None:
        """Run a tool and give back what it gives, or why it failed: the model decides what then."""
        failed = True
        try:
            tool, raw = self._tool(use)
            done = await ToolCall(self, tool, raw).perform()
            failed = False
        except ToolFailed as error:
            done = Done(str(error))
        except (asyncio.CancelledError, Cancelled):
            self._conversation.give_back(use, Done("The user cancelled this call."), failed=True)
            raise
        self._conversation.give_back(use, done, failed=failed)

    def _tool(self, use: ToolCallPart) -> tuple[Tool, Any]:
        """The call with its arguments as a value. ToolFailed where they do not fit."""
        given: Any = use.args or {}
        if isinstance(given, str):
            with contextlib.suppress(msgspec.DecodeError):
                given = msgspec.json.decode(given or "{}")
        if not isinstance(given, dict):
            raise ToolFailed(f"The arguments of {use.tool_name} are not a JSON object.")
        arguments = as_dict(given)
        if use.tool_name in self._mcp:
            return self._mcp[use.tool_name].call(arguments), arguments
        if use.tool_name not in TOOLS:
            names = ", ".join([*TOOLS, *self._mcp])
            raise ToolFailed(f"There is no tool {use.tool_name!r}. There are: {names}.")
        try:
            return msgspec.convert(arguments, TOOLS[use.tool_name], strict=False), arguments
        except msgspec.ValidationError as error:
            raise ToolFailed(f"The arguments of {use.tool_name} do not fit: {error}") from error


def _stop(response: ModelResponse, number: int, model: str) -> str:
    """Why a turn ended. RpcError for an answer that is none."""
    reason = response.finish_reason
    if reason == "error":
        details = response.provider_details or {}
        raise failure("bad_answer", f"{model} could not answer: {details or 'no reason given'}")
    said = any(isinstance(part, TextPart) and part.content.strip() for part in response.parts)
    if number == 1 and not said and reason not in _STOPS:
        raise failure("bad_answer", f"{model} gave an empty answer (finish reason: {reason})")
    return _STOPS.get(reason or "", "end_turn")
