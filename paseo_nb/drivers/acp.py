"""Speaking ACP (Agent Client Protocol, version 1) with one agent: the acting half.

Liberal in what it takes: unknown updates are kept in the journal, unknown requests are answered
with "method not found", answers to requests that we never made are passed over, and an agent that
says "cancelled" although nobody cancelled has failed. The reading half is `acp_reading`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .. import __version__
from ..model import Problem
from .acp_choosing import Offer
from .acp_ending import Ending, explained
from .acp_fitting import check_mcp, fit, note_unreachable, taken
from .acp_reading import (
    MODEL_CALL,
    PRESENT,
    RETRY,
    SUMMARY,
    Json,
    as_dict,
    as_list,
    as_str,
    content_text,
    model_call,
)
from .acp_services import Services
from .acp_updates import told_together, update_in
from .differing import differences_of
from .forking import OURS, acp_session
from .holding import not_held
from .jsonrpc import METHOD_NOT_FOUND, Calls, RequestError
from .seat import AgentProblem, Seat, TurnResult, compare_versions
from .transport import Envelope, decode, envelope, envelope_of_blob, text_of

PROTOCOL = 1
_TEXT = ("params", "update", "content", "text")
QUIET = {
    f"{prefix}{kind}": _TEXT
    for kind in ("agent_message_chunk", "agent_thought_chunk", "user_message_chunk", SUMMARY)
    for prefix in ("", "replay/")
}


class AcpDialect(Calls):
    """One ACP connection. Everything that arrives is already in the journal."""

    quiet, retries = QUIET, frozenset({"retry"})
    takes_schema = takes_input = takes_reasons = False
    sight = staticmethod(envelope)
    sight_of_blob = staticmethod(envelope_of_blob)
    text_of = staticmethod(text_of)

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat.write, {"jsonrpc": "2.0"})
        self.seat = seat
        self.start_s = seat.spec.limits.start_s
        self.session_id: str | None = None
        self.capabilities, self._takes = Json(), Json()
        self._ours: Json = {}  # what an agent of our own can beyond ACP
        self._auth_methods: list[Any] = []
        self.offer = Offer()
        self._replaying, self._heard = False, 0.0
        self._tool_calls: dict[str, list[bytes | Json]] = {}
        self._cancel_asked = self.forked = False
        self._last_chunk: bytes | None = None
        self._looked_up: tuple[str, bool] = ("", False)
        self._looking: asyncio.Future[None] | None = None
        self._services, self.differences = Services(seat), differences_of(seat.spec.at_heart)
        self.ending = Ending(seat, self.differences)

    def argv(self, session_id: str | None) -> list[str]:
        """See `seat.Dialect.argv`: ACP chooses a session by a message."""
        if session_id is not None and self.differences.mend_session is not None:
            self.differences.mend_session(session_id, self.seat.environment)
        return self.seat.spec.command

    # ------------------------------------------------------------ what arrives

    def kind_of(self, message: Envelope, line: bytes) -> str:
        """See `seat.Dialect.kind_of`: the method, or `METHOD:result` / `METHOD:error`."""
        if message.method == "session/update" and message.params and message.params.update:
            kind = message.params.update.sessionUpdate
            if self._replaying:
                self._heard = asyncio.get_running_loop().time()
            elif kind == "agent_message_chunk" and self.differences.failure is not None:
                self._last_chunk = line
            if kind == "agent_message_chunk" and self._summarises(message.params.update.messageId):
                kind = SUMMARY
            return f"replay/{kind}" if self._replaying and kind not in PRESENT else kind
        if message.method is not None:
            return "retry" if message.method == RETRY else message.method[:120]
        method = self.asked(message.id)
        failed = bytes(message.error) != b"null"
        if method == "session/load" and not self.differences.replays_on_s:
            self._replaying = False
        return f"{method}:{'error' if failed else 'result'}"

    def _summarises(self, message_id: str | None) -> bool:
        """Whether a message is what the agent keeps of a context it shortens. Looked up once."""
        summary, (known, yes) = self.differences.summary, self._looked_up
        if summary is not None and message_id is not None and known != message_id:
            self._looked_up = known, yes = message_id, summary(message_id, self.seat.environment)
        return yes and known == message_id

    def handle(self, kind: str, message: Envelope, line: bytes | None, seq: int) -> None:
        """See `seat.Dialect.handle`."""
        if line is None:
            if message.method is not None and message.id is not None:
                self.reply_error(message.id, -32600, "the message is too long to be handled")
            elif message.method is None:
                self.settle(message.id, None, {"message": "the answer is too long", "code": 0})
            return
        if kind == MODEL_CALL:
            told = model_call(as_dict(as_dict(decode(line)).get("params")))
            self.ending.call_ended(told["usage"], told["model"])
            return
        if message.method == "session/update":
            self._note_update(kind, message, line)
            if message.id is not None:  # an agent that wants its updates acknowledged
                self.reply(message.id, {}, message.method)
            return
        data = as_dict(decode(line))
        params = as_dict(data.get("params"))
        if message.method is not None and message.id is not None:
            self._request(message.id, message.method, params, seq)
        elif message.method is None:
            self.settle(message.id, data.get("result"), data.get("error"))

    def _note_update(self, kind: str, message: Envelope, line: bytes) -> None:
        if kind in ("tool_call", "tool_call_update"):
            update = message.params.update if message.params is not None else None
            if update is not None and update.toolCallId is not None:
                self._note_call(update.toolCallId, update.status, line)
        elif kind == "usage_update":
            cost = as_dict(update_in(line).get("cost"))
            amount = cost.get("amount")
            if isinstance(amount, (int, float)) and cost.get("currency", "USD") == "USD":
                self.seat.metered(float(amount), None)
        elif kind == "config_option_update":
            options = as_list(update_in(line).get("configOptions"))
            self.offer.options = options or self.offer.options
        elif kind == "current_mode_update":
            self.offer.modes["currentModeId"] = update_in(line).get("currentModeId")

    def _note_call(self, call_id: str, status: str | None, line: bytes) -> None:
        """Keep what a permission request may leave out; most calls never ask, so it is read only
        when one does."""
        if status in ("completed", "failed"):
            self._tool_calls.pop(call_id, None)
            return
        told = self._tool_calls.setdefault(call_id, [])
        told.append(line)
        if len(told) > 8:
            told[:] = [told_together(told)]

    def _request(self, ident: Any, method: str, params: Json, seq: int) -> None:
        if method == "session/request_permission":
            self.answer_with(ident, self._permission(ident, params, seq))
        elif self._services.knows(method):
            self.answer_with(ident, self._serve(ident, method, params))
        else:
            self.reply_error(ident, METHOD_NOT_FOUND, f"paseo_nb does not offer {method}")

    async def _permission(self, ident: Any, params: Json, seq: int) -> None:
        asked = as_dict(params.get("toolCall"))
        call_id = as_str(asked.get("toolCallId"))
        tool_call = told_together([*self._tool_calls.get(call_id or "", ()), asked])
        command = self.differences.command
        if command and tool_call.get("kind") == "execute" and not tool_call.get("rawInput"):
            tool_call["rawInput"] = {"command": command(tool_call)}
        answer = await self.seat.permission(seq, tool_call, as_list(params.get("options")))
        outcome: Json = {"outcome": "cancelled"}
        if answer.option_id is not None:
            outcome = {"outcome": "selected", "optionId": answer.option_id}
        self.reply(ident, {"outcome": outcome}, "session/request_permission")

    async def _serve(self, ident: Any, method: str, params: Json) -> None:
        try:
            result = await self._services.serve(method, params)
        except RequestError as error:
            self.reply_error(ident, error.code, str(error), error.data)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            self.reply_error(ident, -32603, f"{method} failed: {error}")
        else:
            self.reply(ident, result, method)

    # ------------------------------------------------------------ what we ask

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
            raise AgentProblem(
                explained(error, self.seat.spec.provider, self._auth_methods)
            ) from error
        spec = self.seat.spec
        for what, value in (
            ("model", spec.model if spec.model_by == "session" else None),
            ("agent_mode", spec.agent_mode),
            ("effort", spec.effort),
        ):
            if value:
                await self._choose_again(what, value, session_id)
        if spec.model_by == "argv":
            self.ending.compare_models(spec.model, self.offer.current("model"))

    async def _choose_again(self, what: str, value: str, session_id: str | None) -> None:
        """A choice of the run's spec. What a session of ours cannot take any more (a model that
        is gone from its list) must not keep it from being resumed."""
        try:
            await self.set_option(what, value)
        except AgentProblem as error:
            if session_id is None or session_id == self.seat.spec.load_session_id or self.closed:
                raise
            self.seat.own("warning", message=f"{error} (it goes on with what the session has)")

    async def _initialize(self) -> None:
        files = self.differences.offer_files
        told = await self.request(
            "initialize",
            {
                "protocolVersion": PROTOCOL,
                "clientCapabilities": {
                    "fs": {"readTextFile": files, "writeTextFile": files},
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
        compare_versions(self.seat, as_str(as_dict(told.get("agentInfo")).get("version")))
        self.capabilities = as_dict(told.get("agentCapabilities"))
        self._ours = as_dict(as_dict(self.capabilities.get("_meta")).get(OURS))
        self._takes = taken(self.capabilities, self.differences.embeds)
        self._auth_methods = as_list(told.get("authMethods"))
        if self.seat.spec.auth_method:
            await self.request(
                "authenticate", {"methodId": self.seat.spec.auth_method}, self.start_s
            )

    async def _open_session(self, session_id: str | None) -> None:
        spec = self.seat.spec
        check_mcp(spec.mcp, as_dict(self.capabilities.get("mcpCapabilities")))
        where: Json = {"cwd": spec.cwd, "mcpServers": spec.mcp}
        if self.differences.aside_mcp is None and not self._ours.get("tells_mcp"):
            self._looking = asyncio.ensure_future(note_unreachable(self.seat))
        if session_id is None:
            result = await acp_session(self, where)
            session_id = as_str(result.get("sessionId"))
            if not session_id:
                raise AgentProblem(Problem("session", "the agent gave its session no id"))
        else:
            result = await self._return_to(session_id, where)
        self.session_id = session_id
        self.offer = Offer(
            as_dict(result.get("modes")),
            as_dict(result.get("models")),
            as_list(result.get("configOptions")),
        )

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
            result = await self.request("session/load", params, self.start_s)
            await self._replayed(session_id)
            return result
        finally:
            self._replaying = False

    async def _replayed(self, session_id: str) -> None:
        """Wait for an agent that replays on after its answer, until it has been quiet."""
        quiet_s, clock = self.differences.replays_on_s, asyncio.get_running_loop().time
        self._heard = clock()
        while quiet_s and clock() - self._heard < quiet_s:
            await asyncio.sleep(quiet_s / 3)
        if self.differences.mend_session is not None:
            self.differences.mend_session(session_id, self.seat.environment)

    async def prompt(self, blocks: list[Json]) -> TurnResult:
        """See `seat.Dialect.prompt`."""
        self._tool_calls.clear()
        self._cancel_asked = self._services.cancelled = False
        self._last_chunk = None
        try:
            fitting = fit(blocks, self._takes)
            await self._hold()
        except AgentProblem as error:
            return TurnResult("error", None, error.problem)
        session = self.session_id
        self.ending.begin(session)
        try:
            result = await self.request("session/prompt", {"sessionId": session, "prompt": fitting})
        except RequestError as error:
            if self._cancel_asked:
                return TurnResult("cancelled", None)
            return TurnResult(
                "error", None, explained(error, self.seat.spec.provider, self._auth_methods)
            )
        text = content_text(update_in(self._last_chunk or b"").get("content"))
        return await self.ending.judge(result, session, text, self._cancel_asked)

    async def _hold(self) -> None:
        """Leave an agent mode in which it acts unasked where the run's policy forbids anything."""
        spec, mode, modes = (
            self.seat.spec,
            self.offer.current("agent_mode"),
            self.seat.spec.asking_modes,
        )
        if not not_held(spec.provider, None, modes, self.seat.mode, spec.rules, mode):
            return
        instead = self.offer.asking(modes or (), spec.provider)
        said = f"{spec.provider} acts unasked in its agent mode {mode!r}: it works in {instead!r}"
        self.seat.own("warning", message=said)
        await self.set_option("agent_mode", instead)

    async def steer(self, blocks: list[Json]) -> bool:
        """See `seat.Dialect.steer`: plain ACP has no word for it, our own agent has one."""
        if not self._ours.get("steer"):
            return False
        try:
            fitting = fit(blocks, self._takes)
            told = {"sessionId": self.session_id, "prompt": fitting}
            return bool((await self.request("_paseo_nb/steer", told)).get("taken"))
        except (RequestError, AgentProblem):
            return False

    def cancel(self) -> None:
        """See `seat.Dialect.cancel`."""
        self._cancel_asked = self._services.cancelled = True
        if self.session_id is not None:
            self.notify("session/cancel", {"sessionId": self.session_id})
        self._services.end_terminals()

    async def set_option(self, what: str, value: str) -> None:
        """See `seat.Dialect.set_option`: by config option, else by the older methods."""
        heart, provider = self.differences, self.seat.spec.provider
        choice = self.offer.choose(what, value, provider, heart.effort_as_modes)
        result = await self._choose(choice.method, choice.params)
        options = as_list(result.get("configOptions"))
        self.offer.options = options or self.offer.options
        if choice.method == "session/set_mode":
            self.offer.modes["currentModeId"] = choice.value
        asked = {} if choice.value == value else {"asked": value}
        self.seat.own("option", what=what, value=choice.value, **asked)
        if what == "model" and options:
            self.ending.compare_models(choice.value, self.offer.current("model"))

    async def _choose(self, method: str, params: Json) -> Json:
        try:
            return await self.request(method, {"sessionId": self.session_id, **params}, 60.0)
        except RequestError as error:
            raise AgentProblem(
                explained(error, self.seat.spec.provider, self._auth_methods)
            ) from error
        except TimeoutError:
            raise AgentProblem(Problem("timeout", f"no answer to {method} in 60 s")) from None

    def close(self) -> None:
        """See `seat.Dialect.close`."""
        self._services.end_terminals()
        if self._looking is not None:
            self._looking.cancel()
        self.shut()
