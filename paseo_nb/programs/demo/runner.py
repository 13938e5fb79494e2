"""One turn from prompt to result: what is played, from which step, and how it ends.

A prompt that says “continue” takes up the unfinished turn at its next step; anything else starts a
new turn. Progress is on disk after each step, so this works in a new process as well.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ..common.errors import ClientError, RpcError
from .catalog import Catalog
from .errors import BadScript, TurnOver
from .prompt import Prompt
from .sessions import Asked, Did, Ended, Session
from .steps import Step, ends_the_turn, perform, talk
from .turn import Stage, Turn


class Play:
    """A turn and its steps, of which those before `start` are done already."""

    def __init__(self, stage: Stage, catalog: Catalog, session: Session, prompt: Prompt) -> None:
        """Decides what to play and writes the prompt down. Raises `RpcError`."""
        slash = prompt.slash
        left_off = session.unfinished if prompt.asks_to_continue and slash is None else None
        if left_off is not None and session.done < left_off.of:
            goal = Prompt(left_off.goal or left_off.prompt)
            number, name, self.start = left_off.turn, left_off.scenario, session.done
        else:
            goal, number, self.start = prompt, session.turns + 1, 0
            name = slash if slash is not None and slash in catalog.models else session.model
        try:
            self.steps: list[Step] = catalog.steps(name, goal, number)
        except BadScript as error:
            raise RpcError(-32602, str(error)) from error
        goal_blocks = goal.blocks if self.start else None
        asked = Asked(number, prompt.blocks, name, self.start, len(self.steps), goal_blocks)
        session.append(asked)
        session.ledger.begin_turn(prompt.text)
        self.session = session
        self.turn = Turn(stage, session, goal)

    async def run(self) -> dict[str, Any]:
        """Play it; returns the result of `session/prompt`. Raises `RpcError` where a step wants
        that, and `CancelledError` when cancelled."""
        turn, session = self.turn, self.session
        stop, finished = "end_turn", True
        try:
            if session.title is None:
                await talk.title(turn, turn.prompt.title)
            if self.start:
                await turn.paragraph(f"Resuming at step {self.start + 1} of {len(self.steps)}.")
            await self._steps()
            await turn.tell_usage()
        except TurnOver as over:
            stop, finished = over.stop_reason, over.finished
            await turn.tell_usage()
        except (ClientError, OSError) as error:
            finished = False
            await turn.say(f"\nScripted demo: that did not work: {error}\n")
        except asyncio.CancelledError:
            session.append(Ended("cancelled", False, turn.ledger))
            raise
        except RpcError:
            session.append(Ended("error", False, turn.ledger))
            raise
        session.append(Ended(stop, finished, turn.ledger))
        return self.result(stop)

    async def _steps(self) -> None:
        for index, step in enumerate(self.steps[self.start :], self.start):
            last_act = ends_the_turn(step)
            if last_act:
                self._did(index + 1)
            try:
                await perform(self.turn, step)
            except (TurnOver, RpcError, ClientError, OSError):
                raise
            except Exception as error:  # whatever it is, the prompt gets an answer
                what = f"step {index + 1} of {len(self.steps)} cannot be played: {error!r}"
                raise RpcError(-32602, f"{what}; the step: {step!r}") from error
            if not last_act:
                self._did(index + 1)

    def _did(self, count: int) -> None:
        self.session.append(Did(count, self.turn.memory, self.turn.ledger))

    def result(self, stop_reason: str) -> dict[str, Any]:
        """A `PromptResponse`; in `_meta` by which number the session can be forked here."""
        meta = {"paseo_nb": {"turn": len(self.session.user_messages)}}
        if self.turn.usage_hidden:
            return {"stopReason": stop_reason, "_meta": meta}
        usage = self.turn.usage_override or self.turn.ledger.turn_usage()
        return {"stopReason": stop_reason, "usage": usage, "_meta": meta}
