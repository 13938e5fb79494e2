"""A story as plain text: for terminals, logs and `nbconvert --to script`. No escape, no markup."""

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
    subject_excerpt,
)
from .fit import fit
from .terminal import terminal_plain
from .text import clean, excerpt, halves, one_line
from .units import plural

LIVE = Limits(4_500, 1500, 300, 300, 500, 6, 12, 12)
FINAL = Limits(24_000, 6000, 800, 2000, 1500, 8, 30, 30)
_PLAN_MARKS = {"completed": "x", "in_progress": "~"}


def plain_of(story: Story, limits: Limits) -> str:
    """The whole story; rows are indented, what failed shows its last lines."""
    form = _Plain(story.more)
    glyph, word, _ = story.sign
    out = f"{glyph} {word}: {clean(story.title)}\n"
    out += ", ".join(spans(part) for part in story.meta) + "\n"
    if story.cached:
        out += story.cached + "\n"
    before_row = False
    for block, text in fit(story, form.block, limits):
        if text:
            is_row = isinstance(block, Row)
            out += text + "\n" if is_row and before_row else f"\n{text}\n"
            before_row = is_row
    return f"{out}\n{spans(story.closing)}\n"


def spans(line: Iterable[Span]) -> str:
    """One line without its styles."""
    return clean("".join(text for _, text in line))


def _indented(lines: Iterable[str], by: str) -> str:
    return "\n".join((by + line).rstrip() for line in lines)


class _Plain:
    def __init__(self, more: str) -> None:
        self.more = more

    def block(self, block: Block, limits: Limits) -> str:
        """One block within the limits."""
        if isinstance(block, Message):
            return self._text(block.text, limits.message)
        if isinstance(block, Prompt):
            text = f"{block.label}: {self._text(block.text.strip(), limits.prompt)}"
            return _indented(text.split("\n"), "> ")
        if isinstance(block, Thought):
            return ""
        if isinstance(block, Plan):
            lines = [
                f"[{_PLAN_MARKS.get(status, ' ')}] {one_line(text, limits.name * 3)}"
                for status, text in block.entries[: limits.plan]
            ]
            return _indented(["Plan", *lines], "  ")
        if isinstance(block, Row):
            return self._row(block, limits)
        if isinstance(block, Ask):
            return self._ask(block, limits)
        if isinstance(block, Notice):
            return self._notice(block, limits)
        prompts = [
            f"> {prompt.label}: {one_line(prompt.text, limits.name * 3)}"
            for prompt in block.prompts[-limits.plan :]
        ]
        return "\n".join([spans(block.line(self.more)), *prompts])

    def _text(self, text: str, limit: int) -> str:
        cut = halves(text, limit)
        if not cut.left_out:
            return clean(cut.head).strip("\n")
        note = f"[{plural(cut.left_out, 'character')} are left out: {self.more}.transcript()]"
        return f"{clean(cut.head)}\n{note}\n{clean(cut.tail)}".strip("\n")

    def _row(self, block: Row, limits: Limits) -> str:
        out = "  " + spans(block.line)
        if block.opened and block.diffs:
            room = max(limits.diff // len(block.diffs), 2)
            for diff in block.diffs[:6]:
                lines = clean("\n".join(line[:300] for line in diff.lines[:room])).split("\n")
                out += "\n" + _indented(lines, "      ")
                if len(diff.lines) > room:
                    out += f"\n      First {room} of {plural(len(diff.lines), 'line')}."
        if block.keep_end and any(look == "bad" for look, _ in block.line):
            cut = block.excerpt(limits.output)
            if cut.lines:
                lines = terminal_plain("\n".join(cut.lines)).split("\n")
                out += "\n" + _indented(lines, "      ")
        return out

    def _ask(self, block: Ask, limits: Limits) -> str:
        cut = subject_excerpt(block.subject, limits.output)
        subject = clean("\n".join(cut.lines)).split("\n")
        if cut.note:
            subject.append(f"[{cut.note} The rest: {self.more}.permissions()]")
        names = [one_line(name, limits.name) for name in block.options[:8]]
        lines = [f"◆ {block.question} ({block.asked})", *("    " + line for line in subject)]
        if names:
            lines.append("  Its options: " + ", ".join(f"{i}. {n}" for i, n in enumerate(names, 1)))
        lines += ["  Answer:", *("    " + line for line in block.answers)]
        return "\n".join(lines)

    def _notice(self, block: Notice, limits: Limits) -> str:
        first, _, rest = block.text.strip().partition("\n")
        lines = [f"! {one_line(first, limits.notice)}"]
        lines += clean("\n".join(excerpt(rest, limits.output, 0).lines)).split("\n") if rest else []
        if block.hint.strip():
            lines.append("  " + one_line(block.hint, limits.notice))
        return "\n".join(lines)
