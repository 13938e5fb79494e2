"""One model call as it passes: noted piece by piece, told as one fact once it is over."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import msgspec

from ..drivers.acp_reading import as_dict
from ..programs.common.segments import since
from .answers import Told, told_by
from .framing import Head
from .segments import api_of, model_of, segments_of

MAX_KEPT = 64 << 20  # of a body: what is longer passes, and is not read
TRIED_S = 600.0


def now_us() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class Passing:
    """One request and its answer. Notes only what passes; nothing here may slow that."""

    def __init__(self, host: str, path: str) -> None:
        self.host, self.path = host, path
        self.api = api_of(path.partition("?")[0])
        self.started_us = now_us()
        self.first_byte_us: int | None = None
        self.head: Head | None = None
        self.sent: list[bytes] = []
        self.came: list[tuple[int, bytes]] = []
        self.sent_bytes = self.came_bytes = 0

    def request(self, data: bytes) -> None:
        """A part of the request's body."""
        self.sent_bytes += len(data)
        if self.api is not None and self.sent_bytes <= MAX_KEPT:
            self.sent.append(data)

    def answered(self, head: Head) -> None:
        """The answer's head."""
        self.head = head
        self.first_byte_us = now_us()

    def answer(self, data: bytes) -> None:
        """A part of the answer's body."""
        self.came_bytes += len(data)
        if self.api is not None and self.came_bytes <= MAX_KEPT:
            self.came.append((now_us(), data))


class Ledger:
    """What is told of the calls: attempts of one request are counted, and of its segments only
    what is new since the last request is told."""

    def __init__(self, content: bool) -> None:
        self._content = content
        self._last: list[dict[str, Any]] = []
        self._failed: dict[bytes, tuple[int, float]] = {}

    def fact(self, one: Passing, outcome: str) -> dict[str, Any] | None:
        """The line to tell of a call; None where it is none to a model. outcome: complete, cut (by
        the endpoint), disconnected (by the agent) or unreached."""
        if one.api is None:
            return None
        body = b"".join(one.sent)
        try:
            asked = as_dict(json.loads(body))
        except ValueError:
            asked = {}
        told = Told()
        status = one.head.status if one.head is not None else None
        if one.head is not None and status is not None:
            told = told_by(one.came, one.head.headers, status)
        if outcome != "complete" and told.error is None and not told.finished:
            told.error = _WORDS[outcome]
        segments = segments_of(one.api, asked, self._content) if asked else []
        new = since(self._last, segments)
        self._last = segments
        fact = {
            "api": one.api,
            "host": one.host,
            "asked_model": model_of(one.api, one.path.partition("?")[0], asked),
            "started_us": one.started_us,
            "first_byte_us": one.first_byte_us,
            "finished_us": now_us(),
            "status": status,
            "outcome": outcome,
            "attempt": self._attempt(segments or [body.hex()], failed=told.error is not None),
            "request_bytes": one.sent_bytes,
            "response_bytes": one.came_bytes,
            **{k: v for k, v in msgspec.to_builtins(told).items() if k != "finished"},
            **new,
        }
        return {name: value for name, value in fact.items() if value is not None}

    def _attempt(self, sent: list[Any], failed: bool) -> int:
        """The same once more after a failure: which try it is."""
        key, now = hashlib.sha256(msgspec.json.encode(sent)).digest(), time.monotonic()
        tries, when = self._failed.pop(key, (0, now))
        number = tries + 1 if now - when < TRIED_S else 1
        if failed:
            self._failed[key] = (number, now)
        return number


_WORDS = {
    "cut": "the endpoint broke the connection off",
    "disconnected": "the agent hung up",
    "unreached": "the endpoint could not be reached",
}
