"""What is given along with a prompt, as ACP content blocks: files, Python values, earlier runs."""

from __future__ import annotations

import mimetypes
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import quote

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


def blocks_of(given: Attachments, host: LocalHost) -> list[Json]:
    """The content blocks of what was given. UsageProblem for what is not there or too large."""
    if given is None:
        return []
    made: list[Json] = []
    blobs = host.home / "blobs"
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
