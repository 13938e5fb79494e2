"""Tables that are declared as msgspec Structs: checking what a user wrote, and saying it in words.

A declaration is the Struct itself: a field's name, its type with its bounds, its default, and the
description in its `Meta`. Used by `config` for settings and by the registry for providers; nothing
here knows what any of them means.
"""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta

from .errors import UsageProblem

Json = dict[str, Any]


def kinds(struct: type[Any]) -> dict[str, Any]:
    """A declaration's names, each with its type."""
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that helps with a name that is not known; "" where there are none at all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"There are {', '.join(names)}." if names else ""


def check_name(name: str, known: Iterable[str], what: str, where: str) -> None:
    """UsageProblem with the nearest names, where one is not known."""
    known = list(known)
    if name not in known:
        raise UsageProblem(f"{where}: unknown {what} {name!r}. {nearest(name, known)}")


def table_of(value: Any) -> Json:
    """The value if it is a table, else an empty one."""
    return cast(Json, value) if isinstance(value, dict) else {}


def check_tables(given: Any, what: str, where: str) -> dict[str, Json]:
    """The tables `[what.NAME]`. UsageProblem where it is something else."""
    if isinstance(given, dict):
        tables = cast(Json, given)
        if all(isinstance(table, dict) for table in tables.values()):
            return tables
    raise UsageProblem(f"{where}: {what} must be tables, [{what}.NAME]")


def check_table(struct: type[Any], table: Json, what: str, where: str) -> Json:
    """A table's values as the declaration wants them. UsageProblem names what is wrong."""
    known, out = kinds(struct), cast(Json, {})
    for name, value in table.items():
        check_name(name, known, f"key of {what}", where)
        out[name] = check_value(known[name], value, f"{where}: {name} of {what}")
    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in out:
            raise UsageProblem(f"{where}: {what} needs {field.name} = …")
    return out


def check_value(kind: Any, value: Any, where: str, lax: bool = False) -> Any:
    """One value as its type wants it; `"none"` stands for no value where there may be none, and
    `lax` takes text for numbers and truth (the environment has nothing else)."""
    if isinstance(value, str) and value.strip().lower() == "none" and type(None) in _choices(kind):
        return None
    try:
        out = msgspec.convert(value, kind, strict=not lax)
        if isinstance(out, float) and not math.isfinite(out):
            raise msgspec.ValidationError
    except msgspec.ValidationError:
        near = difflib.get_close_matches(str(value), _words(kind), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageProblem(f"{where} = {value!r} must be {describe(kind)}.{hint}") from None
    return out


def describe(kind: Any) -> str:
    """A type as a user reads it."""
    return " or ".join(_one(choice) for choice in _choices(kind))


def rows(struct: type[Any]) -> list[tuple[str, Any, str, str]]:
    """(name, type, default in words, meaning) of every field, for a page of documentation."""
    out: list[tuple[str, Any, str, str]] = []
    for field in msgspec.structs.fields(struct):
        default = "required" if field.required else _default(field.default)
        meaning = "".join(meta.description or "" for meta in _metas(field.type))
        out.append((field.name, field.type, default, meaning))
    return out


def key_rows(struct: type[Any]) -> list[tuple[str, ...]]:
    """A table of a struct's keys, for people: key, type, meaning."""
    out: list[tuple[str, ...]] = [("key", "type", "meaning")]
    for name, kind, default, meaning in rows(struct):
        words = describe(kind).removesuffix(' or "none"')
        out.append((f"`{name}`", words + (", required" if default == "required" else ""), meaning))
    return out


def markdown(table: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown, its first row the head."""
    lines = ["| " + " | ".join(row) + " |" for row in table]
    lines.insert(1, "| " + " | ".join("---" for _ in table[0]) + " |")
    return "\n".join(lines) + "\n"


def _default(value: Any) -> str:
    if value is None or value is msgspec.NODEFAULT:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _metas(kind: Any) -> list[Meta]:
    return [meta for meta in typing.get_args(kind)[1:] if isinstance(meta, Meta)]


def _choices(kind: Any) -> tuple[Any, ...]:
    """The members of a union; of another type, itself."""
    plain = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    is_union = typing.get_origin(plain) in (typing.Union, types.UnionType)
    return typing.get_args(plain) if is_union else (kind,)


def _words(kind: Any) -> list[str]:
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    parts = [one for one in _choices(kind) if one is not kind]
    return [word for part in parts for word in _words(part)]


def _one(kind: Any) -> str:
    names: dict[Any, str] = {
        bool: "true or false",
        float: "a number",
        int: "a whole number",
        str: "text",
        type(None): '"none"',
        list[str]: "a list of text",
        dict[str, str]: "a table of text",
    }
    if typing.get_origin(kind) is Annotated:
        bounds = ""
        for meta in _metas(kind):
            bounds += " above 0" if meta.gt == 0 else " of at least 0" if meta.ge == 0 else ""
        return _one(typing.get_args(kind)[0]) + bounds
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    return names.get(kind, "tables")
