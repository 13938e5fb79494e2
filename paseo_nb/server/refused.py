"""What a request that is refused gets."""

from __future__ import annotations


class Refused(Exception):
    """A request that gets this status, and these words."""

    def __init__(self, status: int, message: str, code: str = "UsageProblem") -> None:
        super().__init__(message)
        self.status, self.code = status, code
