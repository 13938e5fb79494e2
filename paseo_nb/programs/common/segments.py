"""A model request as segments: what each is, its hash and size, never its content. Pure.

`steady` is the hash without numbers and names of months and days: where only it stays, what changed
was a time, a date or a count.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

_CHANGING = re.compile(
    rb"\d+|\b(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*",
    re.IGNORECASE,
)


def segment(kind: str, name: str, content: Any) -> dict[str, Any]:
    """One segment. kind: system, tool, message or attachment; content: bytes, text or a value."""
    if isinstance(content, str):
        content = content.encode("utf-8", "replace")
    data = content if isinstance(content, bytes) else msgspec.json.encode(content)
    told: dict[str, Any] = {"kind": kind, "name": name, "hash": _hash(data), "size": len(data)}
    if kind in ("system", "tool"):
        told["steady"] = _hash(_CHANGING.sub(b"0", data))
    return told


def since(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> dict[str, Any]:
    """A request's segments in short: how many of the last one's lead it, and the rest."""
    same = 0
    for old, new in zip(before, now, strict=False):
        if old != new:
            break
        same += 1
    return {"same": same, "segments": now[same:]}


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
