"""What kind of failure a message tells of, in one word. Pure; a table, read from the top."""

from __future__ import annotations

import re

CLASSES = [
    (
        "denied",
        r"\bdenied\b(?!: )|^denied|permission (was )?(denied|rejected)|not allowed|rejected by",
    ),
    ("rate_limit", r"\b429\b|rate.?limit|too many requests|overloaded|\b529\b"),
    ("auth", r"\b40[13]\b|unauthori[sz]ed|invalid api key|authentication"),
    ("context_overflow", r"context (length|window)|too (long|many tokens)|maximum context"),
    ("timeout", r"timed? ?out|deadline exceeded|\b504\b"),
    ("not_found", r"no such file|not found|does not exist|enoent|\b404\b|cannot find"),
    ("test_failure", r"\b\d+ failed\b|assertionerror|tests? failed|FAILED "),
    ("invalid_input", r"invalid (argument|input|param)|do(es)? not fit|validation|schema"),
    ("network", r"connection (refused|reset|error)|econn|network|\bdns\b"),
    ("server", r"\b50[0-3]\b|internal server error|bad gateway"),
    (
        "exit_code",
        r"exit(ed)?( with)?( code| status)?:? ?[1-9]\d*|returned non-zero|command failed",
    ),
]
_TABLE = [(name, re.compile(pattern, re.IGNORECASE)) for name, pattern in CLASSES]
_LOOKED_AT = 4000  # characters at either end: an output may be very long


def error_class(message: str | None) -> str:
    """The class of an error's text; `other` where none fits."""
    text = message or ""
    if len(text) > 2 * _LOOKED_AT:
        text = f"{text[:_LOOKED_AT]}\n{text[-_LOOKED_AT:]}"
    return next((name for name, pattern in _TABLE if pattern.search(text)), "other")
