"""A JSON Schema as OpenAI's structured outputs take it ("strict"), for Codex's `outputSchema`.

Their rules: the root is an object; every object lists its properties, requires all of them and
allows no others; only some keywords are known. An endpoint refuses any other schema with HTTP 400,
so what cannot be said in these rules is asked for in the prompt instead. What is said is never
wider in meaning than the schema but for `oneOf`, and the answer is held against the schema itself.
Source: platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
"""

from __future__ import annotations

from typing import Any

from .acp_reading import Json, as_dict, as_list

_SAID = frozenset({"title", "description"})
_UNSAID = frozenset(
    {"$schema", "$id", "$comment", "default", "examples", "example", "deprecated", "readOnly",
     "writeOnly", "discriminator"}
)  # fmt: skip
_KEPT = frozenset(
    {"type", "enum", "const", "$ref", "pattern", "format", "multipleOf", "minimum", "maximum",
     "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"}
)  # fmt: skip
_PLACES = ("$defs", "definitions")
_DEEPEST = 100


class _Beyond(Exception):
    """The rules have no word for it."""


def strict(schema: Json) -> Json | None:
    """The schema by these rules; None where they cannot say it."""
    if "$ref" in schema and not schema.keys() - {"$ref", *_PLACES} - _SAID - _UNSAID:
        places = {key: schema[key] for key in _PLACES if key in schema}
        schema = {**_named(str(schema["$ref"]), schema), **places}  # the root must be an object
    try:
        told = _strict(schema, schema, 0)
    except _Beyond:
        return None
    return told if told.get("type") == "object" else None


def _strict(given: Any, root: Json, depth: int) -> Json:
    """One schema. Reads everything before it leaves anything out: a keyword that it does not know
    may change what the others mean."""
    if not isinstance(given, dict) or depth > _DEEPEST:
        raise _Beyond
    schema = as_dict(given)
    if len(as_list(schema.get("allOf"))) == 1 and not schema.keys() - _SAID - _UNSAID - {"allOf"}:
        inner = _strict(as_list(schema["allOf"])[0], root, depth + 1)
        said = {key: schema[key] for key in _SAID & schema.keys()}
        return inner if "$ref" in inner else {**inner, **said}
    told: Json = {}
    for key, value in schema.items():
        if key in _SAID or key in _KEPT:
            told[key] = value
        elif key in ("anyOf", "oneOf"):
            told["anyOf"] = [_strict(one, root, depth + 1) for one in as_list(value)]
        elif key == "items":
            told[key] = _strict(value, root, depth + 1)
        elif key in _PLACES:
            told[key] = {name: _strict(one, root, depth + 1) for name, one in value.items()}
        elif key not in ("properties", "required", "additionalProperties") and key not in _UNSAID:
            raise _Beyond
    if "$ref" in told:
        told = {key: value for key, value in told.items() if key not in _SAID}
        if told.keys() - {"$ref"} - set(_PLACES):
            raise _Beyond
    types = as_list(told.get("type")) or [told.get("type")]
    if "object" in types or "properties" in schema:
        told |= _object(schema, root, depth)
    if not told.keys() & {"type", "enum", "const", "$ref", "anyOf"}:
        raise _Beyond
    if "array" in types and "items" not in told:
        raise _Beyond
    return told


def _object(schema: Json, root: Json, depth: int) -> Json:
    properties = as_dict(schema.get("properties"))
    if "properties" not in schema or schema.get("additionalProperties") not in (None, True, False):
        raise _Beyond  # any object, or a table of names that are not known
    if schema.get("additionalProperties") is True:
        raise _Beyond  # more than the listed ones are expected
    required = as_list(schema.get("required"))
    if set(required) - properties.keys():
        raise _Beyond
    for name, one in properties.items():
        # Null stands for "not there": only where the schema itself takes it.
        if name not in required and not _takes_null(one, root, depth):
            raise _Beyond
    return {
        "properties": {name: _strict(one, root, depth + 1) for name, one in properties.items()},
        "required": list(properties),
        "additionalProperties": False,
    }


def _takes_null(given: Any, root: Json, depth: int) -> bool:
    schema = as_dict(given)
    if depth > _DEEPEST:
        return False
    if "$ref" in schema:
        return _takes_null(_named(str(schema["$ref"]), root), root, depth + 1)
    if any(_takes_null(one, root, depth + 1) for one in as_list(schema.get("anyOf"))):
        return True
    types = as_list(schema.get("type")) or [schema.get("type")]
    return "null" in types or ("enum" in schema and None in as_list(schema["enum"]))


def _named(ref: str, root: Json) -> Json:
    """What a reference within the schema leads to."""
    place: Json = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        place = as_dict(place.get(part)) if part else place
    return place
