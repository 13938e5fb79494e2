"""What a journal tells a supervisor that takes up a run: what was done, what is still owed."""

from __future__ import annotations

from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict, as_str, decode
from ..journal import RunFolder, read_journal


class Past(msgspec.Struct):
    """The part of a run's past that its next supervisor needs."""

    turn: int = 0
    turn_open: bool = False
    last_outcome: str | None = None
    session_id: str | None = None
    started_before: bool = False
    state: str = "starting"
    command_ids: set[str] = msgspec.field(default_factory=set[str])
    owed: dict[str, tuple[str, dict[str, Any]]] = msgspec.field(
        default_factory=dict[str, tuple[str, dict[str, Any]]]
    )


def read_past(folder: RunFolder) -> Past:
    """Fold the journal's own lines. Commands journaled but without a result are owed: whoever
    sent them was told that they will be applied."""
    past = Past()
    for line in read_journal(folder.journal):
        if line.dir != "own":
            continue
        facts = as_dict(decode(line.raw))
        match line.kind:
            case "turn_start":
                past.turn, past.turn_open = line.turn, True
            case "turn_end":
                past.turn_open, past.last_outcome = False, as_str(facts.get("outcome"))
            case "session":
                past.session_id = as_str(facts.get("session_id"))
            case "run_started":
                past.started_before = True
            case "state":
                past.state = as_str(facts.get("state")) or past.state
            case "command":
                ident = str(facts.get("id"))
                past.command_ids.add(ident)
                past.owed[ident] = (str(facts.get("verb")), as_dict(facts.get("args")))
            case "command_result":
                past.owed.pop(str(facts.get("id")), None)
            case _:
                pass
    return past
