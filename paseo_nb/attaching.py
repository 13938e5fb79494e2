"""What is given along with a prompt, as ACP content blocks: files, Python values, earlier runs."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import quote, unquote, urlsplit

from .describing import cut, is_figure, shown, text_of
from .drivers.attached import PDF, PDF_SIGN, POINTER, keep, raster
from .errors import UsageProblem
from .host.local import LocalHost

Json = dict[str, Any]
Attachments: TypeAlias = Any
"""One thing, or several in a list or tuple: the path of a file, `run:ID`, a run, a DataFrame, a
figure, an image, any other value. A mapping gives things names; a str in it is a text, no path."""
MAX_ATTACHMENT = 64 << 20
RUN = "run:"
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blocks(list[Json]):
    """Content blocks that came ready from another machine; what they point to was sent before. A
    link has `blob`, the SHA-256 of a file's content, in place of an address."""


def blocks_of(given: Attachments, host: LocalHost) -> list[Json]:
    """The content blocks of what was given. UsageProblem for what is not there or too large."""
    if given is None:
        return []
    made: list[Json] = []
    blobs = host.home / "blobs"
    if isinstance(given, Blocks):
        return [_brought(block, blobs) for block in given]
    if isinstance(given, Mapping):
        for name, thing in cast(Mapping[Any, Any], given).items():
            made += _blocks(str(name), thing, blobs, named=True)
        return made
    several = cast(list[Any], given if isinstance(given, (list, tuple)) else [given])
    for number, thing in enumerate(several, 1):
        if isinstance(thing, str) and thing.startswith(RUN) and not Path(thing).exists():
            thing = run_of(thing, host)
        elif isinstance(thing, str):
            thing = Path(thing)
        made += _blocks(f"attachment-{number}", thing, blobs)
    return made


def _brought(block: Json, blobs: Path) -> Json:
    """A block from another machine, made anew of what it may have."""
    kind, name = block.get("type"), str(block.get("name") or "attachment")[:200]
    mime = str(block.get("mimeType") or "application/octet-stream")[:200]
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind == "resource" and isinstance(block.get("resource"), dict):
        told = cast(Json, block["resource"])
        if all(isinstance(told.get(key), str) for key in ("uri", "mimeType", "text")):
            return {
                "type": "resource",
                "resource": {k: told[k] for k in ("uri", "mimeType", "text")},
            }
    if kind in ("image", "resource_link"):
        digest = block.get("blob")
        if not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
            raise UsageProblem(f"attach: {name} names no content by its SHA-256 (blob)")
        path = blobs / digest
        try:
            _check_size(name, path.stat().st_size)
            picture = raster(path.read_bytes()) if kind == "image" else None
        except OSError:
            raise UsageProblem(f"attach: {name} was not sent: its content is not here") from None
        return (
            _link(path, name, mime)
            if picture is None
            else _image(name, path.read_bytes(), picture, blobs)
        )
    raise UsageProblem("attach: a block is a text, a resource with a text, an image or a link")


def blocks_to_send(given: Attachments, host: LocalHost) -> tuple[Blocks, list[Path]]:
    """What was given, as blocks for another machine, and the files of what they point to."""
    made, files = Blocks(), list[Path]()
    for block in blocks_of(given, host):
        if block["type"] == "image":
            path = host.home / "blobs" / block["data"][POINTER]
        elif block["type"] == "resource_link":
            path = Path(unquote(urlsplit(str(block["uri"])).path))
        else:
            made.append(block)
            continue
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files.append(path)
        kept = {key: block[key] for key in ("type", "name", "mimeType")}
        made.append({**kept, "blob": digest})
    return made, files


def run_of(word: str, host: LocalHost) -> Any:
    """The run that `run:ID` names. UsageProblem."""
    from .finding import find_run
    from .runview import RunView

    return RunView(host, find_run(host, word.removeprefix(RUN)))


def _blocks(name: str, thing: Any, blobs: Path, named: bool = False) -> list[Json]:
    from .runview import RunView

    if isinstance(thing, Path):
        return [file_block(thing, blobs)]
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return [_bytes_block(name, bytes(cast(bytes, thing)), blobs)]
    try:
        picture, lacking = shown(thing)
        blocks = [] if picture is None else [_image(name, picture.data, picture.mime, blobs)]
        if blocks and named:  # an image has no name that agents see, and there may be several
            blocks.insert(0, {"type": "text", "text": f"[{name}:]"})
        if isinstance(thing, RunView):
            name, text, mime = f"{RUN}{thing.id}", thing.digest(), "text/markdown"
        elif picture is not None and not is_figure(thing):
            return blocks
        else:
            text, mime = text_of(thing)
    except UsageProblem:
        raise
    except Exception as error:  # of whatever the value's own code does
        raise UsageProblem(f"attach: {name} cannot be shown: {error!r}") from error
    if lacking is not None:
        warnings.warn(f"attach: {name} goes along as data only: {lacking}", stacklevel=2)
    return [*blocks, _text_block(name, text, mime)]


def _text_block(name: str, text: str, mime: str) -> Json:
    uri = f"notebook:{quote(name, safe=':')}"
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}}


def _image(name: str, data: bytes, mime: str, blobs: Path) -> Json:
    return {"type": "image", "mimeType": mime, "name": name, "data": keep(blobs, data)}


def _bytes_block(name: str, data: bytes, blobs: Path) -> Json:
    """Bytes: a picture as one, text as text, a PDF and anything else as a link to where they are
    kept, which an agent reads with its own tools."""
    _check_size(name, len(data))
    picture = raster(data)
    if picture is not None:
        return _image(name, data, picture, blobs)
    try:
        return _text_block(name, cut(data.decode()), "text/plain")
    except UnicodeDecodeError:
        pass
    mime = PDF if data.startswith(PDF_SIGN) else "application/octet-stream"
    kept = blobs / str(keep(blobs, data)[POINTER])
    return _link(kept, name, mime)


def _link(file: Path, name: str, mime: str) -> Json:
    uri = file.resolve().as_uri()
    return {"type": "resource_link", "uri": uri, "name": name, "mimeType": mime}


def _check_size(name: str, size: int) -> None:
    if size > MAX_ATTACHMENT:
        raise UsageProblem(f"attach={name!r} is larger than {MAX_ATTACHMENT >> 20} MB")


def file_block(path: Path, blobs: Path) -> Json:
    """A file as an ACP content block: a picture as one, text embedded, anything else as a link."""
    file = path.expanduser()
    try:
        size = file.stat().st_size
        _check_size(str(path), size)
        data = file.read_bytes()
    except OSError as error:
        raise UsageProblem(f"attach={str(path)!r}: {error.strerror}") from None
    picture = raster(data)
    if picture is not None:
        return _image(file.name, data, picture, blobs)
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return _link(file, file.name, kind)
    uri = file.resolve().as_uri()
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}
