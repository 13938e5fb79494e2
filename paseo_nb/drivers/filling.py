"""`${VAR}` in the MCP servers of a run: the spec keeps the name, an agent gets the value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


# What tells by its name that a value is a secret: of a header, a variable, an argument.
SECRET_NAME = r"(?:auth|key|token|secret|passw|pwd|credential|cookie|session)"
_NAMED = re.compile(SECRET_NAME, re.IGNORECASE)


def looks_secret(value: str) -> bool:
    """Whether a value of no telling name may be a key: it has letters and digits, as words have
    not."""
    return re.search(r"[A-Za-z]", value) is not None and re.search(r"[0-9]", value) is not None


def secrets(servers: Sequence[Any], environment: Mapping[str, str]) -> list[str]:
    """The values of the variables in the servers that are to be masked: who stand in a place with
    a telling name or have one, and who look so."""
    telling = {name for name in variables(servers) if _NAMED.search(name)}
    for server in servers:
        for pair in (*server.get("headers", ()), *server.get("env", ())):
            if _NAMED.search(str(pair.get("name"))):
                telling |= set(_VARIABLE.findall(str(pair.get("value"))))
    given = {name: environment.get(name, "") for name in variables(servers)}
    return [value for name, value in given.items() if name in telling or looks_secret(value)]


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
