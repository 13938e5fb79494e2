"""Bytes that no JSON decoder or database takes, made readable: same length, so offsets hold.

Agents cut text in the middle of a surrogate pair (`"\\ud83d"`) or of a UTF-8 sequence; one such
line would make every query over `raw` fail. The journal keeps what was said; the index reads the
replacement character instead.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{4}|.)", re.DOTALL)
_HIGH, _LOW = range(0xD800, 0xDC00), range(0xDC00, 0xE000)


def mend(line: bytes) -> bytes:
    """The line with broken UTF-8 and lone surrogate escapes replaced; itself where it is sound."""
    try:
        line.decode()
    except UnicodeDecodeError:
        line = line.decode("utf-8", "replace").encode()
    if b"\\ud" not in line and b"\\uD" not in line:
        return line
    lone = _lone_surrogates(line)
    if not lone:
        return line
    parts = bytearray(line)
    for at in lone:
        parts[at : at + 6] = b"\\ufffd"
    return bytes(parts)


def _lone_surrogates(line: bytes) -> list[int]:
    """Where escapes of half a surrogate pair begin."""
    lone: list[int] = []
    open_at = -1
    end_of_open = -1
    for match in _ESCAPE.finditer(line):
        escape = match[0]
        code = int(escape[2:], 16) if len(escape) == 6 else 0
        if open_at >= 0:
            if code in _LOW and match.start() == end_of_open:
                open_at = -1
                continue
            lone.append(open_at)
            open_at = -1
        if code in _HIGH:
            open_at, end_of_open = match.start(), match.end()
        elif code in _LOW:
            lone.append(match.start())
    if open_at >= 0:
        lone.append(open_at)
    return lone
