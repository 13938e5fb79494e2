"""An agent's Markdown written again as Markdown that no viewer reads as HTML.

From the same tokens as `messages`: text with every sign of Markdown, HTML and TeX escaped, code
between fences that its content cannot close, http(s) links, and the block structure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile

from markdown_it.token import Token

from .messages import addresses, other_target, parse, web_url
from .text import clean

_SIGNS = re.compile(r"([\\`*_\[\]{}$~|#])")
_LINE_START = re.compile(r"^(\s*)([-+=](?=[-+=\s]|$)|\d{1,9}(?=[.)](?:\s|$)))", re.MULTILINE)
_TICKS = re.compile("`+")
_INFO = re.compile(r"[\w+#.-]{1,20}")
_MARKS = {"strong": "**", "em": "*", "s": "~~"}


def escaped(text: str, *, begins: bool = True) -> str:
    """Cleaned plain text as Markdown; `begins`: it may stand at a line's beginning."""
    text = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SIGNS.sub(r"\\\1", text)
    return _LINE_START.sub(_start_escaped, text) if begins or "\n" in text else text


def _start_escaped(found: re.Match[str]) -> str:
    space, sign = found[1], found[2]
    return f"{space}{sign}\\" if sign.isdigit() else f"{space}\\{sign}"


def code_span(text: str) -> str:
    """Text as inline code: more backticks around it than in it, on one line."""
    text = " ".join(clean(text).split())
    if not text:
        return ""
    ticks = "`" * (_longest_run(text) + 1)
    pad = " " if text[0] == "`" or text[-1] == "`" else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def fenced(text: str, info: str = "") -> str:
    """Text as a code block whose fence is longer than any run of backticks in it."""
    text = clean(text).rstrip("\n")
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{info}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)


def message_markdown(text: str) -> str:
    """A Markdown text, made safe."""
    writer = _Writer()
    for token in parse(text):
        writer.take(token)
    return "\n".join(writer.lines).strip("\n")


class _Writer:
    """Lines so far, and what each new one begins with (quotes, list indents)."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.prefix: list[str] = []
        self.last: list[str] = []  # the prefix of the block before
        self.marker = ""
        self.numbers: list[int | None] = []
        self.rows: list[str] | None = None  # a table row's cells
        self.heading = self.tight = self.head = False

    def put(self, text: str, *, tight: bool = False) -> None:
        """One block."""
        if self.lines and not tight and not self.marker:
            both = takewhile(
                lambda pair: pair[0] == pair[1], zip(self.prefix, self.last, strict=False)
            )
            self.lines.append("".join(prefix for prefix, _ in both).rstrip())
        self.last = self.prefix.copy()
        for line in text.split("\n"):
            start = "".join(self.prefix)
            if self.marker:
                start = start[: len(start) - len(self.marker)] + self.marker
                self.marker = ""
            self.lines.append((start + line).rstrip())

    def take(self, token: Token) -> None:
        """The next block token."""
        kind = token.type
        if kind == "inline":
            children = token.children or []
            if self.rows is not None:
                self.rows.append(_inline(children, in_table=True))
            elif self.heading:
                self.put(f"**{_inline(children).replace('**', '')}**")
            else:
                self.put(_inline(children), tight=self.tight)
        elif kind in ("fence", "code_block"):
            words = token.info.split()
            info = words[0] if words and _INFO.fullmatch(words[0]) else ""
            self.put(fenced(token.content, info))
        elif kind == "hr":
            self.put("***")
        else:
            self._structure(kind, token)

    def _structure(self, kind: str, token: Token) -> None:
        if kind in ("heading_open", "heading_close"):
            self.heading = kind == "heading_open"
        elif kind == "paragraph_open":
            self.tight = token.hidden
        elif kind == "blockquote_open":
            self.flush_marker()
            self.prefix.append("> ")
        elif kind in ("bullet_list_open", "ordered_list_open"):
            start = token.attrs.get("start", 1)
            bullet = kind == "bullet_list_open"
            if not self.prefix and self.lines:
                self.lines.append("")
            self.numbers.append(None if bullet else start if isinstance(start, int) else 1)
        elif kind == "list_item_open":
            self._item()
        elif kind in ("blockquote_close", "list_item_close"):
            self.flush_marker()
            self.prefix.pop()
        elif kind in ("bullet_list_close", "ordered_list_close"):
            self.numbers.pop()
        elif kind == "tr_open":
            self.rows = []
        elif kind == "tr_close" and self.rows is not None:
            self._row(self.rows)
            self.rows = None
        elif kind == "thead_open":
            self.head = True

    def _item(self) -> None:
        self.flush_marker()
        number = self.numbers[-1]
        if number is None:
            self.marker = "- "
        else:
            self.marker = f"{number}. "
            self.numbers[-1] = number + 1
        self.prefix.append(" " * len(self.marker))

    def flush_marker(self) -> None:
        """An item's marker that no text has followed stands alone."""
        if self.marker:
            self.put("")

    def _row(self, cells: list[str]) -> None:
        line = "| " + " | ".join(cells) + " |"
        self.put(line, tight=not self.head)
        if self.head:
            self.put("|" + " --- |" * len(cells), tight=True)
        self.head = False


def _inline(tokens: Iterable[Token], *, in_table: bool = False) -> str:
    out: list[str] = []
    endings: list[str] = []
    for token in tokens:
        kind = token.type
        if kind == "code_inline":
            span = code_span(token.content)
            out.append(span.replace("|", "\\|") if in_table else span)
        elif kind in ("softbreak", "hardbreak"):
            out.append(" " if in_table else "\n" if kind == "softbreak" else "\\\n")
        elif kind == "link_open":
            opening, ending = _link(token)
            out.append(opening)
            endings.append(ending)
        elif kind == "link_close":
            out.append(endings.pop() if endings else "")
        elif kind == "image":
            out.append(_image(token, nested=bool(endings)))
        elif token.tag in _MARKS:
            out.append(_MARKS[token.tag])
        elif endings:
            out.append(escaped(token.content))
        else:
            pieces = addresses(token.content)
            out += [f"<{piece}>" if is_url else escaped(piece) for piece, is_url in pieces]
    return "".join(out)


def _link(token: Token) -> tuple[str, str]:
    url = web_url(token.attrs.get("href"))
    if url is not None:
        return "[", f"](<{url}>)"
    target = other_target(token)
    return "", f" ({code_span(target)})" if target else ""


def _image(token: Token, *, nested: bool) -> str:
    label = escaped(f"[image: {token.content[:200]}]" if token.content else "[image]")
    url = web_url(token.attrs.get("src"))
    return f"[{label}](<{url}>)" if url is not None and not nested else label
