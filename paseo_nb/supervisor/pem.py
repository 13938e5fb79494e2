"""Private keys in PEM blocks, which have no beginning of their own to know them by: between the two
lines that name one, nothing is written. `masking` calls it for lines, and for text in chunks.
"""

from __future__ import annotations

import re

_KIND = r"[A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
NEEDLE = b"PRIVATE KEY"
_BEGIN = re.compile(rf"BEGIN {_KIND}")
_END = re.compile(rf"-{{0,5}}END {_KIND}")
# Within one JSON string a line feed may be escaped, more than once. A key that is cut off there has
# no end: what looks like one goes.
_BLOCK = re.compile(
    rf"(BEGIN {_KIND})(?:[^\"]{{0,20000}}?(-----END {_KIND})|[A-Za-z0-9+/=\\\s]*)".encode()
)
_BEGUN = re.compile(r"(?:-|B(?:E(?:G(?:IN?)?)?)?|BEGIN [A-Z0-9 -]{0,60})\Z")
_END_BEGUN = re.compile(r"-+(?:E(?:ND?)?|END [A-Z0-9 -]{0,60})?\Z")
_PROSE = re.compile(r"[^A-Za-z0-9+/=:,.\-\s•\\]| [a-z]")
LONGEST = 16_384
_LONGEST_BLOCK = 20_000
_BEGUN_BYTES = re.compile(rf"BEGIN {_KIND}".encode())
_END_BYTES = re.compile(rf"END {_KIND}".encode())


def masked(data: bytes, mask: bytes) -> bytes:
    """The data with the inside of every such block masked."""
    return _BLOCK.sub(lambda found: found[1] + mask + (found[2] or b""), data)


def open_at(data: bytes, cut: int) -> int:
    """The beginning of a block that `cut` would part; else `cut`."""
    near = max(cut - _LONGEST_BLOCK, 0)
    begun = [found.start() for found in _BEGUN_BYTES.finditer(data, near, cut + 64)]
    if not begun or begun[-1] >= cut or _END_BYTES.search(data, begun[-1], cut):
        return cut
    return begun[-1]


class Blocks:
    """Text in chunks: `cut` gives back what of each may be written. A block ends with the line that
    says so, with what is no key's text, or when it gets longer than any key."""

    def __init__(self, mask: str) -> None:
        self._mask = mask
        self._inside = 0  # how much of a block there was so far; 0: there is none
        self._last = ""

    @property
    def watching(self) -> bool:
        """Whether the next chunk has to be seen."""
        return self._inside > 0 or bool(self._last)

    def may_begin(self, text: str) -> bool:
        """Whether a block may begin in a text, or with its end."""
        return "-" in text[-5:] or "BEGIN" in text

    def cut(self, text: str) -> str:
        """What may be written of the next chunk's text."""
        out = ""
        while text:
            if not self._inside:
                seen = self._last + text
                found = _BEGIN.search(seen)
                if found is None:
                    begun = _BEGUN.search(seen)
                    self._last = begun[0] if begun is not None else ""
                    return out + text
                kept = len(text) - (len(seen) - found.end())
                out += text[:kept] + self._mask
                text, self._inside, self._last = text[kept:], 1, ""
                continue
            seen = self._last + text
            end, prose = _END.search(seen), _PROSE.search(seen)
            if end is not None and (prose is None or end.start() <= prose.start()):
                text, self._inside, self._last = seen[end.start() :], 0, ""
            elif prose is not None or self._inside > LONGEST:
                out, text, self._inside, self._last = out + seen, "", 0, ""
            else:
                begun = _END_BEGUN.search(seen)
                self._last = begun[0] if begun is not None else ""
                self._inside, text = self._inside + len(text), ""
        return out
