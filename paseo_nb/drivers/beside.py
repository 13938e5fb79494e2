"""Messages that were too long for a line of the journal, and lie beside it under `blobs/`."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from ..model import Line
from .acp_reading import as_dict, as_int, decode

MAX_BLOB = 16 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def points_to_blob(line: Line) -> bool:
    """Whether the message was too long for a line and lies beside the journal."""
    return bytes(memoryview(line.raw)[:9]) == b'{"$blob":'


def with_blob(line: Line, blobs: Path) -> Line:
    """The line with the message that it points to, where that is small enough to be read."""
    pointer = as_dict(decode(line.raw))
    size = as_int(pointer.get("bytes")) or 0
    digest = str(pointer.get("$blob"))
    if size > MAX_BLOB or not _DIGEST.fullmatch(digest):  # an agent may say anything
        return line
    try:
        raw = (blobs / digest).read_bytes()
    except OSError:
        return line
    return msgspec.structs.replace(line, raw=msgspec.Raw(raw))
