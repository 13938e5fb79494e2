"""Whether an agent lets a run's permission policy hold: it must ask before it acts. Pure functions.

Called before a launch, and by the supervisor before a mode is changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model import Mode, Rule
from .names import last_part, parts

LOOKING = frozenset({"*", "read", "search", "think"})  # kinds of rules that speak of looking


def not_held(
    provider: str,
    asks: bool | None,
    asking_modes: Sequence[str] | None,
    mode: Mode,
    rules: Sequence[Rule],
    agent_mode: str | None,
) -> str | None:
    """Why what `mode` read or a deny rule forbids would not be held; None where it is, as far as is
    known. asks, asking_modes: see `provider.Capabilities`."""
    what = promised(mode, rules)
    if what is None:
        return None
    if asks is False:
        return (
            f"{provider} never asks for permission, so {what} would not hold: leave it out, or"
            " choose another agent"
        )
    if agent_mode is None or asking_modes is None:
        return None
    if asks_in(agent_mode, asking_modes):
        return None
    return (
        f"agent_mode={agent_mode!r} lets {provider} act unasked, so {what} would not hold: choose"
        f" one of the two; in the agent modes {', '.join(asking_modes)} it asks"
    )


def asks_in(agent_mode: str, asking_modes: Sequence[str]) -> bool:
    """Whether an agent asks in a mode of its own, in any spelling."""
    wanted = parts(last_part(agent_mode))
    return any(parts(last_part(one)) == wanted for one in asking_modes)


def doubt(
    provider: str, asks: bool | None, asks_to_look: bool, mode: Mode, rules: Sequence[Rule]
) -> str | None:
    """What to say of a run whose policy holds less than its user may think; None where nothing."""
    if asks is False and mode != "auto":
        return f"{provider} never asks for permission: with it mode={mode!r} is as mode='auto'"
    what = promised(mode, rules)
    if asks is None and what is not None:
        return f"it is not known whether {provider} asks before it acts: {what} holds if it does"
    looking = next((r for r in rules if r.verdict == "deny" and r.kind in LOOKING), None)
    if looking is not None and not asks_to_look:
        said = f"{provider} does not ask before it reads or searches"
        return f"{said}: there {str(looking)!r} does not hold"
    return None


def unreached(provider: str, listed: str | None, mode: Mode, rules: Sequence[Rule]) -> str | None:
    """What to say where the agent's own file allows it things that the policy may forbid."""
    what = promised(mode, rules)
    if listed is None or what is None:
        return None
    return (
        f"what {listed} allows in this folder {provider} does unasked, so {what} does not hold for"
        " it: take it out of that file"
    )


def promised(mode: Mode, rules: Sequence[Rule]) -> str | None:
    """What a user relies on, as it is written; None where nothing is forbidden for certain."""
    if mode == "read":
        return "mode='read'"
    denied = next((rule for rule in rules if rule.verdict == "deny"), None)
    return None if denied is None else f"the rule {str(denied)!r}"
