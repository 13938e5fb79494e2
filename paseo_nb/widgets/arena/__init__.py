"""A match to look at: `page` draws it (pure but for reading it), `live` shows it while it is at
work. Neither tells a name while the match is blind."""

from __future__ import annotations

from .page import bundle as bundle
