"""What a paired device is shown of a project, and what it may ask: of its runs, by its rights.

Pure functions from what everybody would be shown to what one device is; no one's `grant` is None.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import msgspec

from ..pairing import Grant
from ..tracing.spans import Seen

Json = dict[str, Any]
# What a page asks of a run (`act`), and the right that a paired device must have for it. What has
# none is for the server's own user.
ACTS: dict[str, str | None] = {
    "allow": "answer",
    "deny": "answer",
    "cancel": "answer",
    "send": "send",
    "resume": "send",
    "retry": "send",
    "stop": "send",
    "unqueue": "send",
    "archive": "send",
    "unarchive": "send",
    "set_model": "send",
    "set_effort": "send",
    "set_mode": None,
    "set_agent_mode": None,
    "undo": None,
    "apply": None,
}
_NEEDS: dict[str, str] = {
    "steer": "send",
    "interrupt": "send",
    "edit_input": "send",
}  # not verbs of their own
_NOT_THIS = "This device may not do that."


def may(grant: Grant | None, verb: str, run: str | None) -> bool:
    """Whether who asks may have this done."""
    if grant is None:
        return verb in ACTS
    return grant.allows(ACTS.get(verb), run)


def may_say(grant: Grant | None, args: Json) -> bool:
    """Whether it may come with what it brings: another input, and words that the agent is told
    with an answer, are as good as a prompt; who it was that answered is not for a device to say."""
    if grant is None:
        return True
    words = args.get("input") is not None or args.get("reason") or args.get("message")
    return (not words or "send" in grant.rights) and args.get("by") in (None, "user")


def board_for(grant: Grant | None, told: Json) -> Json:
    """A board without other runs, what is told of them, and what the device may not do."""
    if grant is None or not told:
        return told
    lines: list[Json] = [
        {**line, "can": [verb for verb in line["can"] if may(grant, verb, line["id"])]}
        for line in told["lines"]
        if _sees(grant, line["id"])
    ]
    asks = [ask for ask in told["asks"] if may(grant, "allow", ask["run"])]
    asks = _asks_for(grant, asks)
    head = told["head"]
    if grant.runs is not None:
        groups = Counter(line["group"] for line in lines)
        head = {
            **head,
            "counts": {name: groups[name] for name in head["counts"]},
            "background": len([line for line in lines if line["background"]]),
            "shown": len(lines),
            "runs": len(lines),
            "cost_usd": None,
            "today_usd": None,
        }
    return {"head": head, "lines": lines, "asks": asks}


def number_of(told: Json) -> int:
    """A number for a board as one device has it: the same where that is the same. Browsers read it
    exactly."""
    digest = hashlib.sha256(msgspec.json.encode(told, enc_hook=str)).digest()
    return int.from_bytes(digest[:6], "big") + 1


def seen_for(grant: Grant | None, seen: Seen) -> Seen:
    """A run to be traced without those below it that the device may not see."""
    if grant is None or grant.runs is None:
        return seen
    below = [seen_for(grant, one) for one in seen.children if _sees(grant, one.spec.run_id)]
    return msgspec.structs.replace(seen, children=below)


def message_for(grant: Grant | None, run: str, message: Json) -> Json:
    """A live view's message with what the device may do in place of what the run could."""
    if grant is None:
        return message
    if message["k"] == "full" and "head" in message:
        return {
            **message,
            "head": _head_for(grant, run, message["head"]),
            "asks": _asks_for(grant, message["asks"]) if may(grant, "allow", run) else [],
        }
    if message["k"] == "delta":
        return {**message, "ops": [_op_for(grant, run, op) for op in message["ops"]]}
    return message


def _op_for(grant: Grant, run: str, op: list[Any]) -> list[Any]:
    if op[0] == "h":
        return ["h", _head_for(grant, run, op[1])]
    if op[0] == "a" and not may(grant, "allow", run):
        return ["a", [], {}]
    if op[0] == "a":
        return ["a", _asks_for(grant, op[1]), *op[2:]]
    return op


def _asks_for(grant: Grant, asks: list[Json]) -> list[Json]:
    """Questions as they may be answered: with yes and no only, or in words, too."""
    if "send" in grant.rights:
        return asks
    return [{**ask, "editable": False, "plain": True} for ask in asks]


def _head_for(grant: Grant, run: str, head: Json) -> Json:
    if "can" not in head:
        return head
    can: Json = head["can"]
    can = {
        what: how if what == "trace" or may(grant, _NEEDS.get(what, what), run) else _NOT_THIS
        for what, how in can.items()
    }
    return {**head, "can": can}


def _sees(grant: Grant, run: str) -> bool:
    return grant.allows("read", run)
