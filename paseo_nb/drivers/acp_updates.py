"""Updates of an ACP session, taken apart for the acting half. Pure functions."""

from __future__ import annotations

from .acp_reading import Json, as_dict
from .transport import decode


def update_in(line: bytes) -> Json:
    """The update of a `session/update` line."""
    return as_dict(as_dict(as_dict(decode(line)).get("params")).get("update"))


def told_together(parts: list[bytes | Json]) -> Json:
    """What several updates of one call tell together: the later ones where they say something."""
    known: Json = {}
    for part in parts:
        update = update_in(part) if isinstance(part, bytes) else part
        known.update({k: v for k, v in update.items() if v not in (None, [], {})})
    return known
