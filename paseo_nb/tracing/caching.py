"""What is known of providers' prompt caches: lifetimes, minimums, blocks. A table, no code.

Providers' pages change and contradict each other; where they do, `minimum` is the larger number,
and a cause that rests on it is told as likely.
"""

from __future__ import annotations

import fnmatch

import msgspec


class Caching(msgspec.Struct, frozen=True):
    """`ttl_s`: how long a prefix is kept after its last use (None: not stated); `minimum`: tokens
    below which nothing is; `block`: hits are counted in so many tokens; marked: up to marks."""

    vendor: str
    ttl_s: float | None
    minimum: int
    block: int = 1
    marked: bool = False
    images_break: bool = False  # an image anywhere loses the messages, not tools and system


ANTHROPIC_MINIMUMS = [  # the first that fits a model's name
    ("*haiku-4-5*", 4096),
    ("*haiku*", 2048),
    ("*opus-4-[5-9]*", 4096),
    ("*", 1024),
]
_OTHERS = {
    "openai": Caching("openai", 600.0, 1024, 128),
    "deepseek": Caching("deepseek", None, 0),
    "gemini": Caching("gemini", 3600.0, 1024),
}
UNKNOWN = Caching("", None, 0)
_NAMES = {
    "*claude*": "anthropic",
    "*gpt*": "openai",
    "*codex*": "openai",
    "*deepseek*": "deepseek",
    "*gemini*": "gemini",
    "o[1-9]*": "openai",
}


def caching_of(model: str | None) -> Caching:
    """What is known of the cache of a model, by its name."""
    name = (model or "").rpartition("/")[2].lower()
    vendor = next((v for p, v in _NAMES.items() if fnmatch.fnmatchcase(name, p)), "")
    if vendor == "anthropic":
        minimum = next(m for p, m in ANTHROPIC_MINIMUMS if fnmatch.fnmatchcase(name, p))
        return Caching("anthropic", 300.0, minimum, marked=True, images_break=True)
    return _OTHERS.get(vendor, UNKNOWN)
