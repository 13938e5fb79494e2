"""What a script can say: the verbs of its steps, one function each, named once in a table.

`talk` is what the agent tells, `work` what it does in the repository, `faults` how it misbehaves.
Scripts and scenarios are lists of steps; the runner performs them and knows no verb by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import BadScript
from ..turn import Turn
from . import faults, talk, work

Action = Callable[[Turn], Awaitable[None]]
Step = dict[str, Any] | Action

VERBS: dict[str, Callable[[Turn, Any], Awaitable[None]]] = {
    "say": talk.say,
    "stream": talk.stream,
    "think": talk.think,
    "sleep": talk.sleep,
    "plan": talk.plan,
    "usage": talk.usage,
    "mode": talk.mode,
    "config": talk.config,
    "title": talk.title,
    "commands": talk.commands,
    "user": talk.user,
    "update": talk.update,
    "tool": work.tool,
    "permission": work.permission,
    "read": work.read,
    "edit": work.edit,
    "write": work.write,
    "shell": work.shell,
    "terminal": work.terminal,
    "children": faults.children,
    "stall": faults.stall,
    "silent": faults.silent,
    "stubborn": faults.stubborn,
    "raw": faults.raw,
    "bytes": faults.big_line,
    "flood": faults.flood,
    "stderr": faults.stderr,
    "request": faults.request,
    "late": faults.late,
    "stop": faults.stop,
    "error": faults.error,
    "exit": faults.exit_now,
    "kill": faults.kill,
}
_LAST_ACTS = {"stop", "error", "exit", "kill"}


def verb_of(step: dict[str, Any]) -> str:
    """The one verb of a step. Raises `BadScript`, which names the verbs there are."""
    verbs = [key for key in step if key != "pause"]
    if len(verbs) != 1 or verbs[0] not in VERBS:
        what = f"unknown step {verbs[0]!r}" if len(verbs) == 1 else f"a step has one verb: {verbs}"
        raise BadScript(f"{what}; known steps: {', '.join(VERBS)} (and “pause” beside any)")
    return verbs[0]


def ends_the_turn(step: Step) -> bool:
    """True for a step that cannot report back: it counts as done before it is begun."""
    return not callable(step) and verb_of(step) in _LAST_ACTS


async def perform(turn: Turn, step: Step) -> None:
    """Do one step; `pause` is in seconds, after it."""
    if callable(step):
        await step(turn)
        return
    verb = verb_of(step)
    await VERBS[verb](turn, step[verb])
    if "pause" in step:
        await asyncio.sleep(float(step["pause"]))
