"""Choosing a model, an agent mode or an effort of an ACP session: which message says so.

Pure functions over what the session told; `acp` sends the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ..model import Problem
from .acp_reading import Json, as_dict, as_list, as_str
from .holding import asks_in
from .names import resolve_name
from .seat import AgentProblem

CONFIG_CATEGORIES = {
    "model": ("model",),
    "agent_mode": ("mode",),
    "effort": ("thought_level", "effort", "thinking"),
}


class Choice(msgspec.Struct):
    """A request without its session, and the value that it chooses."""

    method: str
    params: Json
    value: str


class Offer(msgspec.Struct):
    """What a session offers to choose from, as it told last."""

    modes: Json = {}
    models: Json = {}
    options: list[Any] = []

    def choose(self, what: str, value: str, provider: str, effort_as_modes: bool) -> Choice:
        """How `value` is chosen. AgentProblem where it is not offered."""
        option = find_option(what, self.options)
        if option is not None:
            params: Json = {"configId": option.get("id")}
            if option.get("type") == "boolean":
                on = value.lower() in ("true", "on", "yes", "1")
                return Choice(
                    "session/set_config_option", {**params, "value": on, "type": "boolean"}, value
                )
            value = resolve_name(what, value, offered(option))
            return Choice("session/set_config_option", {**params, "value": value}, value)
        if self.modes and what == ("effort" if effort_as_modes else "agent_mode"):
            modes = [as_dict(mode) for mode in as_list(self.modes.get("availableModes"))]
            value = resolve_name(what, value, {str(m.get("id")): _name(m) for m in modes})
            return Choice("session/set_mode", {"modeId": value}, value)
        if what == "model" and self.models:
            models = [as_dict(model) for model in as_list(self.models.get("availableModels"))]
            value = resolve_name(what, value, {str(m.get("modelId")): _name(m) for m in models})
            return Choice("session/set_model", {"modelId": value}, value)
        said = f"{provider} offers no choice of {what.replace('_', ' ')}"
        hint = f"Leave out {what}={value!r}."
        if what == "agent_mode" and effort_as_modes:
            hint = f"Its modes are levels of thinking: write effort={value!r}."
        raise AgentProblem(Problem(f"no_{what}", said, hint))

    def values(self, what: str) -> list[str]:
        """What is offered of it."""
        option = find_option(what, self.options)
        if option is not None:
            return list(option_values(as_list(option.get("options"))))
        if what == "agent_mode":
            return [str(as_dict(m).get("id")) for m in as_list(self.modes.get("availableModes"))]
        if what == "model":
            offered = as_list(self.models.get("availableModels"))
            return [str(as_dict(m).get("modelId")) for m in offered]
        return []

    def current(self, what: Literal["model", "agent_mode"]) -> str | None:
        """What the session says it uses."""
        option = find_option(what, self.options) or {}
        told = {"model": self.models.get("currentModelId"),
                "agent_mode": self.modes.get("currentModeId")}  # fmt: skip
        return as_str(option.get("currentValue")) or as_str(told[what])

    def asking(self, asking_modes: Sequence[str], provider: str) -> str:
        """The agent mode in which it asks before it acts. AgentProblem where none is offered."""
        for mode in self.values("agent_mode"):
            if asks_in(mode, asking_modes):
                return mode
        said = f"{provider} offers no agent mode in which it asks before it acts"
        raise AgentProblem(Problem("not_held", said, "Choose another agent, or mode='auto'."))


def find_option(what: str, options: list[Any]) -> Json | None:
    """The config option that chooses model, agent mode or effort: by category, else by id."""
    known = [as_dict(option) for option in options]
    for key in ("category", "id"):
        for option in known:
            if option.get(key) in (what, *CONFIG_CATEGORIES[what]):
                return option
    return None


def offered(option: Json) -> dict[str, str]:
    """What a choice is limited to; nothing where the agent says that any name goes."""
    ours = as_dict(as_dict(option.get("_meta")).get("paseo_nb"))
    return {} if ours.get("open") else option_values(as_list(option.get("options")))


def option_values(options: list[Any]) -> dict[str, str]:
    """The values that a select offers, with their names; groups opened."""
    values: dict[str, str] = {}
    for option in map(as_dict, options):
        if "options" in option:
            values |= option_values(as_list(option["options"]))
        elif "value" in option:
            values[str(option["value"])] = _name(option)
    return values


def _name(told: Json) -> str:
    return as_str(told.get("name")) or ""
