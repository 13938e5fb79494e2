"""The seam between the engine and where steps' runs take place."""

from __future__ import annotations

from typing import Any, Protocol

from ..model import Usage
from .values import Base as Base
from .values import Outcome, Wanted


class Place(Protocol):
    """Starts, attaches to and cancels runs. UsageProblem, GitProblem, NotTrusted and
    StorageProblem of it end the workflow."""

    repository: str | None
    lasting: bool  # whether its runs outlive this process, so that they are written down first
    where: str | None  # the name of the cluster that they are on; None: this machine
    places: int | None  # how many may be at work at once, where that is known

    async def base(self, workflow_run: str | None) -> Base | None:
        """The files as they are now; None outside git. workflow_run: for which they are kept."""
        ...

    async def restore(self, base: Base, workflow_run: str) -> str | None:
        """Have the files be as they were, but for the notebook that this is called in. The commit
        that holds what was there until now; None where nothing differed."""
        ...

    def identity(self, agent: str | None) -> dict[str, Any]:
        """What an agent's name stands for: what of it belongs into a key."""
        ...

    def attached(self, things: Any) -> list[Any]:
        """What goes along with a prompt, as plain values that tell its content."""
        ...

    async def done(self, wanted: Wanted) -> Outcome:
        """What a run comes to: started if it is not there, attached to if it goes on, brought
        back if it was cut off. It begins within the task that asks for it and may go on in another
        one, so that it uses nothing that belongs to a task, as `asyncio.timeout`."""
        ...

    async def cancel(self, run_id: str) -> None:
        """End its turn, if one goes on."""
        ...

    async def put_away(self, run_id: str) -> None:
        """Archive a finished run: its worktree goes, what was in it is kept. PaseoError where that
        cannot be."""
        ...

    async def bring_back(self, run_id: str) -> None:
        """Undo that. PaseoError where that cannot be."""
        ...

    async def seen(self, run_id: str) -> tuple[str, Usage]:
        """A run's state (`none` where it was never made) and what it has used."""
        ...

    async def pin(self, workflow_run: str, step: str, commit: str, branch: str | None) -> None:
        """Keep a commit for as long as the workflow run, and its branch, if that is gone."""
        ...
