"""Reading a script without running it: `export const meta = {…}`, its first statement, a literal.

Only literals are read: names, calls, spreads and templates are refused with their line, so that
what a list of workflows tells of a script is what stands there.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ...errors import UsageProblem

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_BEGIN = re.compile(r"export\s+const\s+meta\s*=")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"|' r"'(?:[^'\\\n]|\\.)*'", re.DOTALL)
_ESCAPE = re.compile(r"\\(u\{[0-9a-fA-F]+\}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|\r\n|.)", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": ""}
_WORDS = {"true": True, "false": False, "null": None}
DEEPEST = 20


class Phase(msgspec.Struct, frozen=True):
    """A phase that a script says it will have."""

    title: str
    detail: str | None = None
    model: str | None = None


class Meta(msgspec.Struct, frozen=True):
    """What a script says of itself. whenToUse: for which tasks."""

    name: str
    description: str
    phases: list[Phase] = []
    whenToUse: str | None = None


class Script(msgspec.Struct, frozen=True):
    """A script, read. body: what is compiled, of the same lines as the text."""

    meta: Meta
    body: str


def read(text: str, where: str) -> Script:
    """A script's meta, and its body. UsageProblem that names the line."""
    reader = _Reader(text, where)
    reader.skip()
    begin = _BEGIN.match(text, reader.at)
    if begin is None:
        raise reader.wrong("a workflow begins with `export const meta = { name, description }`")
    reader.at = begin.end()
    value = reader.value(0)
    try:
        meta = msgspec.convert(value, Meta)
    except msgspec.ValidationError as error:
        raise UsageProblem(f"{where}: meta: {error}") from None
    if not meta.name.strip() or not meta.description.strip():
        raise UsageProblem(f"{where}: meta: `name` and `description` are needed, and not empty")
    exported = begin.group().replace("export", "", 1)
    return Script(meta, text[: begin.start()] + exported + text[begin.end() :])


class _Reader:
    def __init__(self, text: str, where: str) -> None:
        self.text, self.where, self.at = text, where, 0

    def skip(self) -> None:
        """Go past spaces and comments."""
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def wrong(self, why: str) -> UsageProblem:
        line = self.text.count("\n", 0, self.at) + 1
        return UsageProblem(f"{self.where}:{line}: {why}")

    def value(self, depth: int) -> Any:
        """The literal that stands here."""
        self.skip()
        text, at = self.text, self.at
        here = text[at : at + 1]
        if depth > DEEPEST:
            raise self.wrong("meta is nested too deep")
        if here == "{":
            return self._object(depth)
        if here == "[":
            return self._list(depth)
        found = _STRING.match(text, at)
        if found is not None:
            self.at = found.end()
            return _ESCAPE.sub(_unescaped, found.group()[1:-1])
        found = _NAME.match(text, at)
        if found is not None and found.group() in _WORDS:
            self.at = found.end()
            return _WORDS[found.group()]
        number = _NUMBER.match(text, at)
        if number is not None:
            self.at = number.end()
            told = number.group()
            return int(told, 16) if "x" in told.lower() else float(told)
        what = "a template" if here == "`" else f"{found.group()!r}" if found else f"{here!r}"
        raise self.wrong(f"meta is a literal: texts, numbers, lists and objects; here is {what}")

    def _items(self, end: str) -> bool:
        """Whether another item comes; past the end otherwise."""
        self.skip()
        if self.text.startswith(end, self.at):
            self.at += 1
            return False
        if self.text.startswith("...", self.at):
            raise self.wrong("meta is a literal; here is a spread")
        return True

    def _comma(self, end: str) -> None:
        self.skip()
        if self.text.startswith(",", self.at):
            self.at += 1
        elif not self.text.startswith(end, self.at):
            here = self.text[self.at : self.at + 10].split("\n")[0]
            raise self.wrong(f"meta is a literal: `,` or `{end}` belongs where {here!r} is")

    def _list(self, depth: int) -> list[Any]:
        self.at += 1
        made: list[Any] = []
        while self._items("]"):
            made.append(self.value(depth + 1))
            self._comma("]")
        return made

    def _object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        made: dict[str, Any] = {}
        while self._items("}"):
            name = _STRING.match(self.text, self.at) or _NAME.match(self.text, self.at)
            if name is None:
                raise self.wrong("meta is a literal: a name belongs here")
            self.at = name.end()
            key = name.group()
            key = _ESCAPE.sub(_unescaped, key[1:-1]) if key[0] in "\"'" else key
            self.skip()
            if not self.text.startswith(":", self.at):
                raise self.wrong(f"meta is a literal: `{key}: …` belongs here")
            self.at += 1
            made[key] = self.value(depth + 1)
            self._comma("}")
        return made


def _unescaped(found: re.Match[str]) -> str:
    told = found[1]
    if told[0] in "ux" and len(told) > 1:
        return chr(int(told[1:].strip("{}"), 16))
    return _SHORT.get(told, "" if told == "\r\n" else told)
