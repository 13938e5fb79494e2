"""MCP servers as users write them (`mcp=`), made into what a run's spec holds: ACP's own form.

A value may hold `${VAR}`: it stays so in the spec and is filled in from the environment when an
agent starts, so that no key is written down.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .errors import UsageProblem

_STDIO = {"command", "args", "env", "type"}
_REMOTE = {"url", "headers", "type"}


def servers_of(wanted: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """ACP's list from `{name: {"command": …, "args": […], "env": {…}}}` for a program that speaks
    on its standard input and output, or `{name: {"url": …, "headers": {…}}}` for one reached over
    http (`"type": "sse"` for the older way). A text stands for its JSON, or for a command line of
    one word, or for a URL. UsageProblem names what is wrong."""
    return [_server(name, given) for name, given in (wanted or {}).items()]


def _server(name: str, given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        given = _from_text(name, given)
    if not isinstance(given, Mapping):
        raise UsageProblem(f"mcp: {name!r} is an object with a command or a url, not {given!r}")
    table = dict(cast(Mapping[str, Any], given))
    known = _REMOTE if "url" in table else _STDIO
    if unknown := sorted(table.keys() - known):
        raise UsageProblem(
            f"mcp: {name!r} has {', '.join(unknown)}, which is unknown beside"
            f" {'url' if known is _REMOTE else 'command'}; there are {', '.join(sorted(known))}"
        )
    if "url" in table:
        kind = str(table.get("type") or "http")
        if kind not in ("http", "sse") or not str(table["url"]).startswith(("http://", "https://")):
            raise UsageProblem(f"mcp: {name!r} needs an http(s) url and the type http or sse")
        headers = _pairs(name, "headers", table.get("headers"))
        return {"type": kind, "name": name, "url": str(table["url"]), "headers": headers}
    return {
        "name": name,
        "command": _program(name, table.get("command")),
        "args": _words(name, table.get("args")),
        "env": _pairs(name, "env", table.get("env")),
    }


def _from_text(name: str, text: str) -> Any:
    if text.startswith(("http://", "https://")):
        return {"url": text}
    if text.lstrip()[:1] != "{":
        return {"command": text}
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageProblem(f"mcp: {name!r} is no JSON: {error}") from None


def _program(name: str, command: Any) -> str:
    if not isinstance(command, str) or not command:
        raise UsageProblem(f"mcp: {name!r} needs a command (a program) or a url")
    found = shutil.which(os.fspath(Path(command).expanduser()))
    if found is None:
        raise UsageProblem(f"mcp: {name!r}: there is no program {command!r}")
    return os.path.abspath(found)


def _words(name: str, given: Any) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, (list, tuple)):
        raise UsageProblem(f"mcp: the args of {name!r} are a list of texts, not {given!r}")
    return [str(word) for word in cast(list[Any], given)]


def _pairs(name: str, what: str, given: Any) -> list[dict[str, str]]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise UsageProblem(f"mcp: the {what} of {name!r} are an object of texts, not {given!r}")
    table = cast(Mapping[str, Any], given)
    return [{"name": str(key), "value": str(value)} for key, value in table.items()]
