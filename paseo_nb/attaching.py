"""What is given along with a prompt, as ACP content blocks: files, Python values, earlier runs."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import quote

from .describing import picture_of, text_of
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
    if isinstance(given, Mapping):
        for name, thing in cast(Mapping[Any, Any], given).items():
            made += _blocks(str(name), thing, named=True)
        return made
    several = cast(list[Any], given if isinstance(given, (list, tuple)) else [given])
    for number, thing in enumerate(several, 1):
        if isinstance(thing, str) and thing.startswith(RUN) and not Path(thing).exists():
            thing = run_of(thing, host)
        elif isinstance(thing, str):
            thing = Path(thing)
        made += _blocks(f"attachment-{number}", thing)
    return made


def run_of(word: str, host: LocalHost) -> Any:
    """The run that `run:ID` names. UsageProblem."""
    from .finding import find_run
    from .runview import RunView

    return RunView(host, find_run(host, word.removeprefix(RUN)))


def _blocks(name: str, thing: Any, named: bool = False) -> list[Json]:
    from .runview import RunView

    if isinstance(thing, Path):
        return [file_block(thing)]
    try:
        picture = picture_of(thing)
        if picture is not None:
            data = base64.b64encode(picture.data).decode()
            image = {"type": "image", "mimeType": picture.mime, "data": data}
            # An image has no name that agents see, and there may be several.
            return [*([{"type": "text", "text": f"[{name}:]"}] if named else []), image]
        if isinstance(thing, RunView):
            name, text, mime = f"{RUN}{thing.id}", thing.digest(), "text/markdown"
        else:
            text, mime = text_of(thing)
    except UsageProblem:
        raise
    except Exception as error:  # of whatever the value's own code does
        raise UsageProblem(f"attach: {name} cannot be shown: {error!r}") from error
    uri = f"notebook:{quote(name, safe=':')}"
    return [{"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}}]


def file_block(path: Path) -> Json:
    """A file as an ACP content block: an image as one, text embedded, anything else as a link."""
    file = path.expanduser()
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageProblem(f"attach={str(path)!r}: {error.strerror}") from None
    if len(data) > MAX_ATTACHMENT:
        raise UsageProblem(f"attach={str(path)!r} is larger than {MAX_ATTACHMENT >> 20} MB")
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    if kind.startswith("image/"):
        return {"type": "image", "mimeType": kind, "data": base64.b64encode(data).decode()}
    uri = file.resolve().as_uri()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {"type": "resource_link", "uri": uri, "name": file.name, "mimeType": kind}
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}
