"""The choices a session offers, in their wire form: modes, the model, the effort."""

from __future__ import annotations

from typing import Any, Literal

MODES = {
    "ask": ("Ask", "Each edit, each command and each MCP tool asks first"),
    "edit": ("Accept edits", "Edits in the working folder pass, all else asks first"),
    "plan": ("Plan", "Reads and proposes; edits nothing and runs nothing"),
    "auto": ("Auto", "Asks nothing"),
}
EFFORTS = {
    "default": "The model's own",
    "off": "Off",
    "minimal": "Minimal",
    "low": "Low",
    "medium": "Medium",
    "high": "High",
    "xhigh": "Very high",
    "max": "Maximal",
}
LOOKING = frozenset({"read", "search", "think"})
Verdict = Literal["pass", "ask", "never"]


def verdict(mode: str, kind: str, outside: bool) -> Verdict:
    """What a mode says to a tool of a kind; `outside`: it touches what is not in the session's
    folder, or its git folder."""
    if mode == "auto":
        return "pass"
    if mode == "plan" and kind not in LOOKING:
        return "never"
    if outside:
        return "ask"
    return "pass" if kind in LOOKING or (mode == "edit" and kind == "edit") else "ask"


def mode_state(current: str) -> dict[str, Any]:
    """A `SessionModeState`."""
    modes = [{"id": i, "name": name, "description": text} for i, (name, text) in MODES.items()]
    return {"currentModeId": current, "availableModes": modes}


def config_options(models: list[str], model: str, effort: str) -> list[dict[str, Any]]:
    """The `configOptions` of a session. Any model may be named, not only the listed ones: `open`
    says so to our own client."""
    return [
        {
            "id": "model",
            "name": "Model",
            "description": "MODEL, or KIND:MODEL as in vllm:qwen3; any name may be given",
            "category": "model",
            "type": "select",
            "currentValue": model,
            "options": [{"value": name, "name": name} for name in models],
            "_meta": {"paseo_nb": {"open": True}},
        },
        {
            "id": "effort",
            "name": "Effort",
            "description": "How much the model thinks before it answers",
            "category": "thought_level",
            "type": "select",
            "currentValue": effort,
            "options": [{"value": value, "name": name} for value, name in EFFORTS.items()],
        },
    ]
