"""What a front end may ask of a supervisor. Durable verbs are journaled with the client's id
before they are acknowledged, and applied once, however often they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from ..drivers.acp_reading import as_dict, as_list
from ..drivers.holding import not_held
from ..drivers.seat import AgentProblem
from ..model import MODES, Mode
from .control import Client, Command, Refusal
from .family import VERBS as FAMILY
from .not_started import EarlyExit
from .recovery import undone
from .turns import CONTINUE, Prompt

if TYPE_CHECKING:
    from .main import Supervisor

QUEUED = frozenset({"send", "resume"})  # their result comes when their turn begins
FACTS = frozenset({"undone", "applied"})  # what a front end did
OPTIONS = {"set_model": "model", "set_agent_mode": "agent_mode", "set_effort": "effort"}


class Commands:
    """Carries commands out."""

    def __init__(self, supervisor: Supervisor, seen: set[str]) -> None:
        self.supervisor = supervisor
        self.seen = seen
        self.refused: dict[str, Refusal] = {}
        self.going: dict[str, asyncio.Future[None]] = {}
        self._steering: set[asyncio.Task[None]] = set()

    async def carry(self, command: Command, client: Client) -> Any:
        """One command of a client; its result. Refusal where it cannot be."""
        supervisor = self.supervisor
        if command.verb == "ping":
            return {"state": supervisor.state, "seq": supervisor.recorder.journal.seq}
        if command.verb == "nudge":
            supervisor.family.collect()
            return {}
        if command.verb == "environment" and supervisor.spec.conduct is not None:
            return {"environment": dict(supervisor.environment)}  # for our MCP server: see there
        if command.verb in ("watch", "hold"):
            setattr(client, "watching" if command.verb == "watch" else "holding", True)
            return {}
        if command.id in self.going:
            await asyncio.shield(self.going[command.id])
        if command.id in self.refused:  # the answer was lost on its way
            raise self.refused[command.id]
        if command.id in self.seen:
            return {"duplicate": True}
        if supervisor.stopping is not None:
            raise Refusal("ending", f"the run's processes are ending ({supervisor.stopping})")
        self._check(command)
        self.seen.add(command.id)
        seq = supervisor.recorder.own(
            "command", id=command.id, verb=command.verb, args=command.args
        )
        supervisor.recorder.durable()
        if supervisor.recorder.full:
            raise Refusal("disk_full", "the disk is full: the command was not kept")
        done = self.going[command.id] = asyncio.get_running_loop().create_future()
        try:
            result = await self.apply(command.verb, command.args, command.id)
        except Refusal as refusal:
            supervisor.own("command_result", id=command.id, ok=False, error=str(refusal))
            self.refused[command.id] = refusal
            raise
        finally:
            del self.going[command.id]
            done.set_result(None)
        return {"seq": seq, **(result or {})}

    async def apply_owed(self, verb: str, args: dict[str, Any], ident: str) -> None:
        """Carry out a command that an earlier pair acknowledged and did not live to apply."""
        if verb in FAMILY:  # what was read of the journal has it
            self.supervisor.own("command_result", id=ident, ok=True)
            return
        try:
            await self.apply(verb, args, ident)
        except Refusal as refusal:  # an answer to a question that is gone, for one
            self.supervisor.own("command_result", id=ident, ok=False, error=str(refusal))

    def _check(self, command: Command) -> None:
        known = {"send", "resume", "unqueue", "cancel", "stop", "answer", "set_mode"}
        known |= FACTS | FAMILY | OPTIONS.keys()
        if command.verb not in known:
            raise Refusal("unknown_verb", f"no command {command.verb!r}; there are {sorted(known)}")
        if command.verb == "send" and not as_list(command.args.get("prompt")):
            raise Refusal("empty_prompt", "the prompt is empty")

    async def apply(self, verb: str, args: dict[str, Any], ident: str) -> dict[str, Any] | None:
        """Carry out a journaled command."""
        supervisor = self.supervisor
        result: dict[str, Any] | None = None
        if verb == "send":
            most = as_dict(args.get("most"))
            supervisor.turns.share(args)
            prompt = Prompt(as_list(args.get("prompt")), "user", ident, most=most)
            self._send(prompt, args.get("when"))
        elif verb == "resume":
            self._resume(args, ident)
        elif verb == "unqueue":
            self._unqueue(str(args.get("command")))
        elif verb == "cancel":
            result = {"cancelled": supervisor.turns.cancel(str(args.get("by") or "user"))}
        elif verb == "stop":
            self._drop_queue()
            supervisor.own("command_result", id=ident, ok=True)
            supervisor.stop("stopped")
            return None
        elif verb == "answer":
            if self._answer(args, ident):
                return None  # its result comes when the agent was told what it was given with
        elif verb == "set_mode":
            mode = args.get("mode")
            if mode not in MODES:
                raise Refusal("unknown_mode", f"no mode {mode!r}; there are {', '.join(MODES)}")
            self._check_held(mode, supervisor.spec.agent_mode)
            supervisor.asking.mode = mode
        elif verb in FAMILY:
            supervisor.family.kin.note("command", {"verb": verb, "args": args})
            if verb == "on_finish" and not supervisor.turns.running:
                supervisor.family.tell()
        elif verb in FACTS:
            supervisor.own(verb, **args)
            if verb == "undone":
                supervisor.turns.notes.append(undone(args))
        elif verb in OPTIONS:
            if verb == "set_agent_mode":
                self._check_held(supervisor.asking.mode, str(args.get("value")))
            await self._set_option(OPTIONS[verb], str(args.get("value")))
        if verb not in QUEUED:
            supervisor.own("command_result", id=ident, ok=True)
        return result

    def _check_held(self, mode: Mode, agent_mode: str | None) -> None:
        """Refusal where the agent would not let a policy hold that it is to be changed to."""
        spec = self.supervisor.spec
        provider, asks = spec.provider, spec.asks
        why = not_held(provider, asks, spec.asking_modes, mode, spec.rules, agent_mode)
        if asks is False and mode != "auto" and spec.mode == "auto":
            why = (
                f"{provider} asks for no permission in this run, so mode={mode!r} would hold"
                " nothing: start a run with that mode"
            )
        if why is not None:
            raise Refusal("not_held", why)

    def _answer(self, args: dict[str, Any], ident: str) -> bool:
        """Answer a permission; whether words of it go on as a prompt. What the agent's protocol has
        no place for in an answer is said into the turn before it, where the agent can hear; the
        input that a tool shall be used with instead goes as the next prompt elsewhere."""
        supervisor = self.supervisor
        dialect = supervisor.link.dialect if supervisor.link is not None else None
        given = supervisor.asking.weigh(args, dialect is not None and dialect.takes_input)
        unsaid = not (given.allow or given.cancel or dialect is None or dialect.takes_reasons)
        prompt = Prompt([{"type": "text", "text": given.message}], "user", ident)
        if unsaid and given.changed:
            self._send(prompt, "steer")
        elif unsaid and given.message:
            self._beside(self._mention(prompt))
        supervisor.asking.give(given)
        if given.cancel:
            supervisor.turns.cancel("user")
        return unsaid and given.changed

    async def _mention(self, prompt: Prompt) -> None:
        """Say why a permission was denied; it is kept in any case."""
        if not await self.supervisor.turns.steer(prompt.blocks):
            said = f"{self.supervisor.spec.provider} could not be told why it was denied"
            self.supervisor.own("warning", message=f"{said}: it takes no message in mid-turn")

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._steering.add(task)
        task.add_done_callback(self._steering.discard)

    def _send(self, prompt: Prompt, when: Any) -> None:
        supervisor = self.supervisor
        if when == "interrupt":
            supervisor.turns.interrupt_with(prompt)
            return
        if when == "steer" and supervisor.turns.running:
            self._beside(self._steer(prompt))
            return
        supervisor.want(prompt)

    async def _steer(self, prompt: Prompt) -> None:
        """Say a message into the running turn, or queue it where the agent does not take it. Not
        awaited by whoever sent it: until its result is journaled it is owed."""
        supervisor = self.supervisor
        if await supervisor.turns.steer(prompt.blocks):
            supervisor.own("steered", prompt=prompt.blocks, command_id=prompt.command_id)
            supervisor.own("command_result", id=prompt.command_id, ok=True)
            return
        if supervisor.stopping is not None:
            said = "the run was stopped"
            supervisor.own("command_result", id=prompt.command_id, ok=False, error=said)
            return
        supervisor.own(
            "warning",
            message=f"{supervisor.spec.provider} did not take the message in mid-turn:"
            " queued for the next turn",
        )
        supervisor.want(prompt)

    def _resume(self, args: dict[str, Any], ident: str) -> None:
        turns = self.supervisor.turns
        blocks = as_list(args.get("prompt"))
        idle = not turns.running and not turns.queue
        if not blocks and turns.cut_off and idle:
            blocks = turns.unsent or [{"type": "text", "text": CONTINUE}]
        if blocks:
            most = as_dict(args.get("most"))
            self.supervisor.turns.share(args)
            self.supervisor.want(Prompt(blocks, "resume", ident, most=most))
        else:
            self.supervisor.own("command_result", id=ident, ok=True)

    def _unqueue(self, ident: str) -> None:
        """Take a message back that waits for its turn. Refusal where none does."""
        queue = self.supervisor.turns.queue
        prompt = next((one for one in queue if one.command_id == ident), None)
        if prompt is None:
            raise Refusal("not_queued", "the message waits no longer: its turn has begun, or ended")
        queue.remove(prompt)
        self.supervisor.own("command_result", id=ident, ok=False, error="taken back")

    def _drop_queue(self) -> None:
        turns = self.supervisor.turns
        for prompt in turns.queue:
            if prompt.command_id is not None:
                self.supervisor.own(
                    "command_result", id=prompt.command_id, ok=False, error="the run was stopped"
                )
        turns.queue.clear()

    async def _set_option(self, what: str, value: str) -> None:
        supervisor = self.supervisor
        try:
            link = await supervisor.ensure_agent(supervisor.turns.session_id)
        except (AgentProblem, EarlyExit, OSError) as error:
            await supervisor.end_agent(eof_s=1.0, term_s=1.0)
            raise Refusal("agent", f"the agent cannot be started: {error}") from error
        finally:
            supervisor.wanted.set()  # whoever waits waits for this agent now
        try:
            await asyncio.wait_for(link.dialect.set_option(what, value), 70)
        except AgentProblem as error:
            problem = error.problem
            hint = f". {problem.hint}" if problem.hint else ""
            raise Refusal(problem.code, problem.message.rstrip(".") + hint) from error
        except TimeoutError:
            raise Refusal("timeout", "the agent did not answer") from None
        supervisor.keep_choice(what, value)
