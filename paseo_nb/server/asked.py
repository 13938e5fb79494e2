"""What a verb is asked over the wire, as a type made from its signature: it checks a body, and is
the schema of that body in the OpenAPI page.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from typing import Any, Literal

import msgspec

from ..attaching import Blocks
from ..errors import UsageProblem
from ..verbs import VERBS, Verb

Json = dict[str, Any]
# What needs the very process or the person at it: shown live, waited for by the caller, trusted.
ELSEWHERE = {"dashboard", "run", "wait", "trust", "pair", "unpair"}
_LEFT_OUT = {"cell", "host"}


def served() -> dict[str, Verb]:
    """The verbs that can be called over the wire."""
    return {name: row for name, row in VERBS.items() if name not in ELSEWHERE}


@functools.cache
def arguments_of(name: str) -> type[msgspec.Struct]:
    """The type of a verb's arguments: unknown names and wrong types are refused."""
    function = VERBS[name].function
    parameters = inspect.signature(function).parameters
    notes = {key: str(one.annotation) for key, one in parameters.items() if _takes(key, one)}
    inner = inspect.unwrap(function)
    told = typing.get_type_hints(types.SimpleNamespace(__annotations__=notes), inner.__globals__)
    fields: list[Any] = []
    for key, note in notes.items():
        parameter, kind = parameters[key], _on_the_wire(key, note, told[key])
        if parameter.kind is parameter.VAR_POSITIONAL:
            fields.append((key, list[kind], msgspec.field(default_factory=list)))
        elif parameter.default is parameter.empty:
            fields.append((key, kind))
        else:
            fields.append((key, kind, parameter.default))
    return msgspec.defstruct(
        name.title().replace("_", "") + "Arguments",
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _takes(name: str, parameter: inspect.Parameter) -> bool:
    """Functions, and what belongs to a cell, do not go over the wire."""
    return name not in _LEFT_OUT and "Callable" not in str(parameter.annotation)


def _on_the_wire(name: str, note: str, kind: Any) -> Any:
    if "OnPermission" in note:
        return Literal["wait", "raise"]
    if name == "attach" and "Attachments" in note:
        return list[dict[str, Any]] | None
    return kind


def call_of(name: str, body: bytes) -> tuple[list[Any], Json]:
    """A verb's arguments, positional and by name, from a body. UsageProblem says what is wrong."""
    kind = arguments_of(name)
    try:
        given = msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageProblem(f"{name}: the body is not what it takes: {error}") from None
    positional: list[Any] = []
    keywords: Json = {}
    for key, parameter in inspect.signature(VERBS[name].function).parameters.items():
        if not _takes(key, parameter):
            continue
        value: Any = getattr(given, key)
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional = list(value)
            continue
        if key == "attach" and "Attachments" in str(parameter.annotation) and value is not None:
            value = Blocks(value)
        keywords[key] = value
    return positional, keywords
