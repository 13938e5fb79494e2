"""The tools that read and change one file: read, write, edit."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from ...common.content import diff_content
from .base import Done, Tool, ToolFailed, Work

_LINES = 2_000
_CHARACTERS = 60_000
_LARGEST = 10 << 20
_IMAGES = {
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}
Path = Annotated[str, Meta(description="Relative to the working directory, or absolute.")]


class Read(Tool):
    """Read a text file, or look at an image. Long files come in parts: read on with offset."""

    NAME: ClassVar[str] = "read"
    KIND: ClassVar[str] = "read"

    path: Path
    offset: Annotated[int, Meta(description="First line, counted from 1.")] = 1
    limit: Annotated[int, Meta(description="Number of lines.")] = _LINES

    def title(self) -> str:
        """See Tool."""
        return f"Read {self.path}" + (f" from line {self.offset}" if self.offset > 1 else "")

    def paths(self) -> list[str]:
        """See Tool."""
        return [self.path]

    def subject(self) -> str:
        """See Tool."""
        return os.path.dirname(self.path)

    async def run(self, work: Work) -> Done:
        """See Tool."""
        data = _bytes(work.path(self.path))
        kind = next((kind for start, kind in _IMAGES.items() if data.startswith(start)), None)
        if kind is not None:
            return Done(f"[{kind}, {len(data)} bytes]", image=(data, kind))
        lines = _text(data).splitlines(keepends=True)
        first = max(1, self.offset)
        if first > max(1, len(lines)):
            raise ToolFailed(f"The file has {len(lines)} lines only.")
        taken, size = list[str](), 0
        for line in lines[first - 1 : first - 1 + max(1, self.limit)]:
            size += len(line)
            if size > _CHARACTERS and taken:
                break
            taken.append(line[:_CHARACTERS])
        last = first - 1 + len(taken)
        text = "".join(taken) or "[the file is empty]"
        if first > 1 or last < len(lines):
            text = text.rstrip("\n") + f"\n[lines {first} to {last} of {len(lines)}"
            text += f"; read on with offset={last + 1}]" if last < len(lines) else "]"
        return Done(text)


class Write(Tool):
    """Write a whole file; it and its folders are made where they do not exist."""

    NAME: ClassVar[str] = "write"
    KIND: ClassVar[str] = "edit"

    path: Path
    content: str

    def title(self) -> str:
        """See Tool."""
        return f"Write {self.path}"

    def paths(self) -> list[str]:
        """See Tool."""
        return [self.path]

    def subject(self) -> str:
        """See Tool."""
        return self.path

    async def preview(self, work: Work) -> dict[str, Any]:
        """See Tool."""
        path = work.path(self.path)
        old = None
        with contextlib.suppress(ToolFailed):  # what is no text is replaced all the same
            old = _text(_bytes(path))
        return {"content": [diff_content(path, old, self.content)]}

    async def run(self, work: Work) -> Done:
        """See Tool."""
        path = work.path(self.path)
        shown = await self.preview(work)
        _write(path, self.content)
        lines = self.content.count("\n") + bool(self.content and self.content[-1] != "\n")
        return Done(f"Successfully wrote {lines} lines to {self.path}.", shown["content"])


class Edit(Tool):
    """Replace text in a file. old_string is matched exactly, with its white space, and must occur
    once, or replace_all must be true. Read the file first."""

    NAME: ClassVar[str] = "edit"
    KIND: ClassVar[str] = "edit"

    path: Path
    old_string: str
    new_string: str
    replace_all: bool = False

    def title(self) -> str:
        """See Tool."""
        return f"Edit {self.path}"

    def paths(self) -> list[str]:
        """See Tool."""
        return [self.path]

    def subject(self) -> str:
        """See Tool."""
        return self.path

    def _changed(self, path: str) -> tuple[str, str, int]:
        """The file before and after, and how many places changed."""
        before = _text(_bytes(path))
        old, new = self.old_string, self.new_string
        if not old:
            raise ToolFailed("old_string is empty. To make a file use write.")
        if old == new:
            raise ToolFailed("old_string and new_string are the same: nothing would change.")
        if "\r\n" in before and "\r\n" not in old:
            old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
        count = before.count(old)
        if count == 0:
            raise ToolFailed(
                f"old_string does not occur in {self.path}. Read the file and copy the text"
                " exactly, with its indentation."
            )
        if count > 1 and not self.replace_all:
            raise ToolFailed(
                f"old_string occurs {count} times in {self.path}. Give more of the text around"
                " it, or set replace_all."
            )
        return before, before.replace(old, new), count

    async def preview(self, work: Work) -> dict[str, Any]:
        """See Tool."""
        path = work.path(self.path)
        before, after, _ = self._changed(path)
        return {"content": [diff_content(path, before, after)]}

    async def run(self, work: Work) -> Done:
        """See Tool."""
        path = work.path(self.path)
        before, after, count = self._changed(path)
        _write(path, after)
        places = "1 place" if count == 1 else f"{count} places"
        told = f"Successfully edited {self.path} in {places}."
        return Done(told, [diff_content(path, before, after)])


def _bytes(path: str) -> bytes:
    """A regular file's content: a pipe or a device would hold up the whole agent."""
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise ToolFailed(f"{path} is a folder. glob lists files.")
        if not stat.S_ISREG(found.st_mode):
            raise ToolFailed(f"{path} is no regular file.")
        if found.st_size > _LARGEST:
            raise ToolFailed(f"{path} has {found.st_size} bytes: too large. Use grep or shell.")
        with open(path, "rb") as file:
            return file.read(_LARGEST + 1)
    except OSError as error:
        raise ToolFailed(f"{path} cannot be read: {error.strerror}.") from error


def _text(data: bytes) -> str:
    if b"\0" in data[:8192]:
        raise ToolFailed("The file is binary.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ToolFailed(f"The file is not UTF-8 text: {error}.") from error


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.exists(path) and not os.path.isfile(path):
            raise ToolFailed(f"{path} is no regular file.")
        with open(path, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise ToolFailed(f"{path} cannot be written: {error.strerror}.") from error
