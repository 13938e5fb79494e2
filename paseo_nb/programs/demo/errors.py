"""What ends a step or a turn early, or a script before it begins."""

from __future__ import annotations


class TurnOver(Exception):
    """The turn ends here. `finished=False`: a later “continue” goes on with the step it is at."""

    def __init__(self, stop_reason: str, *, finished: bool = True) -> None:
        super().__init__(stop_reason)
        self.stop_reason = stop_reason
        self.finished = finished


class BadScript(Exception):
    """A script or an option that cannot be played; the message names what is known."""
