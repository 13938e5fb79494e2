"""A story as one static HTML fragment: inline styles, `details` for folding, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from ...drivers.attached import RASTER
from ...git.values import DiffSummary
from . import style
from .blocks import (
    Ask,
    Block,
    Gap,
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
    counts,
    subject_excerpt,
)
from .diffs import FileDiff, diff_html, lines_html
from .fit import fit, size
from .messages import message_html
from .states import Tone
from .terminal import terminal_html
from .text import excerpt, halves, literal, one_line, prose
from .units import plural

LIVE = Limits(27_000, 4000, 800, 600, 1000, 8, 24, 12)
FINAL = Limits(110_000, 16_000, 4000, 3000, 2000, 30, 80, 30)
_PLAN_MARKS: dict[str, tuple[str, Tone]] = {
    "completed": ("✓", "ok"),
    "in_progress": ("◔", "now"),
}


_RASTER = tuple(f"data:{mime};base64," for mime in RASTER)
PICTURES = 150_000  # bytes of pictures in an output, beside its text


def _with_pictures(pieces: list[tuple[Block, str]], limits: Limits) -> list[tuple[Block, str]]:
    """In a final output the small pictures that went along with prompts stand below them."""
    room = PICTURES if limits is FINAL else 0
    made: list[tuple[Block, str]] = []
    for block, text in pieces:
        for name, uri in block.pictures if isinstance(block, Prompt) else ():
            if uri.startswith(_RASTER) and len(uri) <= room:
                room -= len(uri)
                alt = literal(one_line(name, 80))
                text += f'<img alt="{alt}" src="{literal(uri)}" style="{style.THUMBNAIL}">'
        made.append((block, text))
    return made


def html_of(story: Story, limits: Limits) -> str:
    """The fragment; `data-paseo-run` on its root names the run."""
    form = _Html(story)
    pieces = _with_pictures(fit(story, form.block, limits), limits)
    body: list[str] = []
    for is_row, group in groupby(pieces, key=lambda pair: isinstance(pair[0], Row)):
        texts = [text for _, text in group]
        body.append(_rows(texts) if is_row else "\n".join(texts))
    if story.diff is not None and story.diff.files:
        body.append(_rows([form.files(story.diff, limits)]))
    closing = f'<p style="margin:0;{style.SMALL}">{spans(story.closing)}</p>'
    return (
        f'<div data-paseo-run="{literal(story.run_id)}" style="{style.ROOT}">'
        f'<div style="{style.WIDTH}">\n{_head(story)}\n'
        + "\n".join(body)
        + f"\n{closing}\n</div></div>"
    )


def spans(line: Iterable[Span]) -> str:
    """Styled pieces of one line."""
    out: list[str] = []
    for look, text in line:
        if look == "code":
            out.append(f'<code style="{style.CODE}">{literal(text)}</code>')
        elif look == "strong":
            out.append(f"<strong>{prose(text)}</strong>")
        elif look in ("more", "less"):
            css = style.TONES["ok" if look == "more" else "bad"]
            out.append(f'<span style="{css}">{prose(text)}</span>')
        elif look:
            out.append(toned(look, prose(text)))
        else:
            out.append(prose(text))
    return "".join(out)


def toned(tone: Tone, inner: str, extra: str = "") -> str:
    """Finished HTML in a tone's colour; failures are also bold."""
    weight = ";font-weight:600" if tone == "bad" else ""
    css = f"{style.TONES[tone]}{weight}{extra}"
    return f'<span style="{css}">{inner}</span>' if css else inner


def _head(story: Story) -> str:
    glyph, word, tone = story.sign
    shown = toned(tone, f"{glyph} {prose(word)}:")
    title = f'<p style="margin:0 0 2px"><strong>{shown} {prose(story.title)}</strong></p>'
    meta = ", ".join(spans(part) for part in story.meta)
    out = f'{title}\n<p style="margin:0 0 10px;{style.SMALL}">{meta}</p>'
    if story.cached:
        out += f'\n<p style="{style.P}">↻ {prose(story.cached)}</p>'
    return out


def _rows(texts: list[str]) -> str:
    """Rows that follow each other share one box."""
    line = f'</div>\n<div style="{style.ROW_LINE}">'
    return f'<div style="{style.ROWS}">\n<div>{line.join(texts)}</div>\n</div>'


def note_html(note: str, pointer: str = "") -> str:
    """A small line under a cut text; its pointer is code."""
    rest = f' The rest: <code style="{style.CODE}">{literal(pointer)}</code>' if pointer else ""
    return f'<p style="margin:0 0 8px;{style.SMALL}">{prose(note)}{rest}</p>'


class _Html:
    def __init__(self, story: Story) -> None:
        self.more = story.more

    def block(self, block: Block, limits: Limits) -> str:
        """One block within the limits."""
        if isinstance(block, Message):
            tail = toned("now", "▍") if block.streaming else ""
            return self._text(block.text, limits.message, tail=tail)
        if isinstance(block, Prompt):
            return self._prompt(block, limits.prompt)
        if isinstance(block, Thought):
            inner = self._text(block.text, limits.thought)
            label = toned("quiet", prose(block.label), f";{style.SMALL}")
            return _folded(label, inner, css=style.THOUGHT)
        if isinstance(block, Plan):
            return self._plan(block, limits)
        if isinstance(block, Row):
            return self._row(block, limits)
        if isinstance(block, Ask):
            return self._ask(block, limits)
        if isinstance(block, Notice):
            return self._notice(block, limits)
        return self._gap(block, limits)

    def _text(self, text: str, limit: int, *, lead: str = "", tail: str = "") -> str:
        cut = halves(text, limit)
        if not cut.left_out:
            return message_html(cut.head, lead=lead, tail=tail)
        note = note_html(
            f"{plural(cut.left_out, 'character')} are left out here.", f"{self.more}.transcript()"
        )
        return message_html(cut.head, lead=lead) + note + message_html(cut.tail, tail=tail)

    def _prompt(self, block: Prompt, limit: int) -> str:
        lead = f"<strong>{prose(block.label)}</strong> "
        inner = self._text(block.text.strip(), limit, lead=lead)
        return f'<blockquote style="{style.QUOTE}">{inner}</blockquote>'

    def _plan(self, block: Plan, limits: Limits) -> str:
        done = sum(status == "completed" for status, _ in block.entries)
        head = f"<strong>Plan</strong> {done} of {len(block.entries)}"
        lines = [f'<p style="margin:0;{style.SMALL}">{head}</p><ul style="{style.PLAIN_LIST}">']
        for status, text in block.entries[: limits.plan]:
            mark, tone = _PLAN_MARKS.get(status, ("◌", "quiet"))
            inner = spans(coded(one_line(text, limits.name * 3)))
            bold = f"<strong>{inner}</strong>" if status == "in_progress" else inner
            lines.append(f'<li style="margin:0">{toned(tone, mark)} {bold}</li>')
        if len(block.entries) > limits.plan:
            lines.append(f'<li style="margin:0">{len(block.entries) - limits.plan} more</li>')
        inner = "".join([*lines, "</ul>"])
        return f'<div style="{style.ROWS};padding:6px 10px">{inner}</div>'

    def _row(self, block: Row, limits: Limits) -> str:
        body = self._row_body(block, limits)
        if not body:
            starts = block.line[0][0] == "now"  # its own glyph stands where others have the fold's
            css = style.ROW if starts else style.ROW_INDENTED
            return f'<div style="{css}">{spans(block.line)}</div>'
        return _folded(spans(block.line), body, opened=block.opened)

    def _row_body(self, block: Row, limits: Limits) -> str:
        out: list[str] = []
        if block.full:
            out.append(self._whole(block.full, limits, "tool_calls"))
        out += self._diffs(block.diffs, limits, f"{self.more}.diff()")
        cut = block.excerpt(limits.output)
        if cut.lines:
            shown = terminal_html("\n".join(cut.lines))
            out.append(f'<pre style="{style.PRE}">{shown}</pre>')
            if cut.note:
                out.append(note_html(cut.note, f"{self.more}.tool_calls()"))
        return "".join(out)

    def _whole(self, text: str, limits: Limits, verb: str) -> str:
        """A command or a question's subject, wrapped; what is left out is said."""
        cut = subject_excerpt(text, limits.output)
        shown = literal("\n".join(cut.lines))
        note = note_html(cut.note, f"{self.more}.{verb}()") if cut.note else ""
        return f'<pre style="{style.PRE};white-space:pre-wrap">{shown}</pre>{note}'

    def _diffs(self, diffs: list[FileDiff], limits: Limits, pointer: str) -> list[str]:
        out: list[str] = []
        room = max(limits.diff // max(len(diffs), 1), 2)
        for diff in diffs[:6]:
            if len(diffs) > 1:
                path: list[Span] = [("code", one_line(diff.path, 120)), ("", f" {diff.counts}")]
                out.append(f'<p style="margin:0 0 2px">{spans(path)}</p>')
            if diff.lines:
                out.append(lines_html(diff.lines[:room]))
            if len(diff.lines) > room:
                note = f"First {plural(room, 'line')} of {len(diff.lines):,}."
                out.append(note_html(note, pointer))
            elif diff.note:
                out.append(note_html(diff.note, pointer))
        if len(diffs) > 6:
            out.append(note_html(f"{plural(len(diffs) - 6, 'more file')}.", pointer))
        return out

    def _ask(self, block: Ask, limits: Limits) -> str:
        head = toned("warn", f"◆ {prose(block.question)}", ";font-weight:600")
        asked = toned("quiet", prose(block.asked), f";{style.SMALL}")
        out = [f'<p style="margin:0 0 6px"><strong>{head}</strong> {asked}</p>']
        out.append(self._whole(block.subject, limits, "permissions"))
        out += self._diffs(block.diffs, limits, f"{self.more}.permissions()")
        names = [prose(one_line(name, limits.name)) for name in block.options[:8]]
        if names:
            shown = " · ".join(f"{i}. {name}" for i, name in enumerate(names, 1))
            out.append(f'<p style="margin:0 0 6px">Its options: {shown}</p>')
        codes = [f'<code style="{style.PILL}">{literal(line)}</code>' for line in block.answers]
        cell, terminal = " or ".join(codes[:-1]), codes[-1]
        out.append(f'<p style="margin:0">Answer in a cell: {cell}<br>In a terminal: {terminal}</p>')
        return _boxed("warn", "".join(out))

    def _notice(self, block: Notice, limits: Limits) -> str:
        first, _, rest = block.text.strip().partition("\n")
        text = spans(coded(one_line(first, limits.notice)))
        out = f'<p style="margin:0"><strong>{text}</strong></p>'
        cut = excerpt(rest, limits.output // 2, limits.output // 2)
        if cut.lines:
            out += f'<pre style="{style.PRE};margin:4px 0">{literal(chr(10).join(cut.lines))}</pre>'
        if block.hint.strip():
            hint = spans(coded(one_line(block.hint, limits.notice)))
            out += f'<p style="margin:2px 0 0">{hint}</p>'
        return _boxed(block.tone, out)

    def _gap(self, block: Gap, limits: Limits) -> str:
        out = [f'<p style="{style.P};{style.SMALL}">{spans(block.line(self.more))}</p>']
        for prompt in block.prompts[-limits.plan :]:
            line = prose(one_line(prompt.text, limits.name * 3))
            inner = f'<p style="margin:0"><strong>{prose(prompt.label)}</strong> {line}</p>'
            out.append(f'<blockquote style="{style.QUOTE}">{inner}</blockquote>')
        return "".join(out)

    def files(self, diff: DiffSummary, limits: Limits) -> str:
        """What the run changed in all, folded."""
        line: list[Span] = [("strong", "Changed"), ("", f" {plural(len(diff.files), 'file')}: ")]
        lines, inner = limits.diff * 3, ""
        while diff.patch.strip() and lines:
            inner = diff_html(diff.patch, max_lines=lines, pointer=f"{self.more}.diff()")
            if size(inner) <= limits.total // 5:
                break
            lines //= 2
        if not inner:
            for change in diff.files[:60]:
                shown = counts(change.added or 0, change.removed or 0)
                path: list[Span] = [("code", one_line(change.path, 200)), ("", " "), *shown]
                inner += f'<p style="margin:0">{spans(path)}</p>'
        return _folded(spans([*line, *counts(diff.added, diff.removed)]), inner)


def _folded(summary: str, inner: str, *, opened: bool = False, css: str = style.SUMMARY) -> str:
    return (
        f"<details{' open' * opened}>"
        f'<summary style="{css}">{summary}</summary>'
        f'<div style="{style.BODY}">{inner}</div></details>'
    )


def _boxed(tone: Tone, inner: str) -> str:
    edge, ground = style.EDGES.get(tone, style.LINE), style.GROUNDS[tone]
    css = f"{style.BOX};border-left:4px solid {edge};background:{ground}"
    return f'<div style="{css}">{inner}</div>'
