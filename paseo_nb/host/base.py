"""What every host offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from ..model import Line, RunSpec


class Launch(msgspec.Struct):
    """A run to start: its spec, and the values of the environment its agent gets."""

    spec: RunSpec
    environment: dict[str, str]


class Host(Protocol):
    """Start, watch and command runs."""

    name: str

    async def ensure(
        self, run_id: str, spec: RunSpec | None, environment: Mapping[str, str]
    ) -> None:
        """Make the run if it is new, and its processes if they are not there. Idempotent."""
        ...

    async def start_many(self, launches: Sequence[Launch]) -> None:
        """Start several new runs at once."""
        ...

    def events(self, run_id: str, offset: int = 0) -> tuple[list[Line], int]:
        """Lines from a file offset on, and the offset after them."""
        ...

    async def command(
        self,
        run_id: str,
        verb: str,
        args: dict[str, Any] | None = None,
        *,
        command_id: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Have a command applied once. With an `environment`, processes are started for it where
        there are none."""
        ...

    def spec(self, run_id: str) -> RunSpec:
        """The spec of a run."""
        ...

    def state(self, run_id: str, told: str | None = None) -> str:
        """The run's true state, now; `told` is the journal's, where the caller knows it."""
        ...

    def alive(self, run_id: str) -> bool:
        """Whether the run has processes."""
        ...

    def list(self) -> list[str]:
        """All run ids, oldest first."""
        ...
