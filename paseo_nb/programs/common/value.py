"""JSON values of unknown shape, made into what the code expects: a dictionary with names."""

from __future__ import annotations

from typing import Any, cast


def as_dict(value: Any) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def spelled_out(value: Any, short_for: str | None = None) -> dict[str, Any]:
    """A step's value with names; a plain value is the one named `short_for`, `true` names
    nothing."""
    if isinstance(value, dict) or short_for is None or value is True:
        return as_dict(value)
    return {short_for: value}
