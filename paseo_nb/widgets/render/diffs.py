"""Diffs: unified patches and before/after texts as lines, and those lines as HTML.

A line's sign (`+`, `-`, space, `@`) is part of its text, so that a diff reads the same without
its colours. Work is bounded: an agent may send two texts of any size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

import msgspec

from . import style
from .text import literal, one_line, prose, spelled
from .units import changes, plural

MAX_TEXT = 400_000
MAX_PATCH = 400_000
_MAX_GRID = 40_000
_CONTEXT = 3
_WIDTH = 300
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_HEAD = re.compile(r"diff --git (?:a/|\"a/)(.*?)\"? (?:b/|\"b/)(.*?)\"?$")


class FileDiff(msgspec.Struct, frozen=True):
    """One file's change. `lines` carry their signs; counts are None where they are not known;
    `note` stands for lines that are not here."""

    path: str
    lines: list[str]
    added: int | None
    removed: int | None
    note: str = ""

    def shortened(self, limit: int, pointer: str) -> FileDiff:
        """With at most `limit` lines, the note saying so and where the rest is."""
        if len(self.lines) <= limit:
            return self
        note = f"First {limit} of {plural(len(self.lines), 'line')}. The rest: `{pointer}`"
        return FileDiff(self.path, self.lines[:limit], self.added, self.removed, note)

    @property
    def counts(self) -> str:
        """`+6 −1`, or nothing where unknown."""
        known = self.added is not None and self.removed is not None
        return changes(self.added or 0, self.removed or 0) if known else ""


def _lines(text: str | None) -> list[str]:
    if not text:
        return []
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


@lru_cache(maxsize=32)
def between_texts(path: str, old: str | None, new: str | None) -> FileDiff:
    """The change from one text to another (ACP's `oldText`, `newText`), three lines around it."""
    if len(old or "") + len(new or "") > MAX_TEXT:
        return FileDiff(path, [], None, None, "Too large to compare here.")
    a, b = _lines(old), _lines(new)
    start, shorter = 0, min(len(a), len(b))
    while start < shorter and a[start] == b[start]:
        start += 1
    same = 0
    while same < shorter - start and a[-1 - same] == b[-1 - same]:
        same += 1
    middle_a, middle_b = a[start : len(a) - same], b[start : len(b) - same]
    before, after = a[max(start - _CONTEXT, 0) : start], a[len(a) - same :][:_CONTEXT]
    changed = _changed(middle_a, middle_b)
    lines = [" " + line for line in before] + changed + [" " + line for line in after]
    added = sum(line[0] == "+" for line in changed)
    removed = sum(line[0] == "-" for line in changed)
    return FileDiff(path, [spelled(line) for line in lines], added, removed)


def _changed(a: list[str], b: list[str]) -> list[str]:
    """Signed lines from `a` to `b`; too large a grid counts as replaced as a whole."""
    if not a or not b or len(a) * len(b) > _MAX_GRID:
        return ["-" + line for line in a] + ["+" + line for line in b]
    out: list[str] = []
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            out += ["-" + line for line in a[a1:a2]] + ["+" + line for line in b[b1:b2]]
        elif a2 - a1 > 2 * _CONTEXT + 1:
            out += [" " + line for line in a[a1 : a1 + _CONTEXT]]
            out.append("@@ … @@")
            out += [" " + line for line in a[a2 - _CONTEXT : a2]]
        else:
            out += [" " + line for line in a[a1:a2]]
    return out


def of_patch(patch: str) -> list[FileDiff]:
    """The files of a unified patch (git's, or one file's without heads). Of a very long one the
    first 400,000 characters; the file that the cut goes through has no counts."""
    cut = len(patch) > MAX_PATCH
    out: list[FileDiff] = []
    reader = _PatchReader()
    for line in _lines(patch[:MAX_PATCH]):
        done = reader.take(line)
        if done is not None:
            out.append(done)
    last = reader.file()
    if last is not None:
        out.append(
            FileDiff(last.path, last.lines, None, None, "The patch is longer.") if cut else last
        )
    return out


class _PatchReader:
    """Knows by the hunk's own counts whether `--- x` is a head or a removed line."""

    def __init__(self) -> None:
        self.path = ""
        self.started = self.git = False
        self.lines: list[str] = []
        self.left_old = self.left_new = 0

    def file(self) -> FileDiff | None:
        """The file read so far."""
        if not self.started:
            return None
        added = sum(line.startswith("+") for line in self.lines)
        removed = sum(line.startswith("-") for line in self.lines)
        return FileDiff(self.path, [spelled(line) for line in self.lines], added, removed)

    def take(self, line: str) -> FileDiff | None:
        """The next line; the file before it, where it begins another."""
        if self.left_old > 0 or self.left_new > 0:
            self._inside(line)
            return None
        if line.startswith("diff --git ") or (line.startswith("--- ") and not self.git):
            done = self.file()
            self.git = self.git or line.startswith("diff ")
            found = _HEAD.match(line)
            self.path = found[2] if found else _head_path(line)
            self.started, self.lines = True, []
            return done
        if line.startswith("+++ ") and not line.startswith("+++ /dev/null"):
            self.path = _head_path(line)
        elif found := _HUNK.match(line):
            self.started = True
            self.left_old, self.left_new = int(found[1] or 1), int(found[2] or 1)
            self.lines.append(line)
        elif line.startswith(("Binary files ", "rename ", "new file ", "deleted file ", "\\")):
            self.lines.append("@@ " + line if line[0] != "\\" else line)
        return None

    def _inside(self, line: str) -> None:
        sign = line[:1] or " "
        if sign in " -":
            self.left_old -= 1
        if sign in " +":
            self.left_new -= 1
        if sign not in " -+\\":  # not what the hunk promised
            self.left_old = self.left_new = 0
        self.lines.append(line or " ")


def _head_path(line: str) -> str:
    path = line[4:].split("\t")[0].strip().strip('"')
    return path[2:] if path[:2] in ("a/", "b/") else path


def lines_html(lines: Iterable[str]) -> str:
    """Signed lines as one `pre`."""
    out: list[str] = []
    for line in lines:
        shown = literal(line if len(line) <= _WIDTH else line[:_WIDTH] + " …") + "\n"
        if line[:1] == "+":
            out.append(f'<span style="display:block;background:{style.ADDED}">{shown}</span>')
        elif line[:1] == "-":
            out.append(f'<span style="display:block;background:{style.REMOVED}">{shown}</span>')
        elif line[:1] in ("@", "\\"):
            out.append(f'<span style="display:block;opacity:.7">{shown}</span>')
        else:
            out.append(f'<span style="display:block">{shown}</span>')
    inner = "".join(out)
    return (
        f'<pre style="{style.PRE}"><span style="display:block;width:max-content;min-width:100%">'
        f"{inner}</span></pre>"
    )


def diff_html(patch: str, *, max_lines: int = 200, pointer: str = "") -> str:
    """A unified patch as HTML: each file's path and counts, then its lines.

    Of more than `max_lines` in all the first are shown; `pointer` is the code that has the rest
    (`paseo.attach("…").diff()`).
    """
    out: list[str] = []
    left = max_lines
    files = of_patch(patch)
    for index, file in enumerate(files):
        if left <= 0:
            rest = f" The rest: {_pointer_html(pointer)}" if pointer else ""
            more = plural(len(files) - index, "more file")
            out.append(f'<p style="{style.P};{style.SMALL}">{more}.{rest}</p>')
            break
        head = f"<strong>{prose(one_line(file.path, 200) or 'patch')}</strong> {file.counts}"
        out.append(f'<p style="margin:0 0 4px">{head.rstrip()}</p>')
        out.append(lines_html(file.lines[:left]))
        if len(file.lines) > left:
            note = f"First {plural(left, 'line')} of {len(file.lines):,}."
            rest = f" The rest: {_pointer_html(pointer)}" if pointer else ""
            out.append(f'<p style="{style.P};{style.SMALL}">{note}{rest}</p>')
        left -= len(file.lines)
    return "".join(out)


def _pointer_html(pointer: str) -> str:
    return f'<code style="{style.CODE}">{literal(pointer)}</code>'
