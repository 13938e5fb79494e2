"""What an output may consist of: read with html.parser, held against a list of the allowed."""

from __future__ import annotations

import re
from html.parser import HTMLParser

CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
WEB = re.compile(r"https?://[^/\\\s]+", re.IGNORECASE)
_BLOCKS = ("p", "pre", "blockquote", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td")
STYLED = {*_BLOCKS, "div", "span", "strong", "em", "s", "code", "details", "summary"}
ALLOWED: dict[str, set[str]] = {tag: {"style"} for tag in STYLED} | {
    "a": {"href", "target", "rel", "style"},
    "br": set(),
    "hr": set(),
}
ALLOWED["details"] = {"open"}
ALLOWED["ol"] = {"style", "start"}
ALLOWED["div"] = {"style", "data-paseo-run"}
MARKDOWN: dict[str, set[str]] = {
    **{tag: set() for tag in (*_BLOCKS, "strong", "em", "s", "del", "hr", "br", "div")},
    "a": {"href"},
    "code": {"class"},
    "ol": {"start"},
    "th": {"style", "align"},
    "td": {"style", "align"},
}
VOID = {"br", "hr", "input"}
STYLE = re.compile(r"[a-zA-Z0-9 :;,.%()#'+/-]*")

_REACHES = re.compile(
    r"url|image|expression|import|binding|behavior|position|//|/\*", re.IGNORECASE
)


class Reader(HTMLParser):
    """Collects what is wrong, and the visible text."""

    def __init__(self, allowed: dict[str, set[str]]) -> None:
        super().__init__(convert_charrefs=True)
        self.allowed = allowed
        self.wrong: list[str] = []
        self.stack: list[str] = []
        self.text: list[str] = []
        self.roots = 0
        self.prose: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.allowed:
            self.wrong.append(f"<{tag}>")
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if tag not in VOID:
            self.stack.append(tag)
        if tag in ("p", "div", "li", "pre", "summary", "tr", "blockquote", "br", "td", "th"):
            self.text.append("\n")

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name not in self.allowed.get(tag, set()):
            self.wrong.append(f"{tag} {name}={value!r}")
        if name == "href" and not WEB.match(value):
            self.wrong.append(f"href {value!r}")
        if name == "style" and not (STYLE.fullmatch(value) and not _REACHES.search(value)):
            self.wrong.append(f"style {value!r}")
        if name == "data-paseo-run":
            self.roots += 1
        if name == "start" and not value.isdigit():
            self.wrong.append(f"start {value!r}")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.stack or self.stack.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if not {"code", "pre"} & set(self.stack):
            self.prose.append(data)

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"<!{decl}>")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"<![{data}]>")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"<?{data}>")


def read(html: str, allowed: dict[str, set[str]] = ALLOWED) -> Reader:
    reader = Reader(allowed)
    reader.feed(html)
    reader.close()
    if reader.stack:
        reader.wrong.append(f"unclosed: {reader.stack}")
    return reader


def visible(html: str) -> str:
    """What a reader sees when every style is stripped: one line a block."""
    lines = "".join(read(html).text).split("\n")
    return "\n".join(line.rstrip() for line in lines if line.strip())


def wrong_in_html(html: str) -> list[str]:
    """Everything that a fragment of ours may not have."""
    reader = read(html)
    wrong = reader.wrong + [f"control {c!r}" for c in CONTROL.findall(html)]
    if reader.roots > 1:
        wrong.append("a second root")
    for text in reader.prose:  # MathJax pairs `$` and `\(` within one text node only
        if ("$" in text and text != "$") or ("\\" in text and text != "\\"):
            wrong.append(f"math {text!r}")
    return wrong
