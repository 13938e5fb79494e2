"""Answers that hold for the rest of a run: remembered here, never by the agent.

An agent that remembers a yes by itself acts unasked later, also where the run's mode has become
`read` by then, and some write it into files of the user's. So it is told "once" each time, and
what was answered "always" is answered by us when it asks for the same again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from ..drivers.acp_reading import as_dict, as_str
from .policy import CHANGING, edits_inside, named_paths, pick_option, real_path
from .rules import command_of

_WORDS = ("description", "reason", "explanation", "justification", "timeout")
_ONCE = {"allow_always": True, "reject_always": False}


def lasts(options: Sequence[Any], option_id: str | None) -> bool:
    """Whether an option is to hold for more than this once."""
    return _kind(options, option_id) in _ONCE


def once(options: Sequence[Any], option_id: str | None) -> str | None:
    """The option that the agent is told: the one-time one that says the same, where it has one."""
    kind = _kind(options, option_id)
    return pick_option(list(options), _ONCE[kind]) if kind in _ONCE else option_id


def sameness(call: dict[str, Any], roots: list[str], cwd: str) -> str | None:
    """What calls have in common that one answer holds for; None where that cannot be told.

    The very same command; edits inside the run's folder (outside of it: of the same files); a tool
    that is named; else the same call.
    """
    kind = as_str(call.get("kind")) or "other"
    given = {key: value for key, value in as_dict(call.get("rawInput")).items()
             if key not in _WORDS}  # fmt: skip
    command = command_of(call)
    if command is not None or kind == "execute":
        return _text("command", given) if command else None
    if kind in CHANGING:
        paths = sorted({real_path(os.path.join(cwd, path)) for path in named_paths(call)})
        where = "inside" if edits_inside(call, roots, cwd) else paths
        return _text(kind, where) if paths else None
    meta = as_dict(call.get("_meta"))
    name = as_str(call.get("toolName")) or as_str(meta.get("toolName"))
    if name is not None and kind == "other":
        return _text("tool", name)
    return _text(kind, call.get("title"), given)


def _kind(options: Sequence[Any], option_id: str | None) -> str:
    known = map(as_dict, options)
    found = (as_str(o.get("kind")) for o in known if o.get("optionId") == option_id)
    return next(found, None) or ""


def _text(*parts: Any) -> str:
    return json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
