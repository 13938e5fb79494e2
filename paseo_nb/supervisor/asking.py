"""Permission requests while they wait: the policy first, then a person, then the clock."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict, as_str
from ..drivers.seat import Answer
from ..model import Mode, Rule, RunSpec
from .control import Refusal
from .lasting import lasts, once, sameness
from .policy import Decision, decide, inside, named_paths, pick_option, real_path, says_yes
from .recorder import Recorder
from .rules import matching


class Pending(msgspec.Struct):
    """A question that waits."""

    id: str
    options: list[Any]
    decision: Decision
    same: str | None
    answered: asyncio.Future[Answer]


class Given(msgspec.Struct):
    """A person's answer that holds. `changed`: it is a no only because the agent cannot take the
    input that it was given with."""

    waiting: Pending
    allow: bool
    option_id: str | None
    by: str
    message: str | None
    edited: dict[str, Any] | None
    cancel: bool
    changed: bool


class Asking:
    """Decides permission requests. `held` tells whether a front end that can answer is there."""

    def __init__(
        self,
        spec: RunSpec,
        recorder: Recorder,
        held: Callable[[], bool],
        changed: Callable[[], None],
    ) -> None:
        self.spec, self.recorder = spec, recorder
        self.mode: Mode = spec.mode
        self.pending: dict[str, Pending] = {}
        self.asked_for: set[str] = set()  # ids of tool calls
        self.granted: set[str] = set()  # paths of changes that a person allowed
        self.lasting: dict[str, tuple[bool, str]] = {}  # what is the same: yes or no, given to whom
        self._held, self._changed = held, changed

    # ------------------------------------------------------------ what is asked of us

    def may_write(self, path: str) -> str | None:
        """Why we may not write a file for the agent; None where we may."""
        if self.mode == "read":
            return f"mode {self.mode!r} forbids writing {path}"
        call = {"kind": "edit", "locations": [{"path": path}]}
        rule = self._rule(call)
        if rule is not None:
            return None if rule.verdict == "allow" else f"the rule {rule} forbids writing {path}"
        why = self.guarded(call)
        if why is not None and real_path(path) not in self.granted:
            return f"{path} may not be written unasked: {why}"
        if self.mode == "auto" or inside(path, self.spec.write_roots or [self.spec.cwd]):
            return None
        if real_path(path) in self.granted:
            return None
        return f"{path} lies outside the run's folder; mode 'auto' would let it pass"

    def may_run(self, command: str) -> str | None:
        """Why we may not run a command for the agent; None where we may."""
        if self.mode == "read":
            return "mode 'read' forbids commands"
        rule = self._rule({"kind": "execute", "rawInput": {"command": command}})
        denied = rule is not None and rule.verdict == "deny"
        return f"the rule {rule} forbids {command!r}" if denied else None

    def forbid(self, seq: int, tool_call: dict[str, Any]) -> str | None:
        """Why the policy forbids a call that its agent may make unasked, journaled as a question
        that was denied; None where it does not."""
        decision = self._decide(tool_call)
        if decision.verdict != "deny":
            return None
        asked = {name: tool_call.get(name) for name in ("toolCallId", "title", "kind")}
        said = self._denied(f"p{seq}", [], decision, asked)
        return said.message

    @property
    def forbids(self) -> bool:
        """Whether anything is forbidden for certain."""
        return self.mode == "read" or any(rule.verdict == "deny" for rule in self.spec.rules)

    def forbidden(self, call: dict[str, Any]) -> str | None:
        """The rule that denies a call; None where none does."""
        decision = self._decide(call)
        return decision.rule if decision.verdict == "deny" else None

    def guarded(self, call: dict[str, Any]) -> str | None:
        """Why a person is to be asked for a call, whatever the mode and the agent's own settings
        let pass."""
        decision = self._decide(call)
        return decision.why if decision.verdict == "ask" else None

    def _decide(self, call: dict[str, Any]) -> Decision:
        spec = self.spec
        return decide(self.mode, call, spec.write_roots, spec.cwd, spec.rules, spec.notebook)

    def _rule(self, call: dict[str, Any]) -> Rule | None:
        return matching(self.spec.rules, call, named_paths(call), self.spec.cwd)

    # ------------------------------------------------------------ what a person is asked

    def refuse(self, seq: int) -> Answer:
        """The answer to a request that comes after its turn was cancelled."""
        self.recorder.own(
            "permission_answer", permission=f"p{seq}", outcome="cancelled", by="cancel"
        )
        return Answer(None)

    async def ask(self, seq: int, tool_call: dict[str, Any], options: list[Any]) -> Answer:
        """The answer to one request, journaled."""
        ident = f"p{seq}"
        self.asked_for.add(str(tool_call.get("toolCallId")))
        decision = self._decide(tool_call)
        if decision.verdict == "deny":
            return self._denied(ident, options, decision)
        if decision.verdict == "allow":
            return self._answer(ident, options, True, "policy", rule=decision.rule)
        same = sameness(tool_call, self.spec.write_roots or [self.spec.cwd], self.spec.cwd)
        if same in self.lasting:
            allow, earlier = self.lasting[same]
            rule = f"always, as answered to {earlier}"
            answer = self._answer(ident, options, allow, "policy", rule=rule)
            self._grant(tool_call, answer)
            return answer
        if decision.why is not None:
            self.recorder.own("warning", message=f"The agent asks to change a file: {decision.why}")
        loop = asyncio.get_running_loop()
        waiting = Pending(ident, options, decision, same, loop.create_future())
        self.pending[ident] = waiting
        self._changed()
        try:
            answer = await self._wait(waiting, tool_call)
            self._grant(tool_call, answer)
            return answer
        except asyncio.CancelledError:  # the agent takes its question back
            if not waiting.answered.done():
                self.recorder.own(
                    "permission_answer", permission=ident, outcome="cancelled", by="agent"
                )
            raise
        finally:
            self.pending.pop(ident, None)
            self._changed()

    def _grant(self, tool_call: dict[str, Any], answer: Answer) -> None:
        if answer.allow:
            named = named_paths(tool_call)
            self.granted |= {real_path(os.path.join(self.spec.cwd, path)) for path in named}

    async def _wait(self, waiting: Pending, tool_call: dict[str, Any]) -> Answer:
        left = self.spec.limits.permission_timeout_s
        while True:
            step = min(left, 0.5) if left > 0 else 0.01
            done, _ = await asyncio.wait({waiting.answered}, timeout=step)
            if done:
                return waiting.answered.result()
            if self._held():
                continue
            left -= step
            if left <= 0:
                what = tool_call.get("kind") or "this"
                message = (
                    f"Nobody answered within {self.spec.limits.permission_timeout_s:g} s, so it"
                    f" was denied. mode={waiting.decision.enough!r} would have let {what} pass."
                    if waiting.decision.why is None
                    else f" was denied: {waiting.decision.why}."
                )
                return self._answer(
                    waiting.id, waiting.options, False, "timeout", rule="timeout", message=message
                )

    def weigh(self, args: dict[str, Any], takes_input: bool) -> Given:
        """What a person's answer comes to; nothing is answered yet. `{permission, allow, always?,
        option_id?, message?, input?, cancel?, by?}`; Refusal where it cannot be given."""
        ident = str(args.get("permission"))
        waiting = self.pending.get(ident)
        if waiting is None or waiting.answered.done():
            said = f"no permission {ident!r} waits for an answer: it is answered already, or gone"
            raise Refusal("no_permission", said)
        option_id, allow = args.get("option_id"), bool(args.get("allow"))
        offered = ", ".join(str(as_dict(o).get("optionId")) for o in waiting.options)
        if args.get("always"):
            kinds = [o for o in map(as_dict, waiting.options) if o.get("kind") == "allow_always"]
            if not kinds:
                said = f"none of its options holds for more than this once; it offers {offered}"
                raise Refusal("no_option", said)
            option_id = str(kinds[0].get("optionId"))
        if option_id is not None and pick_option(waiting.options, True, option_id) is None:
            raise Refusal("no_option", f"no option {option_id!r}; it offers {offered}")
        if option_id is None and allow and pick_option(waiting.options, True) is None:
            raise Refusal("no_option", f"none of its options says yes; choose one of {offered}")
        if lasts(waiting.options, option_id) and (waiting.same is None or args.get("input")):
            why = (
                "it is not told what it would do"
                if waiting.same is None
                else "its input is changed"
            )
            raise Refusal("no_option", f"{why}, so an answer can hold for this once only")
        allow = allow if option_id is None else says_yes(waiting.options, option_id)
        edited, message = as_dict(args.get("input")) or None, as_str(args.get("message"))
        changed = edited is not None and allow and not takes_input
        if edited is not None and changed:
            allow, option_id, message = False, None, in_that_form(edited, message)
        return Given(
            waiting,
            allow,
            option_id,
            str(args.get("by") or "user"),
            message,
            edited,
            bool(args.get("cancel")),
            changed,
        )

    def give(self, given: Given) -> None:
        """Answer."""
        waiting = given.waiting
        answer = self._answer(
            waiting.id,
            waiting.options,
            given.allow,
            given.by,
            option_id=given.option_id,
            message=given.message,
            edited=given.edited,
            cancel=given.cancel,
            same=waiting.same,
        )
        waiting.answered.set_result(answer)

    def cancel(self) -> None:
        """The turn is cancelled: so is every question."""
        for waiting in self.pending.values():
            if not waiting.answered.done():
                self.recorder.own(
                    "permission_answer", permission=waiting.id, outcome="cancelled", by="cancel"
                )
                waiting.answered.set_result(Answer(None))

    def _denied(
        self,
        ident: str,
        options: list[Any],
        decision: Decision,
        asked: dict[str, Any] | None = None,
    ) -> Answer:
        """The policy's no. Its words are for the agent: that it is a rule, and no person's whim."""
        message = f"The user's settings for this run forbid it ({decision.rule}): do without it."
        return self._answer(
            ident, options, False, "policy", rule=decision.rule, message=message, asked=asked
        )

    def _answer(
        self,
        ident: str,
        options: list[Any],
        allow: bool,
        by: str,
        *,
        option_id: str | None = None,
        rule: str | None = None,
        message: str | None = None,
        edited: dict[str, Any] | None = None,
        cancel: bool = False,
        asked: dict[str, Any] | None = None,
        same: str | None = None,
    ) -> Answer:
        # With a cancel no option: every protocol has a word for a turn that is cancelled.
        chosen = None if cancel else pick_option(options, allow, option_id)
        if option_id is not None:
            allow = says_yes(options, option_id)
        holds = same is not None and chosen is not None and lasts(options, option_id)
        if same is not None and holds:
            self.lasting[same] = allow, ident
        self.recorder.own(
            "permission_answer",
            permission=ident,
            option_id=chosen,
            outcome="allowed" if allow and chosen else "denied",
            by=by,
            rule=rule,
            message=message,
            **({} if edited is None else {"input": edited}),
            **({} if asked is None else {"tool_call": asked}),
            **({"holds_for": same} if holds else {}),
        )
        return Answer(once(options, chosen), allow and chosen is not None, message, edited)


def in_that_form(edited: dict[str, Any], message: str | None) -> str:
    """A denial's words to an agent that cannot be given another input."""
    said = "Not as it was asked for. Do it with this input instead: "
    said += json.dumps(edited, ensure_ascii=False)
    return f"{said}\n{message}" if message else said
