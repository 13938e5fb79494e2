"""What a dialect is: one module per model API, all with the same parts in the same order.

A new one is a module with these parts, a line in server.DIALECTS, and, for tools or arguments of
new names, an entry in the tables of capabilities.py.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .conversation import Conversation, Failure, Image, Reply, Usage


@dataclass(frozen=True)
class Event:
    """One server-sent event: `data` is a JSON value, or a bare string such as `[DONE]`; `name` is
    its `event:` line; `tells` is the usage that the client knows once it has read this."""

    data: dict[str, Any] | str
    name: str | None = None
    tells: Usage | None = None

    def encode(self) -> bytes:
        text = self.data if isinstance(self.data, str) else json.dumps(self.data)
        head = f"event: {self.name}\n" if self.name else ""
        return f"{head}data: {text}\n\n".encode()


class Dialect(Protocol):
    """The parts. A `path` is without its query, and may begin with any prefix."""

    NAME: str

    def matches(self, path: str) -> bool: ...

    def aside(
        self, path: str, body: dict[str, Any], models: Sequence[str]
    ) -> dict[str, Any] | None:
        """The answer to a request that needs no model (a list of models, …); else None."""
        ...

    def parse(self, path: str, body: dict[str, Any]) -> Conversation: ...

    def whole(self, reply: Reply, conversation: Conversation, usage: Usage) -> dict[str, Any]:
        """The answer in one piece."""
        ...

    def stream(self, reply: Reply, conversation: Conversation, usage: Usage) -> Iterator[Event]:
        """The same answer in pieces."""
        ...

    def failure(self, failure: Failure) -> dict[str, Any]:
        """The body of an HTTP error."""
        ...


def image_of(url: str) -> Image:
    """An image by a `data:` URL, or by another URL, which is not fetched."""
    if not url.startswith("data:"):
        return Image("", url=url)
    head, _, data = url.removeprefix("data:").partition(",")
    return Image(head.partition(";")[0], base64.b64decode(data))
