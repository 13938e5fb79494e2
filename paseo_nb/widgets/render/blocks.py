"""What a story consists of: blocks of values, and how much of each is shown.

Every string in a block is still as the agent wrote it, in full length; the forms cut it by their
`Limits` and make it harmless.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from ...git.values import DiffSummary
from .diffs import FileDiff
from .states import Sign, Tone
from .text import Excerpt, excerpt
from .units import changes, plural

_CODE = re.compile(r"`([^`\n]+)`")

SpanStyle = Literal["", "strong", "code", "more", "less", "ok", "now", "warn", "bad", "quiet"]
Span = tuple[SpanStyle, str]


class Prompt(msgspec.Struct):
    """A turn's prompt, as a quote; pictures that went along, by name, as data URIs."""

    label: str
    text: str
    pictures: list[tuple[str, str]] = []


class Message(msgspec.Struct):
    """The agent's text (Markdown)."""

    text: str
    streaming: bool = False


class Thought(msgspec.Struct):
    """The agent's reasoning (Markdown), folded."""

    label: str
    text: str


class Plan(msgspec.Struct):
    """The latest plan of a turn: (status, text)."""

    entries: list[tuple[str, str]]


class Row(msgspec.Struct):
    """One line of what was done, and what unfolds under it."""

    line: list[Span]
    opened: bool = False
    full: str = ""
    diffs: list[FileDiff] = []
    output: str = ""
    keep_end: bool = False

    def excerpt(self, room: int) -> Excerpt:
        """At most `room` lines of the output: its end where that tells the result."""
        if self.keep_end:
            return excerpt(self.output, 0, room)
        return excerpt(self.output, room - room // 3, room // 3)


class Ask(msgspec.Struct):
    """A question that waits for its answer, and exactly how to give it."""

    question: str
    asked: str
    subject: str
    diffs: list[FileDiff]
    options: list[str]
    answers: list[str]


class Notice(msgspec.Struct):
    """An error, a limit, a warning: what happened, and what to do."""

    tone: Tone
    text: str
    hint: str = ""


class Gap(msgspec.Struct):
    """Steps that are not shown, and the prompts of turns that began among them."""

    count: int
    prompts: list[Prompt]

    def line(self, more: str) -> list[Span]:
        """How many, and where they are."""
        verb = "is" if self.count == 1 else "are"
        text = f"⋮ {plural(self.count, 'earlier step')} {verb} in the run: "
        return [("", text), ("code", f"{more}.transcript()")]


Block = Prompt | Message | Thought | Plan | Row | Ask | Notice | Gap


class Limits(msgspec.Struct, frozen=True):
    """How much one form shows: characters, lines and entries of a block, bytes in all."""

    total: int
    message: int
    thought: int
    prompt: int
    notice: int
    output: int
    diff: int
    plan: int
    name: int = 80

    @property
    def piece(self) -> int:
        """Bytes of one block."""
        return self.total // 7

    def less(self) -> Limits:
        """Half of everything within a block."""
        halved = {
            name: max(getattr(self, name) // 2, 2)
            for name in self.__struct_fields__
            if name != "total"
        }
        return msgspec.structs.replace(self, **halved)


class Story(msgspec.Struct):
    """Everything the forms need. `head` blocks are the beginning; `more` is the code that has the
    rest of the run."""

    run_id: str
    sign: Sign
    title: str
    meta: list[list[Span]]
    blocks: list[Block]
    head: int
    closing: list[Span]
    more: str
    cached: str = ""
    diff: DiffSummary | None = None


def subject_excerpt(text: str, room: int) -> Excerpt:
    """A question's subject: both its ends, in longer lines than an output's."""
    room = max(room, 3)
    return excerpt(text, room - room // 3, room // 3, width=1000)


def counts(added: int, removed: int) -> list[Span]:
    """`+6 −1`, in their tones."""
    if added and removed:
        return [("more", changes(added, 0)), ("", " "), ("less", changes(0, removed))]
    tone: SpanStyle = "more" if added else "less" if removed else ""
    return [(tone, changes(added, removed))]


def coded(text: str) -> list[Span]:
    """Text with its `backticked` pieces as code."""
    pieces = _CODE.split(text)
    return [("code" if index % 2 else "", piece) for index, piece in enumerate(pieces) if piece]
