"""A pairing as it is shown: a QR code of the page's address and token, and what to know of it.

Pure functions from values to text and HTML. The token is behind the `#` of the address: a browser
never sends that part, so that it stands in no server's log.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import segno

from .render.text import clean, literal, prose

if TYPE_CHECKING:
    from ..pairing import Pairing

_HALVES = {(False, False): "█", (True, False): "▄", (False, True): "▀", (True, True): " "}
_WHITE_ON_BLACK, _AS_BEFORE = "\x1b[97;40m", "\x1b[0m"


def code_text(address: str, in_window: bool) -> str:
    """A QR code in half blocks, two rows a line: light on dark, as scanners want it. in_window: of
    a terminal, which is told the colours."""
    rows = [list(map(bool, row)) for row in _code(address).matrix]
    wide = len(rows[0]) + 4
    edge = [[False] * wide for _ in range(2)]
    rows = [*edge, *([False, False, *row, False, False] for row in rows), *edge]
    if len(rows) % 2:
        rows.append([False] * wide)
    lines = (
        "".join(_HALVES[pair] for pair in zip(rows[at], rows[at + 1], strict=True))
        for at in range(0, len(rows), 2)
    )
    set_in = (_WHITE_ON_BLACK, _AS_BEFORE) if in_window else ("", "")
    return "\n".join(f"{set_in[0]}{line}{set_in[1]}" for line in lines)


def code_svg(address: str) -> str:
    """A QR code as SVG, black on white in every theme."""
    made = _code(address).svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=True)
    return cast(str, made)


def as_text(pairing: Pairing, in_window: bool) -> str:
    """All of it for a terminal, the code last."""
    lines = [pairing.token, clean(_about(pairing))]
    lines += [clean(note) for note in pairing.notes]
    if pairing.url is not None:
        lines += ["", pairing.address, code_text(pairing.address, in_window)]
    return "\n".join(lines)


def bundle(pairing: Pairing, live: bool = False) -> dict[str, Any]:
    """What a notebook keeps of it: neither the token nor its code. live: those are shown above."""
    lines = [f"<p style='margin:0 0 8px'><b>{prose(_about(pairing))}</b></p>"]
    lines += [f"<p style='margin:8px 0;max-width:78ch'>{prose(note)}</p>" for note in pairing.notes]
    where = "The code above is told to this page only and is not saved with the notebook."
    if not live:
        where = (
            "Its code is shown live only, as a notebook would keep it: run this in a notebook that"
            " shows widgets, or `paseo-nb pair` in a terminal."
        )
    unpair = f"paseo.unpair({literal(repr(pairing.name))})"
    lines.append(
        f"<p style='margin:8px 0;max-width:78ch'>{prose(where)} <code>{unpair}</code> takes it"
        " back.</p>"
    )
    plain = f"{_about(pairing)}\n" + "\n".join(clean(note) for note in (*pairing.notes, where))
    return {"text/html": "".join(lines), "text/plain": plain.strip()}


def _about(pairing: Pairing) -> str:
    until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(pairing.expires))
    which = "all runs" if pairing.runs is None else ", ".join(pairing.runs)
    return f"{pairing.name}: {', '.join(pairing.rights)} of {which}, until {until}"


def _code(address: str) -> Any:
    return cast(Any, segno).make(address, error="m", micro=False)
