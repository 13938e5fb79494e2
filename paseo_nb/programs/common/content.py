"""Tool call content in its wire form."""

from __future__ import annotations

from typing import Any


def text_content(text: str) -> dict[str, Any]:
    """A tool's content: text."""
    return {"type": "content", "content": {"type": "text", "text": text}}


def diff_content(path: str, old: str | None, new: str) -> dict[str, Any]:
    """A tool's content: a file before (None: it is new) and after."""
    return {"type": "diff", "path": path, "oldText": old, "newText": new}
