"""The choices a session offers, in their wire form: modes, efforts, and the model list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODES = {
    "default": ("Ask before edits and commands", "Each edit and each command asks first"),
    "acceptEdits": ("Accept edits", "Edits in the working folder pass, commands ask first"),
    "plan": ("Plan", "Reads and proposes; edits nothing, commands ask first"),
    "auto": ("Auto", "Asks nothing"),
}
EFFORTS = {"low": "Low", "medium": "Medium", "high": "High"}
ASKS_FOR: dict[str, frozenset[str]] = {
    "default": frozenset({"edit", "execute"}),
    "acceptEdits": frozenset({"execute"}),
    "plan": frozenset({"edit", "execute"}),
    "auto": frozenset(),
}


def mode_state(current: str) -> dict[str, Any]:
    """A `SessionModeState`."""
    modes = [{"id": i, "name": name, "description": text} for i, (name, text) in MODES.items()]
    return {"currentModeId": current, "availableModes": modes}


def config_options(models: Mapping[str, str], model: str, effort: str) -> list[dict[str, Any]]:
    """The `configOptions` of a session: model and effort; `models` maps a name to its one line."""
    return [
        {
            "id": "model",
            "name": "Scenario",
            "description": "What the scripted agent plays; there is no model behind it",
            "category": "model",
            "type": "select",
            "currentValue": model,
            "options": [{"value": n, "name": n, "description": d} for n, d in models.items()],
        },
        {
            "id": "effort",
            "name": "Effort",
            "description": "Changes nothing but the reported thought tokens",
            "category": "thought_level",
            "type": "select",
            "currentValue": effort,
            "options": [{"value": value, "name": name} for value, name in EFFORTS.items()],
        },
    ]


def commands(models: Mapping[str, str]) -> list[dict[str, Any]]:
    """The `availableCommands`: `/NAME` plays a scenario for one turn."""
    return [
        {"name": name, "description": line, "input": {"hint": "what to do"}}
        for name, line in models.items()
    ]
