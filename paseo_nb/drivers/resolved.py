"""What `provider/model` stands for, ready to start, and what makes its agent ask for permission."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ..model import Mode, Rule
from .holding import LOOKING
from .provider import ModelBy, Provider

LEAST_USD = 0.000001  # less would be written as 0


class Resolved(msgspec.Struct, kw_only=True):
    """An agent that can be started. `command` begins with an absolute path and has the model in it
    where that is chosen so; `env` is what the agent gets beyond the inherited environment."""

    agent: str
    provider: str
    model: str | None
    command: list[str]
    env: dict[str, str]
    env_names: list[str]
    dialect: str = "acp"
    new_session: list[str] = []
    old_session: list[str] = []
    budget_args: list[str] = []
    model_by: ModelBy = "session"
    auth_method: str | None = None
    mode: Mode | None = None
    effort: str | None = None
    scripted: bool = False
    extends: str = "acp"
    tested: str | None = None
    mcp: tuple[str, ...] | None = None
    tells_cost: bool | None = None
    asks: bool | None = None
    asks_to_look: bool = False
    asking_modes: tuple[str, ...] | None = None
    asking: dict[str, str] = {}
    asking_all: dict[str, str] = {}
    asking_args: list[str] = []
    asking_all_args: list[str] = []
    mcp_set: dict[str, Any] = {}
    unnamed: str | None = None  # what to do where a model must be named first

    def launched(
        self,
        session_id: str | None = None,
        budget_usd: float | None = None,
        mode: Mode = "auto",
        rules: Sequence[Rule] = (),
    ) -> list[str]:
        """The command line of a run that goes on with a session, or begins one, whose id we choose
        where the agent lets us. budget_usd: what it may cost, where the agent can see to that.
        mode, rules: what the agent is made to ask for."""
        arguments = self.new_session if session_id is None else self.old_session
        ident = session_id or str(uuid.uuid4())
        command = [*self.command, *(part.replace("{session_id}", ident) for part in arguments)]
        if budget_usd is not None:
            command += [
                part.replace("{usd}", f"{max(budget_usd, LEAST_USD):f}")
                for part in self.budget_args
            ]
        asking = {"none": [], "some": self.asking_args, "all": self.asking_all_args}
        return [*command, *asking[_asked(mode, rules)]]

    def made_to_ask(self, mode: Mode, rules: Sequence[Rule]) -> dict[str, str]:
        """The variables by which it asks, so that a run's policy holds; none in a run that lets
        everything pass."""
        return asking_of(self, mode, rules)

    def __repr__(self) -> str:
        """Without the values of its environment: they may be secrets."""
        return f"<Resolved {self.agent}: {' '.join(self.command)}, env {self.env_names}>"


def asking_of(of: Resolved | Provider, mode: Mode, rules: Sequence[Rule]) -> dict[str, str]:
    return {"none": {}, "some": of.asking, "all": of.asking_all}[_asked(mode, rules)]


def _asked(mode: Mode, rules: Sequence[Rule]) -> Literal["none", "some", "all"]:
    """How much a run's policy needs to be asked about."""
    denied = {rule.kind for rule in rules if rule.verdict == "deny"}
    if mode == "auto" and not denied:
        return "none"
    return "all" if denied & LOOKING else "some"
