"""`${VAR}` in the MCP servers of a run: the spec keeps the name, an agent gets the value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def variables(servers: Sequence[Any]) -> list[str]:
    """The names that stand in the servers, sorted."""
    return sorted(set(_VARIABLE.findall(str(servers))))


def filled(value: Any, environment: Mapping[str, str]) -> Any:
    """The same with values for names; KeyError where one is not set."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: environment[match[1]], value)
    if isinstance(value, list):
        return [filled(one, environment) for one in cast(list[Any], value)]
    if isinstance(value, dict):
        table = cast(dict[str, Any], value)
        return {name: filled(one, environment) for name, one in table.items()}
    return value
