"""How providers keep prompts, as their pages say: what of a request is read, and what written.

Of bytes alone, four to a token, so that it shares nothing with what it is to test. Anthropic keeps
what ends at a `cache_control` mark, and reads the longest such prefix; the others keep every prompt
and read the longest common beginning, in blocks. The clock is the test's to move.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .conversation import Usage

BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Rules:
    """Of a provider: for how long, from how many tokens, in blocks of how many."""

    ttl_s: float
    minimum: int
    block: int = 1
    marked: bool = False


RULES = {
    "anthropic": Rules(300, 1024, marked=True),
    "openai": Rules(600, 1024, 128),
    "deepseek": Rules(10**9, 0, 64),
    "gemini": Rules(3600, 1024),
}


@dataclass
class PrefixCache:
    """The cache of one provider; a context of its own for each model."""

    vendor: str
    now_s: float = 0.0
    kept: dict[tuple[str, bytes], float] = field(default_factory=dict)

    def usage(self, model: str, body: dict[str, Any], output_tokens: int = 50) -> Usage:
        """What a request uses; it is kept for the next one."""
        rules, pieces = RULES[self.vendor], _pieces(self.vendor, body)
        prompt = b"".join(data for data, _, _ in pieces)
        alive = [p for (m, p), until in self.kept.items() if m == model and until >= self.now_s]
        if rules.marked:
            read = max((len(p) for p in alive if prompt.startswith(p)), default=0)
            read = min(read, self._before_new_image(alive, pieces))
            ends = self._marks(pieces)
            written = max((end for end in ends if end > read), default=read) - read
        else:
            read, ends, written = (
                max((_common(p, prompt) for p in alive), default=0),
                [len(prompt)],
                0,
            )
        tokens = read // BYTES_PER_TOKEN // rules.block * rules.block
        tokens = tokens if tokens >= rules.minimum else 0
        written //= BYTES_PER_TOKEN
        for end in ends:
            if end // BYTES_PER_TOKEN >= rules.minimum:
                self.kept[model, prompt[:end]] = self.now_s + rules.ttl_s
        written = written if (read // BYTES_PER_TOKEN + written) >= rules.minimum else 0
        return Usage(len(prompt) // BYTES_PER_TOKEN, tokens, written, output_tokens, 0)

    def _marks(self, pieces: list[tuple[bytes, bool, str]]) -> list[int]:
        """Where the marked prefixes end."""
        ends, at = [], 0
        for data, marked, _ in pieces:
            at += len(data)
            if marked:
                ends.append(at)
        return ends

    def _before_new_image(self, alive: list[bytes], pieces: list[tuple[bytes, bool, str]]) -> int:
        """Where an image that none of the kept prompts has loses the messages: their beginning."""
        images = [data for data, _, kind in pieces if kind == "image"]
        if all(any(image in prompt for prompt in alive) for image in images):
            return 10**9
        return sum(len(data) for data, _, kind in pieces if kind == "fixed")


def _common(one: bytes, other: bytes) -> int:
    """The length of what two byte strings begin with alike."""
    if other.startswith(one):
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _pieces(vendor: str, body: dict[str, Any]) -> list[tuple[bytes, bool, str]]:
    """The prompt in the provider's order: bytes, whether a mark stands after them, what they are."""
    tools = [_piece(tool, "fixed") for tool in body.get("tools") or ()]
    system = body.get("system") or body.get("instructions") or body.get("systemInstruction") or []
    fixed = [_piece(part, "fixed") for part in (system if isinstance(system, list) else [system])]
    said: list[tuple[bytes, bool, str]] = []
    for message in body.get("messages") or body.get("input") or body.get("contents") or ():
        content = message.get("content", message.get("parts"))
        for part in content if isinstance(content, list) else [content]:
            image = isinstance(part, dict) and part.get("type") == "image"
            said.append(_piece([message.get("role"), part], "image" if image else "said", part))
    return [*tools, *fixed, *said] if vendor == "anthropic" else [*fixed, *tools, *said]


def _piece(value: Any, kind: str, marked: Any = None) -> tuple[bytes, bool, str]:
    mark = value if marked is None else marked
    found = isinstance(mark, dict) and "cache_control" in mark
    return json.dumps(_unmarked(value)).encode(), found, kind


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(one) for one in value]
    if isinstance(value, dict):
        return {name: one for name, one in value.items() if name != "cache_control"}
    return value
