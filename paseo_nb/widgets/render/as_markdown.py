"""A story as Markdown: for viewers without HTML, safe even in those that read HTML in Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from .blocks import (
    Ask,
    Block,
    Limits,
    Message,
    Notice,
    Plan,
    Prompt,
    Row,
    Span,
    Story,
    Thought,
    coded,
    subject_excerpt,
)
from .diffs import FileDiff
from .fit import fit
from .messages_md import code_span, escaped, fenced, message_markdown
from .terminal import terminal_plain
from .text import excerpt, halves, one_line
from .units import plural

LIVE = Limits(4_500, 1500, 300, 300, 500, 6, 12, 12)
FINAL = Limits(34_000, 8000, 800, 2000, 1500, 12, 40, 30)


def markdown_of(story: Story, limits: Limits) -> str:
    """The whole story; folds do not exist, so that only failures and edits show what is in them."""
    form = _Markdown(story.more)
    glyph, word, _ = story.sign
    parts = [f"**{glyph} {escaped(word)}: {escaped(story.title)}**"]
    parts.append(", ".join(spans(part) for part in story.meta))
    if story.cached:
        parts.append(escaped(story.cached))
    out, row_before = "\n\n".join(parts), False
    for block, text in fit(story, form.block, limits):
        if text:
            row = isinstance(block, Row) and "\n" not in text
            out += ("\n" if row and row_before else "\n\n") + text
            row_before = row
    return f"{out}\n\n{spans(story.closing)}\n"


def spans(line: Iterable[Span]) -> str:
    """Styled pieces of one line: bold and code."""
    out: list[str] = []
    for look, text in line:
        if look == "code":
            out.append(code_span(text))
        elif look in ("strong", "bad") and text.strip():
            out.append(f"**{escaped(text.strip(), begins=False)}**")
        else:
            out.append(escaped(text, begins=not out))
    return "".join(out)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.split("\n"))


class _Markdown:
    def __init__(self, more: str) -> None:
        self.more = more

    def block(self, block: Block, limits: Limits) -> str:
        """One block within the limits."""
        if isinstance(block, Message):
            return self._text(block.text, limits.message)
        if isinstance(block, Prompt):
            text = self._text(block.text.strip(), limits.prompt)
            return _quoted(f"**{escaped(block.label)}**\n\n{text}")
        if isinstance(block, Thought):
            return ""
        if isinstance(block, Plan):
            marks = {"completed": "x"}
            lines = [
                f"- [{marks.get(status, ' ')}] {spans(coded(one_line(text, limits.name * 3)))}"
                for status, text in block.entries[: limits.plan]
            ]
            return "\n".join(["**Plan**", "", *lines])
        if isinstance(block, Row):
            return self._row(block, limits)
        if isinstance(block, Ask):
            return self._ask(block, limits)
        if isinstance(block, Notice):
            return self._notice(block, limits)
        prompts = [
            f"> **{escaped(prompt.label)}** {escaped(one_line(prompt.text, limits.name * 3))}"
            for prompt in block.prompts[-limits.plan :]
        ]
        return "\n\n".join([spans(block.line(self.more)), *prompts])

    def _text(self, text: str, limit: int) -> str:
        cut = halves(text, limit)
        shown = message_markdown(cut.head)
        if not cut.left_out:
            return shown
        note = f"{plural(cut.left_out, 'character')} are left out here. The rest: "
        note += code_span(f"{self.more}.transcript()")
        return f"{shown}\n\n{note}\n\n{message_markdown(cut.tail)}"

    def _row(self, block: Row, limits: Limits) -> str:
        out = [f"- {spans(block.line)}"]
        if block.opened:
            out += [_indented(part) for part in self._diffs(block.diffs, limits)]
        if block.keep_end and any(look == "bad" for look, _ in block.line):
            cut = block.excerpt(limits.output)
            if cut.lines:
                out.append(_indented(fenced(terminal_plain("\n".join(cut.lines)))))
            if cut.note:
                out.append(_indented(f"{cut.note} {self._rest('tool_calls')}"))
        return "\n\n".join(out)

    def _rest(self, verb: str) -> str:
        return f"The rest: {code_span(f'{self.more}.{verb}()')}"

    def _diffs(self, diffs: list[FileDiff], limits: Limits) -> list[str]:
        out: list[str] = []
        room = max(limits.diff // max(len(diffs), 1), 2)
        for diff in diffs[:6]:
            if len(diffs) > 1:
                out.append(f"{code_span(one_line(diff.path, 120))} {diff.counts}")
            if diff.lines:
                out.append(fenced("\n".join(line[:300] for line in diff.lines[:room]), "diff"))
            if len(diff.lines) > room or diff.note:
                out.append(self._rest("diff"))
        return out

    def _ask(self, block: Ask, limits: Limits) -> str:
        subject = subject_excerpt(block.subject, limits.output)
        names = [escaped(one_line(name, limits.name)) for name in block.options[:8]]
        parts = [f"**◆ {escaped(block.question)}** {escaped(block.asked)}"]
        parts.append(fenced("\n".join(subject.lines)))
        if subject.note:
            parts.append(f"{subject.note} {self._rest('permissions')}")
        parts += self._diffs(block.diffs, limits)
        if names:
            parts.append("Its options: " + " · ".join(f"{i}. {n}" for i, n in enumerate(names, 1)))
        codes = [code_span(line) for line in block.answers]
        parts.append(f"Answer in a cell: {' or '.join(codes[:-1])}; in a terminal: {codes[-1]}")
        return "\n\n".join(parts)

    def _notice(self, block: Notice, limits: Limits) -> str:
        first, _, rest = block.text.strip().partition("\n")
        parts = [f"**{escaped(one_line(first, limits.notice))}**"]
        cut = excerpt(rest, limits.output // 2, limits.output // 2)
        if cut.lines:
            parts.append(fenced("\n".join(cut.lines)))
        if block.hint.strip():
            parts.append(spans(coded(one_line(block.hint, limits.notice))))
        return "\n\n".join(parts)
