"""A step's key: SHA-256 over what makes it what it is, and over nothing else.

Values that have no one form as text (sets, bytes, objects) are refused: a key from `repr` would be
another one in each process.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, cast

import msgspec

from ..errors import UsageProblem

VERSION = 1
_encode = msgspec.json.Encoder(order="deterministic").encode


def plain(value: Any, what: str) -> Any:
    """A value as JSON has it; UsageProblem where it has no one form."""
    if value is None or (isinstance(value, (str, bool, int)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise UsageProblem(f"{what}: {value} has no form in JSON")
        return value
    if isinstance(value, (list, tuple)):
        return [plain(one, what) for one in cast(list[Any], value)]
    if isinstance(value, Mapping):
        known = cast(Mapping[Any, Any], value)
        if not all(isinstance(name, str) for name in known):
            raise UsageProblem(f"{what}: the keys of a mapping must be texts")
        return {name: plain(one, what) for name, one in known.items()}
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return plain(value.value, what)
    if isinstance(value, msgspec.Struct):
        return plain(msgspec.structs.asdict(value), what)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: plain(getattr(value, name), what) for name in names}
    dump: Any = getattr(cast(Any, value), "model_dump", None)  # pydantic's
    if dump is not None:
        return plain(dump(mode="json"), what)
    kind = type(value).__name__
    raise UsageProblem(
        f"{what}: a {kind} has no one form as text, so a step could not be found again by it. Give"
        " texts, numbers, lists, mappings, dataclasses or pydantic models (a set: sorted(…))."
    )


def canonical(parts: Mapping[str, Any]) -> bytes:
    """The one form of plain values as bytes. UsageProblem for text that is no Unicode."""
    try:
        return _encode(parts)
    except (UnicodeEncodeError, ValueError, TypeError, OverflowError) as error:
        raise UsageProblem(f"a step cannot be found again by what it is given: {error}") from None


def digest(parts: Mapping[str, Any]) -> str:
    """The key."""
    return hashlib.sha256(canonical(parts)).hexdigest()


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The fields in which two calls differ: (before, after)."""
    names = [*before, *(name for name in after if name not in before)]
    both = ((name, before.get(name), after.get(name)) for name in names)
    return {name: (old, new) for name, old, new in both if old != new}
