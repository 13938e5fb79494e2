"""What a journal tells a supervisor that takes up a run: what was done, what is still owed."""

from __future__ import annotations

from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict, as_int, as_list, as_str, decode
from ..drivers.reading import Reading
from ..journal import RunFolder, read_journal
from .family import Kin

# What may tell a cost.
COUNTING = frozenset({"usage_update", "session/prompt:result", "session/prompt:error", "result"})


class Spent(msgspec.Struct):
    """What a run has cost: what its agent's processes report (each counts up from zero, or from
    where the session was), or what its model calls cost (`costing`), whichever is more."""

    before_usd: float = 0.0
    reported_usd: float = 0.0
    calls_usd: float = 0.0

    @property
    def usd(self) -> float:
        """The sum."""
        return max(self.before_usd + self.reported_usd, self.calls_usd)

    @property
    def computed(self) -> bool:
        """Whether it is not what the agent reports."""
        return self.calls_usd > self.before_usd + self.reported_usd

    def note(self, reported_usd: float | None) -> None:
        """Take a report; a lower one than the last means that a new process counts."""
        if reported_usd is not None:
            if reported_usd < self.reported_usd:
                self.before_usd += self.reported_usd
            self.reported_usd = reported_usd


class Past(msgspec.Struct):
    """The part of a run's past that its next supervisor needs."""

    turn: int = 0
    turn_open: bool = False
    cut_off: bool = False
    unsent: list[Any] = []  # the last turn's prompt, where the agent never got it
    notes: list[str] = []  # what the agent is to hear with its next prompt
    session_id: str | None = None
    started_before: bool = False
    state: str = "starting"
    snapshot: tuple[str, str] | None = None  # commit, tree
    mode: str | None = None
    lasting: dict[str, tuple[bool, str]] = msgspec.field(
        default_factory=dict[str, tuple[bool, str]]
    )
    chosen: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    common: list[Any] | None = None  # the budgets of the day and project, as last told
    tokens: int = 0
    waiting: list[Any] = []  # model calls whose price was being asked for
    spent: Spent = msgspec.field(default_factory=Spent)
    kin: Kin = msgspec.field(default_factory=Kin)
    last_turn: tuple[int, dict[str, Any]] | None = None  # the last one that ended, and how
    command_ids: set[str] = msgspec.field(default_factory=set[str])
    owed: dict[str, tuple[str, dict[str, Any]]] = msgspec.field(
        default_factory=dict[str, tuple[str, dict[str, Any]]]
    )


def read_past(folder: RunFolder, reading: Reading, context: str | None = None) -> Past:
    """Fold the journal's own lines. Commands journaled but without a result are owed: whoever
    sent them was told that they will be applied. What was chosen by command holds on. context: the
    conversation that the run was forked off, in short."""
    past = Past()
    for line in read_journal(folder.journal):
        if line.dir == "in" and line.kind in COUNTING:
            for kind, data in reading.facts(line):
                if kind == "usage_update":
                    past.spent.note(reported_cost(data))
        if line.dir == "out" and line.kind == "session/prompt":
            past.unsent, past.notes = [], []
        if line.dir != "own":
            continue
        facts = as_dict(decode(line.raw))
        past.kin.note(line.kind, facts)
        match line.kind:
            case "turn_start":
                past.turn, past.turn_open = line.turn, True
                past.unsent = as_list(facts.get("prompt"))
                past.owed.pop(str(facts.get("command_id")), None)  # if it died between two lines
            case "turn_end":
                past.turn_open, past.last_turn = False, (line.turn, facts)
                code = as_str(as_dict(facts.get("error")).get("code"))
                past.cut_off = was_cut_off(as_str(facts.get("outcome")), code)
            case "snapshot":
                past.snapshot = str(facts.get("commit")), str(facts.get("tree"))
            case "forked" if facts.get("how") == "context" and context is not None:
                past.notes = [context, *past.notes]
            case "undone":
                past.notes = [*past.notes, undone(facts)]
            case "metered":
                past.tokens = as_int(facts.get("tokens")) or past.tokens
                past.spent.calls_usd = float(facts.get("usd") or past.spent.calls_usd)
                past.waiting = as_list(facts.get("waiting"))
            case "session":
                past.session_id = as_str(facts.get("session_id"))
            case "run_started":
                past.started_before = True
            case "state":
                past.state = as_str(facts.get("state")) or past.state
            case "command":
                ident = str(facts.get("id"))
                past.command_ids.add(ident)
                args = as_dict(facts.get("args"))
                past.owed[ident] = (str(facts.get("verb")), args)
                past.common = as_list(args["common"]) if "common" in args else past.common
            case "command_result":
                verb, args = past.owed.pop(str(facts.get("id")), ("", {}))
                if facts.get("ok") and verb == "set_mode":
                    past.mode = as_str(args.get("mode"))
            case "permission_answer" if as_str(facts.get("holds_for")):
                yes = facts.get("outcome") == "allowed"
                past.lasting[str(facts["holds_for"])] = yes, str(facts.get("permission"))
            case "option":
                past.chosen[str(facts.get("what"))] = str(facts.get("value"))
            case _:
                pass
    return past


def undone(facts: dict[str, Any]) -> str:
    """What an agent is told of an undo."""
    names = [str(name) for name in as_list(facts.get("files"))]
    listed = "\n".join(f"- {name}" for name in names[:50])
    more = f"\n- and {len(names) - 50} more" if len(names) > 50 else ""
    return (
        f"The user has undone your changes since turn {facts.get('turn')}. These files are again as"
        f" they were before it; look at them before you rely on what you remember:\n{listed}{more}"
    )


def was_cut_off(outcome: str | None, code: str | None) -> bool:
    """Whether a turn ended through no doing of the agent's or the user's, so that `resume` goes on
    with it."""
    return outcome == "interrupted" or code in ("agent_exit", "disk_full", "internal")


def reported_cost(update: dict[str, Any]) -> float | None:
    """The cost that a `usage_update` tells, in USD."""
    cost = as_dict(update.get("cost"))
    amount = cost.get("amount")
    if isinstance(amount, (int, float)) and cost.get("currency", "USD") == "USD":
        return float(amount)
    return None
