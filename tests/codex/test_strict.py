"""Schemas by OpenAI's rules for structured outputs, or not at all.

Invariant: what is told to the model is never wider than the schema: each value that the told one
takes, the schema takes too (checked with values made at random from the told one).
"""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pydantic
import pytest
from jsonschema import Draft202012Validator

from paseo_nb.drivers.codex_strict import strict
from paseo_nb.typed import json_schema


class Part(pydantic.BaseModel):
    name: str = pydantic.Field(description="what it is called")
    size: float | None = None


class Whole(pydantic.BaseModel):
    """Something whole."""

    parts: list[Part]
    kind: Part | None = None
    note: str | None = None


@dataclasses.dataclass
class Plain:
    word: str
    count: int


N: dict[str, Any] = {"type": "integer"}


def of(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


SAID = [
    json_schema(Whole),
    json_schema(Plain),
    of(["a"], a=N),
    of(["a"], a={"enum": ["x", "y"]}),
    of([], a={"type": ["string", "null"], "default": None, "examples": ["x"]}),
    of(["a"], a={"oneOf": [N, {"type": "string", "pattern": "^x+$"}]}),
    of(["a"], a={"allOf": [{"$ref": "#/$defs/b"}], "description": "d"}) | {"$defs": {"b": of([])}},
    of(["a"], a={"$ref": "#/$defs/b", "description": "d"}) | {"$defs": {"b": of(["c"], c=N)}},
    of(["a"], a={"type": "array", "items": of(["b"], b={"const": 3}), "minItems": 1}),
    {"$schema": "https://json-schema.org/draft/2020-12/schema", **of(["a"], a=N)},
]


def objects(schema: Any) -> list[dict[str, Any]]:
    """Every schema of an object in it."""
    if isinstance(schema, list):
        return [found for one in schema for found in objects(one)]
    if not isinstance(schema, dict):
        return []
    found = [found for value in schema.values() for found in objects(value)]
    return [schema, *found] if "object" in str(schema.get("type")) else found


@pytest.mark.parametrize("schema", SAID, ids=range(len(SAID)))
def test_what_can_be_said(schema: dict[str, Any]) -> None:
    told = strict(schema)
    assert told is not None
    for one in objects(told):
        assert one["additionalProperties"] is False
        assert set(one["required"]) == set(one["properties"])
    text = json.dumps(told)
    for word in ('"default"', '"oneOf"', '"allOf"', '"examples"', '"$schema"'):
        assert word not in text
    chance = random.Random(7)
    for _ in range(50):
        value = made(told, told, chance)
        Draft202012Validator(told).validate(value)
        Draft202012Validator(schema).validate(value)


def made(schema: dict[str, Any], root: dict[str, Any], chance: random.Random) -> Any:
    """A value that the schema takes."""
    if "$ref" in schema:
        return made(root["$defs"][schema["$ref"].split("/")[-1]], root, chance)
    if "anyOf" in schema:
        return made(chance.choice(schema["anyOf"]), root, chance)
    if "const" in schema or "enum" in schema:
        return chance.choice(schema.get("enum") or [schema["const"]])
    kind = schema["type"]
    match kind if isinstance(kind, str) else chance.choice(kind):
        case "object":
            return {n: made(p, root, chance) for n, p in schema["properties"].items()}
        case "array":
            return [made(schema["items"], root, chance) for _ in range(chance.randint(1, 3))]
        case "string":
            return "x" * chance.randint(1, 4)
        case "integer" | "number":
            return chance.randint(-9, 9)
        case "boolean":
            return chance.random() < 0.5
        case _:
            return None


BEYOND: list[Any] = [
    {"type": "array", "items": N},
    {"type": "object"},
    {"type": "object", "additionalProperties": N},
    {},
    {"anyOf": [of(["a"], a=N), of(["b"], b=N)]},
    of([], a=N),
    of(["a", "z"], a=N),
    of(["a"], a={}),
    of(["a"], a=True),
    of(["a"], a={"type": "array"}),
    of(["a"], a={"type": "array", "items": N, "uniqueItems": True}),
    of(["a"], a={"type": "string", "minLength": 3}),
    of(["a"], a={"not": N}),
    of(["a"], a={"type": "object", "patternProperties": {"^x": N}}),
    of(["a"], a={"allOf": [N, {"minimum": 3}]}),
    of(["a"], a={"$ref": "#/$defs/b", "minimum": 3}) | {"$defs": {"b": N}},
    {**of(["a"], a=N), "if": {"properties": {"a": {"const": 1}}}, "then": False},
    {**of(["a"], a=N), "additionalProperties": True},
    {**of(["a"], a=N), "minProperties": 1},
]


@pytest.mark.parametrize("schema", BEYOND, ids=range(len(BEYOND)))
def test_what_cannot_be_said(schema: dict[str, Any]) -> None:
    assert strict(schema) is None


def test_a_schema_that_leads_to_itself() -> None:
    tree = of(["next"], next={"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]})
    told = strict({**tree, "$defs": {"tree": tree}})
    assert told is not None
    assert told["$defs"]["tree"]["additionalProperties"] is False
    round_and_round = of([], a={"$ref": "#/$defs/b"}) | {"$defs": {"b": {"$ref": "#/$defs/b"}}}
    assert strict(round_and_round) is None
