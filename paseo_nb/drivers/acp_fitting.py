"""Making a wish fit what an ACP agent offers: content blocks by its capabilities, a model, mode or
effort by its config options; and an answer's id fit ours. Pure functions; `acp` talks."""

from __future__ import annotations

import difflib
from typing import Any

from ..model import Problem
from .acp_reading import Json, as_dict, as_list, as_str
from .seat import AgentProblem

CONFIG_CATEGORIES = {
    "model": ("model",),
    "agent_mode": ("mode",),
    "effort": ("thought_level", "effort", "thinking"),
}


def fit(blocks: list[Json], can: Json) -> list[Json]:
    """The blocks of a prompt as an agent with these `promptCapabilities` takes them: embedded text
    becomes text, other resources become links. AgentProblem for images and sound it cannot take."""
    fitting: list[Json] = []
    for block in blocks:
        kind = block.get("type")
        if kind in ("image", "audio") and not can.get(kind):
            said = f"the agent takes no {'images' if kind == 'image' else 'sound'}"
            raise AgentProblem(Problem(f"no_{kind}", said, "Send the prompt without it."))
        if kind == "resource" and not can.get("embeddedContext"):
            inner = as_dict(block.get("resource"))
            uri, text = str(inner.get("uri")), as_str(inner.get("text"))
            if text is None:
                block = {"type": "resource_link", "uri": uri, "name": uri.rsplit("/", 1)[-1]}
            else:
                block = {"type": "text", "text": f"<file uri={uri!r}>\n{text}\n</file>"}
        fitting.append(block)
    return fitting


def find_option(what: str, options: list[Any]) -> Json | None:
    """The config option that chooses model, agent mode or effort: by category, else by id."""
    known = [as_dict(option) for option in options]
    for key in ("category", "id"):
        for option in known:
            if option.get(key) in (what, *CONFIG_CATEGORIES[what]):
                return option
    return None


def option_values(options: list[Any]) -> list[str]:
    """The values that a select offers, groups opened."""
    values: list[str] = []
    for option in map(as_dict, options):
        if "options" in option:
            values += option_values(as_list(option["options"]))
        elif "value" in option:
            values.append(str(option["value"]))
    return values


def check_offered(what: str, value: str, offered: list[str]) -> None:
    """AgentProblem with the nearest names, where a list is offered and the value is not on it."""
    if not offered or value in offered:
        return
    near = difflib.get_close_matches(value, offered, n=5, cutoff=0.3) or offered[:8]
    raise AgentProblem(
        Problem(
            f"unknown_{what}",
            f"the agent knows no {what.replace('_', ' ')} {value!r}",
            f"Nearest: {', '.join(near)}.",
        )
    )


def our_id(ident: Any) -> int:
    """Our request ids are integers; agents may give them back as text, or as 3.0."""
    if isinstance(ident, str):
        return int(ident) if ident.isdecimal() and len(ident) < 16 else -1
    if isinstance(ident, bool) or not isinstance(ident, (int, float)) or ident != int(ident):
        return -1
    return int(ident)
