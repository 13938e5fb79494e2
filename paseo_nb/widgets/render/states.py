"""States as shape, word and tone: colour is never the only sign, and no shape is an emoji."""

from __future__ import annotations

from typing import Literal, NamedTuple

from ...model import STATE_WORDS
from .text import one_line

Tone = Literal["", "ok", "now", "warn", "bad", "quiet"]


class Sign(NamedTuple):
    """What stands for a state: a text symbol one column wide, a word, a tone."""

    glyph: str
    word: str
    tone: Tone


_SHAPES: dict[str, tuple[str, Tone]] = {
    "starting": ("◌", "quiet"),
    "running": ("◔", "now"),
    "waiting": ("◆", "warn"),
    "idle": ("✓", "ok"),
    "error": ("✗", "bad"),
    "interrupted": ("↯", "warn"),
    "unresponsive": ("◇", "warn"),
    "unknown": ("○", "quiet"),
    "stopped": ("■", "quiet"),
    "archived": ("▣", "quiet"),
}
# A turn that is over but did not end by itself: "Done" would not be true of it.
_OUTCOMES: dict[str, Sign] = {
    "cancelled": Sign("■", "Cancelled", "quiet"),
    "refused": Sign("✗", "Refused", "bad"),
    "limit": Sign("■", "Stopped at a limit", "warn"),
}


def sign(state: str, outcome: str | None = None) -> Sign:
    """The sign of a run's state; `outcome` is the last turn's, which tells an idle run's end."""
    if state == "idle" and outcome in _OUTCOMES:
        return _OUTCOMES[outcome]
    glyph, tone = _SHAPES.get(state, ("○", "quiet"))
    return Sign(glyph, STATE_WORDS.get(state) or one_line(state, 30), tone)
