"""Scripts of widgets that need no build: one file each, after what they share."""

from __future__ import annotations

from pathlib import Path

_MORPH = Path(__file__).with_name("morph.js")


def with_morph(script: Path) -> str:
    """A widget's script that puts HTML in place: `putInPlace` stands before it."""
    return _MORPH.read_text(encoding="utf-8") + script.read_text(encoding="utf-8")
