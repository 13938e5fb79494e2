"""What of a launch is refused, and with which words; nothing is made before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .drivers import registry
from .drivers.acp_fitting import mcp_kind
from .drivers.provider import Provider
from .errors import UsageProblem
from .model import TOOL_KINDS, Rule

if TYPE_CHECKING:
    from .preparing import Wish


def rules_of(verdict: Literal["allow", "deny"], given: Sequence[str] | None) -> list[Rule]:
    """Rules from `KIND` or `KIND:PATTERN`, as `execute:pytest *` or `edit:docs/**`."""
    rules: list[Rule] = []
    for text in given or ():
        kind, found, pattern = text.partition(":")
        kind, pattern = kind.strip(), pattern.strip()
        if kind not in (*TOOL_KINDS, "*") or (found and not pattern):
            raise UsageProblem(
                f"{verdict}={text!r}: write KIND or KIND:PATTERN, as in 'execute:pytest *' or"
                f" 'edit:docs/**'; kinds are {', '.join(TOOL_KINDS)} and *"
            )
        rules.append(Rule(verdict, kind, pattern or None))
    return rules


def checked_prompt(prompt: Any) -> str:
    """The prompt without the space around it; UsageProblem for one that cannot be sent."""
    if not isinstance(prompt, str | None):
        raise UsageProblem(f"the prompt must be text, not {type(prompt).__name__}")
    if not (prompt and prompt.strip()):
        raise UsageProblem("the prompt is empty: write what the agent should do")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UsageProblem("the prompt is no valid UTF-8 text: check its encoding") from None
    return prompt.strip()


def check_types(wish: Wish) -> None:
    """UsageProblem that names an option of a wrong type or value, before anything is made."""
    kind = type(wish)
    given = {name: getattr(wish, name) for name in kind.__struct_fields__ if name != "prompt"}
    if not isinstance(given["mcp"], Mapping | None):
        raise UsageProblem(
            f'mcp is {{"NAME": {{"command": …}} or {{"url": …}}}}, not {given["mcp"]!r}. Servers'
            " of the settings go by their names in a profile (docs/settings.md): agent @PROFILE"
        )
    try:
        msgspec.convert(
            {**given, "prompt": str(wish.prompt), "cell": None, "schema": None, "most": None}, kind
        )
    except msgspec.ValidationError as error:
        raise UsageProblem(f"an option is of the wrong type: {error}") from None
    for name in ("budget", "token_budget", "timeout", "permission_timeout"):
        value = getattr(wish, name)
        if name != "permission_timeout" or value != 0:
            check_limit(name, value)
    for name, value in (wish.env or {}).items():
        if not name or "=" in name or "\0" in name + value:
            raise UsageProblem(f"env={{{name!r}: …}} is no environment variable")


def check_limit(name: str, value: float | None) -> None:
    """UsageProblem for a limit that nothing could keep."""
    if value is not None and not 0 < value < math.inf:
        raise UsageProblem(f"{name}={value!r} must be a number that is more than 0")


def check_images(provider: Provider, blocks: Sequence[Mapping[str, Any]]) -> None:
    """UsageProblem for an image that is known not to reach the agent's model."""
    images = provider.capabilities.images
    if images is False and any(block["type"] == "image" for block in blocks):
        raise UsageProblem(f"{provider.name} takes no images: leave them out of attach=")


def check_mcp(resolved: registry.Resolved, servers: Sequence[Mapping[str, Any]]) -> None:
    """UsageProblem for an MCP server of a kind that the agent would leave out without a word."""
    for server in servers:
        kind = mcp_kind(server)
        if resolved.mcp is not None and kind not in resolved.mcp:
            takes = f"MCP servers over {' and '.join(resolved.mcp)} only"
            raise UsageProblem(
                f"{resolved.provider} takes {takes if resolved.mcp else 'no MCP servers'}; it would"
                f" leave out {server.get('name')!r} ({kind}) without a word. Take it out of mcp="
                + (f", or offer it over {resolved.mcp[0]}." if resolved.mcp else ".")
            )
