"""What the doctor found: values, as text for a terminal, as a table in a notebook.

`examination` makes them; nothing here looks at the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec


class Check(msgspec.Struct, frozen=True):
    """One thing looked at. ok: None where it works with a reservation, or could not be told."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


class Checks(list[Check]):
    """All of them, in the order they are best read."""

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        from .widgets.render.tables import checks_table

        return {"text/html": checks_table(self), "text/plain": as_text(self)}


def as_text(checks: Iterable[Check]) -> str:
    """The checks for a terminal, one per line, what to do below."""
    checks = list(checks)
    width = max((len(check.name) for check in checks), default=0)
    marks = {True: "ok  ", None: "note", False: "FAIL"}
    lines: list[str] = []
    for check in checks:
        lines.append(f"{marks[check.ok]}  {check.name:<{width}}  {check.detail}")
        if check.fix:
            lines.append(f"{'':{width + 8}}-> {check.fix}")
    return "\n".join(lines)
