"""The values of contests: what a match was asked for, who sits where, what judges said."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SEATS = "ABCDE"
FEWEST, MOST = 2, len(SEATS)
Json = dict[str, Any]


class Checks(msgspec.Struct, frozen=True):
    """A judge that is a command. hidden: a folder whose files are laid over the contestant's, once
    all have ended; timeout: seconds that the command may take."""

    command: str
    hidden: str | None = None
    timeout: float = 600.0


class Asked(msgspec.Struct, frozen=True):
    """What a match was asked for; it is found again by this."""

    prompt: str
    agents: list[str]
    repo: str
    mode: str | None = None
    effort: str | None = None
    tests: Checks | None = None
    judges: list[str] = []
    rubric: str | None = None
    same_family: bool = False
    blind: bool = True
    tie: Literal["none", "cheaper"] = "none"
    timeout: float | None = None
    budget: float | None = None
    seed: int | None = None
    title: str | None = None
    hide_cost: bool = False


class Header(msgspec.Struct, frozen=True):
    """What a match is: written once, before a contestant starts. order: which of the agents, as
    they were given, has seat A, B, …; seed: what the order was drawn by."""

    id: str
    asked: Asked
    order: list[int]
    seed: int
    base: str
    tree: str
    repo: str
    workflow_run: str
    created_us: int

    @property
    def seats(self) -> dict[str, str]:
        """Seat → agent."""
        return {SEATS[at]: self.asked.agents[which] for at, which in enumerate(self.order)}


class Ended(msgspec.Struct):
    """How a contestant ended. cause: None where it ended well."""

    seat: str
    run_id: str | None = None
    step: str | None = None
    cause: str | None = None
    message: str = ""
    text: str = ""
    commit: str | None = None
    tree: str | None = None
    base: str | None = None


class Verdict(msgspec.Struct):
    """What a judge said, by which rule, and why. seat: whom it is about, or who was chosen; None:
    a tie, or none. other: against whom. score: from 0 to 1. abstained: it is no opinion."""

    name: str
    judge: str
    kind: Literal["person", "tests", "model"]
    rule: str
    seat: str | None = None
    other: str | None = None
    choice: str | None = None
    score: float | None = None
    abstained: bool = False
    evidence: Json = {}
    run_ids: list[str] = []
    cost_usd: float | None = None
    time_us: int = 0


class Selection(msgspec.Struct, frozen=True):
    """Who was selected, and by which rule: one prompt tells nothing about who is better."""

    seat: str | None
    rule: str
    tied: list[str] = []
