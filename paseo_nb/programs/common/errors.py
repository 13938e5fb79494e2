"""Errors of a conversation: one that answers the client, one that the client answered."""

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
