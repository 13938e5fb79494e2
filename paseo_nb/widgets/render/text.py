"""Hostile text made harmless: what every string of an agent passes before it is shown.

Terminal escapes and control characters go; in what is asked about and in what was changed they
become visible, as nothing of it may be hidden. So do everywhere characters that reorder text. HTML
is escaped; `$` and `\\` outside of code are set apart, as the pages that show notebooks run MathJax
over an output's text (a price is no formula, and TeX knows links of its own).
"""

from __future__ import annotations

import re
from html import escape
from typing import NamedTuple

# CSI (SGR is one); OSC (8 is a hyperlink), DCS, SOS, PM, APC strings with their text; the rest.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)
_BREAKS = re.compile("\r\n?|[\u2028\u2029\x85\x0b\x0c]")
_REORDER = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u180e\u200b\u2060-\u2065\u206a-\u206f\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"\s+")


def clean(text: str) -> str:
    """The text without terminal escapes, control and invisible characters; bidirectional
    controls become `[U+202E]`; line breaks become line feeds. Joiners stay, scripts need them."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text)
    text = _BREAKS.sub("\n", text)
    text = _HIDDEN.sub("", text)
    text = _REORDER.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
    return _SURROGATES.sub("\ufffd", text)


def spelled(text: str) -> str:
    """The text with each character that would be taken out, or hides what follows it, made visible
    as `[U+001B]`: for what is allowed or applied, of which nothing may be kept from the reader."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def one_line(text: str, limit: int = 120) -> str:
    """The text on one line, cut with `…`; looks at its beginning only."""
    flat = _SPACE.sub(" ", clean(text[: limit * 8])).strip()
    return flat if len(flat) <= limit else flat[: limit - 1].rstrip() + "…"


def literal(text: str) -> str:
    """Cleaned text as HTML inside `code` and `pre`."""
    return escape(clean(text), quote=True)


def prose(text: str) -> str:
    """Cleaned text as HTML elsewhere, safe from MathJax."""
    shown = escape(clean(text), quote=True)
    return shown.replace("\\", "<span>\\</span>").replace("$", "<span>$</span>")


class Excerpt(NamedTuple):
    """Some lines of a longer text, and a note that says which; an empty note when all are there."""

    lines: list[str]
    note: str


def excerpt(text: str, head: int, tail: int, width: int = 400) -> Excerpt:
    """The first `head` and last `tail` lines, each cut at `width` characters."""
    text = text.strip("\n")
    if not text:
        return Excerpt([], "")
    total = text.count("\n") + 1
    if total <= head + tail:
        lines, note = text.split("\n"), ""
    else:
        lines = text.split("\n", head)[:head]
        if head and tail:
            lines.append("⋮")
        lines += text.rsplit("\n", tail)[1:] if tail else []
        parts = [f"first {head}"] * bool(head) + [f"last {tail}"] * bool(tail)
        shown = " and ".join(parts)
        note = f"{shown[0].upper()}{shown[1:]} of {total:,} lines."
    cut = sum(len(line) > width for line in lines)
    if cut:
        lines = [line if len(line) <= width else line[:width] + " …" for line in lines]
        note = note or "Long lines are cut."
    return Excerpt(lines, note)


_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)


class Halves(NamedTuple):
    """A long message in two, and how many characters are left out between; 0: `head` is all."""

    head: str
    tail: str
    left_out: int


def halves(text: str, limit: int) -> Halves:
    """A Markdown text cut in its middle, at line ends where there are any. A code block that the
    cut goes through is opened again in the tail."""
    if len(text) <= limit:
        return Halves(text, "", 0)
    keep = max(limit // 2, 1)
    at = text.rfind("\n", keep // 2, keep)
    head = text[: at if at > 0 else keep]
    at = text.find("\n", len(text) - keep, len(text) - keep // 2)
    tail = text[at + 1 if at > 0 else len(text) - keep :]
    left_out = len(text) - len(head) - len(tail)
    if len(_FENCE.findall(text, 0, len(text) - len(tail))) % 2:
        tail = "```\n" + tail
    return Halves(head, tail, left_out)
