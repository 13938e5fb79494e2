"""Terminal output as HTML: bold and the sixteen colours become spans, every other escape goes.

Only for what a command printed; in messages, titles and names all escapes are dropped (`text`).
"""

from __future__ import annotations

import re

from .style import TONES
from .text import clean, literal

_SGR = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]*)m")
_MAX_SPANS = 400
_BOLD = "font-weight:600"


def _mixed(colour: str) -> str:
    return f"color:color-mix(in srgb,{colour} 75%,currentColor)"


_COLOURS = {
    0: "",
    1: TONES["bad"],
    2: TONES["ok"],
    3: TONES["warn"],
    4: TONES["now"],
    5: _mixed("#a626a4"),
    6: _mixed("#0097a7"),
    7: "",
}


def settle(text: str) -> str:
    """What a terminal would show in the end: a line overwritten by carriage returns (a progress
    bar) keeps its last writing."""
    text = text.replace("\r\n", "\n")
    if "\r" not in text:
        return text
    lines = (line.rstrip("\r") for line in text.split("\n"))
    return "\n".join(line[line.rfind("\r") + 1 :] for line in lines)


def terminal_plain(text: str) -> str:
    """Cleaned text, without colours."""
    return clean(settle(text))


def terminal_html(text: str) -> str:
    """HTML for inside a `pre`; bold and foreground colours are kept as inline styles."""
    pieces = _SGR.split(settle(text))
    if len(pieces) == 1 or len(pieces) > 2 * _MAX_SPANS:
        return literal("".join(pieces[::2]))
    out: list[str] = []
    bold, colour = False, ""
    for index, piece in enumerate(pieces):
        if index % 2:
            bold, colour = _applied(piece, bold, colour)
        elif shown := literal(piece):
            style = ";".join(part for part in (_BOLD if bold else "", colour) if part)
            out.append(f'<span style="{style}">{shown}</span>' if style else shown)
    return "".join(out)


def _applied(codes: str, bold: bool, colour: str) -> tuple[bool, str]:
    """The state after one SGR sequence; backgrounds, 256 and true colours are passed over."""
    numbers = [int(code) if code.isdigit() else 0 for code in codes[:64].split(";")]
    while numbers:
        number = numbers.pop(0)
        if number == 0:
            bold, colour = False, ""
        elif number in (1, 22):
            bold = number == 1
        elif number in (38, 48):
            skip = {5: 2, 2: 4}.get(numbers[0], 1) if numbers else 0
            del numbers[:skip]
        elif number == 39:
            colour = ""
        elif 30 <= number <= 37 or 90 <= number <= 97:
            colour = _COLOURS[number % 10]
    return bold, colour
