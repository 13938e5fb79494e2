"""The options of a permission request in our words, where an answer does what we see to.

An answer that holds on is remembered by the supervisor, for the run, whatever the agent's own
option of that kind would have done (`supervisor/lasting.py`).
"""

from __future__ import annotations

from typing import Any

from .acp_reading import Json, as_dict

_VERBS = {"allow_always": "Allow", "reject_always": "Deny"}
_WHAT = {
    "execute": "this very command",
    "edit": "edits like this",
    "delete": "deletions like this",
    "move": "moves like this",
}


def options_of(options: list[Any], kind: str | None) -> list[Json]:
    """The options as they are shown; those that hold on say for what and how long."""
    told: list[Json] = []
    for option in map(as_dict, options):
        verb = _VERBS.get(str(option.get("kind")))
        name = f"{verb} {_WHAT.get(kind or '', 'this')} for the rest of the run"
        told.append({**option, "name": name} if verb else option)
    return told
