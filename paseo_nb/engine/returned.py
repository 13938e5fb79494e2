"""What a workflow's body returned, as its last line has it for whoever follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

from ..errors import UsageProblem
from ..typed import typed
from .journal import Facts
from .keys import plain
from .values import Result, StepFailed


def plain_result(value: Any) -> Facts:
    """What a body returned, as its last line has it; where it has no form as JSON, its type."""
    try:
        return {"result": _plain(value)}
    except UsageProblem:
        return {"unkept": type(value).__name__}


def as_declared(function: Callable[..., Any], result: Any) -> Any:
    """What a follower is given as the type that a body says it returns, where that is a class of
    values; as it is kept otherwise."""
    wanted = _returns(function)
    return typed(result, wanted) if _is_class_of_values(wanted) else result


def _is_class_of_values(wanted: Any) -> bool:
    if dataclasses.is_dataclass(wanted) or hasattr(wanted, "model_validate"):
        return True
    return isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)


def _returns(function: Callable[..., Any]) -> Any:
    try:
        return get_type_hints(function).get("return")
    except (NameError, TypeError):  # names of a cell that is no module
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, Result):
        return str(value) if value.plain is None else value.plain
    if isinstance(value, StepFailed):
        return None
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        return {plain(k, "result"): _plain(v) for k, v in value.items()}  # pyright: ignore
    return plain(value, "the result")
