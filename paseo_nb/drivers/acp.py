"""Speaking ACP (Agent Client Protocol, version 1) with one agent: the acting half.

Liberal in what it takes: unknown updates are kept in the journal, unknown requests are answered
with "method not found", answers to requests that we never made are passed over, and an agent that
says "cancelled" although nobody cancelled has failed. The reading half is `acp_reading`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Coroutine
from typing import Any

from .. import __version__
from ..model import Problem
from .acp_fitting import check_offered, find_option, fit, option_values, our_id
from .acp_reading import PRESENT, Json, as_dict, as_list, as_str, problem_of
from .acp_services import RequestError, Services
from .seat import AgentProblem, Seat, TurnResult
from .transport import Envelope, decode, envelope, envelope_of_blob, text_of

PROTOCOL = 1
OUTCOMES = {
    "end_turn": "end_turn",
    "cancelled": "cancelled",
    "refusal": "refused",
    "max_tokens": "limit",
    "max_turn_requests": "limit",
}
GONE = -32603, "the agent's process is gone"
_TEXT = ("params", "update", "content", "text")
QUIET = {
    f"{prefix}{kind}": _TEXT
    for kind in ("agent_message_chunk", "agent_thought_chunk", "user_message_chunk")
    for prefix in ("", "replay/")
}
AUTH_REQUIRED, METHOD_NOT_FOUND, INVALID_PARAMS = -32000, -32601, -32602


class AcpDialect:
    """One ACP connection. Everything that arrives is already in the journal."""

    quiet = QUIET
    takes_schema = False
    sight = staticmethod(envelope)
    sight_of_blob = staticmethod(envelope_of_blob)
    text_of = staticmethod(text_of)

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.start_s = seat.spec.limits.start_s
        self.session_id: str | None = None
        self.capabilities: Json = {}
        self._auth_methods: list[Any] = []
        self.modes: Json = {}
        self.models: Json = {}
        self.config_options: list[Any] = []
        self._next_id = 0
        self._waiting: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._replaying = False
        self._tool_calls: dict[str, list[bytes | Json]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._cancel_asked = False
        self._closed = False
        self._services = Services(seat)

    def argv(self, session_id: str | None) -> list[str]:
        """See `seat.Dialect.argv`: ACP chooses a session by a message."""
        return self.seat.spec.command

    # ------------------------------------------------------------ what arrives

    def kind_of(self, message: Envelope, line: bytes) -> str:
        """See `seat.Dialect.kind_of`: the method, or `METHOD:result` / `METHOD:error`."""
        if message.method == "session/update" and message.params and message.params.update:
            kind = message.params.update.sessionUpdate
            return f"replay/{kind}" if self._replaying and kind not in PRESENT else kind
        if message.method is not None:
            return message.method[:120]
        method, _ = self._waiting.get(our_id(message.id), ("unasked", None))
        failed = bytes(message.error) != b"null"
        if method == "session/load":
            self._replaying = False
        return f"{method}:{'error' if failed else 'result'}"

    def handle(self, kind: str, message: Envelope, line: bytes | None, seq: int) -> None:
        """See `seat.Dialect.handle`."""
        if line is None:
            if message.method is not None and message.id is not None:
                self._reply_error(message.id, -32600, "the message is too long to be handled")
            elif message.method is None:
                self._settle(message.id, None, {"message": "the answer is too long", "code": 0})
            return
        if message.method == "session/update":
            self._note_update(kind, message, line)
            if message.id is not None:  # an agent that wants its updates acknowledged
                self._reply(message.id, {}, message.method)
            return
        data = as_dict(decode(line))
        params = as_dict(data.get("params"))
        if message.method is not None and message.id is not None:
            self._request(message.id, message.method, params, seq)
        elif message.method is None:
            self._settle(message.id, data.get("result"), data.get("error"))

    def _note_update(self, kind: str, message: Envelope, line: bytes) -> None:
        if kind in ("tool_call", "tool_call_update"):
            update = message.params.update if message.params is not None else None
            if update is not None and update.toolCallId is not None:
                self._note_call(update.toolCallId, update.status, line)
        elif kind == "usage_update":
            cost = as_dict(_update_in(line).get("cost"))
            amount = cost.get("amount")
            if isinstance(amount, (int, float)) and cost.get("currency", "USD") == "USD":
                self.seat.metered(float(amount), None)
        elif kind == "config_option_update":
            options = as_list(_update_in(line).get("configOptions"))
            self.config_options = options or self.config_options

    def _note_call(self, call_id: str, status: str | None, line: bytes) -> None:
        """Keep what a permission request may leave out; most calls never ask, so it is read only
        when one does."""
        if status in ("completed", "failed"):
            self._tool_calls.pop(call_id, None)
            return
        told = self._tool_calls.setdefault(call_id, [])
        told.append(line)
        if len(told) > 8:
            told[:] = [_told(told)]

    def _settle(self, ident: Any, result: Any, error: Any) -> None:
        _, future = self._waiting.pop(our_id(ident), ("", None))
        if future is not None and not future.done():
            if error is not None:
                future.set_exception(RequestError.of(error))
            else:
                future.set_result(as_dict(result))

    def _request(self, ident: Any, method: str, params: Json, seq: int) -> None:
        if method == "session/request_permission":
            self._own(ident, self._permission(ident, params, seq))
        elif self._services.knows(method):
            self._own(ident, self._serve(ident, method, params))
        else:
            self._reply_error(ident, METHOD_NOT_FOUND, f"paseo_nb does not offer {method}")

    def _own(self, ident: Any, work: Coroutine[Any, Any, None]) -> None:
        async def answer() -> None:
            try:
                await work
            except Exception as error:  # a mistake of ours: the agent must not wait for ever
                traceback.print_exc()
                self._reply_error(ident, -32603, f"paseo_nb made a mistake: {error!r}")

        task = asyncio.get_running_loop().create_task(answer())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _permission(self, ident: Any, params: Json, seq: int) -> None:
        asked = as_dict(params.get("toolCall"))
        call_id = as_str(asked.get("toolCallId"))
        tool_call = _told([*self._tool_calls.get(call_id or "", ()), asked])
        answer = await self.seat.permission(seq, tool_call, as_list(params.get("options")))
        outcome: Json = {"outcome": "cancelled"}
        if answer.option_id is not None:
            outcome = {"outcome": "selected", "optionId": answer.option_id}
        self._reply(ident, {"outcome": outcome}, "session/request_permission")

    async def _serve(self, ident: Any, method: str, params: Json) -> None:
        try:
            result = await self._services.serve(method, params)
        except RequestError as error:
            self._reply_error(ident, error.code, str(error), error.data)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            self._reply_error(ident, -32603, f"{method} failed: {error}")
        else:
            self._reply(ident, result, method)

    def _reply(self, ident: Any, result: Json, method: str) -> None:
        if not self._closed:
            message = {"jsonrpc": "2.0", "id": ident, "result": result}
            self.seat.write(f"{method}:result", message)

    def _reply_error(self, ident: Any, code: int, message: str, data: Any = None) -> None:
        if not self._closed:
            error: Json = {"code": code, "message": message}
            if data is not None:
                error["data"] = data
            self.seat.write("error", {"jsonrpc": "2.0", "id": ident, "error": error})

    # ------------------------------------------------------------ what we ask

    async def request(self, method: str, params: Json, timeout_s: float | None = None) -> Json:
        """Ask the agent; its result. RequestError, or TimeoutError after `timeout_s`."""
        if self._closed:
            raise RequestError(*GONE)
        ident = self._next_id
        self._next_id += 1
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = (method, future)
        self.seat.write(method, {"jsonrpc": "2.0", "id": ident, "method": method, "params": params})
        async with asyncio.timeout(timeout_s):
            return await future

    def notify(self, method: str, params: Json) -> None:
        """Tell the agent something."""
        self.seat.write(method, {"jsonrpc": "2.0", "method": method, "params": params})

    async def connect(self, session_id: str | None) -> None:
        """See `seat.Dialect.connect`."""
        try:
            await self._initialize()
            await self._open_session(session_id)
        except TimeoutError:
            raise AgentProblem(
                Problem("start_timeout", f"the agent did not get ready in {self.start_s:g} s")
            ) from None
        except RequestError as error:
            raise AgentProblem(self._explain(error)) from error
        spec = self.seat.spec
        for what, value in (
            ("model", spec.model if spec.model_by == "session" else None),
            ("agent_mode", spec.agent_mode),
            ("effort", spec.effort),
        ):
            if value:
                await self._choose_again(what, value, session_id)

    async def _choose_again(self, what: str, value: str, session_id: str | None) -> None:
        """A choice of the run's spec. What a session of ours cannot take any more (a model that
        is gone from its list) must not keep it from being resumed."""
        try:
            await self.set_option(what, value)
        except AgentProblem as error:
            if session_id is None or session_id == self.seat.spec.load_session_id or self._closed:
                raise
            self.seat.own("warning", message=f"{error} (it goes on with what the session has)")

    async def _initialize(self) -> None:
        told = await self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL,
                "clientCapabilities": {
                    "fs": {"readTextFile": True, "writeTextFile": True},
                    "terminal": True,
                },
                "clientInfo": {"name": "paseo_nb", "version": __version__},
            },
            self.start_s,
        )
        if told.get("protocolVersion", PROTOCOL) not in (PROTOCOL, str(PROTOCOL)):
            raise AgentProblem(
                Problem(
                    "protocol",
                    f"the agent speaks ACP version {told.get('protocolVersion')}, we speak"
                    f" {PROTOCOL}",
                    "Install a version of the agent that speaks it.",
                )
            )
        self.capabilities = as_dict(told.get("agentCapabilities"))
        self._auth_methods = as_list(told.get("authMethods"))
        if self.seat.spec.auth_method:
            await self.request(
                "authenticate", {"methodId": self.seat.spec.auth_method}, self.start_s
            )

    async def _open_session(self, session_id: str | None) -> None:
        spec = self.seat.spec
        where: Json = {"cwd": spec.cwd, "mcpServers": spec.mcp}
        if session_id is None:
            result = await self.request("session/new", where, self.start_s)
            session_id = as_str(result.get("sessionId"))
            if not session_id:
                raise AgentProblem(Problem("session", "the agent gave its session no id"))
        else:
            result = await self._return_to(session_id, where)
        self.session_id = session_id
        self.modes = as_dict(result.get("modes"))
        self.models = as_dict(result.get("models"))
        self.config_options = as_list(result.get("configOptions"))

    async def _return_to(self, session_id: str, where: Json) -> Json:
        """Go on with a session: `resume` (no replay) where the agent has it, else `load`."""
        params: Json = {"sessionId": session_id, **where}
        offered = as_dict(self.capabilities.get("sessionCapabilities"))
        if offered.get("resume") not in (None, False):
            try:
                return await self.request("session/resume", params, self.start_s)
            except RequestError as error:
                if not self.capabilities.get("loadSession"):
                    raise
                self.seat.own("warning", message=f"session/resume failed ({error}); loading it")
        elif not self.capabilities.get("loadSession"):
            raise AgentProblem(
                Problem(
                    "no_resume",
                    "this agent cannot return to an earlier session",
                    "Start a new run; the transcript of this one is kept.",
                )
            )
        self._replaying = True
        try:
            return await self.request("session/load", params, self.start_s)
        finally:
            self._replaying = False

    def _explain(self, error: RequestError) -> Problem:
        problem = problem_of({"code": error.code, "message": str(error), "data": error.data})
        if error.code == AUTH_REQUIRED:
            ways = ", ".join(
                str(as_dict(way).get("name") or as_dict(way).get("id"))
                for way in self._auth_methods
            )
            problem.hint = (
                f"Sign in to {self.seat.spec.provider} in a terminal, then try again."
                + (f" It offers: {ways}." if ways else "")
            )
        return problem

    async def prompt(self, blocks: list[Json]) -> TurnResult:
        """See `seat.Dialect.prompt`."""
        self._tool_calls.clear()
        self._cancel_asked = self._services.cancelled = False
        try:
            fitting = fit(blocks, as_dict(self.capabilities.get("promptCapabilities")))
        except AgentProblem as error:
            return TurnResult("error", None, error.problem)
        try:
            result = await self.request(
                "session/prompt", {"sessionId": self.session_id, "prompt": fitting}
            )
        except RequestError as error:
            if self._cancel_asked:
                return TurnResult("cancelled", None)
            return TurnResult("error", None, self._explain(error))
        reason = as_str(result.get("stopReason")) or "end_turn"
        if reason == "cancelled" and not self._cancel_asked:
            problem = Problem(
                "agent_cancelled",
                "the agent ended the turn as cancelled, though nobody cancelled it",
                "Send the prompt again; some agents do so when they lose part of their own output.",
            )
            return TurnResult("error", reason, problem)
        return TurnResult(OUTCOMES.get(reason, "end_turn"), reason)  # pyright: ignore

    async def steer(self, blocks: list[Json]) -> bool:
        """See `seat.Dialect.steer`: plain ACP has no word for it."""
        return False

    def cancel(self) -> None:
        """See `seat.Dialect.cancel`."""
        self._cancel_asked = self._services.cancelled = True
        if self.session_id is not None:
            self.notify("session/cancel", {"sessionId": self.session_id})
        self._services.end_terminals()

    async def set_option(self, what: str, value: str) -> None:
        """See `seat.Dialect.set_option`: by config option, else by the older methods."""
        option = find_option(what, self.config_options)
        if option is not None:
            params: Json = {"configId": option.get("id"), "value": value}
            if option.get("type") == "boolean":
                params.update(type="boolean", value=value.lower() in ("true", "on", "yes", "1"))
            else:
                check_offered(what, value, option_values(as_list(option.get("options"))))
            result = await self._choose("session/set_config_option", params)
            self.config_options = as_list(result.get("configOptions")) or self.config_options
        elif what == "agent_mode" and self.modes:
            modes = [as_dict(m) for m in as_list(self.modes.get("availableModes"))]
            check_offered(what, value, [str(m.get("id")) for m in modes])
            await self._choose("session/set_mode", {"modeId": value})
        elif what == "model" and self.models:
            models = [as_dict(m) for m in as_list(self.models.get("availableModels"))]
            check_offered(what, value, [str(m.get("modelId")) for m in models])
            await self._choose("session/set_model", {"modelId": value})
        else:
            raise AgentProblem(
                Problem(
                    f"no_{what}",
                    f"{self.seat.spec.provider} offers no choice of {what.replace('_', ' ')}",
                    f"Leave out {what}={value!r}.",
                )
            )
        self.seat.own("option", what=what, value=value)

    async def _choose(self, method: str, params: Json) -> Json:
        try:
            return await self.request(method, {"sessionId": self.session_id, **params}, 60.0)
        except RequestError as error:
            raise AgentProblem(self._explain(error)) from error
        except TimeoutError:
            raise AgentProblem(Problem("timeout", f"no answer to {method} in 60 s")) from None

    def close(self) -> None:
        """See `seat.Dialect.close`."""
        self._closed = True
        self._services.end_terminals()
        for task in list(self._tasks):
            task.cancel()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(RequestError(*GONE))
                future.exception()  # whoever asked may be gone too: that is no news
        self._waiting.clear()


def _update_in(line: bytes) -> Json:
    """The update of a `session/update` line."""
    return as_dict(as_dict(as_dict(decode(line)).get("params")).get("update"))


def _told(parts: list[bytes | Json]) -> Json:
    """What several updates of one call tell together: the later ones where they say something."""
    known: Json = {}
    for part in parts:
        update = _update_in(part) if isinstance(part, bytes) else part
        known.update({k: v for k, v in update.items() if v not in (None, [], {})})
    return known
