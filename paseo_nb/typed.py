"""Structured answers, the caller's side: a type or a JSON Schema in, a checked value out.

The supervisor asks for the value and validates it (`supervisor/answers.py`), so that a schema holds
without a kernel too; here a type becomes its schema, and the value the type again.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from .errors import PaseoError, UsageProblem


def json_schema(wanted: Any) -> dict[str, Any] | None:
    """The JSON Schema of what `schema=` was given; None for None.

    wanted: a schema (an object, its JSON text, or the path of a `.json` file), or a type: a
    pydantic model, a dataclass, a msgspec Struct, a TypedDict, or what these make, as `list[int]`.
    UsageProblem where it is neither, or no valid schema.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        schema = _read(wanted)
    elif isinstance(wanted, Mapping):
        schema = dict(cast(Mapping[str, Any], wanted))
    elif hasattr(wanted, "model_json_schema"):
        schema = wanted.model_json_schema()
    else:
        schema = _of_type(wanted)
    return _valid(schema)


def typed(value: Any, wanted: Any) -> Any:
    """A validated value as the type that was asked for; as it is where that was a schema."""
    if value is None or wanted is None or isinstance(wanted, (str, Mapping)):
        return value
    try:
        if hasattr(wanted, "model_validate"):
            return wanted.model_validate(value)
        return msgspec.convert(value, wanted, strict=False)
    except ValueError as error:
        name = getattr(wanted, "__name__", wanted)
        raise PaseoError(
            f"the answer fits the schema and yet makes no {name}: {error}. The plain value is in"
            " paseo.attach(run.id).value"
        ) from error


def _read(text: str) -> Any:
    if text.lstrip()[:1] != "{":
        try:
            text = Path(text).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageProblem(
                f"schema={text!r} is neither JSON nor a file that can be read"
            ) from error
    try:
        return json.loads(text)
    except ValueError as error:
        raise UsageProblem(f"the schema is no JSON: {error}") from None


def _of_type(wanted: Any) -> Any:
    made_of_types = isinstance(wanted, types.UnionType) or hasattr(wanted, "__origin__")
    if not isinstance(wanted, type) and not made_of_types:
        raise UsageProblem(
            f"schema={wanted!r} is no schema: give a JSON Schema, or a type (a pydantic model, a"
            " dataclass, a msgspec Struct, list[int], …)"
        )
    try:
        return msgspec.json.schema(wanted)
    except TypeError as error:
        name = getattr(wanted, "__name__", wanted)
        hint = "" if dataclasses.is_dataclass(wanted) else " Give a pydantic model or a dataclass."
        raise UsageProblem(f"schema={name} cannot be told as JSON Schema: {error}.{hint}") from None


def _valid(schema: Any) -> dict[str, Any]:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    if not isinstance(schema, dict):
        raise UsageProblem(f"a JSON Schema is an object, not {type(schema).__name__}")
    schema = cast(dict[str, Any], schema)
    try:
        validator_for(schema).check_schema(schema)
    except SchemaError as error:
        raise UsageProblem(f"the schema is not valid: {error.message}") from None
    return schema
