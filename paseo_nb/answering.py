"""Answers to permission requests, as a person or a program gives them: checked, and made into what
a supervisor takes. Used by the handle, by who asks people, and by `on_permission=`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from .errors import UsageProblem
from .model import Allow, Deny, Permission

Answer = Allow | Deny
# "wait": for whoever answers, `input()` among them; "raise" PermissionNeeded; or a function that is
# given each question and returns its answer: see `answer_of`.
OnPermission = Literal["wait", "raise"] | Callable[[Permission], Any]


def checked_on_permission(given: Any) -> OnPermission:
    """What to do with questions; UsageProblem for something else."""
    if given in ("wait", "raise") or callable(given):
        return given
    raise UsageProblem(
        f"on_permission={given!r}: use 'wait', 'raise', or a function of the question"
    )


def answer_of(given: Any) -> Answer | None:
    """The answer that a function returned: Allow or Deny; True for once yes, False for no, a text
    for no with that reason; None leaves the question to others. UsageProblem."""
    if given is None or isinstance(given, (Allow, Deny)):
        return given
    if isinstance(given, bool):
        return Allow() if given else Deny()
    if isinstance(given, str):
        return Deny(given)
    raise UsageProblem(
        f"on_permission returned {given!r}: return paseo.Allow(…), paseo.Deny(…), True, False,"
        " a reason to deny, or None to leave it to others"
    )


def arguments(permission: str, answer: Answer, by: str) -> dict[str, Any]:
    """What the supervisor is told. UsageProblem names what is wrong."""
    _check_text("permission", permission, "the id of a question, as 'p12'")
    _check_text("message", answer.message, "text")
    told: dict[str, Any] = {"permission": permission, "by": by, "message": answer.message}
    if isinstance(answer, Deny):
        return {**told, "allow": False, "cancel": bool(answer.cancel)}
    _check_text("option", answer.option, "the id of an option that it offers")
    if answer.always and answer.option is not None:
        raise UsageProblem("always= and option= both choose an option: give one of them")
    told |= {"allow": True, "always": bool(answer.always), "option_id": answer.option}
    return told if answer.input is None else {**told, "input": tool_input(answer.input)}


def _check_text(name: str, given: Any, what: str) -> None:
    if given is not None and not isinstance(given, str):
        raise UsageProblem(f"{name}={given!r} must be {what}")


def tool_input(given: Any) -> dict[str, Any]:
    """The input that a tool shall be used with, as an object or its JSON text; UsageProblem."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise UsageProblem(f"input= is no JSON: {error}") from None
    if not isinstance(given, Mapping) or not given:
        raise UsageProblem(
            f"input={given!r} must be the tool's whole input, an object such as"
            ' {"command": "ls"}; the question\'s own is its `input`'
        )
    table = dict(cast(Mapping[str, Any], given))
    try:
        json.dumps(table, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageProblem(f"input= cannot be told to the agent as JSON: {error}") from None
    return table
