"""Speaking Codex's own protocol (`codex app-server`, JSON-RPC lines): the acting half.

A turn is `turn/start`, answered at once, and ends with `turn/completed`. Whatever Codex is asked
under `approvalPolicy: untrusted` comes to our policy: see `codex` for what each mode means to it.
Unknown notifications are kept in the journal, unknown requests answered with "method not found".
The reading half is `codex_reading`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from .. import __version__
from ..model import Problem, Usage
from .acp_fitting import fit
from .acp_reading import Json, as_dict, as_list, as_str, minus
from .codex_asking import ASKING, QUESTION, answer_for, asked_for, options_for
from .codex_items import (
    LIMITING,
    REFUSING,
    came_with_turn,
    error_info,
    request_problem,
    tool_call,
    turn_problem,
    usage_of,
)
from .codex_lines import QUIET, SUBAGENT, Envelope, Params, notice_kind, sight, sight_of_blob
from .codex_settings import Access, Models, input_items, mcp_servers, version_of
from .codex_strict import strict
from .forking import codex_thread
from .jsonrpc import INVALID_REQUEST, METHOD_NOT_FOUND, Calls, RequestError
from .names import same_name
from .seat import AgentProblem, Seat, TurnResult, compare_versions
from .transport import decode

LISTED_S, ENDED_S = 5.0, 3.0


class CodexDialect(Calls):
    """One app-server connection, with one thread."""

    quiet, retries = QUIET, frozenset({"retry"})
    takes_reasons = True
    takes_input = False
    sight = staticmethod(sight)
    sight_of_blob = staticmethod(sight_of_blob)

    def __init__(self, seat: Seat) -> None:
        super().__init__(seat.write, {})  # on this wire "jsonrpc" is left out
        self.seat = seat
        self.start_s = seat.spec.limits.start_s
        self.session_id: str | None = None
        self.access = Access(seat.spec.agent_mode)
        self._model, self._effort = seat.spec.model, seat.spec.effort
        self._schema = None if seat.spec.schema is None else strict(seat.spec.schema)
        self.takes_schema = seat.spec.schema is None or self._schema is not None
        self._changed: Json = {}  # what the next turn is to be started with
        self.models = Models(self.request, self.start_s)
        self._turn_id: str | None = None
        self._ended: asyncio.Future[Json] | None = None
        self._items: dict[str, Json] = {}  # tool calls of the turn, as they were last told
        self._bystanders: set[int] = set()
        self._earlier: set[str] = set()  # commands that earlier turns left running
        self._failure: Json | None = None
        self._servers = {str(server.get("name")) for server in seat.spec.mcp}  # that start yet
        self._serving = asyncio.Event()
        self._cancel_asked = self._denied_all = self._interrupting = self.forked = False
        self._used: dict[str, Usage] = {}  # by thread

    def argv(self, session_id: str | None) -> list[str]:
        """See `seat.Dialect.argv`: a thread is chosen by a message."""
        return self.seat.spec.command

    # ------------------------------------------------------------ what arrives

    @staticmethod
    def text_of(message: Envelope) -> str | None:
        """See `seat.Dialect.text_of`."""
        return message.params.delta if message.params is not None else None

    def kind_of(self, message: Envelope, line: bytes) -> str:
        """See `seat.Dialect.kind_of`: ACP's word where there is one, else the method, or
        `METHOD:result` / `METHOD:error`."""
        method, params = message.method, message.params or Params()
        if method is None:
            return self._kind_of_answer(message)
        if message.id is not None:
            return "session/request_permission" if method in ASKING else method[:120]
        kind = notice_kind(method, params, self._turn_id)
        foreign = params.threadId not in (None, self.session_id) and self.session_id is not None
        return SUBAGENT + kind if foreign and kind != "usage_update" else kind

    def _kind_of_answer(self, message: Envelope) -> str:
        asked, told = self.asked(message.id), message.result or Params()
        if bytes(message.error) != b"null":
            return "session/prompt:error" if asked == "turn/start" else f"{asked}:error"
        if asked == "turn/start" and told.turn is not None:
            self._turn_id = told.turn.id
        elif asked in ("thread/start", "thread/resume", "thread/fork") and told.thread is not None:
            self.session_id = told.thread.id
        return f"{asked}:result"

    def handle(self, kind: str, message: Envelope, line: bytes | None, seq: int) -> None:
        """See `seat.Dialect.handle`."""
        if line is None:
            if message.method is not None and message.id is not None:
                said = "the message is too long to be handled"
                self.reply_error(message.id, INVALID_REQUEST, said)
            elif message.method is None:
                self.settle(message.id, None, {"message": "the answer is too long"})
            return
        data = as_dict(decode(line))
        params = as_dict(data.get("params"))
        if message.method is None:
            self.settle(message.id, data.get("result"), data.get("error"))
        elif message.id is not None:
            self._request(message.id, message.method, params, seq)
        elif kind in ("tool_call", "tool_call_update"):
            self._note_item(message.method, params)
        elif kind == "usage_update":
            self._note_usage(params)
        elif kind == "error" and not params.get("willRetry"):
            self._failure = as_dict(params.get("error"))
        elif kind == "mcpServer/startupStatus/updated" and params.get("status") != "starting":
            self._servers.discard(str(params.get("name")))
            if not self._servers:
                self._serving.set()
        elif kind.startswith("session/prompt:") and self._ended and not self._ended.done():
            self._ended.set_result(as_dict(params.get("turn")))

    def _note_item(self, method: str, params: Json) -> None:
        item = as_dict(params.get("item"))
        if method == "item/fileChange/patchUpdated":
            before = self._items.get(str(params.get("itemId")), {})
            item = {**before, "changes": params.get("changes")}
        self._items[str(item.get("id"))] = item

    def _note_usage(self, params: Json) -> None:
        """Meter a model call: by its thread's total's growth, as a report may come twice."""
        told, thread = as_dict(params.get("tokenUsage")), str(params.get("threadId"))
        now, last = usage_of(as_dict(told.get("total"))), usage_of(as_dict(told.get("last")))
        before, own = self._used.get(thread), thread == self.session_id
        self._used[thread] = now
        if own and params.get("turnId") != self._turn_id:
            return
        if before is None:  # what a fork's total has of the original, a sub-agent's of its parent
            before = minus(now, last) if self.forked or not own else Usage()
        grown = minus(now, before)
        if grown.counted:
            whole = grown.counted != last.counted  # a report was left out
            self.seat.called(grown if whole else last, self._model, whole=whole)

    # ------------------------------------------------------------ what Codex asks

    def _request(self, ident: Any, method: str, params: Json, seq: int) -> None:
        many = method == QUESTION and len(as_list(params.get("questions"))) != 1
        if method not in ASKING or many:
            self.reply_error(ident, METHOD_NOT_FOUND, f"paseo_nb does not offer {method}")
        else:
            self.answer_with(ident, self._permission(ident, method, params, seq))

    async def _permission(self, ident: Any, method: str, params: Json, seq: int) -> None:
        asked = asked_for(method, params)
        item = self._item_of(asked, params)
        call = {**(tool_call(item) if item else {}), **asked}
        answer = await self.seat.permission(seq, call, options_for(method, params))
        if answer.option_id == "cancel":
            self._denied_all = True
        elif answer.option_id == "decline" and answer.message:
            await self._say(answer.message, params)
        self.reply(ident, answer_for(method, params, answer.option_id), method)

    def _item_of(self, asked: Json, params: Json) -> Json | None:
        """The item that a request is about: it does not say so for a tool of an MCP server."""
        ident = asked.get("toolCallId")
        if ident is not None:
            return self._items.get(str(ident))
        tool = as_dict(params.get("_meta")).get("tool_name")
        for item in self._items.values():
            same = (item.get("server"), item.get("tool")) == (params.get("serverName"), tool)
            if same and item.get("status") == "inProgress":
                return item
        return None

    async def _say(self, message: str, params: Json) -> None:
        """What a person says with a no: said into the turn before Codex hears the no."""
        text = input_items([{"type": "text", "text": message}])
        turn = {"threadId": params.get("threadId"), "expectedTurnId": params.get("turnId")}
        try:
            await self.request("turn/steer", {**turn, "input": text}, LISTED_S)
        except (RequestError, TimeoutError) as error:
            said = f"Codex did not take what was said with the denial ({error}): {message}"
            self.seat.own("warning", message=said)

    # ------------------------------------------------------------ getting ready

    async def connect(self, session_id: str | None) -> None:
        """See `seat.Dialect.connect`."""
        try:
            await self._initialize()
            await self._check_login()
            await self._open_thread(session_id)
        except TimeoutError:
            said = f"the agent did not get ready in {self.start_s:g} s"
            raise AgentProblem(Problem("start_timeout", said)) from None
        except RequestError as error:
            raise AgentProblem(request_problem(error)) from error
        if self.seat.spec.effort:
            await self._choose_effort(self.seat.spec.effort, session_id)
        self.start(self._ask_skills())
        await self._wait_for_servers()

    async def _wait_for_servers(self) -> None:
        """The first turn would begin without the tools of an MCP server that starts yet."""
        if self._servers:
            try:
                await asyncio.wait_for(self._serving.wait(), self.start_s)
            except TimeoutError:
                said = f"MCP servers are not ready after {self.start_s:g} s: "
                self.seat.own("warning", message=said + ", ".join(sorted(self._servers)))

    async def _choose_effort(self, effort: str, session_id: str | None) -> None:
        """That of the run's spec. What the model does not offer any more must not keep a session of
        ours from being resumed."""
        try:
            await self.set_option("effort", effort)
        except AgentProblem as error:
            if session_id is None or session_id == self.seat.spec.load_session_id:
                raise
            self.seat.own("warning", message=f"{error} (it goes on with what the session has)")

    async def _initialize(self) -> None:
        us = {"clientInfo": {"name": "paseo_nb", "title": "paseo_nb", "version": __version__}}
        # experimentalApi: only there one can list and end the commands that an interrupt leaves.
        can = {"experimentalApi": True, "requestAttestation": False}
        told = await self.request("initialize", {**us, "capabilities": can}, self.start_s)
        compare_versions(self.seat, version_of(told))
        self.notify("initialized")

    async def _check_login(self) -> None:
        """Without a login Codex starts all the same, and fails only after retries."""
        told = await self.request("account/read", {}, self.start_s)
        if told.get("requiresOpenaiAuth") and told.get("account") is None:
            hint = "Run `codex login` in a terminal, or name a model_provider in its config.toml."
            raise AgentProblem(Problem("auth", "Codex is not logged in", hint))

    async def _open_thread(self, session_id: str | None) -> None:
        spec = self.seat.spec
        params: Json = {"cwd": spec.cwd, **self.access.at_start(self.seat.mode)}
        if self._model:
            params["model"] = self._model = await self.models.model(self._model)
        if spec.mcp:
            params["config"] = {"mcp_servers": mcp_servers(spec.mcp)}
        if session_id is None:
            result = await codex_thread(self, params)
        else:
            again = {"threadId": session_id, "excludeTurns": True, **params}
            result = await self.request("thread/resume", again, self.start_s)
        if self.session_id is None:
            raise AgentProblem(Problem("session", "Codex gave no thread id"))
        asked, self._model = self._model, as_str(result.get("model")) or self._model
        if asked and self._model and not same_name(asked, self._model):
            said = f"asked for the model {asked}, the agent answers with {self._model}"
            self.seat.own("warning", message=said, asked=asked, answered=self._model)
        self._effort = as_str(result.get("reasoningEffort"))
        self.access.told(result)

    async def _ask_skills(self) -> None:
        """What can be called by name in a prompt; told in the journal, nobody waits for it."""
        try:
            await self.request("skills/list", {"cwds": [self.seat.spec.cwd]}, self.start_s)
        except (RequestError, TimeoutError) as error:
            self.seat.own("warning", message=f"Codex did not list its skills: {error}")

    # ------------------------------------------------------------ turns

    async def prompt(self, blocks: list[Json]) -> TurnResult:
        """See `seat.Dialect.prompt`."""
        self._earlier |= self._commands()
        self._items.clear()
        self._cancel_asked = self._denied_all = self._interrupting = False
        self._turn_id, self._failure = None, None
        self._ended = asyncio.get_running_loop().create_future()
        try:
            fitting = input_items(fit(blocks, {"image": True}))
        except AgentProblem as error:
            return TurnResult("error", None, error.problem)
        params: Json = {"threadId": self.session_id}
        if self._schema is not None:
            params["outputSchema"] = self._schema
        if mode := self.access.collaboration(anew=bool(self._changed)):
            settings = {"model": self._model, "reasoning_effort": self._effort}
            params["collaborationMode"] = {"mode": mode, "settings": settings}
        params.update(self._changed, **self.access.changes(self.seat.mode), input=fitting)
        try:
            await self.request("turn/start", params, kind="session/prompt")
            self._changed = {}
            self._bystanders = self.seat.processes()
            if self._cancel_asked and not self._interrupting:
                self._interrupt()
            turn = await self._ended
        except RequestError as error:
            if self._cancel_asked:
                return TurnResult("cancelled", None)
            return TurnResult("error", None, request_problem(error))
        return await self._result(turn)

    async def _result(self, turn: Json) -> TurnResult:
        status = as_str(turn.get("status")) or "completed"
        error = as_dict(turn.get("error")) or self._failure
        if status == "interrupted":
            await self._end_commands()
            if self._cancel_asked or self._denied_all:
                return TurnResult("cancelled", status)
            said = "Codex interrupted the turn, though nobody cancelled it"
            return TurnResult("error", status, Problem("agent_cancelled", said, "Send it again."))
        if status == "failed" or error:
            name, _ = error_info(error or {})
            outcome = "limit" if name in LIMITING else "refused" if name in REFUSING else "error"
            return TurnResult(outcome, name, turn_problem(error or {}))
        return TurnResult("end_turn", status)

    async def steer(self, blocks: list[Json]) -> bool:
        """See `seat.Dialect.steer`."""
        if self._turn_id is None or self._cancel_asked:
            return False
        params: Json = {"threadId": self.session_id, "expectedTurnId": self._turn_id}
        params["input"] = input_items(fit(blocks, {"image": True}))
        try:
            await self.request("turn/steer", params, LISTED_S)
        except (RequestError, TimeoutError):
            return False
        return True

    # ------------------------------------------------------------ ending a turn

    def cancel(self) -> None:
        """See `seat.Dialect.cancel`. Before the turn has an id, `prompt` does it."""
        self._cancel_asked = True
        if self._turn_id is not None:
            self._interrupt()

    def _interrupt(self) -> None:
        self._interrupting = True
        self.start(self._ask_to_interrupt())

    async def _ask_to_interrupt(self) -> None:
        params = {"threadId": self.session_id, "turnId": self._turn_id}
        try:
            await self.request("turn/interrupt", params)
        except RequestError as error:  # the turn was over before; else the grace period ends it
            self.seat.own("warning", message=f"Codex did not interrupt the turn: {error}")

    def _commands(self) -> set[str]:
        """The shell commands that run."""
        return {
            ident
            for ident, item in self._items.items()
            if item.get("type") == "commandExecution" and item.get("status") == "inProgress"
        }

    async def _end_commands(self) -> None:
        """End the commands that the interrupted turn left running, by Codex itself, then whatever
        else came with the turn: a command that Codex has not told of yet, processes that left their
        group. What an earlier turn left running, a server say, runs on."""
        came = came_with_turn(self.seat.processes(), self._bystanders)
        thread = {"threadId": self.session_id}
        try:
            told = await self.request("thread/backgroundTerminals/list", thread, ENDED_S)
            for terminal in map(as_dict, as_list(told.get("data"))):
                if str(terminal.get("itemId")) not in self._earlier:
                    one = {**thread, "processId": terminal.get("processId")}
                    await self.request("thread/backgroundTerminals/terminate", one, ENDED_S)
        except (RequestError, TimeoutError) as error:
            said = f"Codex could not be asked to end a running command ({error})"
            self.seat.own("warning", message=said)
        self.seat.end_processes(came)

    # ------------------------------------------------------------ options

    async def set_option(self, what: str, value: str) -> None:
        """See `seat.Dialect.set_option`: from the next turn on."""
        asked = value
        if what == "agent_mode":
            value = self.access.choose(value)
        elif what == "effort":
            value = await self.models.effort(value, self._model)
            self._effort = self._changed["effort"] = value
        else:
            value = await self.models.model(value)
            self._model = self._changed["model"] = value
        more = {} if asked == value else {"asked": asked}
        self.seat.own("option", what=what, value=value, **more)

    def close(self) -> None:
        """See `seat.Dialect.close`."""
        self.shut()
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(RequestError(-32603, "the agent's process is gone"))
            self._ended.exception()
