"""Speaking stream-json and its control protocol with Claude Code: the acting half.

Everything but the session's id goes over standard input, so that no secret stands in an argument:
`initialize` (the schema, and a hook by which mode `read` and deny rules hold whatever Claude Code's
own rules allow), `mcp_set_servers`, `set_model`, `set_permission_mode`, `apply_flag_settings`
(effort). Each prompt has an id of ours; `command_lifecycle` tells what became of it, which is how a
message in mid-turn is known to have been taken. The reading half is `claude_reading`.
"""

from __future__ import annotations

import asyncio
import traceback
import uuid
from collections.abc import Coroutine
from typing import Any

from ..model import Problem
from .acp_reading import Json, as_dict, as_list, as_str
from .claude_fitting import NEW, command_line, content_of, mcp_server, model_named, unforked
from .claude_meter import Grown, Meter
from .claude_results import problem_of, spent_usd
from .claude_system import EFFORTS, MODES
from .claude_tools import call_of, hooked, permission
from .claude_turn import GONE, HINTS, LONG, Turn, failed, not_begun, outcome_of
from .claude_wire import (
    PERMISSION,
    QUIET,
    ControlError,
    Sight,
    answer,
    control,
    kind_of,
    refusal,
    sight,
    sight_of_blob,
    text_of,
    user_message,
)
from .names import resolve_name
from .seat import AgentProblem, Seat, TurnResult, compare_versions
from .transport import decode

CONTROL_S = 60.0
STEER_S = 3600.0  # the supervisor gives it up at the end of the turn
HOOK = "paseo_nb"
LIFECYCLE = "msg_lifecycle_v1"
STATE = "session_state_changed"


class ClaudeDialect:
    """One Claude Code process. Everything that arrives is already in the journal."""

    quiet, retries = QUIET, frozenset({"retry"})
    takes_schema = takes_input = takes_reasons = True
    sight = staticmethod(sight)
    sight_of_blob = staticmethod(sight_of_blob)
    text_of = staticmethod(text_of)

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.start_s = seat.spec.limits.start_s
        self.session_id: str | None = None
        self._cost = 0.0
        self._models: list[Json] = []
        self._meter = Meter()
        self._turn: Turn | None = None
        self._steers: dict[str, asyncio.Future[bool]] = {}
        self._waiting: dict[str, tuple[str, asyncio.Future[Json]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._count, self._can_steer = 0, False
        self._busy: bool | None = None
        self._background: list[str] = []
        self._cancel_asked = self._closed = self.forked = False

    def argv(self, session_id: str | None) -> list[str]:
        """See `seat.Dialect.argv`."""
        seat = self.seat
        self.forked = session_id is None and seat.fork is not None
        command = seat.spec.command if self.forked or session_id else unforked(seat.spec.command)
        return command_line(command, session_id, seat.environment, seat.budget_left)

    # ------------------------------------------------------------ what arrives

    def kind_of(self, message: Sight, line: bytes) -> str:
        """See `seat.Dialect.kind_of`."""
        if message.type == "control_response":
            inner = message.response
            asked, _ = self._waiting.get((inner and inner.request_id) or "", ("unasked", None))
            return f"{asked}:{'error' if inner and inner.subtype == 'error' else 'result'}"
        if message.type == "result":
            if self._turn is None or not self._turn.takes_result(bool(self._busy)):
                return "result"
            failed = bool(message.is_error) and not self._cancel_asked
            return f"session/prompt:{'error' if failed else 'result'}"
        if message.type == "command_lifecycle":
            told = as_dict(decode(line))
            if self._turn is not None and told.get("command_uuid") == self._turn.ident:
                self._turn.note(as_str(told.get("state")))
        elif message.subtype == STATE:
            self._busy = as_dict(decode(line)).get("state") != "idle"
            if self._turn is not None and self._turn.answered and not self._busy:
                self._turn.over = True
        return kind_of(message)

    def handle(self, kind: str, message: Sight, line: bytes | None, seq: int) -> None:
        """See `seat.Dialect.handle`."""
        data = {} if line is None else as_dict(decode(line))
        match message.type:
            case "control_request" if line is None:
                self._refuse(message.request_id, "the message is too long to be handled")
            case "control_request":
                self._asked(kind, message.request_id or "", as_dict(data.get("request")), seq)
            case "control_response":
                told = as_dict(data.get("response"))
                ident = message.response.request_id if message.response else None
                self._settle(ident or "", told, too_long=line is None)
            case "control_cancel_request":
                task = self._tasks.get(message.request_id or "")
                if task is not None:
                    task.cancel()
            case "command_lifecycle":
                self._lifecycle(str(data.get("command_uuid")), as_str(data.get("state")) or "")
            case "result":
                self._ended(kind, data if line is not None else {"is_error": True, "result": LONG})
            case "system":
                self._system(message.subtype or "", data)
            case "stream_event":
                self._called(self._meter.stream(data))
            case "assistant":
                self._called(self._meter.whole(data))
            case _:
                pass

    def _called(self, grown: Grown | None) -> None:
        if grown is not None:
            self.seat.called(grown.usage, grown.model, before=grown.before)

    def _system(self, subtype: str, data: Json) -> None:
        if subtype == "init":
            self._can_steer = LIFECYCLE in as_list(data.get("capabilities"))
            session_id = as_str(data.get("session_id"))
            if session_id and session_id != self.session_id:  # by `/clear`
                self.session_id = session_id
                self.seat.own("session", session_id=session_id, how="changed")
        elif subtype == "background_tasks_changed":
            tasks = [as_dict(task).get("task_id") for task in as_list(data.get("tasks"))]
            self._background = [task for task in tasks if isinstance(task, str)]
        elif subtype == STATE and data.get("state") == "idle":
            turn = self._turn
            if turn is not None and turn.outcome is not None:
                turn.end(turn.outcome)

    def _lifecycle(self, ident: str, state: str) -> None:
        """What became of a message of ours: queued, started, completed, or dropped."""
        dropped = state in ("cancelled", "discarded", "refused")
        turn = self._turn
        if turn is not None and ident == turn.ident and dropped and not turn.begun:
            # there will be no result
            turn.end(TurnResult("cancelled") if self._cancel_asked else failed("dropped"))
        taken = self._steers.get(ident)
        if taken is not None and not taken.done() and (dropped or state != "queued"):
            taken.set_result(not dropped)

    def _ended(self, kind: str, result: Json) -> None:
        for asked, future in self._waiting.values():
            if asked == "initialize" and not future.done():  # it refuses to begin: no such session
                future.set_exception(ControlError(problem_of(result).message))
        self._cost += spent_usd(result)
        self.seat.metered(self._cost, self._meter.result(result) or None)
        turn = self._turn
        if kind == "result" or turn is None:
            return
        before, told = turn.outcome, outcome_of(result, self._cancel_asked)
        if before is None or before.outcome == "end_turn":
            told.value = told.value if before is None or told.value is not None else before.value
            turn.outcome = told
        else:
            told = before
        # While it is busy, sub-agents are at work, or a message that came too late to be taken in
        # mid-turn: a further result will come.
        if turn.over:
            turn.end(told)

    # ------------------------------------------------------------ what it asks

    def _asked(self, kind: str, ident: str, request: Json, seq: int) -> None:
        if kind == PERMISSION:
            self._own(ident, self._permission(ident, request, seq))
        elif request.get("subtype") == "hook_callback" and request.get("callback_id") == HOOK:
            self._write("hook_callback:result", answer(ident, self._before_tool(request, seq)))
        else:
            self._refuse(ident, f"paseo_nb does not offer {request.get('subtype')}")

    def _before_tool(self, request: Json, seq: int) -> Json:
        """What the policy forbids, or has a person asked for, whatever its own rules let pass."""
        call = call_of(request)
        denied = None if call is None else self.seat.forbid(seq, call)
        why = denied if denied or call is None else self.seat.guarded(call)
        if why is None:
            return {}
        verdict = "ask" if denied is None else "deny"
        said = {"permissionDecision": verdict, "permissionDecisionReason": why}
        return {"hookSpecificOutput": {"hookEventName": "PreToolUse", **said}}

    async def _permission(self, ident: str, request: Json, seq: int) -> None:
        call, options = permission(request)
        given = await self.seat.permission(seq, call, options)
        if given.allow:
            reply: Json = {"behavior": "allow", "updatedInput": given.input or request.get("input")}
        else:
            said = given.message or "The user does not want this: do without it."
            reply = {"behavior": "deny", "message": said}
            if given.option_id is None:
                reply["interrupt"] = True
        self._write(f"{PERMISSION}:result", answer(ident, reply))

    def _own(self, ident: str, work: Coroutine[Any, Any, None]) -> None:
        async def carry_out() -> None:
            try:
                await work
            except Exception as error:  # a mistake of ours: the agent must not wait for ever
                traceback.print_exc()
                self._refuse(ident, f"paseo_nb made a mistake: {error!r}")

        task = asyncio.get_running_loop().create_task(carry_out())
        self._tasks[ident] = task
        task.add_done_callback(lambda _: self._tasks.pop(ident, None))

    def _refuse(self, ident: Any, why: str) -> None:
        self._write("control_response:error", refusal(ident, why))

    def _write(self, kind: str, message: Json) -> None:
        if not self._closed:
            self.seat.write(kind, message)

    # ------------------------------------------------------------ what we ask

    async def _control(self, subtype: str, timeout_s: float = CONTROL_S, **more: Any) -> Json:
        """A control request; its answer. ControlError, or TimeoutError."""
        if self._closed:
            raise ControlError(GONE)
        ident = self._send(subtype, **more)
        future: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = (subtype, future)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        finally:
            self._waiting.pop(ident, None)

    def _send(self, subtype: str, **more: Any) -> str:
        self._count += 1
        ident = f"paseo-{self._count}"
        self._write(subtype, control(subtype, ident, **more))
        return ident

    def _settle(self, ident: str, told: Json, too_long: bool) -> None:
        _, future = self._waiting.pop(ident, ("", None))
        if future is None or future.done():
            return
        if too_long or told.get("subtype") == "error":
            said = as_str(told.get("error")) or "an answer that is too long"
            future.set_exception(ControlError(said))
        else:
            future.set_result(as_dict(told.get("response")))

    async def connect(self, session_id: str | None) -> None:
        """See `seat.Dialect.connect`."""
        spec = self.seat.spec
        self.seat.metered(0.0, None)  # a new process counts from zero
        ids = [a.removeprefix(NEW) for a in spec.command if a.startswith(NEW)]
        self.session_id = session_id or next(iter(ids), None)
        hook = {"PreToolUse": [{"matcher": hooked(spec.rules), "hookCallbackIds": [HOOK]}]}
        wishes: Json = {"hooks": hook}
        if spec.schema is not None:
            wishes["jsonSchema"] = spec.schema
        try:
            told = await self._control("initialize", self.start_s, **wishes)
            await self._connect_mcp()
        except TimeoutError:
            said = f"Claude Code did not get ready in {self.start_s:g} s"
            raise AgentProblem(Problem("start_timeout", said)) from None
        except ControlError as error:
            raise AgentProblem(not_begun(str(error))) from error
        compare_versions(self.seat, as_str(told.get("claude_code_version")))
        self._models = [as_dict(model) for model in as_list(told.get("models"))]
        as_told = model_named(spec.model or "", self._models) == (spec.model, None)
        mode = spec.agent_mode
        if mode is None and told.get("current_permission_mode") not in (None, "default"):
            mode = "default"  # the user's own settings must not open what this run's mode closes
        for what, value in (
            ("model", None if spec.model_by == "argv" and as_told else spec.model),
            ("agent_mode", mode),
            ("effort", spec.effort),
        ):
            if value:
                await self._choose_again(what, value, session_id)

    async def _choose_again(self, what: str, value: str, session_id: str | None) -> None:
        """A choice of the run's spec; it must not keep a session of ours from being resumed."""
        try:
            await self.set_option(what, value)
        except AgentProblem as error:
            if session_id is None or session_id == self.seat.spec.load_session_id or self._closed:
                raise
            self.seat.own("warning", message=f"{error} (it goes on with what the session has)")

    async def _connect_mcp(self) -> None:
        """The run's MCP servers, beside those that Claude Code is configured with. A server that
        does not start is no reason not to: it is said."""
        if not self.seat.spec.mcp:
            return
        servers = {str(one.get("name")): mcp_server(one) for one in self.seat.spec.mcp}
        told = await self._control("mcp_set_servers", self.start_s, servers=servers)
        for name, why in as_dict(told.get("errors")).items():
            self.seat.own("warning", message=f"MCP server {name!r} cannot be used: {why}")

    async def prompt(self, blocks: list[Json]) -> TurnResult:
        """See `seat.Dialect.prompt`."""
        if self._closed:
            return failed("agent_exit")
        try:
            content = content_of(blocks)
        except AgentProblem as error:
            return TurnResult("error", None, error.problem)
        self._cancel_asked = False
        turn = self._turn = Turn()
        self.seat.write("session/prompt", user_message(content, turn.ident))
        try:
            return await turn.result
        finally:
            self._turn = None

    async def steer(self, blocks: list[Json]) -> bool:
        """See `seat.Dialect.steer`: Claude Code takes it after the tool that runs, or at the end of
        what it says. Withdrawn where that takes too long."""
        if self._turn is None or not self._can_steer or self._cancel_asked:
            return False
        ident = str(uuid.uuid4())
        taken: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._steers[ident] = taken
        self.seat.write("user", user_message(content_of(blocks), ident, priority="next"))
        try:
            await asyncio.wait({taken}, timeout=STEER_S)
            if taken.done():
                return taken.result()
            told = await self._control("cancel_async_message", 1.5, message_uuid=ident)
            return not told.get("cancelled")
        except (ControlError, TimeoutError):
            return taken.done() and taken.result()
        except asyncio.CancelledError:
            if not self._closed:
                self._send("cancel_async_message", message_uuid=ident)
            raise
        finally:
            self._steers.pop(ident, None)

    def cancel(self) -> None:
        """See `seat.Dialect.cancel`."""
        self._cancel_asked = True
        if not self._closed:
            self._send("interrupt", cancel_queued=True)
            for task in self._background:  # sub-agents, and commands left running
                self._send("stop_task", task_id=task)

    async def set_option(self, what: str, value: str) -> None:
        """See `seat.Dialect.set_option`."""
        asked = value
        try:
            if what == "model":
                value, unknown = model_named(value, self._models)
                if unknown:
                    self.seat.own("warning", message=unknown)
                await self._control("set_model", model=value)
            elif what == "agent_mode":
                value = resolve_name(what, value, dict.fromkeys(MODES, ""))
                await self._control("set_permission_mode", mode=value)
            else:
                value = resolve_name(what, value, EFFORTS)
                await self._control("apply_flag_settings", settings={"effortLevel": value})
        except ControlError as error:
            raise AgentProblem(Problem(f"no_{what}", str(error), HINTS.get(value))) from error
        except TimeoutError:
            raise AgentProblem(Problem("timeout", f"no answer in {CONTROL_S:g} s")) from None
        more = {} if asked == value else {"asked": asked}
        self.seat.own("option", what=what, value=value, **more)

    def close(self) -> None:
        """See `seat.Dialect.close`."""
        self._closed = True
        for task in list(self._tasks.values()):
            task.cancel()
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(ControlError(GONE))
                future.exception()  # whoever asked may be gone too: that is no news
        for taken in self._steers.values():
            if not taken.done():
                taken.set_result(False)
        if self._turn is not None:
            self._turn.end(failed("agent_exit"))
