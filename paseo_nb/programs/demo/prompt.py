"""What the user asked, and the parameters a scenario finds in it (`count=5000`, `run: ls`)."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9}
_CONTINUE = re.compile(r"\b(continue|resume|carry on|go on|keep going)\b", re.IGNORECASE)
_SLASH = re.compile(r"\s*/([a-z]+)(?:\s+|$)")


class Prompt:
    """The content blocks of one `session/prompt`; `text` is its text blocks, joined by newlines."""

    def __init__(self, blocks: list[dict[str, Any]]) -> None:
        self.blocks = blocks
        self.text = "\n".join(str(b.get("text", "")) for b in blocks if b.get("type") == "text")

    @property
    def empty(self) -> bool:
        """True if there is neither text nor an attachment."""
        return not self.text.strip() and all(b.get("type") == "text" for b in self.blocks)

    @property
    def asks_to_continue(self) -> bool:
        """True if the text says to go on with what was begun."""
        return _CONTINUE.search(self.text) is not None

    @property
    def slash(self) -> str | None:
        """The NAME of a leading `/NAME`, which picks a scenario for this turn."""
        found = _SLASH.match(self.text)
        return found[1] if found else None

    @property
    def title(self) -> str:
        """The first line, shortened."""
        line = next((x.strip() for x in self.text.splitlines() if x.strip()), "Untitled")
        return line if len(line) <= 60 else line[:59] + "…"

    def word(self, name: str, default: str) -> str:
        """The value of `name=value`."""
        found = re.search(rf"\b{name}=(\S+)", self.text)
        return found[1] if found else default

    def number(self, name: str, default: float) -> float:
        """The value of `name=number`; `_` and endings like k, M, GB are understood."""
        found = re.search(rf"\b{name}=(-?[\d_]*\.?\d+)([a-z]{{0,2}})\b", self.text, re.IGNORECASE)
        if found is None or found[2].lower() not in _UNITS:
            return default
        return float(found[1].replace("_", "")) * _UNITS[found[2].lower()]

    def count(self, name: str, default: int) -> int:
        """`number`, as a whole one."""
        return int(self.number(name, default))

    def command(self, default: str) -> str:
        """What follows `run:`, to the end of the text."""
        found = re.search(r"\brun:\s*(.+)", self.text, re.DOTALL)
        return found[1].strip() if found else default
