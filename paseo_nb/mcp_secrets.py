"""Keys that stand as they are in MCP servers: put into variables, so that no spec holds them.

What is called a secret goes by its name: a header, a variable of a server's, an argument, a part
of its URL. A header of another name may hold one too, where its value looks so and is not short;
but for those that never carry a key.
`${VAR}` that is there already stays.
"""

from __future__ import annotations

import re
from typing import Any

from .drivers.filling import SECRET_NAME, looks_secret

PREFIX = "PASEO_MCP_"
_NAMED = SECRET_NAME
_SECRET = re.compile(_NAMED, re.IGNORECASE)
_SCHEME = re.compile(r"((?:Bearer|Basic|Token|ApiKey)[ ]+)?(.+)", re.IGNORECASE | re.DOTALL)
_HARMLESS = re.compile(
    r"accept(?:-\w+)?|cache-control|connection|content-type|host|mcp-protocol-version|origin|referer"
    r"|user-agent",
    re.IGNORECASE,
)
_WORTH = 8  # characters: a shorter value is masked nowhere (`masking.MIN_LENGTH`)
_FLAG = re.compile(rf"--?[\w-]*{_NAMED}[\w-]*", re.IGNORECASE)
_FLAG_VALUE = re.compile(rf"({_FLAG.pattern}=)(.+)", re.IGNORECASE | re.DOTALL)
_IN_URL = re.compile(
    rf"(://[^/\s:@?#]*:)([^/\s@?#]+)(?=@)|([?&][^=&#]*{_NAMED}[^=&#]*=)([^&#]+)", re.IGNORECASE
)


def lifted(servers: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The servers with a variable where a secret stood, and the variables' values."""
    values: dict[str, str] = {}
    return [_without(server, values) for server in servers], values


def _without(server: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    def kept(field: str, value: str) -> str:
        """The variable that stands for a value from now on."""
        if "${" in value:
            return value
        base = PREFIX + re.sub(r"\W", "_", f"{server['name']}_{field}").upper()
        name, count = base, 1
        while values.get(name, value) != value:
            count += 1
            name = f"{base}_{count}"
        values[name] = value
        return f"${{{name}}}"

    def pair(one: dict[str, str], is_header: bool) -> dict[str, str]:
        found = _SCHEME.fullmatch(one["value"])
        named = _SECRET.search(one["name"]) is not None
        unknown = is_header and _HARMLESS.fullmatch(one["name"]) is None
        if found is None:
            return one
        looks = found[1] or (len(one["value"]) >= _WORTH and looks_secret(one["value"]))
        if not (named or (unknown and looks)):
            return one
        return {**one, "value": (found[1] or "") + kept(one["name"], found[2])}

    def in_url(found: re.Match[str]) -> str:
        return (found[1] or found[3]) + kept("url", found[2] or found[4])

    told = dict(server)
    for field in ("headers", "env"):
        if field in told:
            told[field] = [pair(one, field == "headers") for one in told[field]]
    if "url" in told:
        told["url"] = _IN_URL.sub(in_url, told["url"])
    if "args" in told:
        told["args"] = args = list(told["args"])
        for at, word in enumerate(args):
            found = _FLAG_VALUE.fullmatch(word)
            if found is not None:
                args[at] = found[1] + kept("arg", found[2])
            elif at and _FLAG.fullmatch(args[at - 1]) and word and not word.startswith("-"):
                args[at] = kept("arg", word)
    return told
