"""The plan tool: what the model means to do, shown to the person."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from .base import Done, Tool, Work


class Entry(msgspec.Struct):
    """One step."""

    content: str
    status: Literal["pending", "in_progress", "completed"] = "pending"
    priority: Literal["high", "medium", "low"] = "medium"


class Plan(Tool):
    """Show the user your plan for a task of several steps. Give the whole list each time; keep one
    entry in_progress, and mark what is done."""

    NAME: ClassVar[str] = "plan"
    KIND: ClassVar[str] = "think"

    entries: Annotated[list[Entry], Meta(min_length=1)]

    def title(self) -> str:
        """See Tool."""
        return "Plan"

    async def run(self, work: Work) -> Done:
        """See Tool."""
        await work.tell({"sessionUpdate": "plan", "entries": msgspec.to_builtins(self.entries)})
        return Done("The user sees the plan.")
