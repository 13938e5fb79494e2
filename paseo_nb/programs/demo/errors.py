"""What ends a step, a turn or a request early; no other module raises errors of its own."""

from __future__ import annotations

from typing import Any

from .value import as_dict


class RpcError(Exception):
    """Becomes a JSON-RPC error answer to the request that is being handled."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    def wire(self) -> dict[str, Any]:
        """The JSON-RPC error object."""
        out: dict[str, Any] = {"code": self.code, "message": str(self)}
        return out if self.data is None else out | {"data": self.data}


class ClientError(Exception):
    """The client answered one of our requests with an error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code

    @classmethod
    def from_wire(cls, error: Any) -> ClientError:
        """From a JSON-RPC error object, or whatever came in its place."""
        if not isinstance(error, dict):
            return cls(-32603, str(error))
        found = as_dict(error)
        return cls(int(found.get("code", -32603)), str(found.get("message", "no message")))


class TurnOver(Exception):
    """The turn ends here. `finished=False`: a later “continue” goes on with the step it is at."""

    def __init__(self, stop_reason: str, *, finished: bool = True) -> None:
        super().__init__(stop_reason)
        self.stop_reason = stop_reason
        self.finished = finished


class BadScript(Exception):
    """A script or an option that cannot be played; the message names what is known."""
