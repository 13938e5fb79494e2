"""What goes along with prompts, stored once: in a spec, a command and a turn's first line a block's
data are a pointer to `blobs/<sha256>`; the agent is sent the data themselves, in the form it takes.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from ..journal import private_dir, write_file_once
from .acp_reading import Json, as_dict, as_int, as_str

POINTER = "$blob"
RASTER = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
}
SMALL, MOST = 48 << 10, 4  # of pictures that are shown beside a prompt
PDF, PDF_SIGN = "application/pdf", b"%PDF-"


def raster(data: bytes) -> str | None:
    """The kind of picture that some bytes are; None for anything else."""
    for mime, signs in RASTER.items():
        if data.startswith(signs) and (mime != "image/webp" or data[8:12] == b"WEBP"):
            return mime
    return None


def keep(blobs: Path, data: bytes) -> Json:
    """Store some bytes; the pointer to them. OSError."""
    digest = hashlib.sha256(data).hexdigest()
    path = private_dir(blobs) / digest
    if not path.exists():
        write_file_once(path, data)
    return {POINTER: digest, "bytes": len(data)}


def pictures(blocks: list[Any], blobs: Path) -> list[tuple[str, str]]:
    """The small pictures among the blocks of a prompt, by name, as data URIs; never SVG, which is a
    document. A file is a picture if its first bytes say so, whatever the block does."""
    found: list[tuple[str, str]] = []
    for block in map(as_dict, blocks):
        pointer = as_dict(block.get("data"))
        digest, size = as_str(pointer.get(POINTER)), as_int(pointer.get("bytes"))
        if digest is None or size is None or size > SMALL or len(found) >= MOST:
            continue
        try:
            data = (blobs / Path(digest).name).read_bytes()
        except (OSError, ValueError):
            continue
        mime = raster(data)
        if mime is not None and len(data) <= SMALL:
            encoded = base64.b64encode(data).decode()
            found.append((as_str(block.get("name")) or "image", f"data:{mime};base64,{encoded}"))
    return found


def whole(blocks: list[Json], blobs: Path) -> list[Json]:
    """The blocks with their data in place of the pointers. OSError where one is gone."""
    return [_whole(block, blobs) for block in blocks]


def _whole(block: Json, blobs: Path) -> Json:
    digest = as_str(as_dict(block.get("data")).get(POINTER))
    if digest is None:
        return block
    data = base64.b64encode((blobs / Path(digest).name).read_bytes()).decode()
    return {name: value for name, value in block.items() if name != "name"} | {"data": data}
