"""An agent's Markdown as safe HTML, and as Markdown again that is safe in any viewer.

markdown-it reads CommonMark with tables and strikethrough, raw HTML off; the flat token stream is
written out here, so that only the tags below can appear. Links lead to http and https only, others
become text with their target; images become links; headings become bold paragraphs, as a
notebook's table of contents would list them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from markdown_it import MarkdownIt
from markdown_it.token import Token

from . import style
from .text import clean, literal, prose


class _Markdown(MarkdownIt):
    def validateLink(self, url: str) -> bool:
        """Every link is parsed; `web_url` judges its target when it is written."""
        return True


_parser = _Markdown("commonmark", {"html": False}).enable(["table", "strikethrough"])
_WEB = re.compile(r"https?://[^\s/\\?#<>\"'`][^\s\\<>\"'`]{0,1999}", re.IGNORECASE)
_BARE = re.compile(r"https?://[^\s/\\?#<>\"'`()\[\]*][^\s\\<>\"'`]{2,500}", re.IGNORECASE)
_PLAIN_TAGS = {"strong", "em", "s", "thead", "tbody", "tr"}
_STYLED_TAGS = {
    "blockquote": ("blockquote", style.QUOTE),
    "bullet_list": ("ul", style.LIST),
    "ordered_list": ("ol", style.LIST),
    "list_item": ("li", "margin:0"),
    "table": ("table", style.TABLE),
    "th": ("th", style.CELL),
    "td": ("td", style.CELL),
}


def parse(text: str) -> list[Token]:
    """The block tokens of a cleaned Markdown text."""
    return _parser.parse(clean(text))


def web_url(url: object) -> str | None:
    """The URL if it is an absolute http(s) one, else None."""
    return url if isinstance(url, str) and _WEB.fullmatch(url) else None


def message_html(text: str, *, lead: str = "", tail: str = "") -> str:
    """Markdown as block HTML. `lead` and `tail` are finished HTML of ours, put at the beginning
    of the first paragraph and behind the last words."""
    tokens = parse(text)
    words = [index for index, token in enumerate(tokens) if token.type == "inline"]
    at_end = words and all(token.nesting < 0 for token in tokens[words[-1] + 1 :])
    out: list[str] = []
    if lead and (not tokens or tokens[0].type != "paragraph_open"):
        out.append(f'<p style="{style.P}">{lead}</p>')
        lead = ""
    for index, token in enumerate(tokens):
        out.append(_block_html(token))
        if lead:
            out.append(lead)
            lead = ""
        if tail and at_end and index == words[-1]:
            out.append(tail)
            tail = ""
    out.append(tail)
    return "".join(out)


def _block_html(token: Token) -> str:
    kind = token.type
    if kind == "inline":
        return _inline_html(token.children or [])
    if kind in ("fence", "code_block"):
        return f'<pre style="{style.PRE}">{literal(token.content)}</pre>'
    if kind == "hr":
        return "<hr>"
    name, _, end = kind.rpartition("_")
    if end not in ("open", "close"):
        return prose(token.content)
    opens = end == "open"
    if name in ("paragraph", "heading"):
        if token.hidden:
            return "" if opens else "\n"
        bold = name == "heading"
        if opens:
            return f'<p style="{style.P}">' + "<strong>" * bold
        return "</strong>" * bold + "</p>\n"
    if name in _PLAIN_TAGS:
        return f"<{'' if opens else '/'}{name}>"
    if name in _STYLED_TAGS:
        tag, css = _STYLED_TAGS[name]
        if not opens:
            return f"</{tag}>\n"
        start = token.attrs.get("start")
        number = f' start="{start}"' if isinstance(start, int) else ""
        return f'<{tag}{number} style="{css}">'
    return ""


def _inline_html(tokens: Iterable[Token]) -> str:
    out: list[str] = []
    endings: list[str] = []  # how each open link ends: the tag, or its target as text
    for token in tokens:
        kind = token.type
        if kind == "code_inline":
            out.append(f'<code style="{style.PILL}">{literal(token.content)}</code>')
        elif kind == "softbreak":
            out.append("\n")
        elif kind == "hardbreak":
            out.append("<br>")
        elif kind == "link_open":
            opening, ending = _link(token)
            out.append(opening)
            endings.append(ending)
        elif kind == "link_close":
            out.append(endings.pop() if endings else "")
        elif kind == "image":
            out.append(_image_html(token, nested=bool(endings)))
        elif token.tag in _PLAIN_TAGS:
            out.append(f"<{'/' * (token.nesting < 0)}{token.tag}>")
        elif endings:
            out.append(prose(token.content))
        else:
            out.append(_linked(token.content))
    return "".join(out)


def _anchor(url: str) -> str:
    return (
        f'<a href="{literal(url)}" target="_blank" rel="noopener noreferrer nofollow"'
        f' style="{style.LINK}">'
    )


def _link(token: Token) -> tuple[str, str]:
    """How a link begins and ends."""
    url = web_url(token.attrs.get("href"))
    if url is not None:
        return _anchor(url), "</a>"
    target = other_target(token)
    return "", f' (<code style="{style.PILL}">{literal(target)}</code>)' if target else ""


def other_target(token: Token) -> str:
    """The target of a link that leads nowhere here, to be shown as text; an autolink's text is
    its target already."""
    return "" if token.info == "auto" else str(token.attrs.get("href") or "")[:200]


def _image_html(token: Token, *, nested: bool) -> str:
    label = prose(f"[image: {token.content[:200]}]" if token.content else "[image]")
    url = web_url(token.attrs.get("src"))
    return f"{_anchor(url)}{label}</a>" if url is not None and not nested else label


def _linked(text: str) -> str:
    pieces = addresses(text)
    return "".join(_anchor(p) + prose(p) + "</a>" if is_url else prose(p) for p, is_url in pieces)


def addresses(text: str) -> list[tuple[str, bool]]:
    """Text in pieces, those that are bare web addresses marked."""
    out: list[tuple[str, bool]] = []
    at = 0
    for found in _BARE.finditer(text):
        url = found[0].rstrip(".,;:!?*_'\"")
        if url.endswith(")") and "(" not in url:
            url = url.rstrip(").,;:!?")
        if web_url(url):
            out += [(text[at : found.start()], False), (url, True)]
            at = found.start() + len(url)
    out.append((text[at:], False))
    return out
