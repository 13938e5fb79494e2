"""References in a flow's prompts: `{plan}`, `{plan.value.files}`, `{args.topic}`, `{item}`.

A reference that means nothing is an error before anything starts, never an empty text. `{{` and
`}}` are braces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from ..errors import UsageProblem
from .keys import plain
from .values import Result, StepFailed

_REFERENCE = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w-]*)((?:\.[\w-]+)*)\}")


def references(text: str) -> set[str]:
    """The names that a prompt refers to."""
    return {match[1] for match in _REFERENCE.finditer(text) if match[1]}


def filled(text: str, known: Mapping[str, Any]) -> str:
    """A prompt with its references filled in, whole. UsageProblem where one leads nowhere."""

    def one(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        return as_text(looked_up(match[0][1:-1], known))

    return _REFERENCE.sub(one, text)


def looked_up(path: str, known: Mapping[str, Any]) -> Any:
    """What `name.part.part` stands for: a result's value, where it has one, is looked into."""
    name, *parts = path.split(".")
    if name not in known:
        raise UsageProblem(f"{path!r} refers to {name!r}; there is {', '.join(known) or 'nothing'}")
    value: Any = known[name]
    for part in parts:
        if isinstance(value, Result):
            if part in ("text", "value", "commit", "branch", "path"):
                value = value.plain if part == "value" else getattr(value, part)
                continue
            value = value.plain
        value = _part(value, part, path)
    return value


def _part(value: Any, part: str, path: str) -> Any:
    try:
        if isinstance(value, Mapping):
            return cast(Mapping[str, Any], value)[part]
        if isinstance(value, (list, tuple)):
            return cast(list[Any], value)[int(part)]
    except (KeyError, IndexError, ValueError):
        pass
    raise UsageProblem(f"{path!r} leads nowhere: there is no {part!r}")


def as_text(value: Any) -> str:
    """A value in a prompt: text as it is, several results one after the other, else JSON."""
    if value is None:
        return "(nothing)"
    if isinstance(value, (str, Result, StepFailed)):
        return str(value)
    if isinstance(value, list) and any(
        isinstance(one, (Result, StepFailed)) for one in cast(list[Any], value)
    ):
        return "\n\n".join(as_text(one) for one in cast(list[Any], value))
    return msgspec.json.encode(plain(value, "a reference")).decode()
