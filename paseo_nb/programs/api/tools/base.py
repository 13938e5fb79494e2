"""What a tool is: its arguments as a value, what it touches, what it shows first, what it does."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, NamedTuple, cast

import msgspec

from ...common.value import as_dict


class ToolFailed(Exception):
    """The tool could not do it; the text goes to the model, and to the client."""


class Done(NamedTuple):
    """What a tool gives back: `text` for the model, `content` (ACP; the text if empty) and `raw`
    for the client. `image`: bytes and media type, for the model. `failed`: it was done, and what it
    did failed, as a command does that ends with an exit code."""

    text: str
    content: list[dict[str, Any]] = []  # noqa: RUF012 (never changed)
    raw: Any = None
    image: tuple[bytes, str] | None = None
    failed: bool = False


class Work(NamedTuple):
    """Where a tool works, and how it tells of it: `show` output so far, `tell` an update."""

    cwd: str
    show: Callable[[str], None]
    tell: Callable[[dict[str, Any]], Awaitable[None]]

    def path(self, name: str) -> str:
        """A path as the model wrote it, absolute. ToolFailed for one that cannot be."""
        if "\0" in name or not name:
            raise ToolFailed("That is no path.")
        return os.path.normpath(os.path.join(self.cwd, os.path.expanduser(name)))

    def shown(self, path: str) -> str:
        """A path as the client reads it best: relative where it lies in the working folder."""
        relative = os.path.relpath(path, self.cwd)
        return path if relative.startswith("..") else relative


class Tool(msgspec.Struct):
    """One call: a subclass's fields are the arguments, its docstring is what the model reads."""

    NAME: ClassVar[str]
    KIND: ClassVar[str]

    def title(self) -> str:
        """One line for a person."""
        raise NotImplementedError

    def paths(self) -> list[str]:
        """The files and folders that it touches, as the model wrote them."""
        return []

    def subject(self) -> str:
        """What a standing answer to a permission covers: calls of the same tool and subject."""
        return ""

    async def preview(self, work: Work) -> dict[str, Any]:
        """ACP fields to show before it is done, a diff say. ToolFailed if it cannot be done."""
        return {}

    async def run(self, work: Work) -> Done:
        """Do it. ToolFailed says why not."""
        raise NotImplementedError


def schema(tool: type[Tool]) -> dict[str, Any]:
    """The JSON schema of a tool's arguments, without references: not every endpoint knows them."""
    (top,), parts = msgspec.json.schema_components([tool], ref_template="{name}")

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            found = as_dict(value)
            if "$ref" in found:
                return whole(parts[found["$ref"]])
            return {k: whole(v) for k, v in found.items() if not (k == "title" and v in parts)}
        return [whole(v) for v in cast(list[Any], value)] if isinstance(value, list) else value

    made = as_dict(whole(top))
    made.pop("description", None)
    return made


def outside(path: str, cwd: str) -> bool:
    """Whether a path, links followed, lies out of the folder, or in its git folder."""
    root, real = os.path.realpath(cwd), os.path.realpath(path)
    if real == root:
        return False
    return not real.startswith(root.rstrip("/") + "/") or ".git" in os.path.relpath(
        real, root
    ).split("/")


def cut(text: str, limit: int) -> str:
    """The beginning and the end of a long text."""
    if len(text) <= limit:
        return text
    half = limit // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[{left_out} characters left out]\n{text[-half:]}"
