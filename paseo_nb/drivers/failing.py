"""Why a model call failed, in one vocabulary for all dialects: from the HTTP status, if one is
told, and the words that tell of it.

Codes: `auth, quota, rate_limit, model_not_found, context_overflow, rejected, server_error, timeout,
unreachable, disconnected`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from ..model import Problem

_STATUS = r"(?:^|\b(?:HTTP|status|code|error):? )([45]\d\d)\b"
# Words that are true whatever the status says (some agents tell 500 for everything).
_WORDS = {
    "model_not_found": r"\bmodels?\b.{0,80}\bnot found|(no such|unknown) model|model_not_found",
    "auth": r"(invalid|incorrect|missing).{0,12}api.?key|unauthori[sz]ed|unauthenticated"
    r"|not logged in|/login\b|authentication (failed|error|method)",
    "rate_limit": r"rate.?limit|too many requests",
    "disconnected": r"ECONNRESET|connection (was )?(reset|dropped|closed|lost)|\bterminated\b"
    r"|stream disconnected|decoding response body|socket hang up|unexpected EOF|peer closed"
    r"|incomplete (json|chunked)",
    "unreachable": r"ECONNREFUSED|ENOTFOUND|EAI_AGAIN|connection (refused|failed|error)"
    r"|(unable|cannot|could not|failed) (to )?connect|could(n't| not) be reached|fetch failed"
    r"|error sending request|waiting for network",
    "timeout": r"timed? ?out",
}
_OVERFLOW = r"prompt is too long|context (length|window)|input token count|context_length_exceeded"
_QUOTA = r"insufficient_quota|credit balance|usage limit"
_BY_STATUS = {401: "auth", 402: "quota", 403: "auth", 404: "model_not_found", 408: "timeout"}
_HINTS = {
    "auth": "Sign in to the agent, or set its key, then try again.",
    "quota": "The account's limit is used up: wait until it is reset, or use another account.",
    "rate_limit": "Wait for the limit to pass, then send again.",
    "model_not_found": "Check the model's name, and the address of its endpoint.",
    "context_overflow": "Start a new run, or choose a model with a larger context.",
    "rejected": "The endpoint does not take such a request: change it, or choose another model.",
    "server_error": "The model's endpoint failed: send again in a moment.",
    "timeout": "The model's endpoint was too slow: send again, or choose another model.",
    "unreachable": "Check that the model's endpoint runs, its address and the network.",
    "disconnected": "The model's answer was cut off on its way: send again.",
}


def model_problem(
    message: str,
    status: int | None = None,
    hints: Mapping[str, str] | None = None,
    unknown: str = "model_error",
) -> Problem:
    """Why a model's answer failed, with what to do about it. `hints`: what helps with this agent,
    by code; `unknown`: the code where neither status nor words say anything."""
    message, told = _plain(message)
    found = re.search(_STATUS, message, re.IGNORECASE)
    status = status or told or (int(found[1]) if found else None)
    code = _code(message, status) or unknown
    if told and str(told) not in message:
        message = f"HTTP {told}: {message}"
    return Problem(code, message, (hints or {}).get(code) or _HINTS.get(code))


def _code(message: str, status: int | None) -> str | None:
    def says(pattern: str) -> bool:
        return re.search(pattern, message, re.IGNORECASE) is not None

    if status != 429 and says(_OVERFLOW):
        return "context_overflow"
    if says(_QUOTA):
        return "quota"
    if status == 429:
        return "rate_limit"
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    by_words = next((code for code, pattern in _WORDS.items() if says(pattern)), None)
    if by_words is not None or status is None:
        return by_words or ("server_error" if says("overloaded|internal server error") else None)
    return "server_error" if status >= 500 else "rejected" if status >= 400 else None


def _plain(message: str) -> tuple[str, int | None]:
    """`{"error": {"code": 500, "message": "…"}}`, bare or behind `500: `, as words; its status."""
    before, brace, rest = message.partition("{")
    try:
        told: Any = json.loads(brace + rest)
    except (ValueError, RecursionError):
        return message, None
    inner: Any = cast(dict[str, Any], told).get("error", told)
    if not isinstance(inner, dict):
        return message, None
    error = cast(dict[str, Any], inner)
    words, code = error.get("message"), error.get("code")
    if not isinstance(words, str) or not words:
        return message, None
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    return before + words, status
